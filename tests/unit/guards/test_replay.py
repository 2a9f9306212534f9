"""Anti-replay window: its edges, and any sequence of counters against a set that never forgets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import UsageError
from protocols.guards.replay import MAX_SIZE, ReplayWindow

TOP = 2**64 - 1


class Model:
    """The rule in the fewest words."""

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit, self.seen = size, limit, {-1}

    def accept(self, counter: int) -> bool:
        fresh = counter < self.limit and max(self.seen) - counter <= self.size and counter not in self.seen
        if fresh:
            self.seen.add(counter)
        return fresh


near = st.integers(0, 40)
sizes = st.integers(1, 33)


@settings(deadline=None)
@given(sizes, st.integers(1, TOP), st.lists(near | st.integers(0, TOP), max_size=60))
def test_agrees_with_a_set(size: int, limit: int, counters: list[int]) -> None:
    window, model = ReplayWindow(size, limit), Model(size, limit)
    for counter in counters:
        looked = window.check(counter)
        assert window.accept(counter) is looked is model.accept(counter)
        assert window.highest == max(model.seen)


@settings(deadline=None)
@given(sizes, st.integers(0, TOP - 200), st.lists(st.integers(0, 199), max_size=100))
def test_agrees_with_a_set_around_any_counter(size: int, base: int, steps: list[int]) -> None:
    window, model = ReplayWindow(size), Model(size, TOP)
    for step in steps:
        assert window.accept(base + step) is model.accept(base + step)


steps = st.tuples(st.integers(-40, 12), st.integers(-1, 40)) | st.tuples(st.integers(1, 2), st.integers(1, 9))
"""Where the next run begins, relative to the counter after the highest one, and how long it is."""


@settings(deadline=None)
@given(sizes, st.integers(0, TOP - 10_000) | st.just(0), st.none() | st.integers(1, 400), st.lists(steps, max_size=60))
def test_runs_agree_with_a_set_that_takes_one_at_a_time(
    size: int, base: int, room: int | None, runs: list[tuple[int, int]]
) -> None:
    limit = TOP if room is None else base + room
    window, model = ReplayWindow(size, limit), Model(size, limit)
    for place, count in runs:
        first = max(0, max(model.seen) + place if len(model.seen) > 1 else base + place)
        whole = count > 0 and first > max(model.seen) and first + count <= limit
        before = window.highest
        assert window.accept_run(first, count) is whole
        if whole:
            assert all(model.accept(counter) for counter in range(first, first + count))
            assert not any(window.check(counter) for counter in range(first, first + count))
        else:
            assert window.highest == before
            for counter in range(first, first + count):
                assert window.accept(counter) is model.accept(counter)
        assert window.highest == max(model.seen)
        near_highest = range(max(0, window.highest - size - 2), window.highest + 1)
        looks = [counter for counter in near_highest if window.check(counter)]
        assert looks == [c for c in near_highest if window.highest - c <= size and c not in model.seen]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3_000), st.integers(1, 3)), max_size=40))
def test_never_keeps_more_bits_than_the_window_has_counters(jumps: list[tuple[int, int]]) -> None:
    window = ReplayWindow(64)
    for jump, count in jumps:
        assert window.accept_run(window.highest + jump, count)
    assert bits(window) <= 64


def bits(window: ReplayWindow) -> int:
    return int(window._missing.bit_length())  # pyright: ignore[reportPrivateUsage]


def test_what_comes_in_order_keeps_no_bits() -> None:
    window = ReplayWindow()
    assert all(window.accept(counter) for counter in range(5_000))
    assert window.accept_run(5_000, 5_000)
    assert (window.highest, bits(window)) == (9_999, 0)
    assert not window.check(9_999)


def test_the_slow_path_after_a_run_that_skips() -> None:
    window = ReplayWindow(8)
    assert window.accept_run(4, 3)  # 0 to 3 are missing
    assert not window.accept_run(3, 2)
    assert [window.accept(counter) for counter in (3, 4, 0, 0)] == [True, False, True, False]
    assert window.accept_run(9, 2)  # 7 and 8 are missing, 1 has left
    assert [window.accept(counter) for counter in (1, 2, 2, 8, 7)] == [False, True, False, True, True]


def test_a_run_that_is_longer_than_the_window() -> None:
    window = ReplayWindow(8)
    assert window.accept_run(5, 100)
    assert not any(window.check(counter) for counter in range(105))
    assert window.accept(105)


@pytest.mark.parametrize(("first", "count"), [(0, 0), (5, 0), (5, -3), (98, 3), (100, 1), (200, 5)])
def test_no_run(first: int, count: int) -> None:
    window = ReplayWindow(8, 100)
    assert window.accept_run(0, 3)
    assert not window.accept_run(first, count)
    assert (window.highest, window.accept_run(3, 97)) == (2, True)


@settings(deadline=None)
@given(st.lists(near, min_size=1))
def test_looking_changes_nothing(counters: list[int]) -> None:
    window, looked_at = ReplayWindow(8), ReplayWindow(8)
    for counter in counters:
        for other in range(50):
            looked_at.check(other)
        assert window.accept(counter) is looked_at.accept(counter)


def test_a_new_window_accepts_everything_below_the_limit() -> None:
    assert ReplayWindow().highest == -1
    assert all(ReplayWindow().accept(counter) for counter in (0, 1, 2**63, TOP - 1))
    assert not ReplayWindow().accept(TOP)


def test_two_copies_in_one_batch() -> None:
    window = ReplayWindow()
    assert [window.check(7), window.check(7)] == [True, True]
    assert [window.accept(7), window.accept(7)] == [True, False]


@pytest.mark.parametrize(("size", "limit"), [(0, 1), (MAX_SIZE + 1, 1), (64, 0), (64, 2**64)])
def test_refuses_numbers_that_make_no_window(size: int, limit: int) -> None:
    with pytest.raises(UsageError):
        ReplayWindow(size, limit)
