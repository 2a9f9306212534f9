"""The configuration file of a node: TOML in, frozen dataclasses out, or every problem with its line.

``load(path)`` gives a :class:`Config` or raises one ConfigError; ``check(path)`` gives all problems at once.
"""

from pathlib import Path

from nodes.config.document import parse_document, read_file
from nodes.config.endpoint import Endpoint, parse_endpoint
from nodes.config.reader import Problem, Reader, one_line
from nodes.config.rules import contradictions
from nodes.config.tables import (
    TABLES,
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
    PilotTable,
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
    "PilotTable",
    "Problem",
    "VideoTable",
    "check",
    "load",
    "parse",
    "parse_endpoint",
]


def load(path: Path) -> Config:
    """Return the configuration in a file; ConfigError with one line that names file, line and what to do."""
    try:
        data = read_file(path)
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
        data = read_file(path)
    except ConfigError as error:
        return [Problem(None, str(error))]
    return _parse(data, path, look=True)[1]


def _parse(data: bytes, path: Path, *, look: bool = False) -> tuple[Config | None, list[Problem]]:
    document = parse_document(data)
    if isinstance(document, Problem):
        return None, [document]
    reader = Reader(document.values, document.lines, path.parent, TABLES)
    tables = reader.tables()
    config = None if tables is None else Config(**tables)
    if config is not None:
        _check_whole(config, reader, look=look)
    return (None if reader.problems else config), reader.problems


def _check_whole(config: Config, reader: Reader, *, look: bool) -> None:
    """Add what the tables have to do with each other; ``look`` for the files that they name."""
    problems = list(contradictions(config, reader.given()))
    replay = config.flight.replay
    if look and not problems and replay is not None and not replay.is_file():
        problems.append((("flight", "replay"), f'"replay" in [flight]: there is no file {replay}'))
    for where, text in problems:
        reader.add(where, text)
