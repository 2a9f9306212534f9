"""What a run comes to: the verdict, and what it rests on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nodes.looking.book import LinkStatus
from nodes.topology.board import Board
from nodes.topology.links import TopologyLink
from nodes.topology.record import HandOver, KeptFlight, RaisedAlarm, RunRecord


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of the run."""

    name: str
    """What it is called."""
    role: str
    """Its role."""
    starts: int
    """How often it has begun."""
    pid: int | None
    """Its last process; None: it was in that of the run."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link of the topology."""

    name: str
    """What links of this kind are called."""
    maker: str
    """Name of the node that makes it."""
    answerer: str
    """Name of the node that answers."""
    carrier: str
    """What carries it."""
    suite: str
    """Its algorithms; empty: it was never up."""
    up: bool
    """Whether it is up at the end."""
    times: int
    """How often it came up, at its maker."""
    messages: int
    """Messages that both ends have received in all; of HTTPS, telemetry that its cloud has got from all its devices."""

    def as_dict(self) -> dict[str, Any]:
        """Return it under the names of the JSON report."""
        row = asdict(self)
        return {{"maker": "from", "answerer": "to"}.get(key, key): value for key, value in row.items()}


@dataclass(frozen=True, slots=True)
class TopologyReport:
    """Of a whole run."""

    topology: str
    """Name of the topology."""
    seconds: float
    """How long it was asked to run."""
    nodes: tuple[NodeRow, ...]
    """In the order of the file."""
    links: tuple[LinkRow, ...]
    """Every link of the topology."""
    authority: tuple[HandOver, ...]
    """Hand-overs, in order."""
    flights: tuple[KeptFlight, ...]
    """Flights that clouds have stored."""
    alarms: tuple[RaisedAlarm, ...]
    """In order."""
    problems: tuple[str, ...]
    """Why it is not ok."""

    @property
    def ok(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return it as the last line of ``--json`` shows it."""
        return {
            "ok": self.ok,
            "topology": self.topology,
            "seconds": self.seconds,
            "nodes": [asdict(node) for node in self.nodes],
            "links": [link.as_dict() for link in self.links],
            "authority": [asdict(each) for each in self.authority],
            "flights": [asdict(each) for each in self.flights],
            "alarms": [asdict(each) for each in self.alarms],
            "problems": list(self.problems),
        }


def link_rows(board: Board, record: RunRecord) -> tuple[LinkRow, ...]:
    """Return every link as it is now."""
    return tuple(_link_row(link, board, record) for link in board.links)


def node_rows(record: RunRecord, roles: Mapping[str, str], pids: Mapping[str, int]) -> tuple[NodeRow, ...]:
    """Return every node; ``roles``: name -> role; ``pids``: name -> its last process, 0 for this one."""
    return tuple(NodeRow(name, role, record.starts[name], pids.get(name) or None) for name, role in roles.items())


def _link_row(link: TopologyLink, board: Board, record: RunRecord) -> LinkRow:
    ends = [end for end in board.ends(link) if end is not None]
    suite = next((end.suite for end in ends if end.suite), "")
    is_https = link.carrier == "https"
    messages = record.telemetry_at(link.answerer) if is_https else sum(map(_received, ends))
    times = sum(
        count
        for (node, name, peer), count in record.ups.items()
        if (node, name) == (link.maker, link.name) and (is_https or peer == link.answerer)
    )
    up = board.is_up(link)
    return LinkRow(link.name, link.maker, link.answerer, link.carrier, suite, up, times, messages)


def _received(end: LinkStatus) -> int:
    return sum(row.get("received", 0) for row in end.classes.values())
