"""What a person sees of a demo: a live view on a terminal, plain lines elsewhere, and a summary at the end."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.chain_report import ChainReport
from nodes.demo.options import DemoOptions
from nodes.demo.panel import Panel, sentence
from nodes.demo.report import Report
from nodes.demo.summary import summary
from nodes.stations.notes import Alarmed, Delivered, Line, LinkIsUp, Meter, Note, Parsing

_PLAIN_WIDTH = 120


class View(AbstractContextManager["View"]):
    """Takes notes. This one shows nothing: a program reads."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def take(self, note: Note) -> None:
        """Show a note."""

    def conclude(self, report: Report | ChainReport) -> None:
        """Show the summary."""


class PlainView(View):
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parsed_quarters = 0

    def take(self, note: Note) -> None:
        if isinstance(note, Parsing):
            quarters = 4 * note.done_bytes // max(note.total_bytes, 1)
            if quarters == self._parsed_quarters:
                return
            self._parsed_quarters = quarters
        text = sentence(note)
        if text:
            self._console.print(Text(one_line(text)), soft_wrap=True)

    def conclude(self, report: Report | ChainReport) -> None:
        self._console.print(summary(report, decorated=self._console.is_terminal))


class LiveView(View):
    """A panel that is drawn anew a few times a second, by whoever brings the news: there is no other thread."""

    def __init__(self, console: Console, options: DemoOptions) -> None:
        self._console = console
        self._panel = Panel(options)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def take(self, note: Note) -> None:
        self._panel.take(note)
        if isinstance(note, Line | LinkIsUp | Parsing | Delivered | Alarmed) or (
            isinstance(note, Meter) and note.node == "rc"
        ):
            self._live.update(self._panel.render(), refresh=True)

    def conclude(self, report: Report | ChainReport) -> None:
        self._console.print(summary(report, decorated=True))


def open_view(options: DemoOptions, *, as_json: bool, logging_much: bool) -> View:
    """Return the view that fits: with ``as_json`` stdout belongs to the program that reads it."""
    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal and not logging_much:
        return LiveView(console, options)
    if as_json:
        return View()
    width = None if console.is_terminal else _PLAIN_WIDTH
    return PlainView(Console(file=sys.stdout, highlight=False, width=width, color_system=None))
