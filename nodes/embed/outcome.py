"""What a job ends with: told by the trio thread, waited for by another, which may be interrupted anywhere.

Not a ``concurrent.futures.Future``: its condition is Python code, and a KeyboardInterrupt inside of that leaves its
lock held, or releases it twice; the trio thread would stand still. Here each step is one call into C, and a waiter has
a lock of its own, which nobody else needs.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Outcome(Generic[T]):
    """A value or an error, once."""

    def __init__(self) -> None:
        self.is_set = False
        """Whether it is known."""
        self.error: BaseException | None = None
        """What went wrong, if something did."""
        self._value: list[T] = []
        self._watchers: Final[deque[Callable[[], object]]] = deque()

    def succeed(self, value: T) -> None:
        """End with a value."""
        self._value.append(value)
        self._tell()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        self.error = error
        self._tell()

    def result(self) -> T:
        """Return the value, or raise the error; only when it is known."""
        if self.error is not None:
            raise self.error
        return self._value[0]

    def wait(self) -> None:
        """Wait until it is known; in the main thread a signal may interrupt that, and it may be called again."""
        gate = threading.Lock()
        gate.acquire()
        self.watch(gate.release)
        gate.acquire()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call something when it is known, in whichever thread; at once if it is."""
        self._watchers.append(watcher)
        if self.is_set:
            self._call_watchers()

    def _tell(self) -> None:
        self.is_set = True
        self._call_watchers()

    def _call_watchers(self) -> None:
        """Both sides may come here at once; who pops a watcher calls it."""
        while self._watchers:
            try:
                watcher = self._watchers.popleft()
            except IndexError:
                return
            watcher()
