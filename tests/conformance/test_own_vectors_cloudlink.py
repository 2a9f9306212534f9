"""specs/vectors: bodies, records and relay batches of the cloudlink."""

from typing import Any

import pytest

from protocols import codec
from protocols.channels import relay_frames
from protocols.cloudlink import (
    decode_record_untrusted,
    decode_relay_untrusted,
    decode_untrusted,
    encode,
    encode_relay,
)
from protocols.errors import MalformedError
from protocols.maps import unpack_map_untrusted
from specs.cloudlink import DOWNLINK_RECORD, MAPS, BodyKind
from tests.conformance.test_own_vectors_formats import map_value
from tests.tools.own_vectors import Vector, each, everything
from tests.tools.replay import hexes

OTHERS = {"record", "relay batch"}


def test_every_body_has_a_vector() -> None:
    for kind in ("cloudlink", "cloudlink-failure"):
        assert {vector["body"] for vector in everything()[kind]} == {each.name for each in BodyKind} | OTHERS


def read_untrusted(body: str, data: bytes) -> Any:
    if body == "record":
        return decode_record_untrusted(data)
    return decode_relay_untrusted(data) if body == "relay batch" else decode_untrusted(MAPS[BodyKind[body]].type, data)


@pytest.mark.parametrize("vector", each("cloudlink"))
def test_cloudlink(vector: Vector) -> None:
    """CL-1, CL-4: parse gives the fields, build the bytes."""
    (data,), value = hexes(vector, "bytes"), map_value(vector["value"])
    found = read_untrusted(vector["body"], data)
    if vector["body"] == "relay batch":
        assert [relay_frames.encode(message) for message in found] == value["frames"]
        assert encode_relay(found) == data
    elif vector["body"] == "record":
        record = codec.parse_untrusted(DOWNLINK_RECORD, data)
        assert (int(record.kind), record.sequence, record.payload) == tuple(value.values())
        assert codec.build(DOWNLINK_RECORD, record) == data
    else:
        assert unpack_map_untrusted(data[12:]) == value
        assert encode(found) == data


@pytest.mark.parametrize("vector", each("cloudlink-failure"))
def test_cloudlink_failure(vector: Vector) -> None:
    """CL-1 to CL-3, CL-12, CL-30, CL-35, CL-40."""
    (data,) = hexes(vector, "bytes")
    with pytest.raises(MalformedError) as caught:
        read_untrusted(vector["body"], data)
    assert "\n" not in str(caught.value)
