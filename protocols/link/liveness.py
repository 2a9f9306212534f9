"""Whether the peer is there: pings, round trips, and the time since anything authentic came (LK-80)."""

from typing import Final

from protocols.link import pulse
from protocols.link.config import LinkConfig

_MAX_OUTSTANDING: Final = 16


class Liveness:
    """One side's pings and its patience."""

    __slots__ = ("_config", "_heard_s", "_id", "_outstanding", "_pinged_s")

    def __init__(self, config: LinkConfig, now: float) -> None:
        self._config = config
        self._heard_s = now
        self._pinged_s = now
        self._id = 0
        self._outstanding: list[tuple[int, float]] = []

    def heard(self, now: float) -> None:
        """Note something authentic."""
        self._heard_s = now

    def is_dead(self, now: float) -> bool:
        """Whether nothing authentic has come for too long."""
        return now >= self._heard_s + self._config.dead_after_s

    def ping_due(self, now: float) -> bool:
        """Whether the keep-alive time has passed."""
        return now >= self._pinged_s + self._config.keepalive_s

    def ping(self, now: float) -> bytes:
        """Return the next PING; its answer gives a round trip."""
        self._pinged_s = now
        self._id = (self._id + 1) & 0xFFFF_FFFF
        if len(self._outstanding) >= _MAX_OUTSTANDING:
            del self._outstanding[0]
        self._outstanding.append((self._id, now))
        return pulse.PING.build(self._id)

    def round_trip_s(self, pong_id: int, now: float) -> float | None:
        """Return the round trip that a PONG completes; None for one that was not waited for."""
        for place, (ping_id, sent_s) in enumerate(self._outstanding):
            if ping_id == pong_id:
                del self._outstanding[place]
                return now - sent_s
        return None

    def next_deadline(self) -> float:
        """Return when a ping is due, or patience ends."""
        return min(self._heard_s + self._config.dead_after_s, self._pinged_s + self._config.keepalive_s)
