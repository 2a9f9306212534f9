"""A node under a program that has started it: it tells its counters as well, and ends when that program has gone.

One object a line, as ``aerolink node --json`` writes them.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import trio

from nodes.config import Config
from nodes.stations.notes import LinkIsDown, LinkMeter, Note, Say, from_line
from nodes.working import Errands, work

METERS_S: Final = 1.0
"""Counters of a link are told no more often, and once more when it has ended."""
_CHUNK_BYTES: Final = 4_096


def line_of(note: Note) -> str:
    """Return a note as one line of JSON."""
    return json.dumps({"event": type(note).__name__, **asdict(note)})


def note_of(line: str) -> Note:
    """Return the note of a line; MalformedError if it is none."""
    return from_line(line, "event")


class Sparing:
    """Lets counters pass once a second for each link; of those that it held back, the last before the link's end."""

    def __init__(self, say: Say, clock: Callable[[], float] = trio.current_time) -> None:
        self._say = say
        self._clock = clock
        self._told_s: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], LinkMeter] = {}

    def say(self, note: Note) -> None:
        """Take a note, and say it, or not now."""
        if isinstance(note, LinkMeter):
            self._take_meter(note)
            return
        if isinstance(note, LinkIsDown):
            meter = self._held.pop((note.link, note.peer), None)
            if meter is not None:
                self._say(meter)
            self._told_s.pop((note.link, note.peer), None)
        self._say(note)

    def _take_meter(self, note: LinkMeter) -> None:
        link, now = (note.link, note.peer), self._clock()
        if now < self._told_s.get(link, now) + METERS_S and link in self._told_s:
            self._held[link] = note
            return
        self._told_s[link] = now
        self._held.pop(link, None)
        self._say(note)


async def work_supervised(config: Config, errands: Errands, write: Callable[[str], None]) -> None:
    """Run a station until whoever has started this process has gone, or lets go of it: its end of stdin is closed.

    ``write`` takes lines. Errors as :func:`nodes.working.work`.
    """
    stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_with, stdin, nursery.cancel_scope)
        await work(config, errands, Sparing(lambda note: write(line_of(note))).say)


async def _end_with(stdin: trio.abc.ReceiveStream, scope: trio.CancelScope) -> None:
    while await stdin.receive_some(_CHUNK_BYTES):
        pass
    scope.cancel()
