"""A bounded queue in which the flows of a relay take turns: who floods one drops what is his own (RL-14)."""

from collections import deque
from typing import Final, Generic, TypeVar

from protocols.channels.limits import MESSAGE_OVERHEAD_BYTES

K = TypeVar("K")


class FairQueue(Generic[K]):
    """Byte strings by key: first in, first out within a key, one each in turn among keys, the oldest dropped."""

    __slots__ = ("_bytes", "_limit_bytes", "_limit_per_key_bytes", "_queues", "_sizes")

    def __init__(self, limit_bytes: int, limit_per_key_bytes: int) -> None:
        """Both limits count ``MESSAGE_OVERHEAD_BYTES`` for each item beside its bytes."""
        self._limit_bytes: Final = limit_bytes
        self._limit_per_key_bytes: Final = limit_per_key_bytes
        self._queues: dict[K, deque[bytes]] = {}
        self._sizes: dict[K, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """How many keys wait: 0 when the queue is empty."""
        return len(self._queues)

    @property
    def room_bytes(self) -> int:
        """What an item may have so that none is dropped for it."""
        return max(0, self._limit_bytes - self._bytes - MESSAGE_OVERHEAD_BYTES)

    def add(self, key: K, item: bytes) -> int:
        """Add an item; return how many older ones were dropped for it."""
        if key not in self._queues:
            self._queues[key] = deque()
            self._sizes[key] = 0
        self._queues[key].append(item)
        self._count(key, len(item) + MESSAGE_OVERHEAD_BYTES)
        dropped = 0
        while self._sizes.get(key, 0) > self._limit_per_key_bytes:
            self._drop_oldest(key)
            dropped += 1
        while self._bytes > self._limit_bytes:
            self._drop_oldest(max(self._sizes, key=self._sizes.__getitem__))
            dropped += 1
        return dropped

    def pop(self) -> tuple[K, bytes]:
        """Return the next item and its key, whose turn comes after all others then; IndexError when empty."""
        if not self._queues:
            raise IndexError("the queue is empty")
        key = next(iter(self._queues))
        queue, size = self._queues.pop(key), self._sizes.pop(key)
        item = queue.popleft()
        size -= len(item) + MESSAGE_OVERHEAD_BYTES
        self._bytes -= len(item) + MESSAGE_OVERHEAD_BYTES
        if queue:
            self._queues[key], self._sizes[key] = queue, size
        return key, item

    def drop_larger(self, limit_bytes: int) -> int:
        """Drop every item of more bytes; return how many."""
        dropped = 0
        for key, queue in tuple(self._queues.items()):
            fitting = deque(item for item in queue if len(item) <= limit_bytes)
            gone = [len(item) for item in queue if len(item) > limit_bytes]
            dropped += len(gone)
            self._queues[key] = fitting
            self._count(key, -sum(gone) - len(gone) * MESSAGE_OVERHEAD_BYTES)
            self._forget_empty(key)
        return dropped

    def _count(self, key: K, size: int) -> None:
        self._sizes[key] += size
        self._bytes += size

    def _drop_oldest(self, key: K) -> None:
        item = self._queues[key].popleft()
        self._count(key, -len(item) - MESSAGE_OVERHEAD_BYTES)
        self._forget_empty(key)

    def _forget_empty(self, key: K) -> None:
        if not self._queues[key]:
            del self._queues[key], self._sizes[key]
