"""JSON files of the state folder: one object with a format name and a version, read strictly.

What does not parse exactly is damaged: the error names the file and what to do, never a value, which may be
secret.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from nodes.stores.directory import PrivateDirectory
from protocols.errors import StorageError, UsageError

T = TypeVar("T")
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Document:
    """One JSON file."""

    directory: PrivateDirectory
    """Where it stands."""
    name: str
    """File name, ending in ``.json``."""
    remedy: str
    """What a user whose file is damaged does."""

    def read(self, decode: Callable[[dict[str, Any]], T]) -> T | None:
        """Return ``decode(content)``, None if there is no file; StorageError if it is damaged.

        ``decode`` may raise KeyError, TypeError, ValueError or any error of ours for what it does not expect.
        """
        raw = self.directory.read(self.name)
        if raw is None:
            return None
        path = self.directory.path / self.name
        try:
            return decode(self._content(raw))
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError):
            raise StorageError(f"{path} is damaged: {self.remedy}") from None

    def _content(self, raw: bytes) -> dict[str, Any]:
        body = _object(json.loads(raw, object_pairs_hook=_no_duplicates, parse_constant=_no_constant))
        version = whole(body["version"])
        if body["format"] != self._format:
            raise ValueError
        if version != VERSION:
            path = self.directory.path / self.name
            advice = f"this Aerolink reads {VERSION}: use the Aerolink that wrote it"
            raise StorageError(f"{path} has format version {version}; {advice}")
        if body.keys() != {"format", "version", "content"}:
            raise ValueError
        return _object(body["content"])

    def write(self, content: Mapping[str, object]) -> None:
        """Replace the file, durably; StorageError."""
        body = {"format": self._format, "version": VERSION, "content": content}
        self.directory.write(self.name, json.dumps(body, indent=1, allow_nan=False).encode("ascii") + b"\n")

    @property
    def _format(self) -> str:
        return f"aerolink {self.name.removesuffix('.json')}"


def hex_bytes(value: object) -> bytes:
    """Return bytes from lower-case hexadecimal digits; ValueError or TypeError for anything else."""
    text = text_of(value)
    raw = bytes.fromhex(text)
    if raw.hex() != text:
        raise ValueError
    return raw


def text_of(value: object) -> str:
    """Return a string; TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError
    return value


def whole(value: object) -> int:
    """Return an int that is no bool; TypeError for anything else."""
    if type(value) is not int:
        raise TypeError
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return cast("dict[str, Any]", value)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_constant(name: str) -> object:
    raise ValueError(name)
