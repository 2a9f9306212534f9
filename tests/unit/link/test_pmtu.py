"""specs/1-link.md, 1.11: the search for the path MTU, its table and its rules, without sockets."""

from itertools import product

import pytest

from protocols.errors import UsageError
from protocols.link.config import LinkConfig
from protocols.link.pmtu import (
    BLACK_HOLE_PROBES,
    CONFIRM_S,
    FIRST_RAISE_S,
    MAX_CONFIRM_S,
    MIN_PLPMTU,
    PMTU,
    RAISE_S,
    SCOUT_BYTES,
    PmtuEvent,
    PmtuState,
)
from protocols.link.sizes import MAX_PROBES, STEP_BYTES, SizeSearch
from protocols.link.state import advance
from specs.registry import MAX_PROBED_DATAGRAM_BYTES
from tests.helpers.ways import PEER, PEER_6, Way

S, E = PmtuState, PmtuEvent

# --- the table ----------------------------------------------------------------------------------


def test_only_what_the_table_says_can_happen() -> None:
    """Every state and every event: a missing entry is an error."""
    allowed = {
        S.DISABLED: {E.START},
        S.BASE: {E.START, E.PASSED, E.TOO_LARGE},
        S.SEARCHING: {E.START, E.PASSED, E.SETTLED},
        S.SEARCH_COMPLETE: {E.START, E.PASSED, E.RAISE, E.BLACK_HOLE, E.TOO_LARGE},
        S.ERROR: {E.START, E.PASSED},
    }
    for state, event in product(S, E):
        if event in allowed[state]:
            assert advance(PMTU, state, event) is PMTU[state, event]
        else:
            with pytest.raises(UsageError):
                advance(PMTU, state, event)


def test_a_new_path_begins_with_the_base_from_everywhere() -> None:
    assert {PMTU[state, E.START] for state in S} == {S.BASE}


def test_every_state_is_reached_and_left() -> None:
    way = Way(2_000).start().run(5.0)
    way.size = 800
    way.run(10.0)
    assert way.states == [
        S.DISABLED, S.BASE, S.SEARCHING, S.SEARCH_COMPLETE,
        S.BASE, S.ERROR, S.SEARCHING, S.SEARCH_COMPLETE,
    ]  # fmt: skip


# --- where it settles -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "probes", "sizes"),
    [
        (65_507, [1_200, 65_507], [1_200, 65_507]),
        (8_972, [1_200, 65_507, 8_972, 65_507, 65_507, 9_036, 9_036, 9_036], [1_200, 8_972]),
        (1_472, [1_200, 65_507, 8_972, 1_472, 8_972, 8_972, 1_536, 1_536, 1_536], [1_200, 1_472]),
        (1_232, [1_200, 65_507, 8_972, 1_472, 1_472, 1_472, 1_264, 1_264, 1_264], [1_200]),
    ],
)
def test_lk_87_likely_paths_are_known_soon(size: int, probes: list[int], sizes: list[int]) -> None:
    """LK-87: the base, each likely size once from the top, the smallest that was lost, one look above."""
    way = Way(size).start().settle()
    assert way.probes == probes
    assert way.sizes == sizes
    assert way.now - 500.0 <= len(probes) * (way.rtt_s + 0.02)


def test_lk_87_over_ipv6_packets_have_larger_headers() -> None:
    way = Way(1_452, address=PEER_6).start().settle()
    assert way.probes[:4] == [1_200, 65_487, 8_952, 1_452]
    assert way.mtu.size_bytes == 1_452
    assert Way(65_507, address=PEER_6).start().settle().mtu.size_bytes == 65_487


@pytest.mark.parametrize("size", [1_264, 1_300, 1_464, 2_000, 4_000, 16_000, 65_000])
def test_lk_87_odd_paths_are_known_to_64_bytes(size: int) -> None:
    """LK-87: the middle, until what passes and what does not are close."""
    way = Way(size).start().settle()
    assert size - STEP_BYTES < way.mtu.size_bytes <= size
    assert len(way.probes) < 40


@pytest.mark.parametrize("limit", [1_201, 1_264, 1_400, 1_500, 9_000])
def test_lk_87_nothing_above_what_is_configured_is_tried(limit: int) -> None:
    way = Way(65_507, limit=limit).start().settle()
    assert way.mtu.size_bytes == max(way.probes) == limit


@pytest.mark.parametrize("limit", [0, 1_199, 1_200])
def test_lk_87_without_room_above_the_base_nothing_happens(limit: int) -> None:
    way = Way(65_507, limit=limit).start().run(10.0)
    way.mtu.moved(PEER_6, way.now)
    way.run(10.0)
    assert way.probes == []
    assert way.mtu.state is S.DISABLED
    assert way.mtu.next_deadline() is None
    assert way.mtu.size_bytes == 1_200


def test_lk_86_nothing_happens_before_the_peer_is_heard() -> None:
    way = Way(65_507)
    assert not way.mtu.is_due
    assert way.run(10.0).probes == []
    way.start()
    assert way.mtu.is_due


def test_lk_86_starting_twice_is_starting_once() -> None:
    way = Way(8_972).start().settle()
    probes = len(way.probes)
    way.uses = False
    way.start().run(1.0)
    assert len(way.probes) == probes


# --- what a loss says -----------------------------------------------------------------------------


def test_lk_86_a_probe_that_is_lost_with_its_scout_does_not_count() -> None:
    """LK-86: an outage says nothing of sizes, however long; the probes of it become rare."""
    way = Way(8_972).start().run(0.05)
    way.size = 0
    before = len(way.probes)
    way.run(60.0)
    assert way.mtu.state is S.SEARCHING
    assert len(way.probes) - before < 40
    way.size = 8_972
    way.settle()
    assert way.mtu.size_bytes == 8_972


def test_lk_86_an_outage_after_the_search_does_not_count() -> None:
    way = Way(8_972).start().settle()
    way.size = 0
    way.run(25.0)
    way.size = 8_972
    way.run(4.0)
    assert way.sizes == [1_200, 8_972]


def test_lk_86_a_late_answer_counts() -> None:
    """LK-86: the probe passed, whatever was thought of it meanwhile."""
    way = Way(1_200).start().run(0.03)  # the base has passed, and the largest has been sent
    mtu = way.mtu
    assert way.probes == [1_200, 65_507]
    way.settle()
    late = 3  # 1 and 2: the base and its scout
    way.uses = False
    assert mtu.size_bytes == 1_200
    assert mtu.on_ack(late, way.now) is None
    assert mtu.size_bytes == 65_507
    assert mtu.state is S.SEARCH_COMPLETE


def test_lk_86_late_answers_while_something_else_is_asked() -> None:
    """They end the question if they answer it, and leave it alone if they do not."""
    way = Way(1_472).start().run(0.125)
    assert way.probes == [1_200, 65_507, 8_972, 1_472, 8_972]
    first, second = 5, 9  # each has a scout behind it
    way.mtu.on_ack(first, way.now)
    way.run(0.001)
    assert way.probes[-1] == 65_507
    way.mtu.on_ack(second, way.now)
    assert not way.mtu.is_due
    assert way.mtu.state is S.SEARCHING
    assert way.mtu.size_bytes == 8_972


def test_lk_86_a_late_answer_to_what_counts_as_too_large() -> None:
    """It lifts the upper end again."""
    search = SizeSearch(1_200, 65_507, PEER)
    assert [search.lost(8_972) for _ in range(MAX_PROBES)] == [False, False, True]
    assert search.candidate() == 1_472
    assert search.passed(8_972)
    assert search.candidate() == 65_507
    assert not search.passed(8_972)


def test_an_answer_to_nothing_is_nothing() -> None:
    way = Way(65_507).start()
    probe, scout = way.mtu.next_probe(way.now), way.mtu.next_probe(way.now)
    assert probe is not None
    assert scout is not None
    assert scout.size == SCOUT_BYTES
    assert way.mtu.on_ack(scout.id + 1, way.now) is None
    assert way.mtu.on_ack(scout.id, way.now + 0.25) == 0.25
    assert way.mtu.on_ack(scout.id, way.now + 0.5) is None
    assert way.mtu.on_ack(probe.id, way.now + 0.5) is None  # large: no measure of the round trip
    assert way.mtu.state is S.SEARCHING


def test_what_is_remembered_is_bounded() -> None:
    way = Way(0).start().run(120.0)
    assert len(way.probes) > 30
    way.size = 65_507
    assert way.settle().mtu.size_bytes == 65_507


@pytest.mark.parametrize("loss", [0.1, 0.2])
@pytest.mark.parametrize("size", [1_472, 8_972, 65_507])
def test_lk_87_losses_seldom_mislead_and_never_for_ever(loss: float, size: int) -> None:
    """LK-87: of 60 paths that lose 10 or 20 % each way, almost all are known at once, and all in time."""
    ways = [Way(size, loss=loss, seed=seed).start().settle() for seed in range(60)]
    at_once = [way for way in ways if way.mtu.size_bytes == size]
    assert len(at_once) >= 54
    for way in ways:
        way.uses = False
        way.run(1_500.0)
        assert max(way.sizes) == size


# --- later ----------------------------------------------------------------------------------------


def test_lk_87_a_path_that_becomes_wider_is_noticed() -> None:
    """LK-87: after 30 s, then each time after twice the time, up to 600 s."""
    way = Way(1_472).start().settle()
    way.uses = False
    times: list[float] = []
    since = way.now
    while len(times) < 7:
        before = len(way.probes)
        way.run(1.0)
        if len(way.probes) > before:
            times.append(way.now - since)
            since = way.settle().now
    expected = [min(FIRST_RAISE_S * 2**n, RAISE_S) for n in range(7)]
    assert times == pytest.approx(expected, abs=1.5)
    way.size = 8_972
    way.run(RAISE_S + 1.0)
    assert way.mtu.size_bytes == 8_972


def test_lk_88_another_address_is_another_path() -> None:
    """LK-88: back to the base at once; answers about the old path are nothing."""
    way = Way(65_507).start()
    base = way.mtu.next_probe(way.now)
    assert base is not None
    way.settle()
    way.size = 1_452
    way.mtu.moved(PEER_6, way.now)
    assert way.mtu.size_bytes == 1_200
    assert way.mtu.state is S.BASE
    assert way.mtu.on_ack(base.id, way.now) is None
    assert way.settle().mtu.size_bytes == 1_452


def test_lk_88_before_the_beginning_a_move_changes_the_limits_only() -> None:
    way = Way(65_507)
    way.mtu.moved(PEER_6, way.now)
    assert way.mtu.state is S.DISABLED
    assert way.start().settle().mtu.size_bytes == 65_487


# --- black holes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(65_507, 1_472), (8_972, 1_472), (8_972, 1_232), (1_472, 1_232)])
def test_lk_89_a_path_that_narrows_is_noticed(before: int, after: int) -> None:
    """LK-89: within the confirmation's time and six round trips; then the search finds what is left."""
    way = Way(before).start().settle()
    way.run(5.0)
    assert way.mtu.size_bytes == before
    way.size = after
    way.run(CONFIRM_S + BLACK_HOLE_PROBES * (way.rtt_s + 0.02))
    assert way.sizes[-1] <= max(after, way.base)
    way.settle()
    assert after - STEP_BYTES < way.mtu.size_bytes <= after


def test_lk_89_who_sends_nothing_large_asks_nothing() -> None:
    """LK-89: an idle link has no probes, until its result is questioned."""
    way = Way(8_972).start().settle()
    way.uses = False
    before = len(way.probes)
    way.run(FIRST_RAISE_S - 1.0)
    assert len(way.probes) == before
    way.mtu.sent(MIN_PLPMTU)
    assert way.mtu.next_deadline() == pytest.approx(way.now + 1.0, abs=0.5)


def test_lk_89_acknowledged_data_prove_more_than_probes() -> None:
    """LK-89: while chunks of full size arrive nothing is asked, however little of the probes arrives."""
    way = Way(65_507).start().settle()
    way.delivered = 61_440
    before = len(way.probes)
    way.run(20.0)
    assert len(way.probes) == before
    way.delivered = 1_000
    way.run(MAX_CONFIRM_S + 1.0)
    assert len(way.probes) > before


def test_lk_89_losses_are_no_black_hole() -> None:
    """At 10 % loss each way there is no false alarm in ten minutes; at 20 % few."""
    assert Way(8_972, loss=0.1, seed=3).start().settle().run(600.0).sizes == [1_200, 8_972]
    way = Way(8_972, loss=0.2, seed=4).start().settle().run(600.0)
    assert way.sizes.count(1_200) <= 3


def test_lk_89_the_base_does_not_pass() -> None:
    """LK-89: the least size is used, and asked about; then what is between is found."""
    way = Way(800).start().run(0.2)
    assert MIN_PLPMTU in way.sizes
    assert way.settle().mtu.size_bytes in range(800 - STEP_BYTES, 801)
    way.size = 8_972
    way.run(FIRST_RAISE_S + 2.0)
    assert way.mtu.size_bytes == 8_972


def test_lk_89_what_is_below_the_base_can_shrink_too() -> None:
    way = Way(1_100).start().settle()
    assert 1_036 < way.mtu.size_bytes <= 1_100
    way.size = 600
    way.run(5.0)
    assert way.mtu.size_bytes in range(MIN_PLPMTU, 601)


def test_lk_89_not_even_the_least_size() -> None:
    """It is asked for every 2 s, and for as long as it takes."""
    way = Way(100).start().run(60.0)
    assert way.mtu.state is S.ERROR
    assert way.mtu.size_bytes == MIN_PLPMTU
    assert 25 <= len(way.probes) <= 40
    way.size = 65_507
    assert way.settle().mtu.size_bytes == 65_507


# --- configuration --------------------------------------------------------------------------------


def test_the_limit_follows_from_the_configuration() -> None:
    """Who makes datagrams small means it, unless he says more."""
    assert LinkConfig().probe_limit_bytes == MAX_PROBED_DATAGRAM_BYTES
    assert LinkConfig(max_datagram_bytes=1_400).probe_limit_bytes == MAX_PROBED_DATAGRAM_BYTES
    assert LinkConfig(max_datagram_bytes=600).probe_limit_bytes == 600
    assert LinkConfig(max_datagram_bytes=600, probe_max_bytes=900).probe_limit_bytes == 900
    assert LinkConfig(probe_max_bytes=0).probe_limit_bytes == 0
    with pytest.raises(UsageError):
        LinkConfig(probe_max_bytes=MAX_PROBED_DATAGRAM_BYTES + 1)


def test_lk_89_a_path_that_holds_is_asked_less_often() -> None:
    """LK-89: after 2 s, then 4 and every 8 s; and after a loss every 2 s again."""
    way = Way(8_972).start().settle()
    asked: list[int] = []
    for _ in range(28):
        way.mtu.sent(8_972)
        before = len(way.probes)
        way.run(1.0)
        asked.append(len(way.probes) - before)
    assert 3 <= sum(asked) <= 5
    assert sum(asked[:8]) >= 2
