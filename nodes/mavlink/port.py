"""What all ports have in common: frames in, frames out, counters, and one line when something goes wrong."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import trio

from nodes.carriers.sockets import socket_error
from nodes.config.endpoint import Endpoint
from nodes.config.mavlink import MavlinkEndpoint
from nodes.mavlink.queue import PortCounters
from protocols.errors import ConfigError
from protocols.mavlink import FrameChecks, FrameSplitter

MAX_PEERS: Final = 16
"""Senders or connections of one port (MV-20)."""
RECEIVE_BYTES: Final = 1_024
"""Looked at at once, then others have their turn: nothing but marks takes some 5 microseconds a byte (MV-25)."""

Take = Callable[[bytes], None]
"""Takes a whole frame that came in; it does not wait, nor raise."""


class MavlinkPort(ABC):
    """One port of a configuration. ``open`` it, ``run`` it, ``send`` what is to go out, ``close`` it."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        self.endpoint: Final = endpoint
        """As it was asked for."""
        self.counters: Final = PortCounters()
        """What has passed."""
        self._checks = checks
        self._tell = tell
        self._complaint = ""
        self._complained_s = -math.inf

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.endpoint}>"

    @property
    @abstractmethod
    def where(self) -> MavlinkEndpoint:
        """Where it is open; differs from ``endpoint`` where the system chose the port."""

    @property
    @abstractmethod
    def peers(self) -> int:
        """How many are sent to now."""

    @abstractmethod
    async def open(self) -> None:
        """Open it; ConfigError with one line when the system says no."""

    @abstractmethod
    async def run(self, take: Take) -> None:
        """Receive and send for ever, once it is open; what breaks is tried again."""

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send a frame to everybody who is there; never waits."""

    @abstractmethod
    def drop_waiting(self) -> None:
        """Drop what waits to be sent: it is not meant any more (MV-35)."""

    @abstractmethod
    def close(self) -> None:
        """Close it; harmless when it is closed, or was never open."""

    def tell_counters(self) -> None:
        """Tell what has passed, if anything has."""
        counts = self.counters
        if counts.received or counts.sent or counts.skipped_bytes:
            self._tell(
                f"{self.endpoint}: {counts.received:,} frames in, {counts.sent:,} out, {counts.dropped:,} dropped; "
                f"{counts.skipped_bytes:,} bytes skipped, {counts.bad_checksums:,} bad checksums"
            )

    # --- for subclasses -------------------------------------------------------------------------

    def _splitter(self) -> FrameSplitter:
        return FrameSplitter(self._checks)

    def _take_untrusted(self, splitter: FrameSplitter, data: bytes, take: Take) -> int:
        """Give the frames that these bytes complete; how many."""
        skipped, damaged = splitter.skipped_bytes, splitter.bad_checksums
        frames = splitter.feed_untrusted(data, trio.current_time())
        self.counters.skipped_bytes += splitter.skipped_bytes - skipped
        self.counters.bad_checksums += splitter.bad_checksums - damaged
        self.counters.received += len(frames)
        for frame in frames:
            take(frame)
        return len(frames)

    def _reason(self, error: OSError) -> str:
        """What the system says, in words; who it is about stands before them anyway."""
        return str(socket_error(self._endpoint, error)).removeprefix(f"{self._endpoint}: ")

    @property
    def _endpoint(self) -> Endpoint:
        if self.endpoint.where is None:
            raise ConfigError(f"{self.endpoint}: needs a host and a port")
        return self.endpoint.where

    def _complain(self, why: str, again_s: float = math.inf) -> None:
        """Tell what is wrong, once for as long as it is; or again after so long, where nobody knows how long it is."""
        now = trio.current_time()
        if why != self._complaint or now >= self._complained_s + again_s:
            self._complaint, self._complained_s = why, now
            self._tell(f"{self.endpoint}: {why}; trying again")

    def _recovered(self) -> None:
        """Tell that it works again, if it was told that it did not."""
        if self._complaint:
            self._complaint = ""
            self._tell(f"{self.endpoint}: works again")
