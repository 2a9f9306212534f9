"""Live telemetry on its way into the outbox: a moment in memory, so that a hundred messages cost one write.

What is in memory is lost when the process dies: at most ``delay_s`` of it, and never what was said to be durable.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import trio

from nodes.wakeup import Wakeup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How long and how much is gathered."""

    delay_s: float = 0.2
    """How long the first of a batch waits for more."""
    max_items: int = 2_048
    """Messages of a batch."""
    max_bytes: int = 60_000
    """Bytes of them, with what each costs beside."""
    item_overhead_bytes: int = 16
    """What a message costs beside its bytes, in a batch."""
    max_waiting_bytes: int = 4 * 1_048_576
    """What may wait while the disk is slow; the oldest is dropped, and counted."""


def _same(_item: object) -> None:
    """All messages may be in one batch."""


class Batcher(Generic[T]):
    """``add`` never waits; ``run`` is a task that stores full or ripe batches; ``flush`` stores what there is."""

    def __init__(
        self,
        store: Callable[[Sequence[T]], Awaitable[None]],
        size_bytes: Callable[[T], int],
        limits: BatchLimits | None = None,
        *,
        key: Callable[[T], object] = _same,
    ) -> None:
        """``store`` makes a batch durable; if it raises, the batch is kept and the error passes through.

        Messages of another ``key`` begin a batch of their own.
        """
        self.limits: Final = limits or BatchLimits()
        self.dropped = 0
        """Messages that were dropped because storing took too long."""
        self._store = store
        self._size_bytes = size_bytes
        self._key = key
        self._items: list[T] = []
        self._sizes: list[int] = []
        self._waiting_bytes = 0
        self._first = Wakeup()
        self._full = Wakeup()
        self._storing = trio.Lock()

    def add(self, item: T) -> None:
        """Take a message."""
        size = self._size_bytes(item) + self.limits.item_overhead_bytes
        self._items.append(item)
        self._sizes.append(size)
        self._waiting_bytes += size
        if self._waiting_bytes > self.limits.max_waiting_bytes:
            self._drop_oldest()
        self._first.set()
        if self._waiting_bytes >= self.limits.max_bytes or len(self._items) >= self.limits.max_items:
            self._full.set()

    def _drop_oldest(self) -> None:
        """Make room for many at once: to drop each alone would move the rest each time."""
        count = max(1, len(self._items) // 8)
        self.dropped += count
        self._waiting_bytes -= sum(self._sizes[:count])
        del self._items[:count], self._sizes[:count]

    async def run(self) -> None:
        """Store batches, for ever."""
        while True:
            await self._first.wait()
            with trio.move_on_after(self.limits.delay_s):
                await self._full.wait()
            self._full.is_set = False
            await self.flush()

    async def flush(self) -> None:
        """Store all that is here now."""
        async with self._storing:
            while self._items:
                count = self._count()
                batch, sizes = self._items[:count], self._sizes[:count]
                del self._items[:count], self._sizes[:count]
                self._waiting_bytes -= sum(sizes)
                try:
                    await self._store(batch)
                except BaseException:
                    self._items[:0], self._sizes[:0] = batch, sizes
                    self._waiting_bytes += sum(sizes)
                    self._first.set()
                    raise

    def _count(self) -> int:
        """Return how many of the oldest make a batch: one at least."""
        total = 0
        key = self._key(self._items[0])
        for count, size in enumerate(self._sizes[: self.limits.max_items]):
            total += size
            if count and (total > self.limits.max_bytes or self._key(self._items[count]) != key):
                return count
        return min(len(self._sizes), self.limits.max_items)
