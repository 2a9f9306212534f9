"""Ports with one far end at a time: a serial device, or whom we connect to."""

from collections.abc import Callable
from functools import partial

import trio

from nodes.config.mavlink import MavlinkEndpoint
from nodes.mavlink.port import RECEIVE_BYTES, MavlinkPort, Take
from nodes.mavlink.wire import Wire
from protocols.mavlink import FrameChecks


class SinglePort(MavlinkPort):
    """Base of those two: what is sent goes to the far end that is there, or is dropped."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._wire: Wire | None = None

    @property
    def where(self) -> MavlinkEndpoint:
        return self.endpoint

    @property
    def peers(self) -> int:
        return int(self._wire is not None)

    def send(self, frame: bytes) -> None:
        if self._wire is None:
            self.counters.dropped += 1
        else:
            self._wire.send(frame)

    def drop_waiting(self) -> None:
        if self._wire is not None:
            self._wire.drop_waiting()

    async def _serve_wire(self, stream: trio.abc.Stream, take: Take) -> None:
        """Receive and send on a stream until it has ended."""
        self._wire = Wire(stream, self.counters)
        try:
            await self._wire.run(partial(self._take_untrusted, self._splitter(), take=take), RECEIVE_BYTES)
        finally:
            self._wire = None
