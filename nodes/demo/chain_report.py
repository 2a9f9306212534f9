"""What the notes of the chain add up to: five links, two hand-overs of the right to fly, the flight at the cloud.

``by_class`` counts as in ``report``. Of the link to the cloud, which has no channels, ``state`` counts telemetry and
``bulk`` uploads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nodes.demo.options import DemoOptions
from nodes.demo.report import as_plain, identity
from nodes.stations.notes import (
    CLASSES,
    Alarmed,
    Delivered,
    Finished,
    Flight,
    HandedOver,
    LinkIsUp,
    LinkMeter,
    Live,
    Note,
    Progress,
)

LINKS: Final[Mapping[str, str]] = {
    "drone-rc": "rc",
    "rc-mobile": "mobile",
    "mobile-cloud": "mobile",
    "mobile-drone": "mobile",
    "cloud-drone": "cloud",
}
"""Name of each link -> who makes it: three hops, and two from end to end."""
NODES: Final = ("drone", "rc", "mobile", "cloud")
HAND_OVERS: Final = [("flight", "rc", "mobile"), ("flight", "mobile", "rc")]
"""What is handed over in every demo."""


@dataclass(slots=True)
class ChainReport:
    """Collects the notes that count."""

    options: DemoOptions
    """What was asked for."""
    flight: Flight | None = None
    """As the drone has it."""
    delivered: list[Delivered] = field(default_factory=list[Delivered])
    """As the cloud has it: once."""
    links: dict[str, LinkIsUp] = field(default_factory=dict[str, LinkIsUp])
    """Link -> as who makes it sees it."""
    meters: dict[tuple[str, str, int], LinkMeter] = field(default_factory=dict[tuple[str, str, int], LinkMeter])
    """The last of each end of each link."""
    uploads: dict[str, Progress] = field(default_factory=dict[str, Progress])
    """The last of each."""
    hand_overs: list[HandedOver] = field(default_factory=list[HandedOver])
    """In their order."""
    live: int = 0
    """Telemetry that the cloud has received live."""
    ends: dict[str, Finished] = field(default_factory=dict[str, Finished])
    """Node -> its last word."""
    alarms: list[Alarmed] = field(default_factory=list[Alarmed])
    """Of all nodes."""

    def take(self, note: Note) -> None:
        """Remember a note, if it counts."""
        match note:
            case Flight():
                self.flight = note
            case Delivered():
                self.delivered.append(note)
            case LinkIsUp() if LINKS.get(note.link) == note.node:
                self.links[note.link] = note
            case LinkMeter():
                self.meters[note.node, note.link, note.times] = note
            case Progress():
                self.uploads[note.what] = note
            case HandedOver():
                self.hand_overs.append(note)
            case Live():
                self.live = note.messages
            case Finished():
                self.ends[note.node] = note
            case Alarmed():
                self.alarms.append(note)
            case _:
                pass

    @property
    def problems(self) -> list[str]:
        """What keeps the demo from being a success, a line each."""
        found = [f"the link {name} did not come up" for name in LINKS if name not in self.links]
        found += [f"the {name} did not finish" for name in NODES if name not in self.ends]
        found += self._delivery_problems()
        if [(each.right, each.before, each.after) for each in self.hand_overs] != HAND_OVERS:
            found.append("the right to fly did not go from the rc to the mobile and back")
        if not self.live:
            found.append("no telemetry reached the cloud live")
        for end in self.ends.values():
            if end.frames_corrupt:
                found.append(f"{end.frames_corrupt} video frames arrived damaged")
            if end.node == "rc" and not end.frames:
                found.append("no video arrived")
            if end.answers < end.requests:
                found.append(f"{end.requests - end.answers} commands of the {end.node} were not answered")
        return found + [f"alarm at the {alarm.node}: {alarm.text}" for alarm in self.alarms]

    def _delivery_problems(self) -> list[str]:
        if self.flight is None or not self.delivered:
            return ["the flight was not delivered"]
        if len(self.delivered) > 1:
            return [f"the flight was delivered {len(self.delivered)} times"]
        if identity(self.flight) != identity(self.delivered[0]):
            return ["the flight that the cloud has is not the one that was flown"]
        return []

    @property
    def ok(self) -> bool:
        """Whether everything that a demo shows has been shown."""
        return not self.problems

    def by_class(self, link: str) -> dict[str, dict[str, int]]:
        """Return what both ends of a link together sent and received."""
        counts = {name: {"sent": 0, "received": 0} for name in CLASSES}
        for meter in self.meters.values():
            if meter.link == link:
                for name, row in counts.items():
                    for way in row:
                        row[way] += meter.classes[name][way]
        if link == "mobile-cloud":
            counts["state"] = {"sent": self.live, "received": self.live}
            uploads = len(self.uploads)
            counts["bulk"] = {"sent": uploads, "received": len(self.delivered)}
        return counts

    def rekeys(self, link: str) -> int:
        """Return how often a link has changed its keys."""
        return max((meter.rekeys for meter in self.meters.values() if meter.link == link), default=0)

    def as_dict(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; exactly these keys."""
        return {
            "ok": self.ok,
            "links": [self._link(name) for name in LINKS if name in self.links],
            "flight": None
            if self.flight is None
            else as_plain(self.flight, "source", "messages", "bytes", "sha256", "skipped_bytes"),
            "delivered": None
            if not self.delivered
            else {
                "node": "cloud",
                **as_plain(self.delivered[-1], "messages", "bytes", "sha256"),
                "seconds": round(self.delivered[-1].seconds, 6),
            },
            "live": {"messages": self.live},
            "authority": [as_plain(each, "right", "before", "after", "at_s") for each in self.hand_overs],
            "video": self._video(),
            "alarms": [as_plain(alarm, "node", "kind", "text") for alarm in self.alarms],
        }

    def _link(self, name: str) -> dict[str, object]:
        up = self.links[name]
        return {
            "name": name,
            "carrier": up.carrier,
            "suite": up.suite,
            "handshake_ms": round(up.handshake_ms, 3),
            "by_class": self.by_class(name),
            "rekeys": self.rekeys(name),
        }

    def _video(self) -> dict[str, object]:
        drone, rc = self.ends.get("drone"), self.ends.get("rc")
        return {
            "frames_sent": drone.frames if drone else 0,
            "frames_received": rc.frames if rc else 0,
            "frames_corrupt": rc.frames_corrupt if rc else 0,
        }
