"""What a peer sends on one connection, in its own time, which is bounded (HF-24 to HF-27)."""

from contextlib import suppress
from typing import Final

import trio

from nodes.https.errors import TlsError
from nodes.https.house import House
from nodes.https.table import Seat, Stage
from nodes.https.tls import TlsStream
from protocols.errors import LinkTimeoutError, TruncatedError, UsageError
from protocols.guards.address import Address
from protocols.http1.events import BodyPiece, MessageEnd, RequestHead
from protocols.http1.server import ServerConnection

_HEAD_READ_BYTES: Final = 4_096
_BODY_READ_BYTES: Final = 65_536


class Incoming:
    """The reading half of a connection."""

    def __init__(self, house: House, tls: TlsStream, machine: ServerConnection, seat: Seat, peer: Address) -> None:
        self._house = house
        self._tls = tls
        self._machine = machine
        self._seat = seat
        self._peer = peer
        self._fresh = True
        self._waited_s = 0.0
        self._received_bytes = 0

    async def head(self) -> RequestHead | None:
        """Return the next head; None when the peer has closed, or has said nothing for too long.

        RefusedError as the front check says; LinkTimeoutError when the head has begun and does not come to its end.
        """
        limits, begun = self._house.limits, False
        deadline = trio.current_time() + (limits.head_s if self._fresh else limits.idle_s)
        while (event := self._machine.next_event_untrusted()) is None:
            self._seat.enter(Stage.HEAD if self._fresh or begun else Stage.IDLE, trio.current_time())
            data: bytes | None = None
            with trio.move_on_at(deadline):
                data = await self._some(_HEAD_READ_BYTES)
            if data is None:
                self._house.counters.timed_out += begun or self._fresh
                if begun:
                    raise LinkTimeoutError("a request that does not come to its end")
                return None
            if not data:
                self._machine.end_untrusted()
                return None
            if not begun and not self._fresh:
                deadline = trio.current_time() + limits.head_s
            begun = True
            self._machine.receive(data)
        if not isinstance(event, RequestHead):
            raise TypeError("a request begins with its head")
        self._fresh, self._waited_s = False, 0.0
        return event

    async def piece(self) -> bytes:
        """Return the next piece of the body, nothing at its end.

        LinkTimeoutError when it comes too slowly, TruncatedError when the peer goes away.
        """
        await trio.lowlevel.checkpoint()
        while True:
            event = self._machine.next_event_untrusted()
            if isinstance(event, BodyPiece):
                return event.data
            if isinstance(event, MessageEnd) or self._machine.whole:
                return b""
            self._machine.receive(await self._more())

    def skip_what_is_here(self) -> None:
        """Pass over the rest of a body, as far as it has arrived."""
        while not self._machine.whole and self._machine.next_event_untrusted() is not None:
            pass

    async def _more(self) -> bytes:
        if self._seat.stage is not Stage.BUSY:
            raise UsageError("one task reads the body, and until the response is there")
        limits, began = self._house.limits, trio.current_time()
        left_s = limits.body_grace_s + self._received_bytes / limits.body_bytes_per_s - self._waited_s
        self._seat.enter(Stage.BODY, began)
        try:
            with trio.fail_after(max(left_s, 0.0)):
                await self._ask_for_it()
                data = await self._some(_BODY_READ_BYTES)
        except trio.TooSlowError:
            self._house.counters.timed_out += 1
            raise LinkTimeoutError("a body that comes too slowly") from None
        finally:
            now = trio.current_time()
            self._waited_s += now - began
            self._seat.enter(Stage.BUSY, now)
        if not data:
            raise TruncatedError("the stream ends in the middle of a body")
        self._received_bytes += len(data)
        self._house.hold(len(data), self._peer)
        return data

    def let_go(self) -> None:
        """The request is answered, or the connection is over: nobody holds its body any more."""
        self._house.held_bytes -= self._received_bytes
        self._received_bytes = 0

    async def _ask_for_it(self) -> None:
        """Tell a client that waits for it that its body is wanted."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._tls.send(self._machine.go_on())

    async def _some(self, limit_bytes: int) -> bytes:
        """Return what has arrived; nothing at the end, whatever the reason is."""
        try:
            return await self._tls.receive(limit_bytes)
        except (TlsError, trio.ClosedResourceError):
            return b""
