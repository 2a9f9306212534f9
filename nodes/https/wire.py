"""One connection of the client: a request goes out, its answer comes in, in bounded time (HF-45 to HF-47)."""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio

from nodes.https.limits import ClientLimits
from nodes.https.tls import TlsStream
from protocols.errors import LinkTimeoutError, ProtocolViolationError, TruncatedError
from protocols.http1.client import ClientConnection
from protocols.http1.events import BodyPiece, MessageEnd, ResponseEvent, ResponseHead

_PIECE_BYTES: Final = 65_536


@dataclass(slots=True)
class Traffic:
    """What a client has said and heard inside of TLS, on all its connections."""

    sent_bytes: int = 0
    """HTTP, heads included."""
    received_bytes: int = 0
    """HTTP, heads included."""


class Wire:
    """Not for two tasks. What fails leaves it useless."""

    def __init__(self, tls: TlsStream, limits: ClientLimits, traffic: Traffic) -> None:
        """``traffic`` is counted up."""
        self._tls = tls
        self._limits = limits
        self._traffic = traffic
        self._machine = ClientConnection(limits.response)
        self._sent = True
        self.heard = False
        """Whether the server has said anything since the last request."""

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self._sent and self._machine.reusable

    async def ask(self, method: str, target: str, headers: Mapping[str, str], *, streaming: bool) -> ResponseHead:
        """Send a request without a body, and return the head of its answer."""
        await self._send(self._machine.request(method, target, headers, streaming=streaming))
        with _bounded(self._limits.response_s, "no answer"):
            return await self._head()

    async def exchange(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[ResponseHead, bytes]:
        """Send a request, and return its answer; one that comes before the request is out ends the sending."""
        data = self._machine.request(method, target, headers, body)
        self.heard = False
        problem: Exception | None = None
        answer: tuple[ResponseHead, bytes] | None = None
        waiting = trio.CancelScope()

        async def send() -> None:
            nonlocal problem
            try:
                await self._send(data)
            except LinkTimeoutError as error:
                problem = error
                waiting.cancel()
            except trio.BrokenResourceError:  # whoever reads will see it too, and perhaps why
                pass
            waiting.deadline = trio.current_time() + self._limits.response_s

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                with waiting:
                    head = await self._head()
                    waiting.deadline = math.inf
                    answer = head, await self._body()
            except Exception as error:  # noqa: BLE001  # raised again below, out of the nursery's group
                problem = error
            nursery.cancel_scope.cancel()
        if answer is None:
            raise problem or LinkTimeoutError("no answer")
        return answer

    async def _body(self) -> bytes:
        """Return the whole body of the answer."""
        pieces: list[bytes] = []
        received, began = 0, trio.current_time()
        while True:
            left_s = self._limits.body_grace_s + received / self._limits.body_bytes_per_s
            with _bounded(began + left_s - trio.current_time(), "the answer comes too slowly"):
                event = await self._event()
            if isinstance(event, BodyPiece):
                pieces.append(event.data)
                received += len(event.data)
            if isinstance(event, MessageEnd):
                return b"".join(pieces)

    async def piece(self) -> bytes:
        """Return the next piece of a streamed body, nothing at its end."""
        with _bounded(self._limits.stall_s, "the stream stands still"):
            event = await self._event()
        return event.data if isinstance(event, BodyPiece) else b""

    async def aclose(self) -> None:
        """Say goodbye, and close."""
        await self._tls.aclose()

    async def abort(self) -> None:
        """Close at once."""
        await self._tls.abort()

    async def _send(self, data: bytes) -> None:
        self._sent = False
        view = memoryview(data)
        for start in range(0, len(data), _PIECE_BYTES):
            with _bounded(self._limits.write_s, "the server does not take the request"):
                await self._tls.send(view[start : start + _PIECE_BYTES])
            self._traffic.sent_bytes += len(view[start : start + _PIECE_BYTES])
        self._sent = True

    async def _head(self) -> ResponseHead:
        event = await self._event()
        if not isinstance(event, ResponseHead):
            raise ProtocolViolationError("an answer begins with its head")
        return event

    async def _event(self) -> ResponseEvent:
        while (event := self._machine.next_event_untrusted()) is None:
            data = await self._tls.receive(_PIECE_BYTES)
            if not data:
                raise TruncatedError("the connection broke off before the answer was whole")
            self.heard = True
            self._traffic.received_bytes += len(data)
            self._machine.receive(data)
        return event


@contextmanager
def _bounded(limit_s: float, line: str) -> Generator[None]:
    """Do what ``trio.fail_after`` does, with one line of ours."""
    try:
        with trio.fail_after(max(limit_s, 0.0)):
            yield
    except trio.TooSlowError:
        raise LinkTimeoutError(line) from None
