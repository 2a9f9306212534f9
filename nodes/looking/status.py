"""How a node is, at one moment: what `aerolink status` prints, the control socket carries and metrics count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NOBODY: Final = "nobody"
"""Who holds a right that nobody holds."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """One link of a node to one other node, over all the times that it was made anew."""

    name: str
    """Which link, as ``drone-rc``."""
    peer: str
    """Fingerprint of the other end."""
    role: str
    """Role of the other end."""
    carrier: str
    """What carries it."""
    suite: str
    """Its algorithms, the last time that it was up."""
    up: bool
    """Whether it is up: authenticated and encrypted. Nothing passes a link that is not."""
    reason: str
    """Why it is not up; empty while it is."""
    since_s: float
    """Seconds since it came up, or went down."""
    handshake_ms: float
    """Of the last handshake, from its first message."""
    rtt_ms: float | None
    """Smoothed round trip; None while it is not up or not known."""
    rekeys: int
    """New keys since the first, in all."""
    times: int
    """How often it came up."""
    classes: Mapping[str, Mapping[str, int]]
    """Class of service -> ``sent``, ``received``, ``lost`` -> messages, in all."""


@dataclass(frozen=True, slots=True)
class RightStatus:
    """Who has a right to a drone, as this node knows it."""

    drone: str
    """Fingerprint of the drone; empty at the drone itself."""
    right: str
    """``flight`` or ``payload``."""
    holder: str
    """Role of the holder, or its fingerprint where the role is not known; ``nobody``."""
    holder_id: str
    """Fingerprint of the holder; empty if there is none."""


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """All alarms of one kind."""

    kind: str
    """Name of the alarm (docs/operate.md)."""
    count: int
    """How many."""
    texts: tuple[str, ...]
    """The last of them, for the operator."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node."""

    name: str
    """What it is called in its notes."""
    role: str
    """``drone``, ``rc``, ``mobile`` or ``cloud``; empty if nobody has said it."""
    pid: int = 0
    """Its process; 0 if it is not known."""
    uptime_s: float = 0.0
    """Seconds since its start, or since it was first heard of."""
    ids: tuple[str, ...] = ()
    """Its own fingerprints, one for each kind of key."""
    links: tuple[LinkStatus, ...] = ()
    """In the order in which they first came up."""
    held: tuple[RightStatus, ...] = ()
    """Rights; a remote controller may know several drones."""
    alarms: tuple[AlarmStatus, ...] = ()
    """By kind, in the order in which they first came."""
    latest: tuple[str, ...] = ()
    """The latest events, the oldest first."""
    vehicle: str = ""
    """What telemetry says, in one line."""
    drones: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fingerprint of each drone that it sees -> what that does, in a few words."""
    live: int = 0
    """Telemetry that came to a cloud while it was made."""
    running: bool = True
    """Whether it is there."""
    why: str = ""
    """Why it is not there."""
    version: str = ""
    """Of the software."""

    @property
    def rights(self) -> Mapping[str, str]:
        """Right -> role of its holder; where a node knows several drones, of the first."""
        found: dict[str, str] = {}
        for each in self.held:
            found.setdefault(each.right, each.holder)
        return found
