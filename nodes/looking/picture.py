"""The topology as a picture in a terminal: nodes as boxes, links as lines, a lock on each.

A lock is closed, ``[#]``, while its link is up, for only then is there a link: authenticated at both ends, and
encrypted. Where there is none the lock is open, ``[ ]``, and the line below the picture says why.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from nodes.looking.canvas import Canvas, cut
from nodes.looking.graph import Box, Edge, Graph, graph_of
from nodes.looking.layout import BOX_ROWS, LOCK_COLUMNS, Layout, Pair, Place, layout_of
from nodes.looking.status import LinkStatus, NodeStatus
from nodes.stations.sentences import CARRIERS

__all__ = ["CLOSED", "OPEN", "Edge", "Picture", "draw"]

CLOSED: Final = "[#]"
OPEN: Final = "[ ]"
_FEWEST: Final = 12
"""Columns for the name of a link, in the narrowest terminal."""
_UP: Final = "green"
_DOWN: Final = "red"
_FLIES: Final = "bold cyan"


class Picture:
    """Draws itself in as many columns as there are; one that has too few shows the list of links alone."""

    def __init__(self, graph: Graph, *, legend: bool = True) -> None:
        self.graph: Final = graph
        """What is drawn."""
        self._legend = legend

    @property
    def locked(self) -> tuple[int, int]:
        """How many links are up, of how many."""
        return self.graph.locked

    def height(self, width: int) -> int:
        """Return how many rows it takes."""
        layout = layout_of(self.graph, width)
        return (0 if layout is None else layout.height) + (len(self.graph.wires) if self._legend else 0)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        layout = layout_of(self.graph, options.max_width)
        if layout is not None:
            yield from _drawn(self.graph, layout).rows(ascii_only=options.ascii_only)
        if self._legend:
            yield from _legend(self.graph, options.max_width, ascii_only=options.ascii_only)


def draw(nodes: Sequence[NodeStatus], edges: Iterable[Edge] = (), *, legend: bool = True) -> Picture:
    """Return the topology as something that rich draws.

    ``edges``: links that should be there, beside those that the nodes have or had. ``legend``: whether a line for
    each link follows, with its suite, or why it is not up.
    """
    return Picture(graph_of(nodes, edges), legend=legend)


# --- the drawing --------------------------------------------------------------------------------


def _drawn(graph: Graph, layout: Layout) -> Canvas:
    canvas = Canvas(layout.width, layout.height)
    is_up = _states(graph, layout)
    for name, place in layout.places.items():
        _draw_box(canvas, graph, graph.boxes[name], place)
    for pair in sorted(layout.routes, key=lambda pair: is_up[pair]):
        _draw_line(canvas, layout, pair, up=is_up[pair])
    for row, pair in enumerate(layout.arcs):
        _draw_arc(canvas, layout, row, pair, up=is_up[pair])
    for pair in sorted(layout.routes, key=lambda pair: not is_up[pair]):  # where two meet, the open one is seen
        _lock(canvas, layout.routes[pair].lock_x, layout.routes[pair].lock_y, up=is_up[pair])
    return canvas


def _states(graph: Graph, layout: Layout) -> dict[Pair, bool]:
    """Whether everything between two nodes is up; what has a line of its own is none of its neighbour's."""
    states: dict[Pair, bool] = {}
    for wire in graph.wires.values():
        one, other = sorted((wire.one, wire.other), key=lambda name: layout.places[name].column)
        states[one, other] = states.get((one, other), True) and wire.up
    return states


def _draw_box(canvas: Canvas, graph: Graph, box: Box, place: Place) -> None:
    here = box.status is not None and box.status.running
    canvas.box(place.x, place.y, place.width, BOX_ROWS, "" if here else "dim")
    inside = place.width - 2
    canvas.write(place.x + 2, place.y, f" {box.name} "[: inside - 1], "bold" if here else "dim", inside - 1)
    what, style = _what(box)
    if len(what) > inside:
        what = what.partition(",")[0]
    canvas.write(place.x + 1, place.y + 1, what, style, inside)
    if box.flies:
        several = sum(each.role == "drone" for each in graph.boxes.values()) > 1
        text = f"MAY FLY {' '.join(box.flies)}" if several else "MAY FLY"
        canvas.write(place.x + 1, place.y + 2, text, _FLIES, inside)
    elif box.status is not None and box.status.alarms:
        count = sum(alarm.count for alarm in box.status.alarms)
        canvas.write(place.x + 1, place.y + 2, f"{count} alarm{'s' * (count > 1)}", "bold red", inside)


def _what(box: Box) -> tuple[str, str]:
    """What a node does, in its box."""
    if box.status is not None and not box.status.running:
        return "not there", "bold red"
    if box.doing:
        return box.doing, ""
    return (box.role if box.role != box.name else ""), "dim"


def _draw_line(canvas: Canvas, layout: Layout, pair: Pair, *, up: bool) -> None:
    left, right = (layout.places[name] for name in pair)
    route, style = layout.routes[pair], _UP if up else _DOWN
    canvas.across(left.right, route.lane_x, left.port_y, style)
    if left.port_y != right.port_y:
        canvas.down(route.lane_x, left.port_y, right.port_y, style)
    if route.lane_x != right.x:
        canvas.across(route.lane_x, right.x, right.port_y, style)


def _draw_arc(canvas: Canvas, layout: Layout, row: int, pair: Pair, *, up: bool) -> None:
    """Shorter arcs are above longer ones, and begin farther to the right: so they do not cross at their beginning."""
    left, right = (layout.places[name] for name in pair)
    before = layout.arcs[:row]
    x1 = left.right - 2 - 2 * sum(each[0] == pair[0] for each in before)
    x2 = right.x + 2 + 2 * sum(each[1] == pair[1] for each in before)
    y, style = canvas.height - len(layout.arcs) + row, _UP if up else _DOWN
    canvas.down(x1, left.bottom, y, style)
    canvas.down(x2, right.bottom, y, style)
    canvas.across(x1, x2, y, style)
    _lock(canvas, (x1 + x2 - LOCK_COLUMNS) // 2 + 1, y, up=up)


def _lock(canvas: Canvas, x: int, y: int, *, up: bool) -> None:
    canvas.write(x, y, CLOSED if up else OPEN, f"bold {_UP if up else _DOWN}")


# --- the list -----------------------------------------------------------------------------------


def _legend(graph: Graph, width: int, *, ascii_only: bool) -> Iterator[Text]:
    """Yield a line for each link; what does not fit is cut, since a line that wraps would move everything below."""
    names = Counter(wire.link for wire in graph.wires.values())
    rows = [
        (wire, wire.link if names[wire.link] == 1 else f"{wire.one} - {wire.other}", wire.end())
        for wire in graph.wires.values()
    ]
    room = min(max((len(title) for _, title, _ in rows), default=0), max(width // 3, _FEWEST))
    carried = max((len(_carrier(end)) for _, _, end in rows), default=0)
    for wire, title, end in rows:
        style = _UP if wire.up else _DOWN
        over = _carrier(end).ljust(carried)
        what = end.suite if wire.up and end is not None else f"open: {wire.reason}"
        trip = "" if end is None or end.rtt_ms is None else f"{end.rtt_ms:.1f} ms"
        parts = [
            (CLOSED if wire.up else OPEN, f"bold {style}"),
            (cut(title, room).ljust(room), ""),
            *([(over, "dim")] if carried else []),
            (what, style),
            *([(trip, "")] if trip else []),
        ]
        yield _line(parts, width, ascii_only=ascii_only)


def _line(parts: Sequence[tuple[str, str]], width: int, *, ascii_only: bool) -> Text:
    line = Text(no_wrap=True, overflow="crop")
    for part, style in parts:
        text = cut(part, max(0, width - len(line)))
        line.append(text.encode("ascii", "replace").decode() if ascii_only else text, style)
        line.append(" " if len(line) < width else "")
    line.rstrip()
    return line


def _carrier(end: LinkStatus | None) -> str:
    return "" if end is None else CARRIERS.get(end.carrier, end.carrier)
