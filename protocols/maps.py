"""Strict MessagePack for the maps that evolve: settings, parameters, API bodies (specs/msgpack-maps.md).

The ``msgpack`` package writes, and so checks the canonical form; it does not read hostile bytes. It allocates
an array for the count that a header claims before it looks for the items (62 kB of nested headers cost
34 MiB, measured with 1.2.4), makes timestamps whatever its extension hook says, and has no depth limit of
ours. The reader here is a table (``specs.maps.HEADS``) and checks each length against what is left, first.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn, cast

import msgpack

from protocols.errors import MalformedError, UsageError
from specs.maps import HEADS, MAX_MAP_BYTES, MAX_MAP_DEPTH, MAX_MAP_ITEMS, Kind

Value = None | bool | int | float | str | bytes | list["Value"] | dict[str, "Value"]
"""What comes out."""
Packable = None | bool | int | float | str | bytes | Sequence["Packable"] | Mapping[str, "Packable"]
"""What goes in: tuples and any mapping do as well."""
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a value may be; a use that needs less says so."""

    max_bytes: int = MAX_MAP_BYTES
    """Largest encoding."""
    max_depth: int = MAX_MAP_DEPTH
    """Deepest nesting; the outermost map or array is depth 1."""
    max_items: int = MAX_MAP_ITEMS
    """Most items of all arrays and maps together; a key and its value are one."""


DEFAULT_LIMITS: Final = Limits()


class Refusal(Enum):
    """Every reason for which bytes are refused: a closed list, and the text of the error."""

    TRUNCATED = "ends too early"
    TRAILING = "trailing bytes"
    TOO_LARGE = "more bytes, items or depth than allowed"
    EXTENSION = "extension type"
    NEVER_USED = "the type that is never used"
    TEXT = "text is not UTF-8"
    KEY_TYPE = "a key is not text"
    KEY_ORDER = "keys are not in strictly ascending order"
    NOT_FINITE = "NaN or infinity"
    NOT_CANONICAL = "not the canonical encoding"
    NOT_A_MAP = "not a map"


def _refuse(reason: Refusal) -> NoReturn:
    raise MalformedError(f"msgpack: {reason.value}")


# --- in -----------------------------------------------------------------------------------------


def unpack_map_untrusted(data: Buffer, limits: Limits = DEFAULT_LIMITS) -> dict[str, Value]:
    """The map that ``data`` is, whole and canonically; otherwise :class:`MalformedError`."""
    value = unpack_value_untrusted(data, limits)
    if not isinstance(value, dict):
        _refuse(Refusal.NOT_A_MAP)
    return value


def unpack_value_untrusted(data: Buffer, limits: Limits = DEFAULT_LIMITS) -> Value:
    """The value that ``data`` is, whole and canonically; otherwise :class:`MalformedError`."""
    if memoryview(data).nbytes > limits.max_bytes:
        _refuse(Refusal.TOO_LARGE)
    raw = bytes(data)
    reader = _Reader(raw, limits)
    value = reader.value(0)
    if reader.at != len(raw):
        _refuse(Refusal.TRAILING)
    if _write(value) != raw:
        _refuse(Refusal.NOT_CANONICAL)
    return value


class _Reader:
    """One pass over ``data``. The depth bound is also what bounds the recursion."""

    __slots__ = ("at", "data", "items_left", "max_depth")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.data = data
        self.at = 0
        self.items_left = limits.max_items
        self.max_depth = limits.max_depth

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            _refuse(Refusal.TRUNCATED)
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def head(self) -> tuple[Kind, int]:
        head = HEADS[self.take(1)[0]]
        if not head.size_bytes:
            return head.kind, head.number
        return head.kind, int.from_bytes(self.take(head.size_bytes), "big", signed=head.kind is Kind.SIGNED)

    def value(self, depth: int) -> Value:
        """The next value; ``depth`` containers are around it."""
        kind, number = self.head()
        read = _READ.get(kind)
        if read is None:
            _refuse(_REFUSED[kind])
        return read(self, number, depth)

    def count(self, number: int, least_bytes: int, depth: int) -> int:
        """A count of items, each of ``least_bytes`` at least, that can be there and is allowed."""
        self.items_left -= number
        if depth >= self.max_depth or self.items_left < 0:
            _refuse(Refusal.TOO_LARGE)
        if number * least_bytes > len(self.data) - self.at:
            _refuse(Refusal.TRUNCATED)
        return number

    def array(self, number: int, depth: int) -> list[Value]:
        return [self.value(depth + 1) for _ in range(self.count(number, 1, depth))]

    def map(self, number: int, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        previous: str | None = None
        for _ in range(self.count(number, 2, depth)):
            kind, size = self.head()
            if kind is not Kind.TEXT:
                _refuse(Refusal.KEY_TYPE)
            key = self.text(size)
            # Python compares by code point, and UTF-8 keeps that order. Ascending also means no duplicates.
            if previous is not None and key <= previous:
                _refuse(Refusal.KEY_ORDER)
            found[key] = self.value(depth + 1)
            previous = key
        return found

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise MalformedError(f"msgpack: {Refusal.TEXT.value}") from None


def _float64(bits: int) -> float:
    number: float = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    if not math.isfinite(number):
        _refuse(Refusal.NOT_FINITE)
    return number


_READ: Final[Mapping[Kind, Callable[[_Reader, int, int], Value]]] = {
    Kind.NIL: lambda _reader, _number, _depth: None,
    Kind.BOOL: lambda _reader, number, _depth: bool(number),
    Kind.UNSIGNED: lambda _reader, number, _depth: number,
    Kind.SIGNED: lambda _reader, number, _depth: number,
    Kind.FLOAT64: lambda _reader, number, _depth: _float64(number),
    Kind.TEXT: lambda reader, number, _depth: reader.text(number),
    Kind.BINARY: lambda reader, number, _depth: reader.take(number),
    Kind.ARRAY: _Reader.array,
    Kind.MAP: _Reader.map,
}
_REFUSED: Final = {
    Kind.FLOAT32: Refusal.NOT_CANONICAL,
    Kind.EXTENSION: Refusal.EXTENSION,
    Kind.NEVER_USED: Refusal.NEVER_USED,
}


# --- out ----------------------------------------------------------------------------------------


def pack_map(value: Mapping[str, Packable], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The canonical encoding of a map; :class:`UsageError` if the other end would refuse it."""
    if not isinstance(value, Mapping):
        raise UsageError("msgpack: not a map")
    return pack_value(value, limits)


def pack_value(value: Packable, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The canonical encoding of any value; :class:`UsageError` if the other end would refuse it."""
    try:
        packed = _write(_plain(value, limits.max_depth))
        unpack_value_untrusted(packed, limits)
    except (ValueError, OverflowError, MalformedError) as error:
        raise UsageError(f"msgpack: this value does not fit ({type(error).__name__})") from None
    return packed


def _plain(value: object, depth_left: int) -> Value:
    """The value in the few types that travel, with sorted keys."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if depth_left == 0:
        raise UsageError("msgpack: nested too deeply")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        if not all(isinstance(key, str) for key in pairs):
            raise UsageError("msgpack: a key is not text")
        keys = sorted(cast("Mapping[str, object]", pairs))
        return {key: _plain(pairs[key], depth_left - 1) for key in keys}
    if isinstance(value, list | tuple):
        return [_plain(item, depth_left - 1) for item in cast("Sequence[object]", value)]
    raise UsageError(f"msgpack: {type(value).__name__} does not travel")


def _write(value: Value) -> bytes:
    """MessagePack in its shortest form; the ``msgpack`` package, as the only one here, is untyped."""
    write = cast("Any", msgpack).packb
    return cast("bytes", write(value, use_bin_type=True))
