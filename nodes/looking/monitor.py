"""What `aerolink monitor` shows of the nodes that it watches: a live picture, lines, or JSON."""

import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Final, NoReturn

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from nodes.config.reader import one_line
from nodes.looking.client import Lost, Seen
from nodes.looking.picture import Picture, draw
from nodes.looking.plain import to_plain
from nodes.looking.status import NodeStatus
from nodes.looking.watching import Away, Target, Watched, told_apart, watch

DRAW_S: Final = 0.25
_EVENTS: Final = 12
_FEWEST: Final = 3

Show = Callable[[Target, Watched], None]


class JsonLines:
    """One object for each thing."""

    def take(self, target: Target, watched: Watched) -> None:
        """Write what was seen."""
        sys.stdout.write(json.dumps({**_plain(watched), "folder": str(target.folder)}) + "\n")
        sys.stdout.flush()


def _plain(watched: Watched) -> dict[str, Any]:
    match watched:
        case NodeStatus():
            return {"event": "status", "status": to_plain(watched)}
        case Seen():
            return {**watched.fields, "event": watched.kind}
        case Lost():
            return {"event": "lost", **asdict(watched)}
        case Away():
            return {"event": "away", "why": watched.why}


class PlainLines:
    """A line for each thing that happens, where there is no terminal."""

    def __init__(self) -> None:
        self._there = set[Target]()

    def take(self, target: Target, watched: Watched) -> None:
        """Write what was seen, if it is for people."""
        text = _line(target, watched)
        if isinstance(watched, NodeStatus) and target not in self._there:
            self._there.add(target)
            text = f"{watched.name}: attached to {watched.role}, process {watched.pid}"
        elif isinstance(watched, Away):
            self._there.discard(target)
        if text:
            sys.stdout.write(one_line(text) + "\n")
            sys.stdout.flush()


def _line(target: Target, watched: Watched) -> str:
    match watched:
        case Seen():
            return watched.text
        case Lost():
            return f"{target.name}: {watched.notes} events were lost on the way here"
        case Away():
            return f"{target.name}: {watched.why}"
        case _:
            return ""


class LivePicture:
    """The nodes as they are now, and below what has happened."""

    def __init__(self, targets: list[Target], console: Console) -> None:
        self._targets = targets
        self._console = console
        self._nodes = {target: _unseen(target) for target in targets}
        self._events = deque[str](maxlen=_EVENTS)

    def take(self, target: Target, watched: Watched) -> None:
        """Remember what was seen."""
        if isinstance(watched, NodeStatus):
            self._nodes[target] = watched
        elif isinstance(watched, Away):
            self._nodes[target] = _gone(self._nodes[target], watched.why)
        text = _line(target, watched)
        if text:
            self._events.append(one_line(text))

    async def run(self) -> NoReturn:
        """Draw for ever."""
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                live.update(self.render(self._console.height), refresh=True)
                await trio.sleep(DRAW_S)

    def render(self, rows: int) -> RenderableType:
        """Draw everything that fits into so many rows."""
        picture = draw(told_apart(self._targets, list(self._nodes.values())))
        room = rows - picture.height(self._console.width) - 3
        events = list(self._events)[-max(_FEWEST, room) :]
        lines = [Text(event, "dim", no_wrap=True, overflow="ellipsis") for event in events]
        return Group(_head(picture, list(self._nodes.values())), picture, *lines)


def _head(picture: Picture, nodes: list[NodeStatus]) -> Text:
    locked, links = picture.locked
    alarms = sum(alarm.count for node in nodes for alarm in node.alarms)
    away = [node.name for node in nodes if not node.running]
    safe = "bold green" if links and locked == links else "bold red"
    return Text.assemble(
        (f"{locked} of {links} links locked", safe),
        (f", {alarms} alarms", "bold red" if alarms else ""),
        (f", not there: {', '.join(map(one_line, away))}" if away else "", "bold red"),
        no_wrap=True,
        overflow="ellipsis",
    )


def _unseen(target: Target) -> NodeStatus:
    return NodeStatus(target.name, target.role, running=False)


def _gone(status: NodeStatus, why: str) -> NodeStatus:
    """Nothing is up at a node that is not there."""
    links = tuple(replace(each, up=False, reason="the node has ended", rtt_ms=None) for each in status.links)
    return replace(status, running=False, why=why, links=links)


async def monitor_all(targets: list[Target], show: Show, draw_on: Callable[[], Any] | None = None) -> None:
    """Watch nodes until we are ended; ``draw_on`` runs beside. ConfigError."""
    async with trio.open_nursery() as nursery:
        for target in targets:
            nursery.start_soon(watch, target, show)
        if draw_on is not None:
            nursery.start_soon(draw_on)
