"""The live panel of a pair (`--two`): link, vehicle, traffic by class, progress, the latest events."""

from collections import deque
from typing import Final

from rich.console import ConsoleRenderable, Group, RenderableType
from rich.panel import Panel as Box
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.drawing import bar, grid
from nodes.demo.options import DemoOptions
from nodes.looking.picture import CLOSED, OPEN
from nodes.stations.notes import CLASSES, Alarmed, Flight, LinkIsUp, Meter, Note, Parsing
from nodes.stations.sentences import sentence

_EVENTS: Final = 6
_RATE_METERS: Final = 6
"""Rates are taken over so many meters: about a second."""


class Panel:
    """Everything that has been told so far, and how it looks now."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._links: dict[str, LinkIsUp] = {}
        self._meters = {name: deque[Meter](maxlen=_RATE_METERS) for name in ("drone", "rc")}
        self._events: deque[Note] = deque(maxlen=_EVENTS)
        self._alarms = 0
        self._began_s: float | None = None
        self._parsing: Parsing | None = None

    def take(self, note: Note) -> None:
        """Take one note."""
        if isinstance(note, Meter):
            self._meters[note.node].append(note)
            if note.node == "rc" and self._began_s is None:
                self._began_s = note.at_s
        elif isinstance(note, LinkIsUp):
            self._links[note.node] = note
        elif isinstance(note, Parsing):
            self._parsing = note
        elif not isinstance(note, Flight):
            self._alarms += isinstance(note, Alarmed)
            if sentence(note):
                self._events.append(note)

    def render(self, rows: int = 100) -> RenderableType:  # noqa: ARG002  # it looks the same on every screen
        """Draw everything."""
        parts: list[ConsoleRenderable] = [
            self._head(),
            Text(),
            self._traffic(),
            Text(),
            self._bars(),
            Text(),
            self._latest(),
        ]
        title = "[bold]aerolink demo[/]"
        style = "red" if self._alarms else "green" if "rc" in self._links else "yellow"
        return Box(Group(*parts), title=title, border_style=style, padding=(1, 2))

    # --- parts ----------------------------------------------------------------------------------

    def _head(self) -> Table:
        table = grid()
        up = self._links.get("rc")
        over = self._options.carrier.upper()
        if up is None:
            table.add_row("link", Text(f"{OPEN} pairing over {over} ...", "yellow"))
            return table
        table.add_row(
            "link", Text.assemble((f"{CLOSED} up", "bold green"), f" over {over}, handshake {up.handshake_ms:.1f} ms")
        )
        table.add_row("suite", up.suite)
        table.add_row("drone", Text(up.peer, "cyan"))
        if "drone" in self._links:
            table.add_row("rc", Text(self._links["drone"].peer, "cyan"))
        meters = self._meters["rc"]
        if meters:
            rtt_ms = meters[-1].rtt_ms
            table.add_row("path", f"round trip {'-' if rtt_ms is None else f'{rtt_ms:.2f}'} ms, {self._path()}")
            table.add_row("vehicle", Text(one_line(meters[-1].vehicle) or "-"))
        alarms = Text(str(self._alarms), "bold red") if self._alarms else Text("none")
        table.add_row("alarms", alarms)
        return table

    def _path(self) -> str:
        ends = [meters[-1] for meters in self._meters.values() if meters]
        lost = sum(row["lost"] for end in ends for row in end.classes.values())
        rekeys = max(end.rekeys for end in ends)
        down, up = self._bits_per_s("drone"), self._bits_per_s("rc")
        return f"down {down / 1e6:.2f} Mbit/s, up {up / 1e6:.2f} Mbit/s, lost {lost}, rekeys {rekeys}"

    def _bits_per_s(self, node: str) -> float:
        meters = self._meters[node]
        if len(meters) < 2:
            return 0.0
        first, last = meters[0], meters[-1]
        return 8 * (last.sent_bytes - first.sent_bytes) / max(last.at_s - first.at_s, 1e-3)

    def _traffic(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
        table.add_column("class")
        for heading in ("up/s", "down/s", "sent", "received", "lost"):
            table.add_column(heading, justify="right", min_width=8)
        for name in CLASSES:
            table.add_row(name, *self._row(name))
        return table

    def _row(self, name: str) -> tuple[str, ...]:
        ends = [meters[-1].classes[name] for meters in self._meters.values() if meters]
        sent, received, lost = (sum(end[what] for end in ends) for what in ("sent", "received", "lost"))
        counts = (sent, min(received, sent), lost)  # the two ends are not asked at the same moment
        return (
            f"{self._rate('rc', name):,.0f}",
            f"{self._rate('drone', name):,.0f}",
            *(f"{each:,}" for each in counts),
        )

    def _rate(self, node: str, name: str) -> float:
        meters = self._meters[node]
        if len(meters) < 2:
            return 0.0
        first, last = meters[0], meters[-1]
        return (last.classes[name]["sent"] - first.classes[name]["sent"]) / max(last.at_s - first.at_s, 1e-3)

    def _bars(self) -> Table:
        table = grid()
        if self._parsing is not None:
            done, total = self._parsing.done_bytes, self._parsing.total_bytes
            table.add_row("log", bar(done, total), f"{done / 1e6:.1f} of {total / 1e6:.1f} MB read")
        table.add_row("flight", *self._flight_bar())
        sent, received = (self._meters[name][-1].frames if self._meters[name] else 0 for name in ("drone", "rc"))
        received = min(received, sent)  # the two ends are not asked at the same moment
        table.add_row("video", bar(received, sent), f"{received:,} of {sent:,} frames unharmed")
        return table

    def _flight_bar(self) -> tuple[ProgressBar, str]:
        meters = self._meters["rc"]
        if meters and meters[-1].object_total:
            done, total = meters[-1].object_bytes, meters[-1].object_total
            return bar(done, total), f"{done / 1e6:.2f} of {total / 1e6:.2f} MB handed over"
        if not self._options.flies_model or self._began_s is None:
            return bar(0, 1), "not offered yet"
        done_s, live_s = meters[-1].at_s - self._began_s, self._options.live_s
        return bar(round(done_s * 10), round(live_s * 10)), f"recording, {done_s:.0f} of {live_s:.0f} s"

    def _latest(self) -> Text:
        lines = Text()
        for note in self._events:
            style = "bold red" if isinstance(note, Alarmed) else "dim"
            lines.append(one_line(sentence(note)) + "\n", style)
        lines.rstrip()
        return lines
