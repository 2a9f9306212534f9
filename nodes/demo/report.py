"""What the notes of a pair add up to (`--two`): the summary, and whether all is well.

``by_class`` counts messages per class of service: ``sent`` is what both ends sent, ``received`` what both ends
received, each by the end's own counters (``bulk``: chunks; a reliable message counts once, however often it was
repeated). ``control`` and ``state`` may receive fewer than were sent: the newest wins.
"""

from dataclasses import dataclass, field

from nodes.demo.options import DemoOptions
from nodes.stations.notes import AIRLINK_NAME, CLASSES, Alarmed, Delivered, Finished, Flight, LinkIsUp, Note


@dataclass(slots=True)
class Report:
    """Collects the notes that count."""

    options: DemoOptions
    """What was asked for."""
    flight: Flight | None = None
    """As the drone has it."""
    delivered: Delivered | None = None
    """As it arrived."""
    links: dict[str, LinkIsUp] = field(default_factory=dict[str, LinkIsUp])
    """Node -> its end of the link."""
    ends: dict[str, Finished] = field(default_factory=dict[str, Finished])
    """Node -> its last word."""
    alarms: list[Alarmed] = field(default_factory=list[Alarmed])
    """Of both nodes."""

    def take(self, note: Note) -> None:
        """Remember a note, if it counts."""
        if isinstance(note, Flight):
            self.flight = note
        elif isinstance(note, Delivered):
            self.delivered = note
        elif isinstance(note, LinkIsUp):
            self.links[note.node] = note
        elif isinstance(note, Finished):
            self.ends[note.node] = note
        elif isinstance(note, Alarmed):
            self.alarms.append(note)

    @property
    def problems(self) -> list[str]:
        """What keeps the demo from being a success, a line each."""
        found: list[str] = []
        if not {"drone", "rc"} <= self.links.keys():
            found.append("the link did not come up")
        if not {"drone", "rc"} <= self.ends.keys():
            found.append("an end did not finish")
        if self.flight is None or self.delivered is None:
            found.append("the flight was not delivered")
        elif identity(self.flight) != identity(self.delivered):
            found.append("the flight that arrived is not the one that was sent")
        for end in self.ends.values():
            if end.frames_corrupt:
                found.append(f"{end.frames_corrupt} video frames arrived damaged")
            if end.node == "rc" and not end.frames:
                found.append("no video arrived")
            if end.answers < end.requests:
                found.append(f"{end.requests - end.answers} commands of the {end.node} were not answered")
        found += [f"alarm at the {alarm.node}: {alarm.text}" for alarm in self.alarms]
        return found

    @property
    def ok(self) -> bool:
        """Whether everything that a demo shows has been shown."""
        return not self.problems

    def by_class(self) -> dict[str, dict[str, int]]:
        """Return what both ends together sent and received."""
        return {
            name: {way: sum(end.classes[name][way] for end in self.ends.values()) for way in ("sent", "received")}
            for name in CLASSES
        }

    def as_dict(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; exactly these keys."""
        flight, delivered = self.flight, self.delivered
        return {
            "ok": self.ok,
            "links": [self._link()] if "rc" in self.links else [],
            "flight": None
            if flight is None
            else as_plain(flight, "source", "messages", "bytes", "sha256", "skipped_bytes"),
            "delivered": None
            if delivered is None
            else {
                "node": "rc",
                **as_plain(delivered, "messages", "bytes", "sha256"),
                "seconds": round(delivered.seconds, 6),
            },
            "video": self._video(),
            "alarms": [as_plain(alarm, "node", "kind", "text") for alarm in self.alarms],
        }

    def _link(self) -> dict[str, object]:
        up = self.links["rc"]
        return {
            "name": AIRLINK_NAME,
            "carrier": self.options.carrier,
            "suite": up.suite,
            "handshake_ms": round(up.handshake_ms, 3),
            "by_class": self.by_class(),
            "rekeys": max((end.rekeys for end in self.ends.values()), default=0),
        }

    def _video(self) -> dict[str, object]:
        drone, rc = self.ends.get("drone"), self.ends.get("rc")
        return {
            "frames_sent": drone.frames if drone else 0,
            "frames_received": rc.frames if rc else 0,
            "frames_corrupt": rc.frames_corrupt if rc else 0,
        }


def identity(flight: Flight | Delivered) -> tuple[int, int, str]:
    """Return what two descriptions of one flight have in common."""
    return flight.messages, flight.bytes, flight.sha256


def as_plain(note: Note, *names: str) -> dict[str, object]:
    """Return some fields of a note."""
    return {name: getattr(note, name) for name in names}
