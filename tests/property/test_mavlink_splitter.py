"""Frames out of bytes: any cut of any stream gives the same frames, and no bytes whatever do harm (MV-10, MV-12)."""

from hypothesis import given
from hypothesis import strategies as st

from nodes.flight.mavlink import frame_checks
from protocols.mavlink import MAX_FRAME_BYTES, FrameSplitter
from protocols.mavlink.autopilot import AutopilotView
from protocols.mavlink.head import head_untrusted
from tests.helpers.mavlink import by_hand

IDS = sorted(frame_checks().crc_extra)
PAYLOADS = st.binary(max_size=255)
KNOWN = st.one_of(
    st.builds(by_hand, st.sampled_from(IDS), PAYLOADS, st.none(), flags=st.sampled_from((0, 1))),
    st.builds(by_hand, st.sampled_from([each for each in IDS if each < 256]), PAYLOADS, st.none(), version=st.just(1)),
)
NUMBERS = st.integers(0, 2**24 - 1).filter(lambda number: number not in frame_checks().crc_extra)
UNKNOWN = st.builds(by_hand, NUMBERS, PAYLOADS, st.integers(0, 255), flags=st.sampled_from((0, 1)))
TEXT = st.binary(max_size=40).map(lambda raw: raw.replace(b"\xfd", b"x").replace(b"\xfe", b"y"))
"""Garbage without marks: with marks it may hold a frame, if not a useful one."""
ANYTHING = st.lists(st.one_of(KNOWN, UNKNOWN, st.binary(max_size=60), st.just(b"\xfd\xff\x00"), st.just(b"\xfe\xff")))


def feed(data: bytes, cuts: list[int]) -> tuple[list[bytes], FrameSplitter]:
    """What comes out of data that is cut at some places."""
    splitter, frames, at = FrameSplitter(frame_checks()), list[bytes](), 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        frames += splitter.feed_untrusted(data[at:end], 0.0)
        assert splitter.held_bytes < MAX_FRAME_BYTES
        at = end
    return frames, splitter


CUTS = st.lists(st.integers(0, 100_000), max_size=20)


@given(st.lists(st.tuples(TEXT, st.one_of(KNOWN, UNKNOWN)), max_size=8), TEXT, CUTS)
def test_mv_10_frames_between_garbage_come_out_as_they_are(
    parts: list[tuple[bytes, bytes]], tail: bytes, cuts: list[int]
) -> None:
    frames = [frame for _, frame in parts]
    data = b"".join(text + frame for text, frame in parts) + tail
    found, splitter = feed(data, cuts)
    assert found == frames
    assert splitter.skipped_bytes == len(data) - sum(map(len, frames))


@given(ANYTHING, CUTS)
def test_mv_12_any_bytes_give_the_same_however_they_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, first = feed(data, [])
    cut, second = feed(data, cuts)
    assert cut == whole
    assert (first.skipped_bytes, first.held_bytes) == (second.skipped_bytes, second.held_bytes)
    assert sum(map(len, whole)) + first.skipped_bytes + first.held_bytes == len(data)


@given(st.lists(st.tuples(st.binary(max_size=300), st.floats(0, 5)), max_size=20))
def test_mv_12_no_times_and_bytes_do_harm(pieces: list[tuple[bytes, float]]) -> None:
    splitter, view, now = FrameSplitter(frame_checks()), AutopilotView(), 0.0
    fed = 0
    for data, wait_s in pieces:
        now += wait_s
        fed += len(data)
        for frame in splitter.feed_untrusted(data, now):
            fed -= len(frame)
            view.feed_untrusted(head_untrusted(frame), now)
        assert fed == splitter.skipped_bytes + splitter.held_bytes


@given(st.binary(max_size=300))
def test_a_head_is_read_from_any_bytes(data: bytes) -> None:
    view = AutopilotView()
    view.feed_untrusted(head_untrusted(data), 0.0)
    assert len(head_untrusted(data).payload) <= 255
