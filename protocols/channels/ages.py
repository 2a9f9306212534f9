"""How much longer than the fastest message of the association a message took (CH-12)."""

from math import floor
from typing import Final

DRIFT_PPM: Final = 100
"""How fast the base may rise. Crystals of radios are within 20 ppm each; what is faster than this is no clock."""
_UNITS: Final = 1_000_000 // DRIFT_PPM
"""Of a millisecond: in each millisecond the base may rise by one."""
_MODULUS: Final = 2**32
_HALF: Final = 2**31


def milliseconds(now: float) -> int:
    """``now`` as ``sent_ms`` has it, before the modulus."""
    return floor(now * 1000.0)


class AgeFilter:
    """The smallest difference of two unrelated clocks so far, and the distance to it.

    Who stands between can make any message later and none earlier. So a smaller difference is believed at once, and a
    larger one only as far as two clocks may drift apart: whatever is held back, for however long, and in whatever
    order it is released, the base rises along one straight line. Seen from that line the base is a plain minimum.
    """

    __slots__ = ("_lowest", "_origin")

    def __init__(self) -> None:
        self._origin: int | None = None
        self._lowest = 0

    def age_ms(self, now: float, sent_ms: int) -> int:
        """Age of a message that arrives ``now``, rounded up; it also counts for those that follow."""
        arrival = milliseconds(now)
        if self._origin is None:
            self._origin = arrival - sent_ms
            self._lowest = -arrival
        # The clocks' offset is arbitrary and sent_ms wraps after 49.7 days: only the change since the first
        # message has a meaning as a number, and it is far from half the modulus.
        difference = (arrival - sent_ms - self._origin + _HALF) % _MODULUS - _HALF
        above = difference * _UNITS - arrival
        if above <= self._lowest:
            self._lowest = above
            return 0
        return -((self._lowest - above) // _UNITS)
