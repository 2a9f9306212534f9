"""The server's end of a connection: bytes in, checked events out; answers in, bytes out (specs/http-front.md)."""

from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import h11

from protocols.errors import UsageError
from protocols.http1.checked import Parsed, fields_of, read_untrusted
from protocols.http1.events import BodyPiece, MessageEnd, RequestEvent, RequestHead
from protocols.http1.front import HeadSlice, RequestFront, Slice
from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import RefusedError

UNASKED: Final = frozenset((205, 304))
"""Statuses that answer nothing that is asked here; they have framing rules of their own."""
_FIRST_STATUS: Final = 200
_LAST_STATUS: Final = 599


class ServerConnection:
    """One request after the other: the next one is looked at after :meth:`next_cycle`."""

    def __init__(self, limits: MessageLimits) -> None:
        self._front = RequestFront(limits)
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes + 1)
        self._pending = deque[RequestEvent]()
        self._whole = False
        self._must_close = False

    @property
    def whole(self) -> bool:
        """Whether the request has come to its end, and :meth:`next_event_untrusted` has said so."""
        return self._whole

    @property
    def must_close(self) -> bool:
        """Whether the answer is, or will be, the last one."""
        return self._must_close or self._h11.our_state in {h11.MUST_CLOSE, h11.CLOSED, h11.ERROR}

    def receive(self, data: bytes) -> None:
        """Take what has arrived, at least one byte; do it when :meth:`next_event_untrusted` has returned None."""
        self._front.receive(data)

    def end_untrusted(self) -> None:
        """The stream has ended, and all events are out; RefusedError if that is in the middle of a request."""
        self._front.end_untrusted()

    def next_event_untrusted(self) -> RequestEvent | None:
        """Return the next event, or None: more bytes are needed, or the request is whole.

        RefusedError at the first byte that is wrong, and from then on; answer it with :meth:`answer`, and close.
        """
        while not self._pending:
            if self._whole:
                return None
            try:
                piece = self._front.next_untrusted()
                if piece is None:
                    return None
                self._pending.extend(_event(parsed, piece) for parsed in read_untrusted(self._h11, piece))
            except RefusedError:
                self._must_close = True
                raise
        event = self._pending.popleft()
        self._whole = isinstance(event, MessageEnd)
        return event

    def go_on(self) -> bytes:
        """Return the bytes that ask a waiting client for its body (RFC 9110, 10.1.1); of others nothing."""
        if not self._h11.they_are_waiting_for_100_continue:
            return b""
        return self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")) or b""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the bytes of a whole response. ``Connection: close`` if the request has not been read to its end."""
        length = {} if status == HTTPStatus.NO_CONTENT else {"Content-Length": str(len(body))}
        return self._head(status, {**headers, **length}) + self._body(body) + self.end()

    def begin(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the bytes of the head of a response that goes on in chunks."""
        return self._head(status, {**headers, "Transfer-Encoding": "chunked"})

    def piece(self, data: bytes) -> bytes:
        """Return the bytes of one chunk; of none, if ``data`` is empty (an empty one would be the end)."""
        return self._body(data)

    def end(self) -> bytes:
        """Return the bytes that end a response in chunks."""
        return self._send(h11.EndOfMessage())

    def next_cycle(self) -> bool:
        """Whether another request may follow; if so, look at what has arrived of it."""
        if self.must_close or not self._whole:
            return False
        self._h11.start_next_cycle()
        self._whole = False
        return True

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        if not _FIRST_STATUS <= status <= _LAST_STATUS or status in UNASKED:
            raise UsageError(f"status {status} is not sent here")
        if not self._whole:
            self._must_close = True
        fields = [*headers.items(), *([("Connection", "close")] if self.must_close else [])]
        try:
            reason = HTTPStatus(status).phrase.encode("ascii")
            return self._send(h11.Response(status_code=status, headers=fields, reason=reason))
        except (h11.LocalProtocolError, ValueError) as error:
            raise UsageError(f"this is no response: {error}") from None

    def _body(self, data: bytes) -> bytes:
        return self._send(h11.Data(data=data)) if data else b""

    def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        return self._h11.send(event) or b""


def _event(parsed: Parsed, piece: Slice) -> RequestEvent:
    if isinstance(parsed, h11.Request) and isinstance(piece, HeadSlice):
        path, _, query = parsed.target.decode("ascii").partition("?")
        return RequestHead(parsed.method.decode("ascii"), path, query, fields_of(parsed), piece.body_bytes)
    return BodyPiece(bytes(parsed.data)) if isinstance(parsed, h11.Data) else MessageEnd()
