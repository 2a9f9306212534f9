"""protocols/channels/ranges.py against a set of integers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocols.channels.ranges import RangeSet

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(SPANS, max_size=40), st.integers(0, 80))
def test_ch_54_ascending_disjoint_and_not_touching(spans: list[tuple[int, int]], cut: int) -> None:
    ranges, model = RangeSet(), set[int]()
    for start, end in spans:
        first, until = ranges.free(start, end)
        fresh = [each for each in range(start, end) if each not in model]
        assert (first < until) == bool(fresh)
        if fresh:
            assert first == fresh[0]
            assert set(range(first, until)) <= set(fresh)
            ranges.add(first, until)
            model.update(range(first, until))
        covered = ranges.first(100)
        assert model == {each for low, high in covered for each in range(low, high)}
        assert all(high < low for (_, high), (low, _) in pairwise(covered))
        assert len(ranges) == len(covered)
        assert ranges.first(1) == covered[:1]
    if cut not in model or cut - 1 not in model:
        ranges.cut_below(cut)
        assert {each for each in model if each >= cut} == {
            each for low, high in ranges.first(100) for each in range(low, high)
        }
