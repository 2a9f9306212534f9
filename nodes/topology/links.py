"""Which links a topology has: each node that names another one makes a link to it."""

from collections.abc import Iterator
from dataclasses import dataclass

from nodes.topology.tables import NodeTable, Topology
from specs.registry import Role


@dataclass(frozen=True, slots=True)
class TopologyLink:
    """A link that must be up."""

    name: str
    """What the stations call links of this kind (``drone-rc``)."""
    maker: str
    """Name of the node that makes it."""
    answerer: str
    """Name of the node that answers."""
    carrier: str
    """``udp``, ``tcp``, ``https``, or ``relay``: end to end over others."""

    @property
    def title(self) -> str:
        """For people, unique in a topology."""
        return f"{self.maker} to {self.answerer}"


def links_of(topology: Topology) -> tuple[TopologyLink, ...]:
    """Return every link of a topology, those over relays last."""
    found = [link for name, node in topology.nodes.items() for link in _links_from(topology, name, node)]
    return tuple(sorted(found, key=lambda link: link.carrier == "relay"))


def _links_from(topology: Topology, name: str, node: NodeTable) -> Iterator[TopologyLink]:
    for drone in node.drones:
        if node.role is Role.RC:
            yield TopologyLink("drone-rc", name, drone, topology.nodes[drone].carrier)
        else:
            yield TopologyLink(f"{node.role.name.lower()}-drone", name, drone, "relay")
    if node.rc:
        yield TopologyLink("rc-mobile", name, node.rc, "tcp")
    if node.cloud:
        yield TopologyLink(f"{node.role.name.lower()}-cloud", name, node.cloud, "https")


def ways_to_cloud(topology: Topology, cloud: str) -> set[str]:
    """Return the drones that a cloud reaches: over docks, and over mobiles and their remote controllers."""
    found: set[str] = set()
    for node in topology.nodes.values():
        if node.cloud == cloud:
            controller = node if node.role is Role.RC else topology.nodes[node.rc]
            found.update(controller.drones)
    return found
