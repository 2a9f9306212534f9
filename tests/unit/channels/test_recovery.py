"""protocols/link/recovery.py: RFC 6298 and NewReno by numbers."""

from itertools import pairwise

import pytest

from protocols.link.recovery import MAX_WINDOW_BYTES, CongestionWindow, RttEstimator


def test_the_first_sample_sets_everything() -> None:
    """RFC 6298, 2.2."""
    rtt = RttEstimator()
    assert rtt.timeout(0) == 0.5
    rtt.sample(0.1)
    assert (rtt.smoothed_s, rtt.variation_s) == (0.1, 0.05)
    assert rtt.timeout(0) == pytest.approx(0.3)


def test_later_samples_are_smoothed() -> None:
    """RFC 6298, 2.3: RTTVAR before SRTT."""
    rtt = RttEstimator()
    rtt.sample(0.1)
    rtt.sample(0.2)
    assert rtt.variation_s == pytest.approx(0.75 * 0.05 + 0.25 * 0.1)
    assert rtt.smoothed_s == pytest.approx(0.875 * 0.1 + 0.125 * 0.2)


@pytest.mark.parametrize(("sample", "expected"), [(0.0001, 0.05), (5.0, 2.0)])
def test_ch_24_bounds(sample: float, expected: float) -> None:
    rtt = RttEstimator()
    rtt.sample(sample)
    assert rtt.timeout(0) == expected


def test_ch_24_doubled_on_expiry_at_most_2_s() -> None:
    rtt = RttEstimator()
    timeouts = [rtt.timeout(expiries) for expiries in range(100)]
    assert timeouts[:4] == [0.5, 1.0, 2.0, 2.0]
    assert all(one <= other for one, other in pairwise(timeouts))
    assert timeouts[-1] == 2.0


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -0.1])
def test_samples_that_are_no_times_are_ignored(nonsense: float) -> None:
    rtt = RttEstimator()
    rtt.sample(nonsense)
    assert rtt == RttEstimator()


def test_slow_start_doubles() -> None:
    window = CongestionWindow(packet_bytes=1000)
    assert window.window == 32_000
    for _ in range(32):
        assert window.allows(1000)
        window.sent(1000)
    assert not window.allows(1000)
    window.acknowledged(32_000, 32_000)
    assert (window.window, window.in_flight) == (64_000, 0)


def test_a_loss_halves_once_per_round_trip() -> None:
    window = CongestionWindow(packet_bytes=1000)
    window.sent(32_000)
    window.lost(sent_at=1.0, now=2.0)
    window.lost(sent_at=1.5, now=2.1)  # sent before the reduction: the same loss
    assert window.window == window.threshold == 16_000
    window.lost(sent_at=2.5, now=3.0)
    assert window.window == 8_000


def test_congestion_avoidance_adds_a_packet_per_window() -> None:
    window = CongestionWindow(packet_bytes=1000, window=10_000, threshold=10_000)
    for _ in range(10):
        window.in_flight = 10_000
        window.acknowledged(1000, 1000)
    assert window.window == 11_000


def test_acknowledgements_of_old_packets_do_not_grow_the_window() -> None:
    window = CongestionWindow(packet_bytes=1000, window=10_000, in_flight=10_000)
    window.acknowledged(1000, 0)
    assert window.window == 10_000


def test_an_unused_window_does_not_grow() -> None:
    window = CongestionWindow(packet_bytes=1000)
    window.sent(1000)
    window.acknowledged(1000, 1000)
    assert window.window == 32_000


def test_a_window_does_not_grow_without_end() -> None:
    window = CongestionWindow(packet_bytes=1000, window=MAX_WINDOW_BYTES, in_flight=MAX_WINDOW_BYTES)
    window.acknowledged(1000, 1000)
    assert window.window == MAX_WINDOW_BYTES


def test_a_timeout_begins_again() -> None:
    """RFC 5681, 3.1: and a second one in a row does not forget what the first one learned."""
    window = CongestionWindow(packet_bytes=1000)
    window.expired(1.0)
    assert (window.window, window.threshold) == (2_000, 16_000)
    window.expired(2.0)
    assert (window.window, window.threshold) == (2_000, 16_000)


def test_one_packet_may_always_leave() -> None:
    window = CongestionWindow(packet_bytes=1000, window=10)
    assert window.allows(1_000_000)


def test_a_reliable_carrier_is_not_limited() -> None:
    window = CongestionWindow(packet_bytes=1000, enabled=False)
    window.sent(10_000_000)
    assert window.allows(1000)
    window.acknowledged(10_000_000, 10_000_000)
    assert (window.window, window.in_flight) == (32_000, 0)
