"""How fast they may come: a handshake costs the server a millisecond before anybody has proven anything (HF-39)."""

from collections import OrderedDict
from typing import Final

from nodes.https.limits import HttpLimits
from protocols.guards.ratelimit import MAX_SOURCES, SourceLimiter, TokenBucket


class Door:
    """One per server. ``source``: ``guards.address.source_key``; ``now``: seconds."""

    def __init__(self, limits: HttpLimits) -> None:
        self._per_source: Final = SourceLimiter(limits.new_per_source_per_s, limits.new_per_source_at_once)
        self._in_all: Final = TokenBucket(limits.new_per_s, limits.new_at_once)
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def lets_in(self, source: bytes, now: float) -> bool:
        """Whether one more connection of a source may begin TLS; it is counted if so.

        Who has come too often takes nothing of what is for all. A known source needs nothing of that: strangers with
        many addresses, who use it up, keep no device out that was here before.
        """
        return self._per_source.allow(source, now) and (source in self._known or self._in_all.allow(now))

    def know(self, source: bytes) -> None:
        """Remember a source from which a good certificate has come; of too many the one that is so for longest goes."""
        self._known[source] = None
        self._known.move_to_end(source)
        if len(self._known) > MAX_SOURCES:
            self._known.popitem(last=False)
