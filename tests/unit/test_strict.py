"""Strict blocks: each trap of construct 2.10.70 that specs/strict.py closes, and the form of a Format."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

import construct
import pytest
from construct import ConstructError, Struct

from specs.strict import (
    Format,
    bounded_array,
    bounded_bytes,
    bounded_text,
    constant,
    describe,
    exact_bool,
    exact_enum,
    exact_flags,
    exact_switch,
    exactly,
    f64,
    finite,
    fixed_bytes,
    nested,
    ranged,
    reserved,
    rest_bytes,
    rest_zeros,
    u8,
    u16,
)


class Colour(IntEnum):
    RED = 1
    BLUE = 4


class Bits(IntFlag):
    LOW = 1
    HIGH = 128


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int


POINT = Format("point", Point, Struct("x" / u8, "y" / u8))
Block = Any  # construct's classes are generic in its stubs only

NAN, INFINITY = bytes.fromhex("7ff8000000000000"), bytes.fromhex("fff0000000000000")

FITS: list[tuple[Block, str, object]] = [
    (exact_enum(u8, Colour), "04", Colour.BLUE),
    (exact_flags(u8, Bits), "81", Bits.LOW | Bits.HIGH),
    (exact_flags(u8, Bits), "00", Bits(0)),
    (exact_bool(), "01", True),
    (exact_bool(), "00", False),
    (ranged(u8, 3, 5), "03", 3),
    (ranged(u8, 3, 5), "05", 5),
    (finite(f64), "bff0000000000000", -1.0),
    (constant(b"label"), "6c6162656c", b"label"),
    (reserved(2), "0000", 0),
    (reserved(3), "000000", bytes(3)),
    (fixed_bytes(2), "0001", b"\x00\x01"),
    (bounded_bytes(u16, 3, 1), "0003616263", b"abc"),
    (bounded_bytes(u8, 3), "00", b""),
    (rest_bytes(3, 1), "616263", b"abc"),
    (rest_zeros(3), "0000", bytes(2)),
    (bounded_text(u8, 4), "02c3bc", "ü"),
    (bounded_array(u8, u8, 3), "020908", (9, 8)),
    (bounded_array(u8, nested(POINT), 3), "010203", (Point(2, 3),)),
    (exact_switch(1, {1: u8}), "07", 7),
]

REFUSED: list[tuple[Block, str]] = [
    (exact_enum(u8, Colour), "02"),
    (exact_flags(u8, Bits), "02"),
    (exact_bool(), "02"),
    (ranged(u8, 3, 5), "02"),
    (ranged(u8, 3, 5), "06"),
    (finite(f64), NAN.hex()),
    (finite(f64), INFINITY.hex()),
    (constant(b"label"), "6c6162656d"),
    (reserved(1), "01"),
    (reserved(3), "000001"),
    (fixed_bytes(2), "00"),
    (fixed_bytes(2), "000000"),
    (bounded_bytes(u8, 3, 1), "00"),
    (bounded_bytes(u8, 3, 1), "0400000000"),
    (bounded_bytes(u8, 3, 1), "0300"),
    (rest_bytes(3, 1), ""),
    (rest_bytes(3, 1), "00000000"),
    (rest_zeros(3), "000001"),
    (rest_zeros(3), "00000000"),
    (bounded_text(u8, 4), "02c328"),  # continuation byte missing
    (bounded_text(u8, 4), "02c080"),  # overlong NUL
    (bounded_text(u8, 4), "03eda080"),  # surrogate
    (bounded_array(u8, u8, 3, 1), "00"),
    (bounded_array(u8, u8, 3, 1), "0401020304"),
    (bounded_array(u8, u8, 3, 1), "0201"),
    (exact_switch(2, {1: u8}), "07"),
    (u8, "0700"),
]

UNFIT: list[tuple[Block, object]] = [
    (exact_enum(u8, Colour), 4),
    (exact_flags(u8, Bits), 1),
    (exact_flags(u8, Bits), Bits(2)),
    (exact_bool(), 1),
    (ranged(u8, 3, 5), 6),
    (ranged(u8, 3, 5), "4"),
    (finite(f64), float("nan")),
    (finite(f64), 1),
    (u8, 256),
    (u8, 1.0),
    (fixed_bytes(2), 1),
    (fixed_bytes(2), bytearray(2)),
    (fixed_bytes(2), b"1"),
    (bounded_bytes(u8, 3, 1), b""),
    (bounded_bytes(u8, 3, 1), b"1234"),
    (rest_bytes(3, 1), b"1234"),
    (rest_bytes(3, 1), "12"),
    (rest_zeros(3), None),
    (rest_zeros(3), b"0"),
    (bounded_text(u8, 4), b"12"),
    (bounded_text(u8, 4), "\ud800"),
    (bounded_text(u8, 4), "üüü"),
    (bounded_array(u8, u8, 3, 1), [1]),
    (bounded_array(u8, u8, 3, 1), ()),
    (bounded_array(u8, u8, 3, 1), (1, 2, 3, 4)),
    (nested(POINT), (1, 2)),
    (exact_switch(2, {1: u8}), 7),
]


@pytest.mark.parametrize(("block", "encoded", "value"), FITS)
def test_fits_both_ways(block: Block, encoded: str, value: object) -> None:
    parsed = exactly(block).parse(bytes.fromhex(encoded))
    assert parsed == value
    assert type(parsed) is type(value)
    assert exactly(block).build(value).hex() == encoded


@pytest.mark.parametrize(("block", "encoded"), REFUSED)
def test_bytes_refused(block: Block, encoded: str) -> None:
    with pytest.raises(ConstructError):
        exactly(block).parse(bytes.fromhex(encoded))


@pytest.mark.parametrize(("block", "value"), UNFIT)
def test_values_refused(block: Block, value: object) -> None:
    with pytest.raises(ConstructError):
        exactly(block).build(value)


def test_lengths_are_checked_before_reading() -> None:
    """A count of 2^16 - 1 empty items costs nothing: it is refused before the first is read."""
    with pytest.raises(construct.RangeError):
        bounded_array(u16, constant(b""), 3).parse(b"\xff\xff")


def test_describe() -> None:
    @dataclass(frozen=True, slots=True)
    class Mixed:
        colour: Colour
        data: bytes
        ratio: float
        rest: bytes
        swapped: int

    parts = describe(
        Format(
            "mixed",
            Mixed,
            Struct(
                "colour" / exact_enum(u8, Colour),
                reserved(2),
                "data" / fixed_bytes(3),
                "ratio" / finite(f64),
                "rest" / bounded_bytes(u8, 9),
                "swapped" / construct.Int16ul,
            ),
        )
    )
    assert [part.name for part in parts] == ["colour", None, "data", "ratio", "rest", "swapped"]
    assert [part.size_bytes for part in parts] == [1, 2, 3, 8, None, 2]
    assert [part.struct_code for part in parts] == ["B", "H", "3s", None, None, None]
    assert [part.accepts is None for part in parts] == [False, False, True, False, True, True]


@dataclass(frozen=True, slots=True)
class Swapped:
    y: int
    x: int


@pytest.mark.parametrize(
    ("kind", "declaration", "reason"),
    [
        (int, Struct("x" / u8), "a dataclass and a construct.Struct"),
        (Point, u8, "a dataclass and a construct.Struct"),
        (Point, Struct("x" / u8), "differ"),
        (Swapped, Struct("x" / u8, "y" / u8), "differ"),
        (Point, Struct("x" / u8, u8, "y" / u8), "without a name"),
    ],
)
def test_a_declaration_that_does_not_fit_fails_at_import(kind: Any, declaration: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        Format("bad", kind, declaration)
