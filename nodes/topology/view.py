"""What a person sees of a run: a picture of the topology on a terminal, plain lines elsewhere, and a summary."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from nodes.cli_output import write_line
from nodes.config.reader import one_line
from nodes.looking.picture import Edge, draw
from nodes.stations.notes import Note
from nodes.stations.sentences import CARRIERS, Quarters, sentence
from nodes.topology.board import Board
from nodes.topology.report import LinkRow, TopologyReport

_DRAW_S: Final = 0.25
"""The picture is drawn no more often."""
_LATEST: Final = 6
"""Events below it."""
_WIDTH: Final = 120


class View:
    """Takes notes. This one shows nothing: a program reads."""

    @contextmanager
    def open(self, board: Board) -> Generator[None]:  # noqa: ARG002  # nothing to look at
        """Show a run while the block lasts; ``board`` knows which links are up."""
        yield

    def take(self, note: Note) -> None:
        """Show a note."""

    def conclude(self, report: TopologyReport) -> None:
        """Show the summary."""


class PlainView(View):
    """One line for each thing that happens."""

    def __init__(self) -> None:
        self._quarters = Quarters()

    def take(self, note: Note) -> None:
        text = sentence(note) if self._quarters.passes(note) else ""
        if text:
            write_line(one_line(text))  # no node ends because nobody reads

    def conclude(self, report: TopologyReport) -> None:
        sys.stdout.write("\n".join(summary(report)) + "\n")


class LiveView(View):
    """A picture that is drawn anew a few times a second, by whoever brings the news: there is no other thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._board: Board | None = None
        self._edges: list[Edge] = []
        self._latest: list[str] = []
        self._drawn_s = -_DRAW_S

    @contextmanager
    def open(self, board: Board) -> Generator[None]:
        self._board = board
        self._edges = [Edge(link.maker, link.answerer, link.name) for link in board.links]
        with self._live:
            yield

    def take(self, note: Note) -> None:
        text = sentence(note)
        if text:
            self._latest = [*self._latest, one_line(text)][-_LATEST:]
        now = trio.current_time()
        if self._board is not None and now >= self._drawn_s + _DRAW_S:
            self._drawn_s = now
            lines = [Text(each, "dim", no_wrap=True, overflow="ellipsis") for each in self._latest]
            self._live.update(Group(draw(self._board.book.nodes(), self._edges), *lines), refresh=True)

    def conclude(self, report: TopologyReport) -> None:
        self._console.print(Text("\n".join(summary(report))), soft_wrap=True)


def open_view(*, as_json: bool, logging_much: bool) -> View:
    """Return the view that fits: with ``as_json`` stdout belongs to the program that reads it."""
    console = Console(file=sys.stdout, highlight=False)
    if as_json:
        return View()
    if console.is_terminal and not console.is_dumb_terminal and not logging_much:
        return LiveView(console)
    return PlainView()


def summary(report: TopologyReport) -> list[str]:
    """Return a report as lines for people."""
    lines = [f"{'ok' if report.ok else 'not ok'}: {report.topology}, {report.seconds:g} s"]
    lines += [f"  {_link_line(link)}" for link in report.links]
    restarted = [f"{node.name} ({node.starts - 1})" for node in report.nodes if node.starts > 1]
    counts = [f"{len(report.authority)} hand-overs", f"{len(report.flights)} flights at a cloud"]
    counts += [f"{len(report.alarms)} alarms", f"started again: {', '.join(restarted) or 'nobody'}"]
    lines.append(f"  {'; '.join(counts)}")
    return [one_line(line) for line in (*lines, *(f"  problem: {problem}" for problem in report.problems))]


def _link_line(link: LinkRow) -> str:
    state = f"up {link.times} times" if link.times > 1 else "up"
    what = f"{link.maker} to {link.answerer}: {state if link.up else 'NOT UP'}"
    return f"{what} over {CARRIERS.get(link.carrier, link.carrier)}, {link.messages:,} messages, {link.suite or '-'}"
