"""What the two ends of a demo say while they run.

Notes are plain values, so that an end may stand in this process or in another: there they cross a pipe as one
JSON object a line. :class:`Ready` alone holds a secret; it goes from the drone to the remote controller and nowhere
else, and its code is in no repr.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

from nodes.node import Node
from protocols.channels import ChannelsStats
from protocols.errors import MalformedError

CLASSES: Final = ("control", "command", "state", "stream", "bulk")
"""Classes of service that a demo uses."""

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
    """``drone`` or ``rc``."""
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


Note = Ready | Line | Parsing | Flight | LinkIsUp | Meter | Delivered | Alarmed | Finished | Failed
Say = Callable[[Note], None]

_KINDS: Final[dict[str, type[Note]]] = {
    kind.__name__: kind
    for kind in (Ready, Line, Parsing, Flight, LinkIsUp, Meter, Delivered, Alarmed, Finished, Failed)
}


def to_line(note: Note) -> str:
    """Return a note as one line of JSON."""
    return json.dumps({"note": type(note).__name__, **asdict(note)})


def from_line(line: str) -> Note:
    """Return the note of a line that our own child wrote; MalformedError if something else wrote it."""
    try:
        fields = json.loads(line)
        return _KINDS[fields.pop("note")](**fields)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise MalformedError("a child process wrote a line that is no note") from None


def counts_of(stats: ChannelsStats) -> Counts:
    """Return what the demo shows of a link's counters."""
    rows = {name: getattr(stats, name) for name in CLASSES}
    return {name: {"sent": row.sent, "received": row.received, "lost": row.lost} for name, row in rows.items()}


def say_alarms(node: Node, name: str, say: Say, told: int = 0) -> int:
    """Tell the alarms of a node from number ``told`` on; return how many have been told."""
    for alarm in tuple(node.alarms)[told:]:
        say(Alarmed(name, alarm.kind.name, f"{alarm.kind.value}: {alarm.detail}" if alarm.detail else alarm.kind.value))
    return len(node.alarms)
