"""Counting what arrives. Standard library only."""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

from tests.bench.harness.model import Reading

_QUIET_S: Final = 0.3
"""After so much silence nothing more comes."""
_LOOK_AGAIN_S: Final = 0.002
_PATIENCE_S: Final = 0.05
"""What is out for longer, while nothing else comes, is lost."""


class Meter:
    """What arrived since the mark."""

    def __init__(self) -> None:
        self.mark()

    def mark(self) -> None:
        """Begin a round now."""
        self.messages = 0
        self.bytes = 0
        self._lost = 0
        self.first = self.last = perf_counter()

    def add(self, messages: int, size_bytes: int) -> None:
        """Note what has arrived."""
        self.last = perf_counter()
        if not self.messages:
            self.first = self.last
        self.messages += messages
        self.bytes += size_bytes

    async def room(self, sent: int, window: int, turn: Callable[[], Awaitable[object]]) -> None:
        """Wait until fewer than ``window`` messages are under way: who shares a loop with his receiver can know."""
        while sent - self._lost - self.messages >= window:
            await turn()
            if perf_counter() - self.last > _PATIENCE_S:
                self._lost = sent - self.messages

    async def settle(self, messages: int, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Wait until so many messages are there, or no more come."""
        while self.messages < messages and perf_counter() - self.last < _QUIET_S:
            await sleep(_LOOK_AGAIN_S)

    def per_second(self, sent: int, start: float | None = None) -> Reading:
        """Messages per second, from ``start`` (else the first that came) to the last; and the share that was lost."""
        if not self.messages:
            raise RuntimeError(f"nothing of {sent} messages arrived")
        seconds = self.last - (self.first if start is None else start)
        return Reading(self.messages / seconds, {"lost_share": 1 - self.messages / sent})

    def gigabits(self, start: float) -> Reading:
        """Gbit/s of what was received."""
        return Reading(self.bytes * 8 / (self.last - start) / 1e9)
