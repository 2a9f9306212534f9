"""The search for the path MTU on any path: where it settles, and what it never does (specs/1-link.md, 1.11)."""

from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.link.pmtu import MIN_PLPMTU, PmtuState
from protocols.link.sizes import MAX_PROBES, STEP_BYTES, SizeSearch
from tests.conftest import examples
from tests.helpers.ways import PEER, PEER_6, Way

RUNS: Final = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW: Final = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZES: Final = st.integers(MIN_PLPMTU, 65_507) | st.sampled_from([1_200, 1_232, 1_452, 1_472, 8_952, 8_972, 65_487])
BASES: Final = st.integers(MIN_PLPMTU, 1_452) | st.just(1_200)
ADDRESSES: Final = st.sampled_from([PEER, PEER_6])
MOST: Final = {PEER: 65_507, PEER_6: 65_487}


def holds(way: Way) -> None:
    """No data were ever larger than what had passed; and each size that was used had been confirmed."""
    assert set(way.sizes) <= way.passed


@RUNS
@given(SIZES, BASES, st.integers(0, 65_507), ADDRESSES, st.sampled_from([0.0, 0.0002, 0.02, 0.6]))
def test_it_settles_within_a_step_of_the_truth(size: int, base: int, limit: int, address: object, rtt_s: float) -> None:
    """LK-85 to LK-87, on a path that loses nothing: between what passes and 64 bytes less, and never above."""
    way = Way(size, base=base, limit=limit, rtt_s=rtt_s, address=address)  # type: ignore[arg-type]  # of ADDRESSES
    way.start()
    if limit <= base:
        assert way.mtu.state is PmtuState.DISABLED
        return
    way.settle(120.0)
    truth = min(size, limit, MOST[address])  # type: ignore[index]
    assert max(MIN_PLPMTU, truth - STEP_BYTES + 1) <= way.mtu.size_bytes <= truth
    assert len(way.probes) <= 60
    holds(way)


@FEW
@given(
    SIZES,
    st.lists(st.tuples(st.floats(0.01, 20.0), SIZES), min_size=1, max_size=4),
    st.sampled_from([0.0005, 0.02, 0.3]),
)
def test_it_follows_a_path_that_changes(size: int, changes: list[tuple[float, int]], rtt_s: float) -> None:
    """LK-89: at any time, to any size, while data are sent; some time later it is right again, or knows too little."""
    way = Way(size, rtt_s=rtt_s).start()
    for after_s, new in changes:
        way.run(after_s)
        way.size = new
    way.run(60.0)
    assert way.mtu.size_bytes <= way.size
    way.run(1_300.0)  # time to look for more
    assert way.size - STEP_BYTES < way.mtu.size_bytes <= way.size
    holds(way)


@FEW
@given(SIZES, st.floats(0.0, 0.4), st.floats(0.0, 0.5), st.integers(0, 2**16), st.booleans())
def test_bad_weather_never_makes_it_send_too_much(
    size: int, loss: float, jitter_s: float, seed: int, uses: bool
) -> None:
    """Loss, reordering and late answers: what is used has passed, and the search comes to an end."""
    way = Way(size, loss=loss, jitter_s=jitter_s, seed=seed)
    way.uses = uses
    way.start().settle(600.0).run(60.0)
    assert max(way.sizes[1:], default=0) <= max(size, 1_200)
    holds(way)


@RUNS
@given(SIZES, st.integers(MIN_PLPMTU, 1_452))
def test_the_search_alone_ends(size: int, base: int) -> None:
    """Every candidate is above what passes and below what does not, and there is an end."""
    search = SizeSearch(base, 65_507, PEER)
    too_large, asked = 65_508, 0
    while (candidate := search.candidate()) is not None:
        asked += 1
        assert search.low < candidate < too_large
        assert asked < 60 * MAX_PROBES
        if candidate <= size:
            assert search.passed(candidate)
        elif search.lost(candidate):
            too_large = candidate
    if size >= base:
        assert size - STEP_BYTES < search.low <= size
