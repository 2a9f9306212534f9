"""On which line each key of a TOML document stands.

`tomllib` gives values without positions. This scanner reads a document *that tomllib has accepted* a second
time, for positions alone: it knows what a key, a header, a string and a bracket look like, and nothing of
values. Its answer counts only if it found exactly the keys and elements that tomllib found; otherwise it
answers nothing, and messages go without a line. So a line is right or absent.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, cast

Where = tuple[str | int, ...]
"""Path of keys, and of indexes in arrays, from the top of the document."""

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[^\s=.\[\]{}\"'#,]+")
_QUOTED_KEY: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'")
_TEXT: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'  # up to two quotes may touch the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_MAX_DEPTH: Final = 100  # a path is a tuple: without a limit, 'a.a.a...' would cost its length squared
_OTHER: Final = re.compile(r"[^,\[\]{}#\n]+")  # numbers, booleans, dates: a date may hold a space


class _LostError(Exception):
    """The scanner met what it does not know."""


def key_lines(text: str, values: Mapping[str, object]) -> dict[Where, int]:
    """Return the 1-based line of every key and array element; ``values`` is ``tomllib.loads(text)``."""
    scanner = _Scanner(text)
    try:
        scanner.document()
    except _LostError:
        return {}
    return scanner.lines if scanner.lines.keys() == set(_paths(values, ())) else {}


def _paths(value: object, at: Where) -> Iterator[Where]:
    items: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        items = enumerate(cast("list[object]", value))
    for name, inner in items:
        yield (*at, name)
        yield from _paths(inner, (*at, name))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Where, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[Where, int] = {}  # arrays of tables: how many [[headers]] so far

    def document(self) -> None:
        table: Where = ()
        self._match(_BLANK)
        while self._at < len(self._text):
            if self._take("[["):
                table = self._header("]]")
            elif self._take("["):
                table = self._header("]")
            else:
                self._pair(table)
            self._match(_BLANK)

    def _header(self, close: str) -> Where:
        line = self._line()
        at: Where = ()
        for name in self._key():
            at = self._note((*self._newest(at), name), line)
        self._need(close)
        if close == "]":
            self.lines[at] = line  # [a.b] may have named a before; its own header is the better answer
            return at
        self._elements[at] = self._elements.get(at, 0) + 1
        at = self._newest(at)
        self.lines[at] = line
        return at

    def _note(self, at: Where, line: int) -> Where:
        if len(at) > _MAX_DEPTH:
            raise _LostError
        self.lines.setdefault(at, line)
        return at

    def _newest(self, at: Where) -> Where:
        return (*at, self._elements[at] - 1) if at in self._elements else at

    def _pair(self, table: Where) -> None:
        line = self._line()
        at = table
        for name in self._key():
            at = self._note((*at, name), line)
        self._need("=")
        self._match(_SPACE)
        self._value(at)

    def _key(self) -> Iterator[str]:
        more = True
        while more:
            self._match(_SPACE)
            quoted = self._match(_QUOTED_KEY)
            name = tomllib.loads(f"key = {quoted}")["key"] if quoted else self._match(_BARE_KEY)
            if not quoted and not name:
                raise _LostError
            yield name
            self._match(_SPACE)
            more = self._take(".")

    def _value(self, at: Where) -> None:
        if self._take("["):
            self._array(at)
        elif self._take("{"):
            self._inline_table(at)
        elif not self._match(_TEXT) and not self._match(_OTHER):
            raise _LostError

    def _array(self, at: Where) -> None:
        index = 0
        self._match(_BLANK)
        while not self._take("]"):
            self._value(self._note((*at, index), self._line()))
            index += 1
            self._between("]")

    def _inline_table(self, at: Where) -> None:
        self._match(_BLANK)
        while not self._take("}"):
            self._pair(at)
            self._between("}")

    def _between(self, close: str) -> None:
        self._match(_BLANK)
        if not self._take(",") and not self._text.startswith(close, self._at):
            raise _LostError
        self._match(_BLANK)

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at) + 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _take(self, word: str) -> bool:
        found = self._text.startswith(word, self._at)
        self._at += len(word) if found else 0
        return found

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise _LostError
