"""A book of all that nodes say of themselves: notes go in as they come, a picture of the moment comes out.

It takes memory for what there is, never for what has happened: counters are added up, texts are the last few, and of
links that are down the one that has been so for longest makes room.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from nodes.config.reader import one_line
from nodes.looking.links import LinkRow
from nodes.looking.status import NOBODY, AlarmStatus, LinkStatus, NodeStatus, RightStatus
from nodes.stations.notes import (
    Alarmed,
    DroneSeen,
    Holds,
    LinkIsDown,
    LinkIsMissed,
    LinkIsUp,
    LinkMeter,
    Live,
    Note,
    RightsTold,
    Shown,
)
from nodes.stations.sentences import Quarters, sentence

__all__ = ["NOBODY", "AlarmStatus", "LinkStatus", "NodeStatus", "RightStatus", "StatusBook"]

MAX_NODES: Final = 64
"""More are not looked at."""
MAX_LINKS: Final = 512
"""Of one node."""
MAX_RIGHTS: Final = 256
MAX_KINDS: Final = 64
LATEST: Final = 12
"""Events that are kept."""
ALARM_TEXTS: Final = 3
"""Texts that are kept of each kind of alarm."""
MAX_TEXT: Final = 240
"""Characters of one text."""
RIGHTS: Final = ("flight", "payload")
_SHORT: Final = 9
"""Two groups of a fingerprint."""
_ROLES: Final = ("drone", "rc", "mobile", "cloud")


class StatusBook:
    """Takes notes of one node or of many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: seconds; it never goes back."""
        self._clock = clock
        self._pages: dict[str, _Page] = {}

    def enter(self, name: str, role: str, pid: int = 0, ids: tuple[str, ...] = (), version: str = "") -> None:
        """Say what is known of a node beforehand; it begins now. Entered again, it has begun again."""
        page = self._page(name)
        if page is not None:
            page.role, page.pid, page.ids, page.version = role, pid, ids, version
            page.begin(self._clock())

    def ended(self, name: str, why: str) -> None:
        """Say that a node has ended, which it may not have said itself: all its links are down."""
        page = self._pages.get(name)
        if page is not None:
            page.end(why, self._clock())

    def take(self, note: Note) -> None:
        """Take a note; what says nothing of a node is left alone."""
        page = self._page(getattr(note, "node", "")) or self._cloud(note)
        if page is not None:
            page.take(note, self._clock())

    def status(self, name: str) -> NodeStatus:
        """Return how a node is; KeyError if nothing was ever heard of it."""
        return self._pages[name].status(self._clock())

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Return how all of them are, in the order in which they were first heard of."""
        now_s = self._clock()
        return tuple(page.status(now_s) for page in self._pages.values())

    def _cloud(self, note: Note) -> "_Page | None":
        """The cloud says what came live without its name."""
        return next((page for page in self._pages.values() if page.role == "cloud" and isinstance(note, Live)), None)

    def _page(self, name: str) -> "_Page | None":
        if name and name not in self._pages and len(self._pages) < MAX_NODES:
            self._pages[name] = _Page(name, self._clock())
        return self._pages.get(name)


class _Page:
    """Of one node."""

    def __init__(self, name: str, now_s: float) -> None:
        self.name: Final = name
        self.role = name if name in _ROLES else ""
        self.pid = 0
        self.version = ""
        self.ids: tuple[str, ...] = ()
        self.began_s = now_s
        self.running = True
        self.why = ""
        self._links: dict[tuple[str, str], LinkRow] = {}
        self._held: dict[tuple[str, str], tuple[str, str]] = {}
        self._alarms: dict[str, tuple[int, deque[str]]] = {}
        self._latest: deque[str] = deque(maxlen=LATEST)
        self._quarters = Quarters()
        self._vehicle = ""
        self._drones: dict[str, str] = {}
        self._live = 0

    def take(self, note: Note, now_s: float) -> None:
        self.running, self.why = True, ""
        match note:
            case LinkIsUp():
                self._row(note.link, note.peer, now_s).take_up(note, now_s)
            case LinkIsDown():
                self._row(note.link, note.peer, now_s).take_down(note, now_s)
            case LinkIsMissed():
                self._row(note.link, note.peer, now_s).take_missed(note)
            case LinkMeter():
                self._row(note.link, note.peer, now_s).take_meter(note)
            case Holds():
                self._hold("", note.right, note.holder, note.holder_id)
            case RightsTold():
                self._hold(note.drone, "flight", "", note.flight_id)
                self._hold(note.drone, "payload", "", note.payload_id)
            case DroneSeen() if note.drone in self._drones or len(self._drones) < MAX_LINKS:
                self._drones[note.drone] = _clipped(f"{note.phase.replace('_', ' ')}, {note.height_m:.1f} m high")
            case Alarmed():
                self._take_alarm(note)
            case Shown() if note.vehicle:
                self._vehicle = _clipped(note.vehicle)
            case Live():
                self._live = note.messages
            case _:
                pass
        text = sentence(note) if self._quarters.passes(note) else ""
        if text:
            self._latest.append(_clipped(text))

    def begin(self, now_s: float) -> None:
        """A node that begins, or begins again, has no links; of a drone nobody has any right."""
        self.end("", now_s)
        self.began_s, self.running = now_s, True
        if self.role == "drone":
            self._held = {("", right): (NOBODY, "") for right in RIGHTS}

    def end(self, why: str, now_s: float) -> None:
        self.running, self.why = False, _clipped(why)
        for row in self._links.values():
            row.lose("the node has ended", now_s)

    def status(self, now_s: float) -> NodeStatus:
        return NodeStatus(
            self.name,
            self.role,
            self.pid,
            now_s - self.began_s,
            self.ids,
            tuple(row.status(now_s) for row in self._links.values()),
            tuple(self._right(*what, *holder) for what, holder in self._held.items()),
            tuple(AlarmStatus(kind, count, tuple(texts)) for kind, (count, texts) in self._alarms.items()),
            tuple(self._latest),
            self._vehicle,
            dict(self._drones),
            self._live,
            running=self.running,
            why=self.why,
            version=self.version,
        )

    # --- rows -----------------------------------------------------------------------------------

    def _row(self, link: str, peer: str, now_s: float) -> LinkRow:
        """Return the row of a link; a note that does not name the peer is about the only link of its name."""
        if not peer:
            of_this_name = [row for row in self._links.values() if row.name == link]
            if len(of_this_name) == 1:
                return of_this_name[0]
        row = self._links.get((link, peer))
        if row is None:
            if len(self._links) >= MAX_LINKS:
                del self._links[min(self._links, key=self._age)]
            row = self._links[link, peer] = LinkRow(link, peer, now_s)
        return row

    def _age(self, key: tuple[str, str]) -> tuple[bool, float]:
        return self._links[key].is_up, self._links[key].since_s

    def _hold(self, drone: str, right: str, holder: str, holder_id: str) -> None:
        if (drone, right) in self._held or len(self._held) < MAX_RIGHTS:
            self._held[drone, right] = holder, holder_id

    def _right(self, drone: str, right: str, holder: str, holder_id: str) -> RightStatus:
        """Whose role is not known is called by the beginning of its fingerprint."""
        who = self._role_of(holder_id) or holder or holder_id[:_SHORT] or NOBODY
        return RightStatus(drone, right, who, holder_id)

    def _role_of(self, fingerprint: str) -> str:
        if fingerprint in self.ids:
            return self.role
        return next((row.role for row in self._links.values() if fingerprint and row.peer == fingerprint), "")

    def _take_alarm(self, note: Alarmed) -> None:
        kind = note.kind if note.kind in self._alarms or len(self._alarms) < MAX_KINDS else "others"
        count, texts = self._alarms.get(kind, (0, deque[str](maxlen=ALARM_TEXTS)))
        texts.append(_clipped(note.text))
        self._alarms[kind] = count + 1, texts


def _clipped(text: str) -> str:
    """Return a text of bounded length that is one line."""
    return one_line(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "...")
