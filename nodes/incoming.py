"""An object that the peer offers on a ``bulk`` channel, as the user of a node reads it (specs/3-channels.md, 3.6)."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol, Self

import trio

from nodes.errors import LinkClosedError
from nodes.wakeup import Wakeup
from protocols.errors import UsageError
from protocols.events import (
    AcceptBulk,
    BulkChunkReceived,
    BulkEnded,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    EndBulk,
    LinkDown,
    Sendable,
)

_MAX_WAITING_BYTES: Final = 1_048_576
"""Bytes of an object that wait for the user; beyond, they wait in the core."""
_RESUMED_BYTES: Final = _MAX_WAITING_BYTES // 2
"""So many are left when the core is asked again: asking for each chunk costs more than the chunk."""
_YIELD_BYTES: Final = 262_144


class Sender(Protocol):
    """What an incoming object needs of its link."""

    down: LinkDown | None

    def send_now(self, message: Sendable) -> int: ...

    def taken(self) -> None: ...

    async def wait(self, ready: Wakeup) -> None: ...


class IncomingObject:
    """An object that the peer offers on a ``bulk`` channel."""

    def __init__(self, link: "Sender", offer: BulkOffered) -> None:
        self.offer: Final = offer
        """Name, size and hash, as the peer says; the name is never a path."""
        self.received_bytes = 0
        """For progress."""
        self._link = link
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._was_full = False
        self._since_yield_bytes = 0
        self._wakeup = Wakeup()
        self._complete = False
        self._status: BulkStatus | None = None

    async def read_all(self, max_bytes: int) -> bytes:
        """Take the whole object into memory and confirm it; UsageError when larger, LinkClosedError."""
        if self.offer.size_bytes > max_bytes:
            self.end(BulkStatus.REFUSED)
            raise UsageError(f"the peer offers {self.offer.size_bytes} bytes, {max_bytes} are allowed")
        parts = [chunk async for chunk in self.chunks()]
        self.end(BulkStatus.OK)
        return b"".join(parts)

    def chunks(self, prefix: bytes | memoryview = b"") -> AsyncIterator[bytes]:
        """Accept, and iterate over the bytes in order; call :meth:`end` with OK when they are stored.

        ``prefix`` is what is here already from an earlier attempt. Ends after the whole hash was right;
        LinkClosedError when the link or the transfer ends before.
        """
        self._link.send_now(AcceptBulk(self.offer.channel, self.offer.transfer, prefix))
        return _Chunks(self)

    async def next_chunk(self) -> bytes | None:
        """Return the next bytes after :meth:`chunks` has accepted; None after the last.

        It notices a cancellation each time, and lets others run at least every 256 KiB.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        waited = False
        while not self._chunks:
            if self._complete:
                return None
            if self._status is not None or self._link.down is not None:
                raise LinkClosedError(f"the transfer of {self.offer.size_bytes} bytes did not finish")
            self._wakeup.is_set = False
            await self._link.wait(self._wakeup)
            waited = True
        chunk = self._chunks.popleft()
        size = len(chunk)
        self.received_bytes += size
        self._waiting_bytes -= size
        if self._was_full and self._waiting_bytes <= _RESUMED_BYTES:
            self._was_full = False
            self._link.taken()
        self._since_yield_bytes = 0 if waited else self._since_yield_bytes + size
        if self._since_yield_bytes >= _YIELD_BYTES:
            self._since_yield_bytes = 0
            await trio.lowlevel.cancel_shielded_checkpoint()
        return chunk

    def end(self, status: BulkStatus) -> None:
        """Confirm (OK), refuse or cancel."""
        if status is not BulkStatus.OK:
            self._chunks.clear()  # nobody will take them
            self._waiting_bytes = 0
        self._link.send_now(EndBulk(self.offer.channel, self.offer.transfer, True, status))

    def on_event(self, event: BulkChunkReceived | BulkReceived | BulkEnded | None) -> None:
        """Take news of this transfer (None: the link is down)."""
        if isinstance(event, BulkChunkReceived):
            self._chunks.append(event.data)
            self._waiting_bytes += len(event.data)
            self._was_full = self._was_full or self.is_full
        elif isinstance(event, BulkReceived):
            self._complete = True
        elif isinstance(event, BulkEnded):
            self._status = event.status
        self._wakeup.set()

    @property
    def status(self) -> BulkStatus | None:
        """How the transfer ended, if it has: HASH_MISMATCH when all of it came and was not what was offered."""
        return self._status

    @property
    def is_full(self) -> bool:
        """Whether as many bytes wait to be taken as may."""
        return self._waiting_bytes > _MAX_WAITING_BYTES


class _Chunks:
    """No generator: whoever breaks out of the loop leaves nothing behind that must be closed."""

    def __init__(self, incoming: IncomingObject) -> None:
        self._incoming = incoming

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._incoming.next_chunk()
        if chunk is None:
            raise StopAsyncIteration
        return chunk
