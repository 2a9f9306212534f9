"""Frames out of bytes (specs/11-mavlink.md, 11.2)."""

import pytest

from nodes.flight.mavlink import frame_checks
from protocols.mavlink import MAX_FRAME_BYTES, FrameSplitter
from protocols.mavlink.splitter import PATIENCE_S
from tests.helpers.mavlink import UNKNOWN_ID, by_hand, dialect, heartbeat, link, signed

TEXT = b"\r\nPX4 boot\nNuttShell (NSH)\nnsh> "
FRAMES = [
    heartbeat(),
    heartbeat(link(version=1)),
    signed(link(), dialect().MAVLink_ping_message(1, 2, 3, 4)),
    by_hand(UNKNOWN_ID, b"maker's own", 77),
    by_hand(UNKNOWN_ID, bytes(255), 200, flags=1),
    by_hand(0, b""),
]


def splitter() -> FrameSplitter:
    return FrameSplitter(frame_checks())


def split(data: bytes, step: int = 0) -> list[bytes]:
    one = splitter()
    return [
        frame
        for at in range(0, len(data), step or len(data))
        for frame in one.feed_untrusted(data[at : at + (step or len(data))], 0.0)
    ]


@pytest.mark.parametrize("step", [0, 1, 7, 64])
def test_mv_10_it_makes_no_difference_how_bytes_are_cut(step: int) -> None:
    assert split(TEXT + b"".join(FRAMES) + TEXT + FRAMES[0], step) == [*FRAMES, FRAMES[0]]


def test_mv_11_the_longest_frame_passes() -> None:
    longest = by_hand(UNKNOWN_ID, bytes(255), 1, flags=1)
    assert len(longest) == MAX_FRAME_BYTES
    assert split(longest) == [longest]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("bit", [0, 7])
def test_mv_11_a_damaged_checksum_is_no_frame(frame: bytes, bit: int) -> None:
    """The checksum's high byte: for an unknown message one of 256 values of CRC_EXTRA would have to make up for it."""
    place = len(frame) - 14 if frame[0] == 0xFD and frame[2] else len(frame) - 1
    damaged = bytearray(frame)
    damaged[place] ^= 1 << bit
    one = splitter()
    assert one.feed_untrusted(bytes(damaged) + FRAMES[0], 0.0) == [FRAMES[0]]
    assert one.bad_checksums >= 1
    assert one.skipped_bytes == len(frame)


def test_mv_11_a_known_message_needs_its_own_crc_extra() -> None:
    wrong = by_hand(0, bytes(9), (frame_checks().crc_extra[0] + 1) % 256)
    assert split(wrong + FRAMES[0]) == [FRAMES[0]]


def test_mv_11_unknown_flags_make_no_frame() -> None:
    strange = by_hand(0, bytes(9), flags=2)
    assert split(strange + FRAMES[0]) == [FRAMES[0]]


def test_mv_12_a_mark_that_is_none_costs_no_good_frame() -> None:
    """It claims 255 bytes, which hold whole frames."""
    one = splitter()
    data = b"\xfe\xff\x00\x00\x00\x00" + b"".join(FRAMES)
    assert one.feed_untrusted(data, 0.0) == FRAMES
    assert one.skipped_bytes == 6


def test_mv_12_half_a_frame_is_all_that_is_ever_held() -> None:
    one = splitter()
    for _ in range(100):
        one.feed_untrusted(b"\xfd\xff\x00" * 1_000, 0.0)
        assert one.held_bytes < MAX_FRAME_BYTES


def test_mv_12_half_a_frame_that_nothing_follows_is_dropped() -> None:
    one, frame = splitter(), FRAMES[0]
    assert one.feed_untrusted(frame[:10], 0.0) == []
    assert one.feed_untrusted(frame[10:], PATIENCE_S + 0.1) == []
    assert one.held_bytes == 0
    assert one.skipped_bytes == len(frame)
    assert one.feed_untrusted(frame, PATIENCE_S + 0.2) == [frame]


def test_mv_12_a_mark_without_an_end_does_not_hold_up_what_follows() -> None:
    one, frame = splitter(), FRAMES[0]
    one.feed_untrusted(b"\xfe\xff", 0.0)
    assert one.feed_untrusted(frame, 0.5) == []
    assert one.feed_untrusted(frame, 1.1) == [frame, frame]


def test_a_slow_line_has_time_for_a_whole_frame() -> None:
    one, frame = splitter(), by_hand(UNKNOWN_ID, bytes(255), 1)
    came = [found for at, each in enumerate(frame) for found in one.feed_untrusted(bytes([each]), at * 0.0033)]
    assert came == [frame]


def test_counters() -> None:
    one = splitter()
    one.feed_untrusted(TEXT + FRAMES[0] + FRAMES[1][:-1] + b"?" + FRAMES[2], 0.0)
    assert (one.frames, one.bad_checksums) == (2, 1)
    assert one.skipped_bytes == len(TEXT) + len(FRAMES[1])


def test_mv_12_a_burst_of_marks_does_not_hold_a_frame_back() -> None:
    """Each of 131 marks claims 263 bytes; who sends little would wait for one after the other."""
    one, now = splitter(), 0.0
    one.feed_untrusted(b"\xfe\xff" * 131, now)
    late = None
    for _ in range(10):
        now += 0.9
        if heartbeat() in one.feed_untrusted(heartbeat(), now):
            late = now - 0.9 if late is None else late
    assert late is not None
    assert late <= 2 * PATIENCE_S
    assert one.frames == 10


def test_mv_12_what_goes_on_is_not_dropped_with_what_waits() -> None:
    one = splitter()
    assert one.feed_untrusted(b"\xfe\xff", 0.0) == []
    assert one.feed_untrusted(heartbeat()[:7], 0.9) == []
    assert one.feed_untrusted(heartbeat()[7:], 1.1) == [heartbeat()]
    assert one.held_bytes == 0
    assert one.feed_untrusted(b"", 5.0) == []
