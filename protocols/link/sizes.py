"""Which size to ask a path about next, and what the answers say: the search of path MTU discovery (LK-86).

Theory of operation. ``low`` has passed, ``high`` has not, and the truth is between. Paths are not made at random: each
likely size is tried once, the largest first, so that loopback and jumbo paths are known after one probe or two; then
the smallest of those that were lost, until it passes or has been lost ``MAX_PROBES`` times. If a likely size is all
that passes, it is probably the path's, and one look just above it ends the search; else the middle between ``low`` and
``high`` goes on.

Sizes are those of whole protected datagrams, without the headers of IP and UDP.
"""

from typing import Final

from protocols.guards.address import Address, AddressKind

STEP_BYTES: Final = 64
"""The search ends when what passes and what does not are as close as this."""
MAX_PROBES: Final = 3
"""Losses of one size after which it counts as too large."""
_LIKELY_MTUS: Final = (9_000, 1_500)
_MAX_PACKET: Final = 65_535
_IPV4_HEADERS: Final = 20 + 8
_HEADERS: Final = {AddressKind.IPV6: 40 + 8}


class SizeSearch:
    """What is known of one path."""

    __slots__ = ("_asked", "_base", "_high", "_likely", "_lost", "limit", "low")

    def __init__(self, base_bytes: int, limit_bytes: int, address: Address) -> None:
        """``base_bytes``: what every path is taken to pass; ``limit_bytes``: the most that may be tried."""
        self._base = base_bytes
        self._asked = limit_bytes
        self.low = base_bytes
        """The largest size that passes."""
        self._lost: dict[int, int] = {}
        """Sizes that were tried in this search, and how often each was lost."""
        self.on_path(address)

    def on_path(self, address: Address) -> None:
        """Make the limits those of an address; the search begins with :meth:`begin`."""
        headers = _HEADERS.get(address.kind, _IPV4_HEADERS)
        self.limit = min(self._asked, _MAX_PACKET - headers)
        """The most that is tried."""
        likely = (self.limit, *(mtu - headers for mtu in _LIKELY_MTUS), self._base)
        self._likely = sorted({size for size in likely if self._base <= size <= self.limit}, reverse=True)
        self._high = self.limit + 1

    def begin(self, low: int) -> None:
        """``low`` passes, and nothing is known of anything larger."""
        self.low = low
        self._high = self.limit + 1
        self._lost.clear()

    def candidate(self) -> int | None:
        """Return the size to try next; None when there is nothing left to learn."""
        low, high = self.low, self._high
        if low >= self.limit or (high <= self.limit and high - low <= STEP_BYTES):
            return None
        above = [size for size in self._likely if low < size < high]
        for size in above:
            if size not in self._lost:
                return size
        if above:
            return above[-1]
        return low + STEP_BYTES if low in self._likely else (low + high) // 2

    def passed(self, size: int) -> bool:
        """Note that a size passes; return whether that is more than was known."""
        if size <= self.low:
            return False
        self.low = size
        if size >= self._high:  # it was lost as often as it takes, and passes all the same
            self.begin(size)
        return True

    def lost(self, size: int) -> bool:
        """Note that a size was lost while smaller ones passed; return whether it counts as too large now."""
        self._lost[size] = self._lost.get(size, 0) + 1
        if self._lost[size] < MAX_PROBES:
            return False
        self._high = min(self._high, size)
        return True
