"""Ascending, disjoint ranges of bytes that do not touch (CH-54)."""

from bisect import bisect_right


class RangeSet:
    """Half-open ranges [start, end); ranges that touch become one."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._starts)

    def first(self, count: int) -> list[tuple[int, int]]:
        """The lowest ranges, at most ``count``."""
        return list(zip(self._starts[:count], self._ends[:count], strict=True))

    def free(self, start: int, end: int) -> tuple[int, int]:
        """The first part of [start, end) that no range covers; empty (start >= end) if there is none."""
        place = bisect_right(self._starts, start)
        if place and self._ends[place - 1] > start:
            start = self._ends[place - 1]
        if place < len(self._starts) and self._starts[place] < end:
            end = self._starts[place]
        return start, end

    def add(self, start: int, end: int) -> None:
        """Add a part that ``free`` gave."""
        place = bisect_right(self._starts, start)
        joins_before = place > 0 and self._ends[place - 1] == start
        joins_behind = place < len(self._starts) and self._starts[place] == end
        if joins_before and joins_behind:
            self._ends[place - 1] = self._ends.pop(place)
            del self._starts[place]
        elif joins_before:
            self._ends[place - 1] = end
        elif joins_behind:
            self._starts[place] = start
        else:
            self._starts.insert(place, start)
            self._ends.insert(place, end)

    def cut_below(self, offset: int) -> None:
        """Forget everything before ``offset``, which never stands inside a range."""
        place = bisect_right(self._starts, offset - 1)
        del self._starts[:place], self._ends[:place]
