"""Topologies: several nodes and their links, from one TOML file (docs/topology.md), run on one machine.

``load(path)`` gives a :class:`Topology` or raises one ConfigError; ``check(path)`` gives all problems at once;
``find(name)`` takes the name of one that comes with the program as well.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from nodes.config.document import parse_document, read_file
from nodes.config.kinds import hint, shown
from nodes.config.reader import Problem, Reader, one_line
from nodes.topology.links import TopologyLink, links_of
from nodes.topology.rules import contradictions
from nodes.topology.tables import TABLES, ExpectsTable, NodeTable, Topology, TopologyTable
from protocols.errors import ConfigError, UsageError

__all__ = [
    "ExpectsTable",
    "NodeTable",
    "Topology",
    "TopologyLink",
    "TopologyTable",
    "check",
    "find",
    "links_of",
    "load",
    "parse",
    "shipped",
    "source_of",
]

_WHAT: Final = "a topology file"
_ENDING: Final = ".toml"


def shipped() -> list[str]:
    """Return the names of the topologies that come with the program."""
    return sorted(file.name.removesuffix(_ENDING) for file in _folder().iterdir() if file.name.endswith(_ENDING))


def find(name: str) -> Topology:
    """Return the topology of a file, or one that comes with the program; UsageError, ConfigError."""
    data, place = source_of(name)
    return parse(data, place)


def source_of(name: str) -> tuple[bytes, str]:
    """Return what a topology's file says, and what to call the file; UsageError, ConfigError."""
    path = Path(name)
    if name in shipped():
        return _folder().joinpath(f"{name}{_ENDING}").read_bytes(), f"{name}{_ENDING}"
    if path.suffix != _ENDING and "/" not in name and not path.exists():
        known = ", ".join(shipped())
        raise UsageError(f"there is no topology {shown(name)}{hint(name, shipped())} (a file, or one of {known})")
    return _read(path), str(path)


def load(path: Path) -> Topology:
    """Return the topology in a file; ConfigError with one line that names file, line and what to do."""
    return parse(_read(path), str(path))


def parse(data: bytes, place: str) -> Topology:
    """Return the topology in ``data``; ``place`` names its file in errors. ConfigError."""
    topology, problems = _parse(data)
    if topology is None:
        more = f" (and {len(problems) - 1} more: aerolink topology check {place})" if len(problems) > 1 else ""
        raise ConfigError(one_line(problems[0].located(place) + more))
    return topology


def check(path: Path) -> list[Problem]:
    """Return every problem of a file, in the order of its lines; none means that it can be used."""
    try:
        data = read_file(path, _WHAT)
    except ConfigError as error:
        return [Problem(None, str(error))]
    return _parse(data)[1]


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _WHAT)
    except ConfigError as error:
        raise ConfigError(Problem(None, str(error)).located(path)) from None


def _parse(data: bytes) -> tuple[Topology | None, list[Problem]]:
    document = parse_document(data)
    if isinstance(document, Problem):
        return None, [document]
    reader = Reader(document.values, document.lines, Path(), TABLES)
    tables = reader.tables()
    topology = None if tables is None else Topology(**tables)
    if topology is not None:
        for where, text in contradictions(topology, reader.given()):
            reader.add(where, text)
    return (None if reader.problems else topology), reader.problems


def _folder() -> Traversable:
    return files("nodes.topology") / "shipped"
