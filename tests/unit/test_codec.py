"""The codec: one error each way, canonical, and derived structs (specs/strict.py declares, nothing else)."""

from dataclasses import dataclass
from enum import IntEnum

import construct
import pytest
from construct import Struct

from protocols import codec
from protocols.errors import MalformedError, UsageError
from specs.strict import (
    Format,
    bounded_text,
    exact_enum,
    f64,
    finite,
    fixed_bytes,
    reserved,
    rest_bytes,
    u8,
    u16,
)


class Kind(IntEnum):
    HELLO = 1


@dataclass(frozen=True, slots=True)
class Header:
    kind: Kind
    index: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Plain:
    number: int


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    rest: bytes


HEADER = Format(
    "header",
    Header,
    Struct("kind" / exact_enum(u8, Kind), reserved(1), "index" / u16, "key" / fixed_bytes(2)),
)
PLAIN = Format("plain", Plain, Struct("number" / u16))
NAMED = Format("named", Named, Struct("name" / bounded_text(u8, 9), "rest" / rest_bytes(9)))
PADDED = Format("padded", Plain, Struct(construct.Padding(1), "number" / u8))  # loses a byte on purpose
FRACTION = Format("fraction", Plain, Struct("number" / finite(f64)))

VALUE = Header(Kind.HELLO, 513, b"ab")
WIRE = bytes.fromhex("0100 0201 6162")


@pytest.mark.parametrize("data", [WIRE, bytearray(WIRE), memoryview(WIRE + WIRE)[6:]])
def test_parse_and_build(data: codec.Buffer) -> None:
    assert codec.parse_untrusted(HEADER, data) == VALUE
    assert codec.build(HEADER, VALUE) == WIRE


@pytest.mark.parametrize("wire", [b"", WIRE[:-1], WIRE + b"\x00", b"\x02" + WIRE[1:], b"\x01\x01" + WIRE[2:]])
def test_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedError, match="header: refused at"):
        codec.parse_untrusted(HEADER, wire)


def test_what_does_not_build_to_the_same_bytes_is_malformed() -> None:
    assert codec.parse_untrusted(PADDED, b"\x00\x07") == Plain(7)
    with pytest.raises(MalformedError, match="canonical"):
        codec.parse_untrusted(PADDED, b"\x01\x07")


def test_errors_name_the_field_and_no_value() -> None:
    with pytest.raises(MalformedError, match="name") as caught:
        codec.parse_untrusted(NAMED, b"\x06secr\xc3\x28")
    assert "secr" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(UsageError, match="name") as unfit:
        codec.build(NAMED, Named("secret" * 9, b""))
    assert "secret" not in str(unfit.value)


@pytest.mark.parametrize("value", [Plain(7), Header(Kind.HELLO, 65_536, b"ab"), Header(Kind.HELLO, 1, b"abc")])
def test_values_that_do_not_fit(value: Header) -> None:
    with pytest.raises(UsageError):
        codec.build(HEADER, value)


def test_size() -> None:
    assert codec.size_bytes(HEADER) == 6
    with pytest.raises(UsageError, match="varies"):
        codec.size_bytes(NAMED)


def test_derived_struct_has_reserved_values() -> None:
    layout = codec.derive_struct(HEADER)
    assert layout.format == ">BBH2s"
    assert layout.unpack(WIRE) == (1, 0, 513, b"ab")


@pytest.mark.parametrize("fmt", [NAMED, FRACTION], ids=lambda fmt: fmt.name)
def test_derives_only_from_fixed_numbers_and_bytes(fmt: Format[Named] | Format[Plain]) -> None:
    with pytest.raises(UsageError, match="fixed"):
        codec.derive_struct(fmt)


def test_derived_unpack_checks_like_the_declaration() -> None:
    unpack = codec.derive_unpack_untrusted(HEADER)
    assert unpack(b"before" + WIRE + b"after", 6) == (1, 513, b"ab")
    assert codec.derive_unpack_untrusted(PLAIN)(memoryview(b"\x02\x01"), 0) == (513,)
    with pytest.raises(MalformedError, match="too short"):
        unpack(WIRE, 1)
    with pytest.raises(MalformedError, match="kind"):
        unpack(b"\x02" + WIRE[1:], 0)
    with pytest.raises(MalformedError, match="reserved bytes"):
        unpack(b"\x01\x01" + WIRE[2:], 0)
