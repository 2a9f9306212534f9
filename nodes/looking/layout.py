"""Where boxes and wires of the topology stand: a column for each role, links between neighbours as lines from box to
box, links that go end to end over others as arcs below.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from nodes.looking.graph import ROLES, Box, Graph

BOX_ROWS: Final = 4
LOCK_COLUMNS: Final = 3
_NARROWEST: Final = 10
_WIDEST: Final = 26
_GAP: Final = 5
"""Columns between two boxes, at least: a lock and a bit of line on both of its sides."""
_WIDEST_GAP: Final = 13
_LANE: Final = 2
"""Columns for each line that goes up and down between two columns of boxes."""
_HIGHEST: Final = 10
"""Boxes in a column; with more there is no picture."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Of a box."""

    column: int
    """From the left."""
    x: int
    """Its left edge."""
    y: int
    """Its upper edge."""
    width: int
    """Columns, with both edges."""
    is_lowest: bool
    """Whether nothing stands below it."""

    @property
    def right(self) -> int:
        """Its right edge."""
        return self.x + self.width - 1

    @property
    def port_y(self) -> int:
        """Where lines leave it."""
        return self.y + 1

    @property
    def bottom(self) -> int:
        """Its lower edge."""
        return self.y + BOX_ROWS - 1


@dataclass(frozen=True, slots=True)
class Route:
    """Of a wire between neighbours."""

    lane_x: int
    """Where it goes up or down."""
    lock_x: int
    """Where its lock begins."""
    lock_y: int
    """In which row."""


@dataclass(slots=True)
class Layout:
    """All of it."""

    width: int
    """Columns."""
    height: int
    """Rows."""
    places: dict[str, Place]
    """Name of a node -> its box."""
    routes: dict[Pair, Route] = field(default_factory=dict[Pair, Route])
    """The left node and the right one -> the line between them."""
    arcs: list[Pair] = field(default_factory=list[Pair])
    """Ends of arcs, the left one first; from the highest to the lowest."""


def layout_of(graph: Graph, width: int) -> Layout | None:
    """Return where everything stands in so many columns; None if it does not fit."""
    columns = _columns(graph)
    if not columns or max(map(len, columns)) > _HIGHEST:
        return None
    at = {box.name: index for index, column in enumerate(columns) for box in column}
    pairs = _pairs(graph, at)
    near = [(one, other) for one, other, is_relayed in pairs if at[other] == at[one] + 1 and not is_relayed]
    hubs = [_hubs([pair for pair in near if at[pair[0]] == index]) for index in range(len(columns) - 1)]
    least = [_GAP + (1 + _LANE * (len(set(each.values())) - 1) if each else 0) for each in hubs]
    box_width = min((width - sum(least)) // len(columns), _WIDEST)
    if box_width < _NARROWEST:
        return None
    spare = (width - sum(least) - box_width * len(columns)) // max(len(least), 1)
    gaps = [gap + min(spare, max(0, _WIDEST_GAP - gap)) for gap in least]
    height = BOX_ROWS * max(map(len, columns))
    layout = Layout(box_width * len(columns) + sum(gaps), height, _places(columns, gaps, box_width, height))
    for index, of_gap in enumerate(hubs):
        for pair in near:
            if at[pair[0]] == index:
                layout.routes[pair] = _route(layout, pair, of_gap)
    far = [(one, other) for one, other, _ in pairs if (one, other) not in layout.routes and at[one] != at[other]]
    if all(layout.places[name].is_lowest for pair in far for name in pair):
        layout.arcs = sorted(far, key=lambda pair: at[pair[1]] - at[pair[0]])
        layout.height += len(far)
    return layout


def _columns(graph: Graph) -> list[list[Box]]:
    """Boxes by role, those without one last."""
    by_role = [[box for box in graph.boxes.values() if box.role == role] for role in ROLES]
    others = [box for box in graph.boxes.values() if box.role not in ROLES]
    return [column for column in (*by_role, others) if column]


def _pairs(graph: Graph, at: dict[str, int]) -> list[tuple[str, str, bool]]:
    """Return who is joined with whom, the left one first, and whether that goes over relays only."""
    found: dict[Pair, bool] = {}
    for wire in graph.wires.values():
        one, other = sorted((wire.one, wire.other), key=at.__getitem__)
        found[one, other] = found.get((one, other), True) and wire.is_relayed
    return [(one, other, is_relayed) for (one, other), is_relayed in found.items()]


def _hubs(pairs: list[Pair]) -> dict[Pair, str]:
    """Return at which of its ends each line meets others, and so shares their lane; without those that are alone."""
    lines = Counter(name for pair in pairs for name in pair)
    return {pair: max(pair, key=lambda name: lines[name]) for pair in pairs if max(lines[name] for name in pair) > 1}


def _places(columns: list[list[Box]], gaps: list[int], width: int, height: int) -> dict[str, Place]:
    places: dict[str, Place] = {}
    x = 0
    for index, column in enumerate(columns):
        top = (height - BOX_ROWS * len(column)) // 2
        for row, box in enumerate(column):
            places[box.name] = Place(index, x, top + row * BOX_ROWS, width, row == len(column) - 1)
        x += width + (gaps[index] if index < len(gaps) else 0)
    return places


def _route(layout: Layout, pair: Pair, hubs: dict[Pair, str]) -> Route:
    """The lock stands at the end that the line has for itself."""
    left, right = (layout.places[name] for name in pair)
    lanes = list(dict.fromkeys(hubs.values()))
    hub = hubs.get(pair)
    if hub is None:
        if left.port_y == right.port_y:
            middle = (left.right + right.x - LOCK_COLUMNS + 1) // 2
            return Route(right.x, middle, left.port_y)
        return Route(right.x - 2, left.right + 1, left.port_y)
    number = lanes.index(hub)
    if hub == pair[1]:
        return Route(right.x - 2 - _LANE * number, left.right + 1, left.port_y)
    return Route(left.right + 2 + _LANE * number, right.x - LOCK_COLUMNS, right.port_y)
