"""How good a link is, as the message that says so (specs/6-groundlink.md)."""

from typing import Final

import trio

from nodes.link import Link
from protocols.link.stats import LinkStats
from specs.groundlink import LinkQuality
from specs.registry import LinkType

MOST: Final = 2**32 - 1
"""The largest number of a message."""
QUALITY_S: Final = 1.0
"""How often neighbours are told of each other link."""
_SHORTEST_S: Final = 0.001


def quality_of(link: Link, link_type: LinkType, before: LinkStats, seconds: float) -> LinkQuality:
    """Return the quality of a link since ``before``, which was ``seconds`` ago."""
    now = link.stats()
    lost = now.channels.stream.lost - before.channels.stream.lost
    expected = lost + now.channels.stream.received - before.channels.stream.received
    return LinkQuality(
        link_type,
        link.down is None,
        link.key_id,
        min(round((now.rtt_s or 0.0) * 1e6), MOST),
        min(1_000, 1_000 * lost // expected) if expected > 0 else 0,
        _rate(now.link.bytes_received - before.link.bytes_received, seconds, up=link.down is None),
        _rate(now.link.bytes_sent - before.link.bytes_sent, seconds, up=link.down is None),
    )


def _rate(count: int, seconds: float, *, up: bool) -> int:
    return min(round(count / seconds), MOST) if up else 0


class Rating:
    """How good a link is, each time since it was asked last."""

    def __init__(self, link: Link, link_type: LinkType) -> None:
        self._link = link
        self._link_type = link_type
        self._before = link.stats()
        self._asked_s = trio.current_time()

    def quality(self) -> LinkQuality:
        """Return the quality since the last time, or since the beginning."""
        now_s = trio.current_time()
        before, asked_s = self._before, self._asked_s
        self._before, self._asked_s = self._link.stats(), now_s
        return quality_of(self._link, self._link_type, before, max(now_s - asked_s, _SHORTEST_S))
