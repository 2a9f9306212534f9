"""Blocking file work, off the trio loop and one call at a time."""

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class Serial:
    """Runs calls in a thread, one after the other.

    A call that has begun is finished even if its task is cancelled, and its result is taken: memory and disk
    never say different things. So cancelling a task may take as long as the disk does.
    """

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def run(self, call: Callable[[], T]) -> T:
        """Return ``call()``, made in a thread."""
        async with self._lock:
            return await trio.to_thread.run_sync(call)
