"""The tables of a topology file. The docstring of each field is its entry in docs/topology.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from nodes.config.kinds import Names, Number, OneOf, Text, Word, YesNo
from nodes.config.reader import ByName, Shape
from nodes.config.tables import PLAYS, Carrier, Plays
from protocols.crypto.suites import DEFAULT_SUITE, SUITES, Suite
from specs.registry import Role

_ROLES: Final = OneOf({role.name.lower(): role for role in Role})
_CARRIERS: Final = OneOf({carrier: carrier for carrier in ("udp", "tcp")})
_SUITES: Final = OneOf({suite.name: suite for suite in SUITES.values()})
_NAME: Final = Word()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyTable:
    """What the topology is."""

    name: Annotated[str, _NAME]
    """What it is called."""
    description: Annotated[str, Text(120)] = ""
    """What it shows, in a few words."""
    seconds: Annotated[float, Number(1, 86_400)] = 30.0
    """How long it runs; `--seconds` goes first."""
    suite: Annotated[Suite, _SUITES] = DEFAULT_SUITE
    """Cryptographic suite of every link but those to a cloud over HTTPS, whose suite is TLS's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTable:
    """A node, by its name: small letters, digits and hyphens. Whoever makes a link names the other end of it."""

    role: Annotated[Role, _ROLES]
    """What the node is. An rc with `cloud` is a dock."""
    drones: Annotated[tuple[str, ...], Names(_NAME)] = ()
    """The drones of an rc, the first being the one that its mobiles see; the drone that a mobile speaks with end to
    end, over its rc; the drones that a cloud speaks with end to end, and whose flights are sealed for it."""
    rc: Annotated[str, _NAME] = ""
    """The remote controller of a mobile."""
    cloud: Annotated[str, _NAME] = ""
    """The cloud of a mobile or of a dock: everything that goes to a cloud goes over one of these."""
    carrier: Annotated[Carrier, _CARRIERS] = "udp"
    """What carries the links between a drone and its remote controllers."""
    video: Annotated[bool, YesNo()] = False
    """Whether a drone sends pictures."""
    plays: Annotated[Plays, PLAYS] = "none"
    """What the pilot at an rc or mobile does with each of its drones. `"circuit"` takes both rights when nobody has
    them, and takes off, flies the route, holds and lands, again and again; `"turns"` does so, too, and hands the right
    to fly to its `partner` and takes it back."""
    partner: Annotated[str, _NAME] = ""
    """With whom a pilot that plays `"turns"` does so: another node that does, and has the same drone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectsTable:
    """What must have happened at the end of a run that is not shorter than `seconds`, besides what every run is for."""

    hand_overs: Annotated[int, Number(0, 10_000, whole=True)] = 0
    """How often, at least, a right went from one hand into another by offer and acceptance."""
    flights: Annotated[int, Number(0, 10_000, whole=True)] = 0
    """How many flights, at least, each cloud with drones has verified, unsealed and stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A whole topology."""

    topology: TopologyTable
    """What it is."""
    nodes: Mapping[str, NodeTable] = field(default_factory=dict[str, NodeTable])
    """Name -> node, in the order of the file."""
    expects: ExpectsTable = field(default_factory=ExpectsTable)
    """What must have happened at the end."""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.topology.name

    def of_role(self, role: Role) -> tuple[str, ...]:
        """Return the names of the nodes of a role, in order."""
        return tuple(name for name, node in self.nodes.items() if node.role is role)


TABLES: Final[Shape] = {"topology": TopologyTable, "nodes": ByName(NodeTable), "expects": ExpectsTable}
"""Name of each table -> its class, in the order of the reference page."""
