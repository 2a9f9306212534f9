"""What a configuration value may be: how it reads, how it is checked, how the reference page describes it."""

import datetime as dt
import difflib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from nodes.config.endpoint import Endpoint, parse_endpoint
from nodes.config.mavlink import parse_mavlink_endpoint
from protocols.crypto.fingerprint import parse_key_id
from protocols.errors import ConfigError, KeyFormatError
from specs.registry import KEY_ID_BYTES

_WORD: Final = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9]))*")


class BadValueError(Exception):
    """A value is not what its key wants; the reader adds where."""

    def __init__(self, text: str, index: int | None = None) -> None:
        super().__init__(text)
        self.index = index
        """Which element of an array is wrong."""


class Kind(Protocol):
    """One kind of value."""

    @property
    def text(self) -> str:
        """What the value must be, to stand after "must be"."""
        ...

    def take(self, value: object) -> object:
        """Return the value for the program, or raise BadValueError."""
        ...


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words."""

    words: Mapping[str, object]
    """Word in the file -> value for the program."""

    @property
    def text(self) -> str:
        *words, last = (f'"{word}"' for word in self.words)
        return f"{', '.join(words)} or {last}"

    def take(self, value: object) -> object:
        if not isinstance(value, str) or value not in self.words:
            raise BadValueError(f"must be {self.text}, not {shown(value)}{hint(value, self.words)}")
        return self.words[value]


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a range, both ends included."""

    low: float
    high: float
    whole: bool = False
    """True if there may be nothing behind the point."""

    @property
    def text(self) -> str:
        return f"a{' whole' if self.whole else ''} number from {self.low:.12g} to {self.high:.12g}"

    def take(self, value: object) -> object:
        fits = isinstance(value, int) if self.whole else isinstance(value, int | float)
        if not fits or isinstance(value, bool) or not self.low <= value <= self.high:  # type: ignore[operator]
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        return value if self.whole else float(value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class YesNo:
    """True or false."""

    text: str = "true or false"

    def take(self, value: object) -> object:
        if not isinstance(value, bool):
            raise BadValueError(f"must be {self.text}, without quotes, not {shown(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A line that a person reads."""

    max_chars: int

    @property
    def text(self) -> str:
        return f"a text of at most {self.max_chars} printable characters"

    def take(self, value: object) -> object:
        if not isinstance(value, str) or len(value) > self.max_chars or not value.isprintable():
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Word:
    """A name that is also a folder's, and goes on command lines."""

    max_chars: int = 32

    @property
    def text(self) -> str:
        return f"a name of at most {self.max_chars} small letters, digits and hyphens that begins with a letter"

    def take(self, value: object) -> object:
        if not isinstance(value, str) or len(value) > self.max_chars or not _WORD.fullmatch(value):
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        return value


@dataclass(frozen=True, slots=True)
class KeyId:
    """A device, by its key."""

    text: str = f"a key id of {2 * KEY_ID_BYTES} hexadecimal digits, or a fingerprint"

    def take(self, value: object) -> object:
        try:
            return parse_key_id(value if isinstance(value, str) else "")
        except KeyFormatError:
            raise BadValueError(f"must be {self.text}, not {shown(value)}") from None


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path; a relative one starts at the folder of the configuration file, ``~`` is the home folder."""

    text: str = "a path in quotes"

    def take(self, value: object) -> object:
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise BadValueError("begins with ~, but there is no such home folder") from None


@dataclass(frozen=True, slots=True)
class HostPort:
    """HOST:PORT."""

    any_port: bool
    """True if port 0 may let the system choose."""
    text: str = '"HOST:PORT"'

    def take(self, value: object) -> object:
        if not isinstance(value, str):
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        try:
            endpoint = parse_endpoint(value)
        except ConfigError as error:
            raise BadValueError(f"is {shown(value)}: {error}") from None
        return self._checked(endpoint)

    def _checked(self, endpoint: Endpoint) -> Endpoint:
        if endpoint.port == 0 and not self.any_port:
            raise BadValueError("needs the port of the other end, not 0")
        return endpoint


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of different words, at least one."""

    item: OneOf

    @property
    def text(self) -> str:
        return f"a list of at least one of {self.item.text}"

    def take(self, value: object) -> object:
        given = "an empty list" if value == [] else shown(value)
        words = cast("list[object]", value) if isinstance(value, list) else []
        if not words:
            raise BadValueError(f"must be {self.text}, not {given}")
        for index, word in enumerate(words):
            if not isinstance(word, str) or word not in self.item.words:
                known = f"there are only {self.item.text}{hint(word, self.item.words)}"
                raise BadValueError(f"lists {shown(word)}; {known}", index)
            if word in words[:index]:
                raise BadValueError(f"lists {shown(word)} twice", index)
        return tuple(self.item.take(word) for word in words)


@dataclass(frozen=True, slots=True)
class Names:
    """A list of different names, at least one."""

    item: "Text | Word"

    @property
    def text(self) -> str:
        return f"a list of at least one name, each {self.item.text}"

    def take(self, value: object) -> object:
        given = "an empty list" if value == [] else shown(value)
        names: list[object] = cast("list[object]", value) if isinstance(value, list) else []
        if not names:
            raise BadValueError(f"must be {self.text}, not {given}")
        for index, name in enumerate(names):
            try:
                self.item.take(name)
            except BadValueError as error:
                raise BadValueError(f"lists a name that {error}", index) from None
            if name in {"", *names[:index]}:
                raise BadValueError(f"lists {shown(name)}, which is empty or there twice", index)
        return tuple(names)


class _Texts(ABC):
    """Base of lists of different texts."""

    text: str

    def take(self, value: object) -> object:
        if not isinstance(value, list):
            raise BadValueError(f"must be {self.text}, not {shown(value)}")
        given = cast("list[object]", value)
        return tuple(self._taken(each, given[:index], index) for index, each in enumerate(given))

    def _taken(self, value: object, before: list[object], index: int) -> object:
        if not isinstance(value, str):
            raise BadValueError(f"lists {shown(value)}; it must be {self.text}", index)
        if value in before:
            raise BadValueError(f"lists {shown(value)} twice", index)
        try:
            return self._one(value)
        except ConfigError as error:
            raise BadValueError(f"lists {shown(value)}: {error}", index) from None

    @abstractmethod
    def _one(self, text: str) -> object:
        """Return what one text means; ConfigError."""


class MavlinkPorts(_Texts):
    """Ports for MAVLink."""

    text = 'a list of ports, each "udpin:HOST:PORT", "udpout:...", "tcp:...", "tcpin:..." or "serial:DEVICE:BAUD"'

    def _one(self, text: str) -> object:
        return parse_mavlink_endpoint(text)


class DronePlaces(_Texts):
    """Drones, and where they are."""

    text = f'a list of drones, each "KEYID@HOST:PORT" with {KeyId().text}'

    def take(self, value: object) -> object:
        """Each drone is there once: two links to it would end each other for ever."""
        taken = cast("tuple[tuple[bytes, Endpoint], ...]", super().take(value))
        ids = [key_id for key_id, _ in taken]
        for index, key_id in enumerate(ids):
            if key_id in ids[:index]:
                raise BadValueError(f'lists drone "{key_id.hex()}" twice', index)
        return taken

    def _one(self, text: str) -> object:
        key_id, _, where = text.partition("@")
        try:
            return KeyId().take(key_id), self._where(where)
        except BadValueError as error:
            raise ConfigError(f"the key id {error}") from None

    @staticmethod
    def _where(text: str) -> Endpoint:
        endpoint = parse_endpoint(text)
        if endpoint.port == 0:
            raise ConfigError("needs the port of the drone, not 0")
        return endpoint


_NAMES: Final[Mapping[type, str]] = {
    dict: "a table",
    list: "a list",
    float: "inf or nan",
    dt.date: "a date",
    dt.time: "a time",
}


def shown(value: object) -> str:
    """Return a value as a message shows it: short, on one line, without control characters."""
    if isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return _short(value)
    for kind, name in _NAMES.items():
        if isinstance(value, kind):
            return name
    return "this"


def _short(value: float | str) -> str:
    if isinstance(value, int) and abs(value) > 10**18:
        return "so large a number"  # and str() refuses more than 4,300 digits
    text = "".join(c if c.isprintable() else "?" for c in json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else text[:56] + '..."'


def hint(word: object, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" if a known word is close, else nothing."""
    if not isinstance(word, str):
        return ""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word[:100].lower(), names, n=1)
    return f'; did you mean "{names[close[0]]}"?' if close else ""
