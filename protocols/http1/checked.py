"""What both connections do with h11: it gets slices that the front check has let pass, and must agree with it."""

from collections.abc import Iterator

import h11

from protocols.http1.front import HeadSlice, Slice
from protocols.http1.refusal import Why, refused

Parsed = h11.Request | h11.Response | h11.Data | h11.EndOfMessage


def read_untrusted(machine: h11.Connection, piece: Slice) -> list[Parsed]:
    """Let h11 read a slice; RefusedError unless it sees the end of the message where the front check has seen it."""
    machine.receive_data(piece.raw)
    events = list(_events_untrusted(machine))
    last = piece.body_bytes == 0 if isinstance(piece, HeadSlice) else piece.last
    if last != any(isinstance(event, h11.EndOfMessage) for event in events):
        raise refused(Why.DISAGREEMENT)
    return events


def _events_untrusted(machine: h11.Connection) -> Iterator[Parsed]:
    while True:
        try:
            event = machine.next_event()
        except h11.RemoteProtocolError:
            raise refused(Why.DISAGREEMENT) from None
        if not isinstance(event, Parsed):
            return
        yield event
        if isinstance(event, h11.EndOfMessage):
            return


def fields_of(message: h11.Request | h11.Response) -> dict[str, str]:
    """Return the fields, each of which stands once."""
    return {name.decode("ascii"): value.decode("ascii") for name, value in message.headers}
