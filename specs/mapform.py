"""What may stand under the keys of a map that travels (specs/msgpack-maps.md): types and bounds, as declarations.

A map is declared with the dataclass of its keys, so that whoever reads it gets that, checked, and not a dictionary.
``protocols/cloudlink.py`` does the reading.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class Uint:
    """An integer."""

    high: int = 2**64 - 1
    """Largest value."""
    low: int = 0
    """Smallest value."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text."""

    max_bytes: int
    """Of its UTF-8."""
    min_bytes: int = 0
    """Of its UTF-8."""


@dataclass(frozen=True, slots=True)
class Hex:
    """Lower-case hexadecimal digits."""

    size_bytes: int
    """Of what they stand for: half as many as digits."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes."""

    max_bytes: int
    """Most."""
    min_bytes: int = 0
    """Fewest."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Bytes that are a map of their own (MP-13)."""

    max_bytes: int
    """Most."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some texts."""

    kind: type[Enum]
    """Its values are the texts."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array."""

    item: "Value"
    """What each item is."""
    max_items: int
    """Most."""
    min_items: int = 0
    """Fewest."""


@dataclass(frozen=True, slots=True)
class Nested:
    """A map inside."""

    map: "MapType"
    """Its keys."""


Value = Uint | Flag | Text | Hex | Binary | Packed | Choice | ListOf | Nested


@dataclass(frozen=True, slots=True)
class MapType:
    """A map and the dataclass of its keys."""

    type: type[Any]
    """Frozen dataclass; a field with a default is a key that may be missing."""
    keys: Mapping[str, Value]
    """What stands under each key."""

    def __post_init__(self) -> None:
        """Refuse a declaration that does not fit its dataclass: at import, not at the first hostile byte."""
        if [each.name for each in fields(self.type)] != list(self.keys):
            raise TypeError(f"{self.type.__name__}: the keys of map and dataclass differ")

    def required(self) -> frozenset[str]:
        """Keys that must be there."""
        return frozenset(each.name for each in fields(self.type) if each.default is MISSING)
