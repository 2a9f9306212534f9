"""The configuration file of a node: TOML in, frozen dataclasses out, or every problem with its line.

``load(path)`` gives a :class:`Config` or raises one ConfigError; ``check(path)`` gives all problems at once.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

from nodes.config.endpoint import Endpoint, parse_endpoint
from nodes.config.lines import key_lines
from nodes.config.reader import Problem, Reader, one_line
from nodes.config.tables import (
    AuthorityTable,
    Carrier,
    CloudTable,
    Config,
    FlightTable,
    GroundTable,
    LimitsTable,
    LinkTable,
    LogLevel,
    LogsTable,
    LookTable,
    MavlinkTable,
    NodeTable,
    VideoTable,
)
from protocols.errors import ConfigError

__all__ = [
    "AuthorityTable",
    "Carrier",
    "CloudTable",
    "Config",
    "Endpoint",
    "FlightTable",
    "GroundTable",
    "LimitsTable",
    "LinkTable",
    "LogLevel",
    "LogsTable",
    "LookTable",
    "MavlinkTable",
    "NodeTable",
    "Problem",
    "VideoTable",
    "check",
    "load",
    "parse",
    "parse_endpoint",
]

MAX_BYTES: Final = 65_536
"""A larger file is no configuration; reading it would only take time."""
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def load(path: Path) -> Config:
    """Return the configuration in a file; ConfigError with one line that names file, line and what to do."""
    try:
        data = _read(path)
    except ConfigError as error:
        raise ConfigError(Problem(None, str(error)).located(path)) from None
    return parse(data, path)


def parse(data: bytes, path: Path) -> Config:
    """Return the configuration in ``data``; ``path`` names it in errors, its folder is where paths start."""
    config, problems = _parse(data, path)
    if config is None:
        more = f" (and {len(problems) - 1} more: aerolink config check {path})" if len(problems) > 1 else ""
        raise ConfigError(one_line(problems[0].located(path) + more))
    return config


def check(path: Path) -> list[Problem]:
    """Return every problem of a file, in the order of its lines; none means that it can be used."""
    try:
        data = _read(path)
    except ConfigError as error:
        return [Problem(None, str(error))]
    return _parse(data, path, look=True)[1]


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe without a writer would wait for ever
            raise ConfigError("this is no regular file; name a configuration file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ConfigError(f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"a configuration file has at most {MAX_BYTES} bytes")
    return data


def _parse(data: bytes, path: Path, *, look: bool = False) -> tuple[Config | None, list[Problem]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return None, [Problem(line, "this is not UTF-8: save the file as UTF-8")]
    try:
        values = tomllib.loads(text)
        lines = key_lines(text, values)
    except (ValueError, RecursionError) as error:
        return None, [_syntax_problem(error, text)]
    reader = Reader(values, lines, path.parent)
    config = reader.config(look=look)
    return config, reader.problems


def _syntax_problem(error: Exception, text: str) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(None, "this is no configuration: keys or brackets are nested too deeply")
    message = str(error)
    place = _TOML_PLACE.search(message)
    if place is None:
        return Problem(None, "this is not valid TOML: a number has too many digits")
    line = int(place[1]) if place[1] else text.count("\n") + 1
    return Problem(line, f"this is not valid TOML: {message[: place.start()]}")
