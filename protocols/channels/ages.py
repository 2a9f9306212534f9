"""How much longer than the fastest recent message a message took (CH-12)."""

from collections import deque
from math import floor
from typing import Final

WINDOW_S: Final = 30
_MODULUS: Final = 2**32
_HALF: Final = 2**31


def milliseconds(now: float) -> int:
    """``now`` as ``sent_ms`` has it, before the modulus."""
    return floor(now * 1000.0)


class AgeFilter:
    """The smallest difference of two unrelated clocks over the last 30 s, and the distance to it.

    The minimum of a sliding window: a queue of (second, difference) in which both rise, at most one entry per second.
    An entry that a smaller difference follows can never be the minimum again and goes at once, so the first entry is
    the minimum, and an attacker who floods the channel makes the queue no longer than the window's seconds.
    """

    def __init__(self) -> None:
        self._base: int | None = None
        self._lows: deque[tuple[int, int]] = deque()

    def age_ms(self, now: float, sent_ms: int) -> int:
        """Age of a message that arrives ``now``; it also counts for those that follow."""
        arrival = milliseconds(now)
        if self._base is None:
            self._base = arrival - sent_ms
        # The clocks' offset is arbitrary and sent_ms wraps after 49.7 days: only the drift since the first
        # message has a meaning as a number, and it is far from half the modulus.
        difference = (arrival - sent_ms - self._base + _HALF) % _MODULUS - _HALF
        second = arrival // 1000
        lows = self._lows
        while lows and lows[0][0] < second - WINDOW_S:
            lows.popleft()
        while lows and lows[-1][1] >= difference:
            lows.pop()
        if not lows or lows[-1][0] != second:
            lows.append((second, difference))
        return difference - lows[0][1]
