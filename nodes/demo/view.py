"""What a person sees of a demo: a live view on a terminal, plain lines elsewhere, and a summary at the end."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nodes.config.reader import one_line
from nodes.demo.chain_panel import ChainPanel
from nodes.demo.chain_report import ChainReport
from nodes.demo.options import DemoOptions
from nodes.demo.panel import Panel
from nodes.demo.report import Report
from nodes.demo.summary import summary
from nodes.screen import Screen
from nodes.stations.notes import (
    AIRLINK_NAME,
    Alarmed,
    Delivered,
    HandedOver,
    Line,
    LinkIsDown,
    LinkIsUp,
    LinkMeter,
    Meter,
    Note,
    Parsing,
)
from nodes.stations.sentences import Quarters, sentence

_PLAIN_WIDTH = 120
_NEWS = (Line, LinkIsUp, LinkIsDown, Parsing, HandedOver, Delivered, Alarmed)
"""Drawn at once; everything else when the remote controller's link is metered, a few times a second."""


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
        self._quarters = Quarters()

    def take(self, note: Note) -> None:
        text = sentence(note) if self._quarters.passes(note) else ""
        if text:
            self._console.print(Text(one_line(text)), soft_wrap=True)

    def conclude(self, report: Report | ChainReport) -> None:
        self._console.print(summary(report, decorated=self._console.is_terminal))


class LiveView(View):
    """A panel that is drawn anew a few times a second, by whoever brings the news: there is no other thread."""

    def __init__(self, console: Console, options: DemoOptions) -> None:
        self._console = console
        self._panel = Panel(options) if options.two else ChainPanel(options)
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
        if isinstance(note, _NEWS) or _is_tick(note):
            self._live.update(self._panel.render(self._console.height), refresh=True)

    def conclude(self, report: Report | ChainReport) -> None:
        self._console.print(summary(report, decorated=True))


def _is_tick(note: Note) -> bool:
    if isinstance(note, LinkMeter):
        return (note.node, note.link) == ("rc", AIRLINK_NAME)
    return isinstance(note, Meter) and note.node == "rc"


def open_view(options: DemoOptions, *, as_json: bool, logging_much: bool) -> View:
    """Return the view that fits: with ``as_json`` stdout belongs to the program that reads it."""
    console = Screen(file=sys.stderr if as_json else sys.stdout, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal and not logging_much:
        return LiveView(console, options)
    if as_json:
        return View()
    width = None if console.is_terminal else _PLAIN_WIDTH
    return PlainView(Screen(file=sys.stdout, highlight=False, width=width, color_system=None))
