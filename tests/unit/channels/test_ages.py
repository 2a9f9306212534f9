"""protocols/channels/ages.py: CH-12, also against somebody who stands between and holds messages back."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.channels.ages import DRIFT_PPM, AgeFilter
from tests.conftest import examples

RATE = DRIFT_PPM / 1e6
ROUNDING_MS = 2
"""Of two clocks read in whole milliseconds."""
Delay = Callable[[float], float]


def fly(delay: Delay, seconds: float, lifetime_ms: int = 300, hz: int = 50) -> list[tuple[float, float]]:
    """(time of arrival, delay in seconds) of every message that is delivered, each being ``delay`` late."""
    ages, delivered = AgeFilter(), list[tuple[float, float]]()
    for tick in range(round(seconds * hz)):
        sent = tick / hz
        arrival = sent + delay(sent)
        if ages.age_ms(arrival, round(sent * 1000)) <= lifetime_ms:
            delivered.append((arrival, delay(sent)))
    return delivered


def test_ch_12_age_is_the_difference_less_the_minimum() -> None:
    ages = AgeFilter()
    assert ages.age_ms(10.0, 5_000) == 0
    assert ages.age_ms(10.3, 5_100) == 200
    assert ages.age_ms(10.35, 5_400) == 0  # faster than all before: the new minimum
    assert ages.age_ms(10.5, 5_500) == 50


def test_ch_12_modulo_2_to_the_32() -> None:
    ages = AgeFilter()
    assert ages.age_ms(1.0, 2**32 - 10) == 0
    assert ages.age_ms(1.02, 10) == 0  # 20 ms later by both clocks, across the wrap
    assert ages.age_ms(1.10, 10) == 80


def test_ch_12_the_base_rises_with_the_drift_of_clocks_and_no_faster() -> None:
    ages = AgeFilter()
    ages.age_ms(0.0, 0)
    assert ages.age_ms(1_000.0, 1_000_000 - 500) == 400  # 1,000 s at 100 ppm are 100 ms
    assert ages.age_ms(10_000.0, 10_000_000 - 1_000) == 0


def test_ch_12_a_ramp_gains_the_drift_and_no_more() -> None:
    """Nine milliseconds more in every second, and after 20 minutes the sticks are 11 s old: not one of them passes."""
    delivered = fly(lambda t: 0.009 * t, 1_200)
    assert max(late for _, late in delivered) <= 0.3 + 1_200 * RATE
    assert delivered[-1][0] < 36


def test_ch_12_a_hold_is_not_forgotten() -> None:
    """One hold of 9 s: what follows stays too old, however long he waits."""
    delivered = fly(lambda t: 0.0 if t < 60 else 9.0, 400)
    assert all(late == 0.0 for _, late in delivered)


def test_ch_12_who_lets_go_is_believed_at_once() -> None:
    """After a hold, the first message that comes as fast as before is fresh."""
    delivered = fly(lambda t: 9.0 if 60 <= t < 120 else 0.02, 130)
    assert next(arrival for arrival, _ in delivered if arrival > 120) == pytest.approx(120.02)
    assert all(late == 0.02 for _, late in delivered)


def test_ch_12_a_path_that_stays_slower_by_more_than_a_lifetime_fails_closed() -> None:
    """Nothing tells it from a hold; a new association begins with a new base."""

    def slower(sent: float) -> float:
        return 0.01 if sent < 10 else 0.41

    assert all(late == 0.01 for _, late in fly(slower, 600, lifetime_ms=300))
    assert fly(slower, 600, lifetime_ms=400)[-1][0] > 599


def test_ch_12_a_sender_whose_clock_stood_still_fails_closed() -> None:
    ages = AgeFilter()
    assert ages.age_ms(1.0, 1_000) == 0
    for second in range(7, 600):
        assert ages.age_ms(float(second), (second - 5) * 1_000) > 4_900


def test_ch_12_a_receiver_whose_clock_stood_still_goes_on() -> None:
    """Its own time is behind: everything seems to come early, which is believed."""
    ages = AgeFilter()
    assert ages.age_ms(1.0, 1_000) == 0
    assert ages.age_ms(2.0, 7_000) == 0
    assert ages.age_ms(3.2, 8_000) == 200


def test_negative_origin_of_now() -> None:
    ages = AgeFilter()
    assert ages.age_ms(-5.0005, 0) == 0
    assert ages.age_ms(-4.0005, 1_000) == 0


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 2**32 - 1)), min_size=1, max_size=60))
def test_ages_are_never_negative_and_match_the_definition(steps: list[tuple[float, int]]) -> None:
    ages, now = AgeFilter(), 0.0
    seen: list[tuple[int, int]] = []
    first: int | None = None
    for step, sent_ms in steps:
        now += step
        arrival = int(now * 1000 // 1)
        first = arrival - sent_ms if first is None else first
        difference = (arrival - sent_ms - first + 2**31) % 2**32 - 2**31
        seen.append((arrival, difference))
        base = min(each + (arrival - moment) * RATE for moment, each in seen)
        assert 0 <= ages.age_ms(now, sent_ms) == pytest.approx(difference - base, abs=1.0)


clocks = st.floats(1 - RATE / 2, 1 + RATE / 2)
"""How fast a clock runs."""


@settings(max_examples=examples(100))
@given(
    clocks,
    st.floats(0.0, 0.5),
    st.lists(st.tuples(st.floats(0.0, 900.0), st.floats(0.0, 30.0)), min_size=1, max_size=80),
    st.integers(1, 2_000),
)
def test_ch_12_whoever_delays_gains_the_drift_and_no_more(
    speed: float, path_s: float, plan: list[tuple[float, float]], lifetime_ms: int
) -> None:
    """Ramp, hold, burst, one direction only: each message has a delay of the attacker's choice.

    Delivered is only what is younger than its lifetime and the fastest message so far together, but for what two
    clocks may differ by.
    """
    ages, sent, fastest = AgeFilter(), 0.0, float("inf")
    messages = list[tuple[float, int, float]]()
    for pause, hold in plan:
        sent += pause
        late = path_s + hold
        messages.append((sent + late, round(sent * speed * 1000) % 2**32, late))
    messages.sort()
    began = messages[0][0]
    for arrival, sent_ms, late in messages:
        age_ms = ages.age_ms(arrival, sent_ms)
        fastest = min(fastest, late)
        if age_ms <= lifetime_ms:
            drift_s = 2 * RATE * (arrival - began + late)
            assert late <= fastest + lifetime_ms / 1000 + drift_s + ROUNDING_MS / 1000


@settings(max_examples=examples(70))
@given(
    clocks,
    st.floats(0.0, 1.0),
    st.integers(0, 200),
    st.lists(st.tuples(st.floats(0.001, 600.0), st.floats(0.0, 1.0)), min_size=1, max_size=60),
)
def test_ch_12_an_honest_path_is_never_older_than_its_jitter(
    speed: float, path_s: float, jitter_ms: int, plan: list[tuple[float, float]]
) -> None:
    """Clocks that drift apart for hours do not make anything stale."""
    ages, sent = AgeFilter(), 0.0
    for pause, share in plan:
        sent += pause
        arrival = sent + path_s + share * jitter_ms / 1000
        assert ages.age_ms(arrival, round(sent * speed * 1000) % 2**32) <= jitter_ms + ROUNDING_MS
