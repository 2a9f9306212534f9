"""What both connections do with h11: it gets slices that the front check has let pass, and must agree with it."""

from collections import deque
from collections.abc import Iterator

import h11

from protocols.http1.events import BodyPiece, MessageEnd, RequestHead, ResponseHead
from protocols.http1.front import HeadSlice, Slice
from protocols.http1.refusal import Why, refused

Pending = deque[RequestHead | ResponseHead | BodyPiece | MessageEnd]
_Parsed = h11.Request | h11.Response | h11.Data | h11.EndOfMessage


def read_untrusted(machine: h11.Connection, piece: Slice, pending: Pending) -> None:
    """Let h11 read a slice; RefusedError unless it sees what the front check has seen."""
    machine.receive_data(piece.raw)
    last = piece.body_bytes == 0 if isinstance(piece, HeadSlice) else piece.last
    whole = False
    for parsed in _events_untrusted(machine):
        whole = isinstance(parsed, h11.EndOfMessage)
        if isinstance(parsed, h11.Request):
            path, _, query = parsed.target.decode("ascii").partition("?")
            method, length = parsed.method.decode("ascii"), piece.body_bytes if isinstance(piece, HeadSlice) else 0
            pending.append(RequestHead(method, path, query, _fields(parsed), length))
        elif isinstance(parsed, h11.Response):
            pending.append(ResponseHead(parsed.status_code, _fields(parsed)))
        elif isinstance(parsed, h11.Data):
            pending.append(BodyPiece(bytes(parsed.data)))
        else:
            pending.append(MessageEnd())
    if whole != last:
        raise refused(Why.DISAGREEMENT)


def _events_untrusted(machine: h11.Connection) -> Iterator[_Parsed]:
    while True:
        try:
            event = machine.next_event()
        except h11.RemoteProtocolError:
            raise refused(Why.DISAGREEMENT) from None
        if not isinstance(event, _Parsed):
            return
        yield event
        if isinstance(event, h11.EndOfMessage):
            return


def _fields(message: h11.Request | h11.Response) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("ascii") for name, value in message.headers}
