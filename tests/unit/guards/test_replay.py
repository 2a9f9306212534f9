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
