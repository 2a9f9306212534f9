"""Synthetic video: the bit rate, the sizes, and what the far end counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.video import HEADER_BYTES, VideoSink, VideoSource, parse_frame_untrusted
from protocols.errors import ConfigError, UsageError

SOURCE = VideoSource()


def test_a_second_has_the_bytes_of_the_bit_rate() -> None:
    for source, bitrate_bps in ((SOURCE, 8_000_000), (VideoSource(1_000_000, 25), 1_000_000)):
        for second in range(3):
            numbers = range(second * source.rate_hz, (second + 1) * source.rate_hz)
            assert sum(len(source.frame(number)) for number in numbers) == bitrate_bps // 8


def test_the_first_frame_of_a_second_is_a_key_frame() -> None:
    sizes = [len(SOURCE.frame(number)) for number in range(60)]
    assert sizes == [SOURCE.frame_bytes(number) for number in range(60)]
    assert sizes[0] == sizes[30] > 3.9 * sizes[1]
    assert len(set(sizes)) == 2


def test_frames_are_made_again_the_same_and_differ_from_each_other() -> None:
    assert VideoSource().frame(77) == SOURCE.frame(77) != VideoSource(seed=1).frame(77)
    contents = {SOURCE.frame(number)[HEADER_BYTES:] for number in range(300)}
    assert len(contents) == 300
    assert len(SOURCE.frame(2**32 - 1)) == SOURCE.frame_bytes(2**32 - 1)


def test_due_times_follow_the_rate() -> None:
    assert [SOURCE.due_s(number) for number in (0, 30, 45)] == [0, 1, 1.5]


def test_the_sink_counts_good_frames() -> None:
    sink = VideoSink()
    frames = [SOURCE.frame(number) for number in range(40)]
    assert all(sink.feed(frame) for frame in frames)
    assert (sink.frames_received, sink.frames_corrupt, sink.frames_missing) == (40, 0, 0)
    assert sink.bytes_received == sum(map(len, frames))


def test_the_sink_tells_missing_late_and_repeated_frames() -> None:
    sink = VideoSink()
    for number in (0, 2, 2, 1, 5):
        sink.feed(SOURCE.frame(number))
    assert (sink.frames_received, sink.frames_repeated, sink.frames_missing) == (4, 1, 2)
    assert sink.feed(SOURCE.frame(5 + VideoSink.WINDOW))
    assert not sink.feed(SOURCE.frame(3))
    assert sink.feed(SOURCE.frame(2**32 - 1))
    assert sink.highest_number == 2**32 - 1


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    frame = bytearray(SOURCE.frame(data.draw(st.integers(0, 100))))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    sink = VideoSink()
    assert not sink.feed(bytes(frame))
    assert (sink.frames_corrupt, sink.frames_received) == (1, 0)


@given(st.binary(max_size=100), st.integers(0, 60))
def test_anything_else_is_corrupt(noise: bytes, cut: int) -> None:
    frame = SOURCE.frame(1)
    for data in (
        noise,
        frame[:cut],
        frame[: len(frame) - 1 - cut],
        frame + b"\0" * (cut + 1),
        frame[:4] + noise,
    ):
        assert parse_frame_untrusted(data) is None


def test_a_frame_under_another_number_is_corrupt() -> None:
    one, two = SOURCE.frame(1), SOURCE.frame(2)
    assert parse_frame_untrusted(one[:4] + two[4:8] + one[8:]) is None


@pytest.mark.parametrize(
    ("bitrate_bps", "rate_hz"), [(0, 30), (8_000_000, 0), (8_000_000, 300), (10**9, 30), (10_000, 60)]
)
def test_settings_that_make_no_video(bitrate_bps: int, rate_hz: int) -> None:
    with pytest.raises(ConfigError):
        VideoSource(bitrate_bps, rate_hz)


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_frame_number_has_32_bits(number: int) -> None:
    with pytest.raises(UsageError):
        SOURCE.frame(number)
