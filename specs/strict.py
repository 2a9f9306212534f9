"""Construct blocks that are safe on hostile bytes, and :class:`Format`: bytes paired with a dataclass.

Why not construct's own blocks (all measured with 2.10.70): trailing bytes are ignored; ``Enum`` gives an
unknown value back as an int; ``FlagsEnum`` drops unknown bits; ``Flag`` reads 2 as True; ``Switch`` without a
match gives None; ``Bytes`` builds from an int; ``PascalString`` leaks UnicodeDecodeError; ``VarInt`` and
``PrefixedArray`` are unbounded. The blocks here refuse with a ``ConstructError``, check a length before they
read, and accept one byte string per value only. ``protocols.codec`` turns the error into the suite's own.

Every number on the wire is big-endian.
"""

import builtins
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, Generic, TypeVar

import construct
from construct import Construct, Struct

from specs import blocks

T = TypeVar("T")

u8: Final = construct.Int8ub
u16: Final = construct.Int16ub
u32: Final = construct.Int32ub
u64: Final = construct.Int64ub
i8: Final = construct.Int8sb
i16: Final = construct.Int16sb
i32: Final = construct.Int32sb
i64: Final = construct.Int64sb
f32: Final = construct.Float32b
f64: Final = construct.Float64b

_UNSIGNED: Final = {1: u8, 2: u16, 4: u32, 8: u64}
_STRUCT_CODES: Final = frozenset("BHLQbhlq")


# --- numbers that allow some of their values only -----------------------------------------------


def exact_enum(number: "Construct[int, int]", kind: type[IntEnum]) -> "Construct[Any, Any]":
    """Members of ``kind`` only."""
    return blocks.Exact(number, kind, frozenset(member.value for member in kind).__contains__)


def exact_flags(number: "Construct[int, int]", kind: type[IntFlag]) -> "Construct[Any, Any]":
    """Any union of the named bits of ``kind``; an unknown bit is refused."""
    known = 0
    for member in kind:
        known |= member.value
    return blocks.Exact(number, kind, lambda raw: not int(raw) & ~known)


def exact_bool() -> "Construct[Any, Any]":
    """One byte: 0 or 1."""
    return blocks.Exact(u8, bool, frozenset((0, 1)).__contains__)


def ranged(number: "Construct[int, int]", low: int, high: int) -> "Construct[Any, Any]":
    """An integer from ``low`` to ``high``, both included."""
    return blocks.Exact(number, int, blocks.Between(low, high))


def finite(number: "Construct[float, float]") -> "Construct[Any, Any]":
    """A float that is neither NaN nor infinite (two NaNs differ, so they have no canonical form)."""
    return blocks.Exact(number, float, math.isfinite)


def constant(value: bytes) -> "Construct[Any, Any]":
    """Bytes that are always the same (a label); they have no name and no field."""
    return construct.Const(value, blocks.FixedBytes(len(value)))


def reserved(size_bytes: int) -> "Construct[Any, Any]":
    """Bytes that must be zero, sent and received; they have no name and no field."""
    number = _UNSIGNED.get(size_bytes)
    return constant(bytes(size_bytes)) if number is None else construct.Const(0, number)


# --- byte strings -------------------------------------------------------------------------------


def fixed_bytes(length: int) -> "Construct[bytes, bytes]":
    """Exactly ``length`` bytes."""
    return blocks.FixedBytes(length)


def bounded_bytes(length: "Construct[int, int]", max_bytes: int, min_bytes: int = 0) -> "Construct[bytes, bytes]":
    """A length, checked against both bounds before anything is read, then that many bytes."""
    return blocks.BoundedBytes(length, max_bytes, min_bytes)


def rest_bytes(max_bytes: int, min_bytes: int = 0) -> "Construct[bytes, bytes]":
    """Everything up to the end of the frame, within bounds; only sensible as the last field."""
    return blocks.RestBytes(max_bytes, min_bytes)


def rest_zeros(max_bytes: int) -> "Construct[Any, Any]":
    """Zero bytes up to the end of the frame: padding of a free length."""
    return blocks.Exact(blocks.RestBytes(max_bytes, 0), bytes, lambda raw: raw == bytes(len(raw)))


def bounded_text(length: "Construct[int, int]", max_bytes: int, min_bytes: int = 0) -> "Construct[str, str]":
    """UTF-8 after its length; the bounds count bytes."""
    return blocks.Utf8(blocks.BoundedBytes(length, max_bytes, min_bytes))


# --- composition --------------------------------------------------------------------------------


def bounded_array(
    count: "Construct[int, int]", item: "Construct[Any, Any]", max_items: int, min_items: int = 0
) -> "Construct[Any, Any]":
    """A count, checked against both bounds before anything is read, then that many items: a tuple."""
    return blocks.BoundedArray(count, item, max_items, min_items)


def counted_array(
    count: Callable[[Any], Any], item: "Construct[Any, Any]", max_items: int, min_items: int = 0
) -> "Construct[Any, Any]":
    """As many items as an earlier field says (an expression: ``construct.this.count``), within bounds; a tuple."""
    return blocks.CountedArray(count, item, max_items, min_items)


def summed_bytes(lengths: Callable[[Any], Any], max_bytes: int) -> "Construct[bytes, bytes]":
    """As many bytes as the numbers of an earlier field (``construct.this.lengths``) add up to, at most so many."""
    return blocks.SummedBytes(lengths, max_bytes)


def exact_switch(key: object, cases: "Mapping[Any, Construct[Any, Any]]") -> "Construct[Any, Any]":
    """The case of ``key`` (an expression: ``construct.this.kind``); a key without a case is refused."""
    return construct.Switch(key, dict(cases), default=construct.Error)


def exactly(block: "Construct[Any, Any]") -> "Construct[Any, Any]":
    """``block`` and nothing after it."""
    return blocks.Exactly(block)


# --- formats ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Format(Generic[T]):
    """Bytes and meaning of one frame: a construct declaration and the frozen dataclass of its fields."""

    name: str
    """Name in errors, diagrams and documents."""
    type: builtins.type[T]
    """Frozen dataclass; its fields are the named fields of ``construct``, in the same order."""
    construct: Struct
    """The bytes, made of strict blocks."""
    frame: "Construct[T, T]" = field(init=False, repr=False, compare=False)
    """What the codec runs: the declaration as a whole frame, with the dataclass as its value."""

    def __post_init__(self) -> None:
        """Refuse a declaration that does not fit its dataclass: at import, not at the first hostile byte."""
        if not is_dataclass(self.type) or not isinstance(self.construct, Struct):
            raise TypeError(f"{self.name}: a format is a dataclass and a construct.Struct")
        parts = self.construct.subcons
        if [part.name for part in parts if part.name] != [each.name for each in fields(self.type)]:
            raise TypeError(f"{self.name}: the fields of bytes and dataclass differ")
        if not all(part.name or part.flagbuildnone for part in parts):
            raise TypeError(f"{self.name}: only constants and reserved bytes go without a name")
        object.__setattr__(self, "frame", exactly(nested(self)))


def nested(fmt: Format[T]) -> "Construct[T, T]":
    """``fmt`` as a field, an item or a case of another format."""
    return blocks.Record(fmt.construct, fmt.type)


@dataclass(frozen=True, slots=True)
class Variable:
    """What is known of a part whose size varies."""

    prefix_bytes: int
    """Size of the length or count before it; 0 if it runs to the end of the frame."""
    low: int
    """Fewest bytes or items."""
    high: int
    """Most bytes or items."""
    unit: str
    """What is counted."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a format, as the codec and the diagrams see it."""

    name: str | None
    """Name in the dataclass; None for constants and reserved bytes."""
    size_bytes: int | None
    """Size on the wire; None if it varies."""
    struct_code: str | None
    """Code of the :mod:`struct` module; None if it has none (variable, float, composed)."""
    accepts: Callable[[Any], bool] | None
    """Which raw values are allowed; None = all."""
    constant: int | bytes | None
    """The only value, of constants and reserved bytes (there 0)."""
    variable: Variable | None
    """Of a byte string, text or array of a size that varies."""


def describe(fmt: Format[Any]) -> tuple[Field, ...]:
    """The fields of ``fmt`` in the order of the wire."""
    return tuple(_field(part) for part in fmt.construct.subcons)


def _field(block: "Construct[Any, Any]") -> Field:
    name = block.name
    while isinstance(block, construct.Renamed):
        block = block.subcon
    try:
        size: int | None = block.sizeof()
    except construct.SizeofError:
        size = None
    constant = block.value if isinstance(block, construct.Const) else None
    return Field(name, size, _struct_code(block), _accepts(block), constant, _variable(block))


def _variable(block: "Construct[Any, Any]") -> Variable | None:
    if isinstance(block, blocks.Exact | blocks.Utf8):
        return _variable(block.subcon)
    if isinstance(block, blocks.BoundedBytes):
        return Variable(block.length.sizeof(), block.min_bytes, block.max_bytes, "bytes")
    if isinstance(block, blocks.RestBytes):
        return Variable(0, block.min_bytes, block.max_bytes, "bytes")
    if isinstance(block, blocks.BoundedArray | blocks.CountedArray):
        prefix_bytes = block.count.sizeof() if isinstance(block, blocks.BoundedArray) else 0
        return Variable(prefix_bytes, block.min_items, block.max_items, "items")
    if isinstance(block, blocks.SummedBytes):
        return Variable(0, 0, block.max_bytes, "bytes")
    return None


def _struct_code(block: "Construct[Any, Any]") -> str | None:
    if isinstance(block, blocks.Exact | construct.Const):
        return _struct_code(block.subcon)
    if isinstance(block, blocks.FixedBytes):
        return f"{block.length}s"
    if isinstance(block, construct.FormatField) and block.fmtstr[0] == ">":
        return block.fmtstr[1] if block.fmtstr[1] in _STRUCT_CODES else None
    return None


def _accepts(block: "Construct[Any, Any]") -> Callable[[Any], bool] | None:
    if isinstance(block, blocks.Exact):
        return block.accepts
    if isinstance(block, construct.Const):
        expected: object = block.value
        return lambda raw: bool(raw == expected)
    return None
