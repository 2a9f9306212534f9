"""Hypothesis strategies from format declarations: values that fit, and bytes that nearly do."""

import importlib
import pkgutil
from collections.abc import Callable
from enum import IntEnum, IntFlag
from functools import reduce
from typing import Any, cast

import construct
from hypothesis import strategies as st

import specs
from protocols import codec
from specs import blocks
from specs.strict import Format

_MOST = 48  # longer byte strings find nothing new
_BITS = {"B": 8, "H": 16, "L": 32, "Q": 64}


def all_formats() -> list[Format[Any]]:
    """Every format that any module of ``specs`` declares."""
    names = [module.name for module in pkgutil.walk_packages(specs.__path__, "specs.")]
    found = [value for name in names for value in vars(importlib.import_module(name)).values()]
    formats: list[Format[Any]] = [each for each in found if isinstance(each, Format)]
    assert formats, "no formats: has specs moved?"
    unique = {fmt.name: fmt for fmt in formats}
    assert all(unique[fmt.name] is fmt for fmt in formats), "two formats of one name"
    return [unique[name] for name in sorted(unique)]


@st.composite
def mavlink_frames(draw: st.DrawFn) -> bytes:
    """One MAVLink 1 frame, or one MAVLink 2 frame, signed or not."""
    mark, head_bytes, signature_bytes = draw(st.sampled_from([(0xFE, 8, 0), (0xFD, 12, 0), (0xFD, 12, 13)]))
    length = draw(st.integers(0, _MOST))
    rest_bytes = head_bytes - 3 + length + signature_bytes
    rest = draw(st.binary(min_size=rest_bytes, max_size=rest_bytes))
    return bytes((mark, length, bool(signature_bytes))) + rest


def _exact(block: blocks.Exact) -> st.SearchStrategy[Any]:
    kind = block.kind
    if issubclass(kind, IntFlag):
        return st.sets(st.sampled_from(list(kind))).map(
            lambda bits: reduce(lambda one, other: one | other, bits, kind(0))
        )
    if issubclass(kind, IntEnum):
        return st.sampled_from(list(kind))
    if kind is bytes:
        # Zeros or frames: a mixture would draw, and throw away, frames where only zeros are allowed.
        return (st.integers(0, _MOST).map(bytes) if block.accepts(bytes(9)) else mavlink_frames()).filter(block.accepts)
    if kind is bool:
        return st.booleans()
    if isinstance(block.accepts, blocks.Between):
        return st.integers(block.accepts.low, block.accepts.high)
    return _of(block.subcon, {}).filter(block.accepts)


def _number(block: Any) -> st.SearchStrategy[Any]:
    code = block.fmtstr[1]
    if code in "fd":
        return st.floats(width=32 if code == "f" else 64)
    bits = _BITS[code.upper()]
    return st.integers(0, 2**bits - 1) if code.isupper() else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _octets(block: blocks.BoundedBytes | blocks.RestBytes) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=block.min_bytes, max_size=max(block.min_bytes, min(block.max_bytes, _MOST)))


def _text(block: blocks.Utf8) -> st.SearchStrategy[str]:
    inner = cast("blocks.BoundedBytes", block.subcon)
    ascii_text = st.text(st.characters(codec="ascii"), min_size=inner.min_bytes, max_size=inner.max_bytes)
    any_text = st.text(max_size=inner.max_bytes).filter(
        lambda text: inner.min_bytes <= len(text.encode("utf-8", "surrogatepass")) <= inner.max_bytes
    )
    return (ascii_text | any_text).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))


def _array(block: blocks.BoundedArray) -> st.SearchStrategy[tuple[Any, ...]]:
    most = max(block.min_items, min(block.max_items, 8))
    return st.lists(_of(block.item, {}), min_size=block.min_items, max_size=most).map(tuple)


def _counts_items(struct: construct.Struct) -> bool:
    """Whether its field ``count`` says how many items another one has."""
    return any(isinstance(getattr(part, "subcon", part), blocks.CountedArray) for part in struct.subcons)


@st.composite
def _record(draw: st.DrawFn, block: blocks.Record) -> Any:
    struct = cast("construct.Struct", block.subcon)
    seen: dict[str, Any] = {}
    for part in struct.subcons:
        if part.name == "count" and _counts_items(struct):
            seen["count"] = draw(st.integers(2, 8))  # more find nothing new
        elif part.name:
            seen[part.name] = draw(_of(part, seen))
    return block.kind(**seen)


_BY_BLOCK: dict[type[Any], Callable[[Any], st.SearchStrategy[Any]]] = {
    blocks.Exact: _exact,
    blocks.FixedBytes: lambda block: st.binary(min_size=block.length, max_size=block.length),
    blocks.BoundedBytes: _octets,
    blocks.RestBytes: _octets,
    blocks.Utf8: _text,
    blocks.BoundedArray: _array,
    blocks.Record: _record,
    construct.FormatField: _number,
}


def _of(block: Any, seen: dict[str, Any]) -> st.SearchStrategy[Any]:
    kind = block.__class__
    if kind is blocks.CountedArray:  # of lengths, which are short: see SummedBytes
        size = block.count(construct.Container(seen))
        return st.lists(st.integers(0, 6), min_size=size, max_size=size).map(tuple)
    if kind is blocks.SummedBytes:
        size = sum(block.lengths(construct.Container(seen)))
        return st.binary(min_size=size, max_size=size)
    if kind in {construct.Renamed, blocks.Exactly}:
        return _of(block.subcon, seen)
    if kind is construct.Switch:
        return _of(block.cases[block.keyfunc(construct.Container(seen))], seen)
    return _BY_BLOCK[kind](block)


def values(fmt: Format[Any]) -> st.SearchStrategy[Any]:
    """Any value of ``fmt``."""
    return _of(fmt.frame, {})


@st.composite
def hostile_bytes(draw: st.DrawFn, fmt: Format[Any]) -> bytes:
    """A frame, possibly cut, extended or with bytes changed; or anything at all."""
    data = bytearray(draw(values(fmt).map(lambda value: codec.build(fmt, value)) | st.binary(max_size=96)))
    for place in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=3)):
        data[place : place + 1] = draw(st.binary(max_size=2))
    return bytes(data)
