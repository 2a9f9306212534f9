"""How long to wait before the next try: twice as long each time, up to a limit, and never the same for two devices.

After a cloud was away all its devices come back; without jitter they would come at the same moments, again and again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FRACTION_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class BackoffLimits:
    """The shortest and the longest wait."""

    first_s: float = 0.5
    """After the first failure, at most."""
    most_s: float = 60.0
    """However often it fails."""


class Backoff:
    """``next_s`` after each failure, ``reset`` when something was achieved."""

    def __init__(self, limits: BackoffLimits, entropy: Callable[[int], bytes]) -> None:
        self._limits = limits
        self._entropy = entropy
        self._failures = 0

    def next_s(self) -> float:
        """Return the next wait: between half and all of ``first_s * 2**failures``, or of ``most_s`` if that is less."""
        longest = min(self._limits.most_s, self._limits.first_s * 2.0 ** min(self._failures, 64))
        self._failures += 1
        fraction = int.from_bytes(self._entropy(_FRACTION_BYTES), "big") / 256**_FRACTION_BYTES
        return longest * (0.5 + 0.5 * fraction)

    def reset(self) -> None:
        """Begin with the shortest again."""
        self._failures = 0
