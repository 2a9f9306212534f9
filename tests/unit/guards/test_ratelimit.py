"""Token buckets on a clock that the test owns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import UsageError
from protocols.guards.ratelimit import LogLimiter, SourceLimiter, TokenBucket


def allowed(bucket: TokenBucket, times: list[float]) -> int:
    return sum(bucket.allow(now) for now in times)


def test_burst_then_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert allowed(bucket, [0.0] * 10) == 3
    assert allowed(bucket, [0.5] * 10) == 1
    assert allowed(bucket, [1.25] * 10) == 1
    assert allowed(bucket, [1.5] * 10) == 1  # the half token of before was kept
    assert allowed(bucket, [1_000.0] * 10) == 3


def test_what_is_heavy_takes_more() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=8)
    assert [bucket.allow(0.0, 3.5) for _ in range(3)] == [True, True, False]
    assert bucket.allow(0.0)  # a refusal has cost nothing
    assert not bucket.allow(3.9, 100)
    assert bucket.allow(4.0, 100)  # all there ever is
    assert not bucket.allow(4.0)
    limiter = SourceLimiter(rate_per_s=2, burst=8)
    assert [limiter.allow(b"a", 0.0, 5), limiter.allow(b"a", 0.0, 5), limiter.allow(b"b", 0.0, 5)] == [
        True,
        False,
        True,
    ]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=1)
    assert bucket.allow(100.0)
    assert not bucket.allow(50.0)
    assert not bucket.allow(50.9)
    assert bucket.allow(51.0)


@settings(deadline=None)
@given(
    st.floats(0.1, 1e3),
    st.floats(1, 100),
    st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=300).map(sorted),
)
def test_never_more_than_burst_and_rate(rate: float, burst: float, times: list[float]) -> None:
    passed = allowed(TokenBucket(rate, burst), times)
    assert passed <= burst + (times[-1] - times[0]) * rate + 1e-6
    assert passed >= 1


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0.5), (float("nan"), 1)])
def test_refuses_numbers_that_make_no_bucket(rate: float, burst: float) -> None:
    for make in (TokenBucket, SourceLimiter, LogLimiter):
        with pytest.raises(UsageError):
            make(rate, burst)


def test_refuses_tables_without_room() -> None:
    with pytest.raises(UsageError):
        SourceLimiter(1, 1, max_sources=0)
    with pytest.raises(UsageError):
        LogLimiter(1, max_keys=0)


def test_sources_do_not_share() -> None:
    limiter = SourceLimiter(rate_per_s=1, burst=2)
    assert [limiter.allow(b"a", 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.allow(b"b", 0.0)
    assert limiter.allow(b"a", 1.0)


def test_a_full_table_forgets_the_quietest_source() -> None:
    limiter = SourceLimiter(rate_per_s=1, burst=1, max_sources=2)
    assert limiter.allow(b"a", 0.0)
    assert limiter.allow(b"b", 0.0)
    assert not limiter.allow(b"a", 0.0)
    assert limiter.allow(b"c", 0.0)  # b has to go
    assert not limiter.allow(b"a", 0.0)
    assert limiter.allow(b"b", 0.0)
    assert len(limiter) == 2


def test_a_flood_of_sources_keeps_the_table_flat() -> None:
    limiter = SourceLimiter(rate_per_s=1, burst=1, max_sources=8)
    assert all(limiter.allow(source.to_bytes(4, "big"), 0.0) for source in range(1_000))
    assert len(limiter) == 8


def test_log_lines_are_counted_when_left_out() -> None:
    limiter = LogLimiter(lines_per_s=1)
    assert [limiter.note("bad tag", 0.0) for _ in range(4)] == [0, None, None, None]
    assert limiter.note("replay", 0.0) == 0
    assert limiter.note("bad tag", 1.0) == 3
    assert limiter.note("bad tag", 2.0) == 0


def test_log_keys_are_bounded() -> None:
    limiter = LogLimiter(lines_per_s=0.1, burst=2, max_keys=1)
    assert [limiter.note("a", 0.0) for _ in range(3)] == [0, 0, None]
    assert limiter.note("b", 0.0) == 0
    assert limiter.note("a", 0.0) == 0
