"""The live panel of the chain: its picture, five links and their locks, who may fly, the vehicle, traffic, progress,
the latest events.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from rich.console import Group, RenderableType
from rich.panel import Panel as Box
from rich.table import Table
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.chain_report import LINKS, NODES
from nodes.demo.drawing import bar, grid
from nodes.demo.options import DemoOptions
from nodes.looking.book import StatusBook
from nodes.looking.picture import CLOSED, OPEN, Edge, Picture, draw
from nodes.stations.notes import (
    AIRLINK_NAME,
    CLASSES,
    Alarmed,
    Counts,
    Delivered,
    Flight,
    HandedOver,
    Holds,
    LinkIsDown,
    LinkIsUp,
    LinkMeter,
    Live,
    Note,
    Parsing,
    Progress,
    Shown,
)
from nodes.stations.sentences import CARRIERS, sentence

N = TypeVar("N", Live, Parsing, Progress, Flight, Delivered)
_EVENTS: Final = 8
_FEWEST_EVENTS: Final = 3
_RATE_METERS: Final = 6
"""Rates are taken over so many meters: about a second."""
_PICTURE_ROWS: Final = 6
"""Boxes, and two arcs below."""
_ROOMY_ROWS: Final = 36 + _PICTURE_ROWS + 1
"""A screen that has fewer gets no empty lines."""
_FIXED_ROWS: Final = 22
"""Rows of such a panel, without picture and events."""
_EDGES: Final = tuple(Edge(one, other, name) for name in LINKS for one, _, other in [name.partition("-")])
_END_TO_END: Final = frozenset({"mobile-drone", "cloud-drone"})


class ChainPanel:
    """Everything that has been told so far, and how it looks now."""

    def __init__(self, options: DemoOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._up: dict[str, LinkIsUp] = {}
        self._down: dict[str, str] = {}
        self._book = StatusBook(clock)
        for node in NODES:
            self._book.enter(node, node)
        self._meters: dict[str, LinkMeter] = {}
        self._air = {node: deque[tuple[float, Counts]](maxlen=_RATE_METERS) for node in ("drone", "rc")}
        self._holder = "nobody"
        self._hand_overs: list[HandedOver] = []
        self._shown: dict[str, Shown] = {}
        self._last: dict[type[Note], Note] = {}
        self._began_s: float | None = None
        self._alarms = 0
        self._events: deque[Note] = deque(maxlen=_EVENTS)

    def take(self, note: Note) -> None:
        """Take one note."""
        self._book.take(note)
        match note:
            case LinkIsUp() if LINKS.get(note.link) == note.node:
                self._take_up(note)
            case LinkIsDown() if LINKS.get(note.link) == note.node:
                self._down[note.link] = note.reason
            case LinkMeter():
                self._take_meter(note)
            case Holds() if note.right == "flight":
                self._holder = note.holder
            case Shown():
                self._shown[note.node] = note
            case HandedOver():
                self._hand_overs.append(note)
            case Alarmed():
                self._alarms += 1
            case _:
                self._last[type(note)] = note
        if not isinstance(note, LinkIsUp | Parsing | Progress) and sentence(note):
            self._events.append(note)

    def _newest(self, kind: type[N]) -> N | None:
        """Return the last note of a kind."""
        note = self._last.get(kind)
        return note if isinstance(note, kind) else None

    def _take_up(self, note: LinkIsUp) -> None:
        self._up[note.link] = note
        self._down.pop(note.link, None)
        if note.link == "mobile-drone" and self._began_s is None:  # the pilot flies when the mobile is there
            self._began_s = self._clock()

    def _take_meter(self, note: LinkMeter) -> None:
        if LINKS.get(note.link) == note.node:
            self._meters[note.link] = note
        if note.link == AIRLINK_NAME:
            self._air[note.node].append((self._clock(), note.classes))

    def render(self, rows: int = 100) -> RenderableType:
        """Draw everything; on a screen of so many rows, what fits."""
        roomy = rows >= _ROOMY_ROWS
        picture = self._picture()
        fixed = _FIXED_ROWS + (_PICTURE_ROWS if rows >= _FIXED_ROWS + _FEWEST_EVENTS + _PICTURE_ROWS else 0)
        events = _EVENTS if roomy else max(_FEWEST_EVENTS, min(_EVENTS, rows - fixed))
        parts: list[RenderableType] = [self._links(), self._state(), self._traffic(), self._bars()]
        if not roomy and rows < _FIXED_ROWS + _FEWEST_EVENTS:
            parts.remove(parts[2])
        if fixed > _FIXED_ROWS:
            parts.insert(0, picture)
        parts.append(self._latest(events))
        if roomy:
            parts = [each for part in parts for each in (part, Text())][:-1]
        style = "red" if self._alarms else "green" if len(self._up) == len(LINKS) else "yellow"
        return Box(
            Group(*parts),
            title="[bold]aerolink demo[/]",
            subtitle=_security(picture),
            border_style=style,
            padding=(int(roomy), 2),
        )

    def _picture(self) -> Picture:
        return draw(self._book.nodes(), _EDGES, legend=False)

    # --- parts ----------------------------------------------------------------------------------

    def _links(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("link", style="bold", no_wrap=True, min_width=max(map(len, LINKS)))
        table.add_column("over", no_wrap=True, min_width=6)
        table.add_column("lock", no_wrap=True, min_width=4)
        for heading in ("handshake", "round trip", "rekeys"):
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
        table.add_column("suite, or why it is open", no_wrap=True, overflow="ellipsis")
        for name in LINKS:
            table.add_row(name, *self._link(name))
        return table

    def _link(self, name: str) -> tuple[str | Text, ...]:
        up = self._up.get(name)
        if up is None:
            carrier = self._options.carrier if name == AIRLINK_NAME else ""
            return (
                CARRIERS.get(carrier, "relays" if name in _END_TO_END else ""),
                Text(OPEN, "yellow"),
                "",
                "",
                "",
                Text("not yet up", "yellow"),
            )
        is_down = name in self._down
        lock = Text(OPEN, "bold red") if is_down else Text(CLOSED, "bold green")
        suite = Text(one_line(f"open: {self._down[name] or 'closed'}"), "red") if is_down else Text(up.suite, "dim")
        meter = self._meters.get(name)
        trip = "-" if meter is None or meter.rtt_ms is None else f"{meter.rtt_ms:.2f} ms"
        rekeys = "-" if meter is None else str(meter.rekeys)
        return CARRIERS.get(up.carrier, up.carrier), lock, f"{up.handshake_ms:.1f} ms", trip, rekeys, suite

    def _state(self) -> Table:
        table = grid()
        moves = ", ".join(f"{each.before} to {each.after} at {each.at_s:.1f} s" for each in self._hand_overs)
        who = Text(self._holder, "bold cyan" if self._holder != "nobody" else "yellow")
        table.add_row("may fly", Text.assemble(who, (f"   handed over: {moves}" if moves else "", "dim")))
        mobile, live = self._shown.get("mobile"), self._newest(Live)
        table.add_row("vehicle", Text(one_line(mobile.vehicle) if mobile and mobile.vehicle else "-"))
        table.add_row("cloud", f"{live.messages if live else 0:,} messages of telemetry, live")
        table.add_row("alarms", Text(str(self._alarms), "bold red") if self._alarms else Text("none"))
        return table

    def _traffic(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
        table.add_column(AIRLINK_NAME, style="bold", no_wrap=True)
        for heading in ("up/s", "down/s", "sent", "received", "lost"):
            table.add_column(heading, justify="right", min_width=8, no_wrap=True)
        for name in CLASSES:
            table.add_row(name, *self._row(name))
        return table

    def _row(self, name: str) -> tuple[str, ...]:
        ends = [meters[-1][1][name] for meters in self._air.values() if meters]
        sent, received, lost = (sum(end[what] for end in ends) for what in ("sent", "received", "lost"))
        counts = (sent, min(received, sent), lost)  # the two ends are not asked at the same moment
        rates = (self._rate("rc", name), self._rate("drone", name))
        return (*(f"{each:,.0f}" for each in rates), *(f"{each:,}" for each in counts))

    def _rate(self, node: str, name: str) -> float:
        meters = self._air[node]
        if len(meters) < 2:
            return 0.0
        (first_s, first), (last_s, last) = meters[0], meters[-1]
        return max(0.0, (last[name]["sent"] - first[name]["sent"]) / max(last_s - first_s, 1e-3))

    def _bars(self) -> Table:
        table = grid()
        parsing = self._newest(Parsing)
        if parsing is not None:
            done, total = parsing.done_bytes, parsing.total_bytes
            table.add_row("log", bar(done, total), f"{done / 1e6:.1f} of {total / 1e6:.1f} MB read")
        done, total, text = self._way()
        table.add_row("flight", bar(done, total), text)
        sent, received = (self._shown[name].frames if name in self._shown else 0 for name in ("drone", "rc"))
        received = min(received, sent)  # the two ends are not asked at the same moment
        table.add_row("video", bar(received, sent), f"{received:,} of {sent:,} frames unharmed")
        return table

    def _way(self) -> tuple[int, int, str]:
        """How far the flight has come, of how much, and in words."""
        delivered, progress, flight = (self._newest(Delivered), self._newest(Progress), self._newest(Flight))
        if delivered is not None:
            return 1, 1, f"{delivered.messages:,} messages verified and unsealed at the cloud"
        if progress is not None:
            done, total = progress.done_bytes, progress.total_bytes
            return done, total, f"{done / 1e6:.2f} of {total / 1e6:.2f} MB uploaded to the cloud"
        if flight is not None:
            return 0, 1, f"{flight.messages:,} messages, to be sealed and sent on"
        if not self._options.flies_model or self._began_s is None:
            return 0, 1, "not there yet"
        live_s = self._options.live_s
        done_s = min(self._clock() - self._began_s, live_s)
        return round(done_s * 10), round(live_s * 10), f"recording, {done_s:.0f} of {live_s:.0f} s"

    def _latest(self, count: int) -> Text:
        lines = Text(no_wrap=True, overflow="ellipsis")
        for note in list(self._events)[-count:]:
            style = "bold red" if isinstance(note, Alarmed) else "dim"
            lines.append(one_line(sentence(note)) + "\n", style)
        lines.rstrip()
        return lines


def _security(picture: Picture) -> Text:
    """How many links are locked; green when all are."""
    locked, links = picture.locked
    return Text(f"{locked} of {links} links locked", "bold green" if locked == links else "bold yellow")
