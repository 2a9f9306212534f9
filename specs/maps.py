"""First bytes of MessagePack, and the limits of a map that travels (specs/msgpack-maps.md).

https://github.com/msgpack/msgpack/blob/master/spec.md, section Formats. Every one of the 256 first bytes is
here, those that we refuse too.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_MAP_BYTES: Final = 65_536
"""Largest encoded value (MP-8)."""
MAX_MAP_DEPTH: Final = 8
"""Deepest nesting; the outermost map or array is depth 1 (MP-9)."""
MAX_MAP_ITEMS: Final = 16_384
"""Most items of all arrays and maps together; a key and its value are one (MP-10)."""


class Kind(Enum):
    """What a first byte announces."""

    NIL = auto()
    BOOL = auto()
    UNSIGNED = auto()
    SIGNED = auto()
    FLOAT32 = auto()
    FLOAT64 = auto()
    TEXT = auto()
    BINARY = auto()
    ARRAY = auto()
    MAP = auto()
    EXTENSION = auto()
    NEVER_USED = auto()


@dataclass(frozen=True, slots=True)
class Head:
    """Meaning of a first byte."""

    kind: Kind
    """What it announces."""
    size_bytes: int
    """How many bytes of number follow (a value, or a length or count)."""
    number: int = 0
    """The number itself, if none follows."""


def _fixed(first: int) -> Head | None:
    """The first bytes that hold their number: fixint, fixmap, fixarray, fixstr, negative fixint."""
    if first <= 0x7F:
        return Head(Kind.UNSIGNED, 0, first)
    if first <= 0x8F:
        return Head(Kind.MAP, 0, first & 0x0F)
    if first <= 0x9F:
        return Head(Kind.ARRAY, 0, first & 0x0F)
    if first <= 0xBF:
        return Head(Kind.TEXT, 0, first & 0x1F)
    return Head(Kind.SIGNED, 0, first - 0x100) if first >= 0xE0 else None


_OTHERS: Final = {
    0xC0: Head(Kind.NIL, 0),
    0xC1: Head(Kind.NEVER_USED, 0),
    0xC2: Head(Kind.BOOL, 0, 0),
    0xC3: Head(Kind.BOOL, 0, 1),
    0xC4: Head(Kind.BINARY, 1),
    0xC5: Head(Kind.BINARY, 2),
    0xC6: Head(Kind.BINARY, 4),
    0xC7: Head(Kind.EXTENSION, 1),
    0xC8: Head(Kind.EXTENSION, 2),
    0xC9: Head(Kind.EXTENSION, 4),
    0xCA: Head(Kind.FLOAT32, 4),
    0xCB: Head(Kind.FLOAT64, 8),
    0xCC: Head(Kind.UNSIGNED, 1),
    0xCD: Head(Kind.UNSIGNED, 2),
    0xCE: Head(Kind.UNSIGNED, 4),
    0xCF: Head(Kind.UNSIGNED, 8),
    0xD0: Head(Kind.SIGNED, 1),
    0xD1: Head(Kind.SIGNED, 2),
    0xD2: Head(Kind.SIGNED, 4),
    0xD3: Head(Kind.SIGNED, 8),
    0xD4: Head(Kind.EXTENSION, 0, 1),
    0xD5: Head(Kind.EXTENSION, 0, 2),
    0xD6: Head(Kind.EXTENSION, 0, 4),
    0xD7: Head(Kind.EXTENSION, 0, 8),
    0xD8: Head(Kind.EXTENSION, 0, 16),
    0xD9: Head(Kind.TEXT, 1),
    0xDA: Head(Kind.TEXT, 2),
    0xDB: Head(Kind.TEXT, 4),
    0xDC: Head(Kind.ARRAY, 2),
    0xDD: Head(Kind.ARRAY, 4),
    0xDE: Head(Kind.MAP, 2),
    0xDF: Head(Kind.MAP, 4),
}

HEADS: Final = tuple(_fixed(first) or _OTHERS[first] for first in range(256))
"""Meaning of every first byte."""
