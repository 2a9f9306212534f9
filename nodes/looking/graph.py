"""Who is linked with whom: from what each of several nodes says of itself to boxes and wires between them.

A node knows its peers by fingerprint and role; where the peer is one that is looked at as well, both ends become one
wire. A peer that is not looked at becomes a box without an inside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from nodes.looking.status import LinkStatus, NodeStatus

ROLES: Final = ("drone", "rc", "mobile", "cloud")
"""From left to right."""
_HTTPS: Final = "https"
_SHORT: Final = 4
_UNKNOWN: Final = "not yet up"


@dataclass(frozen=True, slots=True)
class Edge:
    """Two nodes that should have a link."""

    one: str
    """Name of a node."""
    other: str
    """Name of the other."""
    link: str
    """Name of the link, as ``drone-rc``."""


@dataclass(slots=True)
class Box:
    """A node in the picture."""

    name: str
    """What it is called."""
    role: str
    """Its role; empty if nobody knows."""
    status: NodeStatus | None = None
    """What it says of itself; None: it is only known by its peers."""
    doing: str = ""
    """What its vehicle does."""
    flies: list[str] = field(default_factory=list[str])
    """Names of the drones that it may fly."""


@dataclass(slots=True)
class Wire:
    """A link in the picture."""

    one: str
    """Name of the node at one end."""
    other: str
    """Name of the node at the other."""
    link: str
    """Name of the link."""
    ends: list[LinkStatus] = field(default_factory=list[LinkStatus])
    """As each end that is looked at sees it."""

    @property
    def up(self) -> bool:
        """Whether nobody says that it is down, and somebody that it is up."""
        return bool(self.ends) and all(end.up for end in self.ends)

    @property
    def reason(self) -> str:
        """Why it is not up; empty if it is."""
        return next((end.reason for end in self.ends if not end.up), "" if self.ends else _UNKNOWN)

    @property
    def is_relayed(self) -> bool:
        """Whether it goes end to end over other links."""
        known = [end.carrier for end in self.ends if end.carrier]
        return known[0] == "relay" if known else self.link in {"mobile-drone", "cloud-drone"}

    def end(self) -> LinkStatus | None:
        """Return the end that knows most: of those that say the same, the one that measures."""
        telling = [end for end in self.ends if end.up == self.up]
        return max(telling, key=lambda end: end.rtt_ms is not None, default=None)


@dataclass(slots=True)
class Graph:
    """All of it."""

    boxes: dict[str, Box] = field(default_factory=dict[str, Box])
    """By name."""
    wires: dict[tuple[frozenset[str], str], Wire] = field(default_factory=dict[tuple[frozenset[str], str], Wire])
    """By both ends and name of the link."""
    owners: dict[str, str] = field(default_factory=dict[str, str])
    """Fingerprint -> name of the box."""

    @property
    def locked(self) -> tuple[int, int]:
        """How many links are up, of how many."""
        return sum(wire.up for wire in self.wires.values()), len(self.wires)


def graph_of(nodes: Sequence[NodeStatus], edges: Iterable[Edge] = ()) -> Graph:
    """Return the picture's boxes and wires; ``edges``: links that should be there, beside those that are."""
    graph = Graph({node.name: Box(node.name, node.role, node) for node in nodes})
    graph.owners = {fingerprint: node.name for node in nodes for fingerprint in node.ids}
    expected: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        if edge.one in graph.boxes and edge.other in graph.boxes:
            _wire(graph, edge.one, edge.other, edge.link)
            expected.setdefault((edge.one, edge.link), set()).add(edge.other)
            expected.setdefault((edge.other, edge.link), set()).add(edge.one)
    learnt: dict[str, str] = {}
    for node in nodes:
        for link in node.links:
            other = _other_end(graph, node, link, expected.get((node.name, link.name), set()))
            learnt[link.peer] = other
            _wire(graph, node.name, other, link.name).ends.append(link)
    graph.owners = {**learnt, **graph.owners}
    for node in nodes:
        _take_what_it_knows(graph, node)
    return graph


def _wire(graph: Graph, one: str, other: str, link: str) -> Wire:
    return graph.wires.setdefault((frozenset({one, other}), link), Wire(one, other, link))


def _other_end(graph: Graph, node: NodeStatus, link: LinkStatus, expected: set[str]) -> str:
    """Return the name of the box at the other end of a node's link; it is made if there is none.

    A node whose fingerprints are known is recognised by them, but for HTTPS, where certificates say who it is.
    """
    known = graph.owners.get(link.peer)
    if known is not None:
        return known
    role = link.role or _role_at_the_other_end(node.role, link.name)
    boxes = [box for box in graph.boxes.values() if box.name in expected or (not expected and box.role == role)]
    others = [box for box in boxes if box.status is not None and box.name != node.name]
    likely = [box.name for box in others if box.status and (not box.status.ids or link.carrier == _HTTPS)]
    if len(likely) == 1:
        return likely[0]
    name = f"{role or 'device'} {link.peer[:_SHORT]}".strip()
    graph.boxes.setdefault(name, Box(name, role))
    return name


def _role_at_the_other_end(own: str, link: str) -> str:
    """A link is called after the roles of its ends."""
    roles = [role for role in link.split("-") if role in ROLES and role != own]
    return roles[0] if len(roles) == 1 else ""


def _take_what_it_knows(graph: Graph, node: NodeStatus) -> None:
    """What a node knows of rights, and of what drones do; of itself a drone knows best."""
    drones = [box for box in graph.boxes.values() if box.role == "drone"]
    for fingerprint, doing in node.drones.items():
        box = graph.boxes.get(graph.owners.get(fingerprint, ""))
        if box is not None and not box.doing:
            box.doing = doing
    if node.role == "drone":
        graph.boxes[node.name].doing = _doing(node.vehicle) or graph.boxes[node.name].doing
    elif len(drones) == 1:
        drones[0].doing = drones[0].doing or _doing(node.vehicle)
    for held in node.held:
        drone = graph.boxes.get(graph.owners.get(held.drone, "") if held.drone else node.name)
        is_told_by_itself = held.drone and drone is not None and drone.status is not None and drone.status.held
        if held.right != "flight" or not held.holder_id + held.holder.replace("nobody", "") or is_told_by_itself:
            continue
        holder = _holder(graph, held.holder, held.holder_id)
        if holder is not None and drone is not None and drone.name not in holder.flies:
            holder.flies.append(drone.name)


def _holder(graph: Graph, role: str, fingerprint: str) -> Box | None:
    name = graph.owners.get(fingerprint)
    if name is not None:
        return graph.boxes[name]
    of_this_role = [box for box in graph.boxes.values() if box.role == role]
    return of_this_role[0] if len(of_this_role) == 1 else None


def _doing(vehicle: str) -> str:
    """Return the beginning of a line about a vehicle: what it does, and how high."""
    return ",".join(vehicle.split(",")[:2])
