"""A TOML document from its file or its bytes: values and the line of each, or the one problem that hides all others."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.config.lines import Where, key_lines
from nodes.config.reader import Problem
from protocols.errors import ConfigError

MAX_BYTES: Final = 65_536
"""A larger file is no configuration; reading it would only take time."""
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, before anybody asks what it means."""

    values: Mapping[str, object]
    """As tomllib gives them."""
    lines: Mapping[Where, int]
    """Line of each key; empty if they are not known."""


def read_file(path: Path, what: str = "a configuration file") -> bytes:
    """Return the bytes of a file; ConfigError, which does not name it."""
    try:
        if path.exists() and not path.is_file():  # a pipe without a writer would wait for ever
            raise ConfigError(f"this is no regular file; name {what}")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ConfigError(f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{what} has at most {MAX_BYTES} bytes")
    return data


def parse_document(data: bytes) -> Document | Problem:
    """Return the document, or why it is none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(line, "this is not UTF-8: save the file as UTF-8")
    try:
        values = tomllib.loads(text)
        return Document(values, key_lines(text, values))
    except (ValueError, RecursionError) as error:
        return _syntax_problem(error, text)


def _syntax_problem(error: Exception, text: str) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(None, "this is no configuration: keys or brackets are nested too deeply")
    message = str(error)
    place = _TOML_PLACE.search(message)
    if place is None:
        return Problem(None, "this is not valid TOML: a number has too many digits")
    line = int(place[1]) if place[1] else text.count("\n") + 1
    return Problem(line, f"this is not valid TOML: {message[: place.start()]}")
