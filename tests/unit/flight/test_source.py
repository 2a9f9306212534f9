"""Digest and telemetry log records."""

import hashlib

import pytest

from nodes.flight import FlightDigest, FlightFrame, tlog_record, tlog_records
from protocols.errors import UsageError

FRAMES = [FlightFrame(0.0, b"one"), FlightFrame(0.25, b"two!")]


def test_digest_counts_and_hashes_frames_without_their_times() -> None:
    digest = FlightDigest.of(FRAMES)
    assert (digest.messages, digest.byte_count) == (2, 7)
    assert digest.sha256 == hashlib.sha256(b"onetwo!").hexdigest()
    assert digest == FlightDigest.of(FlightFrame(9.0, frame.data) for frame in FRAMES)


def test_digest_tells_flights_apart() -> None:
    split_elsewhere = [FlightFrame(0.0, b"onet"), FlightFrame(0.0, b"w"), FlightFrame(0.0, b"o!")]
    assert FlightDigest.of(FRAMES) != FlightDigest.of(split_elsewhere)
    assert FlightDigest.of(FRAMES) != FlightDigest()
    assert FlightDigest() != "a string"
    assert "messages=2" in repr(FlightDigest.of(FRAMES))


def test_a_log_record_is_a_big_endian_microsecond_stamp_and_the_frame() -> None:
    assert tlog_record(0x0102030405060708, b"frame") == b"\1\2\3\4\5\6\7\x08frame"
    records = list(tlog_records(FRAMES, 1_000))
    assert records == [tlog_record(1_000, b"one"), tlog_record(251_000, b"two!")]


@pytest.mark.parametrize("time_us", [-1, 2**64])
def test_a_time_that_no_log_can_hold_is_refused(time_us: int) -> None:
    with pytest.raises(UsageError):
        tlog_record(time_us, b"frame")
