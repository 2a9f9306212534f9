"""Pings, probes and their answers by hand: what the codec says of the same bytes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import codec
from protocols.errors import MalformedError
from protocols.link import pulse
from protocols.link.pulse import IdFrame
from specs import inner
from specs.registry import MAX_RECORD_PLAINTEXT_BYTES
from specs.strict import Format
from tests.conftest import examples

FRAMES: list[tuple[IdFrame, Format[Any], type[Any]]] = [
    (pulse.PING, inner.PING, inner.Ping),
    (pulse.PONG, inner.PONG, inner.Pong),
    (pulse.PROBE, inner.PROBE, inner.Probe),
    (pulse.PROBE_ACK, inner.PROBE_ACK, inner.ProbeAck),
]
each_frame = pytest.mark.parametrize(("ours", "fmt", "value"), FRAMES, ids=lambda each: getattr(each, "name", ""))
MOST = MAX_RECORD_PLAINTEXT_BYTES - 8


def parsed(fmt: Format[Any], frame: bytes) -> int | None:
    try:
        return int(codec.parse_untrusted(fmt, frame).id)
    except MalformedError:
        return None


def read(ours: IdFrame, frame: bytes) -> int | None:
    try:
        return ours.id_untrusted(frame)
    except MalformedError:
        return None


@each_frame
@settings(max_examples=examples(30))
@given(number=st.integers(0, 2**32 - 1), zeros=st.integers(0, 40) | st.just(MOST))
def test_the_same_bytes(ours: IdFrame, fmt: Format[Any], value: type[Any], number: int, zeros: int) -> None:
    zeros = zeros if fmt is inner.PROBE else 0
    expected = codec.build(fmt, value(number, bytes(zeros)) if fmt is inner.PROBE else value(number))
    assert ours.build(number, zeros) == expected
    assert ours.id_untrusted(expected) == number


@each_frame
@settings(max_examples=examples(30))
@given(data=st.data(), number=st.integers(0, 2**32 - 1))
def test_the_same_refusals(ours: IdFrame, fmt: Format[Any], value: type[Any], data: st.DataObject, number: int) -> None:
    del value
    frame = bytearray(ours.build(number) + data.draw(st.binary(max_size=6) | st.integers(0, 6).map(bytes)))
    for place in data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=2)):
        frame[place] ^= data.draw(st.integers(0, 255))
    hostile = bytes(frame)[: data.draw(st.integers(0, len(frame)) | st.just(len(frame)))]
    assert read(ours, hostile) == parsed(fmt, hostile)


@each_frame
@settings(max_examples=examples(30))
@given(hostile=st.binary(max_size=20))
def test_the_same_answers_to_anything(ours: IdFrame, fmt: Format[Any], value: type[Any], hostile: bytes) -> None:
    del value
    assert read(ours, hostile) == parsed(fmt, hostile)


def test_a_probe_has_an_end() -> None:
    assert read(pulse.PROBE, pulse.PROBE.build(1, MOST)) == 1
    too_long = pulse.PROBE.build(1, MOST + 1)
    assert read(pulse.PROBE, too_long) is parsed(inner.PROBE, too_long) is None
