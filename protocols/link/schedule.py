"""Which connections of a machine have something to do: output, deadlines, news (specs/performance.md).

Theory of operation. Nothing happens to a connection by itself: packets come, its user sends or takes or closes, a
deadline passes, it gives out packets. Each of these *touches* it, and only who was touched is looked at: for what it
has to send, for when it wants to be woken, for what its user may take. So a thousand links that say nothing cost
nothing, and a busy one waits for its turn behind each that became ready before. Who knows that only one of the three
can have changed says so (``ready``, ``news``), and the others are not looked at: a datagram of a stream moves no timer.

Deadlines stand in a heap. One that moved earlier is pushed; one that moved later is put right when its old time comes
to the top. Entries that were overtaken are left, and swept out when they are the greater part.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Generic, Protocol, TypeVar

_SPARE: Final = 16
"""Overtaken entries that are never worth sweeping."""


class Timed(Protocol):
    """What is scheduled."""

    def next_deadline(self) -> float | None: ...


T = TypeVar("T", bound=Timed)


class Schedule(Generic[T]):
    """The same as asking every connection every time, for less."""

    __slots__ = (
        "_due",
        "_heap",
        "_line",
        "_moved",
        "_news",
        "_order",
        "_queued",
        "_ready",
        "_touched",
        "_waiting",
        "news",
        "ready",
        "touch",
    )

    def __init__(self) -> None:
        self._touched: dict[T, None] = {}
        self.touch: Final[Callable[[T], object]] = self._touched.setdefault
        """Call it with a connection to which something happened. It is the dictionary's own method: the hot path."""
        self._ready: dict[T, None] = {}
        self.ready: Final[Callable[[T], object]] = self._ready.setdefault
        """The same for one that can only have more to send."""
        self._line: deque[T] = deque()
        self._waiting: set[T] = set()
        self._moved: dict[T, None] = {}
        self._news: dict[T, None] = {}
        self.news: Final[Callable[[T], object]] = self._news.setdefault
        """The same for one whose user can only have more to take."""
        self._due: dict[T, float] = {}
        self._queued: dict[T, float] = {}
        """The entry of each in the heap that counts."""
        self._heap: list[tuple[float, int, T]] = []
        self._order = count()

    def _spread(self) -> None:
        touched = self._touched
        self._ready.update(touched)
        self._moved.update(touched)
        self._news.update(touched)
        touched.clear()

    @property
    def has_output(self) -> bool:
        """Whether anybody may have something to send."""
        return bool(self._touched or self._ready or self._line)

    @property
    def has_moved(self) -> bool:
        """Whether a deadline may be earlier than :meth:`next_deadline` said last."""
        return bool(self._touched or self._moved)

    # --- output and news ------------------------------------------------------------------------

    def next_ready(self) -> T | None:
        """Return whose turn it is to send, or None. Touch it when it gave something: it goes to the end of the line."""
        if self._touched:
            self._spread()
        for each in self._ready:
            if each not in self._waiting:
                self._waiting.add(each)
                self._line.append(each)
        self._ready.clear()
        while self._line:
            ready = self._line.popleft()
            if ready in self._waiting:
                self._waiting.remove(ready)
                return ready
        return None

    def take_news(self) -> list[T]:
        """Return those that were touched since the last call, in the order of it."""
        if self._touched:
            self._spread()
        news = list(self._news)
        self._news.clear()
        return news

    # --- deadlines ------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of all."""
        if self._touched:
            self._spread()
        if self._moved:
            self._look_again()
        while self._heap:
            at, _, first = self._heap[0]
            due = self._due.get(first)
            if at == due:
                return at
            heappop(self._heap)
            if self._queued.get(first) == at:
                del self._queued[first]
                if due is not None:
                    self._push(due, first)
        return None

    def take_due(self, now: float) -> list[T]:
        """Return those whose deadline has come, the earliest first; they count as touched."""
        taken: list[T] = []
        while (at := self.next_deadline()) is not None and at <= now:
            first = heappop(self._heap)[2]
            del self._due[first], self._queued[first]
            taken.append(first)
        for each in taken:
            self.touch(each)
        return taken

    def _look_again(self) -> None:
        """Ask those that were touched when they want to be woken."""
        for each in self._moved:
            due = each.next_deadline()
            if due is None:
                self._due.pop(each, None)
                continue
            self._due[each] = due
            queued = self._queued.get(each)
            if queued is None or due < queued:
                self._push(due, each)
        self._moved.clear()

    def _push(self, due: float, each: T) -> None:
        self._queued[each] = due
        heappush(self._heap, (due, next(self._order), each))
        self._sweep()

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._queued) + _SPARE:
            self._heap = [(at, next(self._order), which) for which, at in self._queued.items()]
            heapify(self._heap)

    def forget(self, gone: T) -> None:
        """Drop a connection that is over."""
        for marks in (self._touched, self._ready, self._moved, self._news):
            marks.pop(gone, None)
        for times in (self._due, self._queued):
            times.pop(gone, None)
        self._waiting.discard(gone)
        self._sweep()
