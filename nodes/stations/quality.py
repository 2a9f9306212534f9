"""How good a link is, as the message that says so (specs/6-groundlink.md)."""

from nodes.link import Link
from protocols.link.stats import LinkStats
from specs.groundlink import LinkQuality
from specs.registry import LinkType

_MOST: int = 2**32 - 1


def quality_of(link: Link, link_type: LinkType, before: LinkStats, seconds: float) -> LinkQuality:
    """Return the quality of a link since ``before``, which was ``seconds`` ago."""
    now = link.stats()
    lost = now.channels.stream.lost - before.channels.stream.lost
    expected = lost + now.channels.stream.received - before.channels.stream.received
    return LinkQuality(
        link_type,
        link.down is None,
        link.key_id,
        min(round((now.rtt_s or 0.0) * 1e6), _MOST),
        min(1_000, 1_000 * lost // expected) if expected > 0 else 0,
        _rate(now.link.bytes_received - before.link.bytes_received, seconds, up=link.down is None),
        _rate(now.link.bytes_sent - before.link.bytes_sent, seconds, up=link.down is None),
    )


def _rate(count: int, seconds: float, *, up: bool) -> int:
    return min(round(count / seconds), _MOST) if up else 0
