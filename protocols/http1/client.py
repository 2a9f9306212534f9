"""The client's end of a connection: a request in, bytes out; bytes in, checked events out (specs/http-front.md)."""

from collections import deque
from collections.abc import Mapping

import h11

from protocols.errors import UsageError
from protocols.http1.answers import ResponseFront
from protocols.http1.checked import Parsed, fields_of, read_untrusted
from protocols.http1.events import BodyPiece, MessageEnd, ResponseEvent, ResponseHead
from protocols.http1.front import METHODS
from protocols.http1.limits import MessageLimits


class ClientConnection:
    """One request after the other: :meth:`request`, then events up to the end, then the next."""

    def __init__(self, limits: MessageLimits) -> None:
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head_bytes + 1)
        self._front = ResponseFront(limits)
        self._pending = deque[ResponseEvent]()
        self._asked = False

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: the response is whole, with nothing behind it, and nobody closes."""
        return not self._asked or (
            self._front.ended and self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        )

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, streaming: bool = False
    ) -> bytes:
        """Return the bytes of a whole request. ``streaming``: its answer may go on for ever, in bounded chunks."""
        if not self.reusable:
            raise UsageError("one request after the other, on a connection that is open")
        if self._asked:
            self._h11.start_next_cycle()
        self._asked, self._front = True, ResponseFront(self._limits, streaming=streaming)
        length = {"Content-Length": str(len(body))} if METHODS.get(method.encode(), True) else {}
        try:
            head = h11.Request(method=method, target=target, headers=list({**headers, **length}.items()))
            parts = (self._h11.send(head), self._h11.send(h11.Data(data=body)), self._h11.send(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise UsageError(f"this is no request: {error}") from None
        return b"".join(part or b"" for part in parts)

    def receive(self, data: bytes) -> None:
        """Take what has arrived, at least one byte; do it when :meth:`next_event_untrusted` has returned None."""
        self._front.receive(data)

    def next_event_untrusted(self) -> ResponseEvent | None:
        """Return the next event, or None when more bytes are needed; RefusedError at the first byte that is wrong."""
        while not self._pending:
            piece = self._front.next_untrusted()
            if piece is None:
                return None
            self._pending.extend(_event(parsed) for parsed in read_untrusted(self._h11, piece))
        return self._pending.popleft()


def _event(parsed: Parsed) -> ResponseEvent:
    if isinstance(parsed, h11.Response):
        return ResponseHead(parsed.status_code, fields_of(parsed))
    return BodyPiece(bytes(parsed.data)) if isinstance(parsed, h11.Data) else MessageEnd()
