"""The container: what goes in comes out, and damage is MalformedError and nothing else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.flight import FlightDigest, FlightFrame, decode_flight_untrusted, digest_flight, encode_flight
from nodes.flight.container import MAGIC, MAX_FRAME_BYTES, MAX_TIME_US
from protocols.errors import MalformedError, UsageError

FRAMES = st.lists(
    st.builds(
        FlightFrame,
        st.integers(0, MAX_TIME_US - 2).map(lambda time_us: time_us / 1_000_000),
        st.binary(min_size=1, max_size=MAX_FRAME_BYTES),
    ),
    max_size=8,
)
ONE = encode_flight([FlightFrame(1.5, b"\xfdframe")])


@given(FRAMES)
def test_round_trip(frames: list[FlightFrame]) -> None:
    data = encode_flight(frames)
    assert list(decode_flight_untrusted(data)) == frames
    assert digest_flight(data) == FlightDigest.of(frames)
    assert encode_flight(decode_flight_untrusted(data)) == data


@given(FRAMES, st.data())
def test_a_changed_byte_is_malformed_or_another_flight_written_the_same_way(
    frames: list[FlightFrame], data: st.DataObject
) -> None:
    damaged = bytearray(encode_flight(frames))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = list(decode_flight_untrusted(bytes(damaged)))
    except MalformedError:
        return
    assert encode_flight(found) == bytes(damaged)


@given(FRAMES, st.data())
def test_every_shorter_or_longer_container_is_malformed(frames: list[FlightFrame], data: st.DataObject) -> None:
    whole = encode_flight(frames)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for damaged in (whole[:cut], whole + data.draw(st.binary(min_size=1, max_size=20))):
        with pytest.raises(MalformedError):
            digest_flight(damaged)


@given(st.binary(max_size=400))
def test_any_bytes_raise_nothing_else(data: bytes) -> None:
    for prefix in (b"", MAGIC, MAGIC + b"\0\0\0\1"):
        try:
            digest_flight(prefix + data)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"", "shorter than its header"),
        (ONE[:11], "shorter than its header"),
        (b"AEROFLT\x02" + ONE[8:], "another version"),
        (ONE[:20], "inside a record header"),
        (ONE[:-1], "inside a frame"),
        (ONE + b"\0", "after the last record"),
        (ONE[:20] + struct.pack(">H", 0) + ONE[22:], "out of range"),
        (ONE[:20] + struct.pack(">H", 281) + bytes(281), "out of range"),
        (ONE[:12] + struct.pack(">Q", MAX_TIME_US) + ONE[20:], "out of range"),
        (ONE[:8] + b"\xff\xff\xff\xff" + ONE[12:], "inside a record header"),
    ],
)
def test_damage_has_a_reason(damaged: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        digest_flight(damaged)


def test_the_layout_is_what_the_module_says() -> None:
    expected = b"AEROFLT\x01" + struct.pack(">IQH", 1, 1_500_000, 6) + b"\xfdframe"
    assert expected == ONE


@pytest.mark.parametrize(
    "frame",
    [
        FlightFrame(0.0, b""),
        FlightFrame(0.0, bytes(281)),
        FlightFrame(-0.1, b"x"),
        FlightFrame(float("nan"), b"x"),
        FlightFrame(float("inf"), b"x"),
        FlightFrame(MAX_TIME_US / 1_000_000, b"x"),
    ],
)
def test_what_no_container_can_hold_is_refused(frame: FlightFrame) -> None:
    with pytest.raises(UsageError):
        encode_flight([frame])
