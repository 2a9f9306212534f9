"""What stations, and the ends of a demo, say while they run.

Notes are plain values, so that a station may stand in this process or in another: there they cross a pipe as one
JSON object a line. :class:`Ready` and :class:`Carry` alone hold secrets; they go to the one node that they are for and
nowhere else, and what they hold is in no repr.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final, get_args

from nodes.node import Node
from protocols.channels import ChannelsStats
from protocols.errors import MalformedError

CLASSES: Final = ("control", "command", "state", "stream", "bulk")
"""Classes of service that a demo uses."""

AIRLINK_NAME: Final = "drone-rc"

Counts = dict[str, dict[str, int]]
"""Class of service -> "sent", "received", "lost" -> messages of one end (``bulk``: chunks)."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The drone listens and shows its linking code."""

    endpoint: str
    """HOST:PORT."""
    code: str = field(repr=False)
    """As a person would type it."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something has happened."""

    node: str
    """Name of the node."""
    text: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Parsing:
    """How far the log has been read."""

    done_bytes: int
    """Read so far."""
    total_bytes: int
    """Size of the log."""


@dataclass(frozen=True, slots=True)
class Flight:
    """The recorded flight as the drone has it."""

    source: str
    """``model`` or the name of the log."""
    messages: int
    """Frames."""
    bytes: int
    """Of all frames."""
    sha256: str
    """Over the concatenated frames."""
    skipped_bytes: int
    """Bytes of the log that belong to no good frame."""


@dataclass(frozen=True, slots=True)
class LinkIsUp:
    """A link is up at this end."""

    node: str
    """Which end."""
    suite: str
    """Its algorithms."""
    peer: str
    """Fingerprint of the other end."""
    handshake_ms: float
    """From the first message of the handshake."""
    link: str = AIRLINK_NAME
    """Which link."""
    carrier: str = ""
    """What carries it."""
    role: str = ""
    """Role of the other end."""


@dataclass(frozen=True, slots=True)
class LinkIsDown:
    """A link has ended at this end."""

    node: str
    """Which end."""
    link: str
    """Which link."""
    peer: str = ""
    """Fingerprint of the other end: a node may have several links of one name."""
    reason: str = ""
    """Why, for the operator."""


@dataclass(frozen=True, slots=True)
class LinkIsMissed:
    """A link that this end makes is not there, and is tried for."""

    node: str
    """Which end."""
    link: str
    """Which link."""
    peer: str
    """Fingerprint of the other end."""
    role: str
    """Role of the other end."""
    reason: str
    """Why the last try failed, for the operator."""


@dataclass(frozen=True, slots=True)
class LinkMeter:
    """Counters of one end of one link, a few times a second and at its end."""

    node: str
    """Which end."""
    link: str
    """Which link."""
    classes: Counts
    """Per class of service, of this link since it came up."""
    rekeys: int
    """New keys since the first."""
    rtt_ms: float | None = None
    """Smoothed round trip."""
    times: int = 1
    """The how-manieth link of this name it is: the counters begin anew with each."""
    peer: str = ""
    """Fingerprint of the other end."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer has come."""

    node: str
    """Who sends."""
    what: str
    """Name of the object."""
    done_bytes: int
    """So far."""
    total_bytes: int
    """In all."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A right has changed hands, as the drone says."""

    right: str
    """``flight`` or ``payload``."""
    before: str
    """Role of the holder until then."""
    after: str
    """Role of the holder from then on."""
    at_s: float
    """On the drone's clock, since its start."""
    node: str = "drone"
    """Which drone."""
    before_id: str = ""
    """Fingerprint of the holder until then."""
    after_id: str = ""
    """Fingerprint of the holder from then on."""


@dataclass(frozen=True, slots=True)
class Holds:
    """Who has a right from now on, as the drone says."""

    right: str
    """``flight`` or ``payload``."""
    holder: str
    """Role of the holder; ``nobody``."""
    node: str = "drone"
    """Which drone."""
    holder_id: str = ""
    """Fingerprint of the holder; empty if there is none."""


@dataclass(frozen=True, slots=True)
class RightsTold:
    """Who has the rights to a drone, as a remote controller or a mobile has heard it from the drone itself."""

    node: str
    """Who has heard it."""
    drone: str
    """Fingerprint of the drone."""
    flight_id: str
    """Fingerprint of who may fly; empty for nobody."""
    payload_id: str
    """Fingerprint of who has the payload; empty for nobody."""


@dataclass(frozen=True, slots=True)
class DroneSeen:
    """Telemetry of a drone has come to its remote controller or mobile; said at most twice a second."""

    node: str
    """Who has seen it."""
    drone: str
    """Fingerprint of the drone."""
    phase: str
    """What the drone is doing."""
    height_m: float
    """Above the place of take-off."""


@dataclass(frozen=True, slots=True)
class FlightKept:
    """A cloud has verified, unsealed and stored a flight."""

    node: str
    """Which cloud."""
    drone: str
    """Fingerprint of the drone."""
    flight: str
    """The drone's name for it."""
    messages: int
    """Frames."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a node shows its user, a few times a second."""

    node: str
    """Which node."""
    frames: int = 0
    """Video frames: sent by the drone, or received unharmed."""
    vehicle: str = ""
    """What telemetry says, in one line."""


@dataclass(frozen=True, slots=True)
class Live:
    """How many telemetry messages the cloud has received while they were made."""

    messages: int
    """So far."""


@dataclass(frozen=True, slots=True)
class Carry:
    """Something that a person would carry from one device to another: a linking code, a token, an address."""

    to: str
    """Which node."""
    what: str
    """What it is called."""
    value: str = field(repr=False)
    """Shown to nobody else."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Counters of one end, a few times a second."""

    node: str
    """Which end."""
    at_s: float
    """This end's clock."""
    sent_bytes: int
    """On the carrier."""
    received_bytes: int
    """On the carrier."""
    classes: Counts
    """Per class of service."""
    rtt_ms: float | None
    """Smoothed round trip."""
    rekeys: int
    """New keys since the first."""
    object_bytes: int = 0
    """Of the recorded flight, received so far (rc)."""
    object_total: int = 0
    """Its size (rc); 0 before it was offered."""
    frames: int = 0
    """Video frames: sent by the drone, or received unharmed."""
    vehicle: str = ""
    """What telemetry says, in one line (rc)."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The recorded flight as it arrived."""

    messages: int
    """Frames."""
    bytes: int
    """Of all frames."""
    sha256: str
    """Over the concatenated frames."""
    seconds: float
    """From the first to the last byte of the transfer."""
    node: str = "rc"
    """Who has it."""


@dataclass(frozen=True, slots=True)
class Alarmed:
    """A node raised an alarm."""

    node: str
    """Which end."""
    kind: str
    """Name of the alarm."""
    text: str
    """For the operator."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last note of an end that ran to its end."""

    node: str
    """Which end."""
    classes: Counts
    """Per class of service, of the whole link."""
    rekeys: int
    """New keys since the first."""
    frames: int
    """Video frames: sent by the drone, or received unharmed."""
    frames_corrupt: int = 0
    """Video frames that are not what was sent (rc)."""
    requests: int = 0
    """Commands that this end sent."""
    answers: int = 0
    """How many of them were answered."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The last note of a child process that could not go on."""

    node: str
    """Which end."""
    kind: str
    """Name of the error's class."""
    message: str
    """One line."""


Note = (
    Ready
    | Line
    | Parsing
    | Flight
    | LinkIsUp
    | LinkIsDown
    | LinkIsMissed
    | LinkMeter
    | Progress
    | HandedOver
    | Holds
    | RightsTold
    | DroneSeen
    | FlightKept
    | Shown
    | Live
    | Carry
    | Meter
    | Delivered
    | Alarmed
    | Finished
    | Failed
)
"""Everything that a station says."""
Say = Callable[[Note], None]
"""Told what happens: it does not wait, nor raise."""

_KINDS: Final[dict[str, type[Note]]] = {kind.__name__: kind for kind in get_args(Note)}


def to_line(note: Note) -> str:
    """Return a note as one line of JSON."""
    return json.dumps({"note": type(note).__name__, **asdict(note)})


def from_line(line: str, key: str = "note") -> Note:
    """Return the note of a line that our own child wrote; MalformedError if something else wrote it.

    ``key``: under which the line says what it is; ``aerolink node --json`` calls it ``event``.
    """
    try:
        fields = json.loads(line)
        return _KINDS[fields.pop(key)](**fields)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise MalformedError("a child process wrote a line that is no note") from None


def counts_of(stats: ChannelsStats) -> Counts:
    """Return what the demo shows of a link's counters."""
    rows = {name: getattr(stats, name) for name in CLASSES}
    return {name: {"sent": row.sent, "received": row.received, "lost": row.lost} for name, row in rows.items()}


def say_alarms(node: Node, name: str, say: Say, told: int = 0) -> int:
    """Tell the alarms of a node from number ``told`` on; return how many have been told."""
    for alarm in node.alarms_after(told):
        say(Alarmed(name, alarm.kind.name, f"{alarm.kind.value}: {alarm.detail}" if alarm.detail else alarm.kind.value))
    return node.alarms_raised
