"""protocols/channels/ages.py: CH-12."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.channels.ages import WINDOW_S, AgeFilter


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


def test_ch_12_the_minimum_is_of_the_last_30_s() -> None:
    ages = AgeFilter()
    ages.age_ms(0.0, 0)
    assert ages.age_ms(WINDOW_S - 1.0, (WINDOW_S - 1) * 1000 - 70) == 70
    # 32 s later the first minimum has left the window, the second has not.
    assert ages.age_ms(WINDOW_S + 2.0, (WINDOW_S + 2) * 1000 - 90) == 20


def test_negative_origin_of_now() -> None:
    ages = AgeFilter()
    assert ages.age_ms(-5.0005, 0) == 0
    assert ages.age_ms(-4.0005, 1_000) == 0


@given(
    st.lists(
        st.tuples(st.floats(0.0, 5.0), st.integers(0, 2**32 - 1)),
        min_size=1,
        max_size=60,
    )
)
def test_ages_are_never_negative_and_match_the_definition(steps: list[tuple[float, int]]) -> None:
    ages, now = AgeFilter(), 0.0
    seen: list[tuple[int, int]] = []
    base: int | None = None
    for step, sent_ms in steps:
        now += step
        arrival = int(now * 1000 // 1)
        base = arrival - sent_ms if base is None else base
        difference = (arrival - sent_ms - base + 2**31) % 2**32 - 2**31
        seen.append((arrival // 1000, difference))
        window = [each for second, each in seen if second >= arrival // 1000 - WINDOW_S]
        assert ages.age_ms(now, sent_ms) == difference - min(window) >= 0
