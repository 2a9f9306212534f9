"""Anti-replay window over 64-bit counters (the rule of RFC 6479; kept the other way round).

RFC 6479 keeps a bit for each counter that came. Here a bit stands for each that did *not* come though a higher one
did: ``missing``, an integer whose bit 0 is counter ``base``. Counters in order then change nothing but the highest one,
a run of them costs one step, and a link that loses nothing keeps no bits at all. A jump cuts off what the window has
left, so there are never more than ``size`` bits; what it leaves between two jumps is refused by its distance.

The rule: a counter is fresh if it is below the limit, at most ``size`` behind the highest one accepted (as
RFC 6479 and WireGuard count: ``size + 1`` counters in all), and was not accepted before.
"""

from typing import Final

from protocols.errors import UsageError
from specs.registry import REPLAY_WINDOW

_MAX_LIMIT: Final = 2**64 - 1
MAX_SIZE: Final = 2**20


class ReplayWindow:
    """Which counters of one key have been accepted.

    Look with :meth:`check` before the work of opening, then :meth:`accept` once the tag has verified: never
    before, or a forger could use up the counters of the honest sender.
    """

    __slots__ = ("_base", "_highest", "_limit", "_missing", "_size")

    def __init__(self, size: int = REPLAY_WINDOW, limit: int = _MAX_LIMIT) -> None:
        """``size``: how far behind the highest counter is still allowed; ``limit``: first counter refused."""
        if not 1 <= size <= MAX_SIZE or not 1 <= limit <= _MAX_LIMIT:
            raise UsageError("a replay window has a size of 1 to 2^20 and a limit of 1 to 2^64 - 1")
        self._highest = -1
        self._missing = 0
        self._base = 0
        self._size = size
        self._limit = limit

    @property
    def highest(self) -> int:
        """The highest counter accepted, -1 before the first (roaming asks for it)."""
        return self._highest

    def check(self, counter: int) -> bool:
        """Whether a u64 ``counter`` would be accepted now; changes nothing."""
        highest = self._highest
        if counter > highest:
            return counter < self._limit
        # Within the window nothing is below the base: the base was the window's end at the last jump.
        return highest - counter <= self._size and self._missing >> (counter - self._base) & 1 == 1

    def accept(self, counter: int) -> bool:
        """Mark a u64 ``counter`` as seen; False, and nothing changes, if it is a replay or too old.

        It looks again, because two copies in one batch both pass a check made before either is marked.
        """
        behind = self._highest - counter
        if behind < 0:
            if counter >= self._limit:
                return False
            if behind < -1:
                self._jump(counter, counter)
            self._highest = counter
            return True
        if behind > self._size or not self._missing >> (counter - self._base) & 1:
            return False
        self._missing ^= 1 << (counter - self._base)
        return True

    def accept_run(self, first: int, count: int) -> bool:
        """Mark ``count`` consecutive counters as seen, in one step, if all are above the highest and below the limit.

        False, and nothing changes, otherwise: then each must be asked about on its own.
        """
        last = first + count - 1
        if not self._highest < first <= last < self._limit:
            return False
        if first != self._highest + 1:
            self._jump(first, last)
        self._highest = last
        return True

    def _jump(self, first: int, last: int) -> None:
        """Note what is skipped before ``first``, as far as it stays in the window that will end with ``last``."""
        base = max(self._base, last - self._size)
        self._missing >>= base - self._base
        self._base = base
        start = max(self._highest + 1, base)
        if start < first:
            self._missing |= ((1 << (first - start)) - 1) << (start - base)
