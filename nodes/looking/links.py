"""One link in the book: a link to the same node that is made anew goes on counting where the one before has ended."""

from typing import Final

from nodes.config.reader import one_line
from nodes.looking.status import LinkStatus
from nodes.stations.notes import CLASSES, Counts, LinkIsDown, LinkIsMissed, LinkIsUp, LinkMeter

MAX_OPEN: Final = 8
"""Meters of links that replace each other; of more, the oldest is added up."""
_WAYS: Final = ("sent", "received", "lost")
NOT_YET: Final = "not yet up"


class LinkRow:
    """Of one node, to one peer.

    The new link may be up before the old one has ended, so ups and downs are counted: it is up while there were more
    of the former. Each link's counters begin at nothing; those of links that have ended are added up.
    """

    def __init__(self, name: str, peer: str, now_s: float) -> None:
        self.name: Final = name
        self.peer: Final = peer
        self.since_s = now_s
        self._role = ""
        self._last: LinkIsUp | None = None
        self._ups = 0
        self._downs = 0
        self._reason = NOT_YET
        self._open: dict[int, LinkMeter] = {}
        self._newest = 0
        self._ended: Counts = {name: dict.fromkeys(_WAYS, 0) for name in CLASSES}
        self._ended_rekeys = 0

    @property
    def role(self) -> str:
        """Role of the peer."""
        return self._role

    @property
    def is_up(self) -> bool:
        return self._ups > self._downs

    def take_up(self, note: LinkIsUp, now_s: float) -> None:
        if not self.is_up:
            self._fold_all()
        self._last, self._role, self._reason, self.since_s = note, note.role, "", now_s
        self._ups += 1

    def take_down(self, note: LinkIsDown, now_s: float) -> None:
        """The last meter before this note is that of the link that has ended."""
        if self._downs < self._ups:
            self._downs += 1
        self._fold(self._newest)
        if not self.is_up:
            self._close(note.reason or "closed", now_s)

    def take_missed(self, note: LinkIsMissed) -> None:
        """Why it is not there is what was found last, and not how it ended once."""
        self._role = note.role
        if not self.is_up:
            self._reason = one_line(note.reason)

    def lose(self, reason: str, now_s: float) -> None:
        """Nothing of it is up any more, whatever was said."""
        if self.is_up:
            self._downs = self._ups
            self._close(reason, now_s)
        self._fold_all()

    def take_meter(self, note: LinkMeter) -> None:
        self._newest = note.times
        self._open[note.times] = note
        while len(self._open) > MAX_OPEN:
            self._fold(next(iter(self._open)))

    def status(self, now_s: float) -> LinkStatus:
        last, newest = self._last, self._open.get(self._newest)
        return LinkStatus(
            self.name,
            self.peer,
            self.role,
            "" if last is None else last.carrier,
            "" if last is None else last.suite,
            self.is_up,
            self._reason,
            now_s - self.since_s,
            0.0 if last is None else last.handshake_ms,
            newest.rtt_ms if newest is not None and self.is_up else None,
            self._ended_rekeys + sum(meter.rekeys for meter in self._open.values()),
            self._ups,
            self._classes(),
        )

    def _close(self, reason: str, now_s: float) -> None:
        self._reason, self.since_s = one_line(reason), now_s

    def _classes(self) -> Counts:
        total = {name: dict(row) for name, row in self._ended.items()}
        for meter in self._open.values():
            _add(total, meter.classes)
        return total

    def _fold(self, times: int) -> None:
        meter = self._open.pop(times, None)
        if meter is not None:
            _add(self._ended, meter.classes)
            self._ended_rekeys += meter.rekeys

    def _fold_all(self) -> None:
        for times in tuple(self._open):
            self._fold(times)


def _add(total: Counts, more: Counts) -> None:
    for name, row in total.items():
        for way in row:
            row[way] += more.get(name, {}).get(way, 0)
