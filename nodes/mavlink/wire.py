"""MAVLink over a stream of bytes, whatever it is: a TCP connection or a serial line."""

from collections.abc import Callable
from contextlib import suppress

import trio

from nodes.mavlink.queue import FrameQueue, PortCounters

_SEND_BYTES = 4_096


class Wire:
    """One stream that is open: runs until its other end is gone."""

    def __init__(self, stream: trio.abc.Stream, counters: PortCounters) -> None:
        self._stream = stream
        self._queue = FrameQueue(counters)
        self._counters = counters
        self.send = self._queue.put
        """Queue a frame."""
        self.drop_waiting = self._queue.clear
        """Drop what is queued."""

    async def run(self, take_untrusted: Callable[[bytes], object], at_once: int) -> None:
        """Give what comes, send what is queued; returns when the stream has ended. It is closed in any case."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_all, nursery.cancel_scope)
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    while data := await self._receive_some(at_once):
                        take_untrusted(data)
                nursery.cancel_scope.cancel()
        finally:
            self._queue.clear()
            await trio.aclose_forcefully(self._stream)

    async def _receive_some(self, at_once: int) -> bytes:
        return bytes(await self._stream.receive_some(at_once))

    async def _send_all(self, scope: trio.CancelScope) -> None:
        """Send what is queued; frames that wait together leave together."""
        try:
            while True:
                frames = await self._queue.take(_SEND_BYTES)
                await self._stream.send_all(b"".join(frames))
                self._counters.sent += len(frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()
