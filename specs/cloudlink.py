"""What mobile and cloud say to each other inside of HTTPS (specs/9-cloudlink.md).

Every body of a request or a response is one frame: a label with the version, a number that says what it is, and
a map (specs/msgpack-maps.md) whose keys are declared here, each with its type and its bounds. Two kinds of bytes
are no maps: records of the downlink, which follow each other in one long response, and batches of relayed
datagrams. Pieces of an upload, certificates and revocation lists travel as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from construct import Struct

from specs.mapform import Binary, Choice, Flag, Hex, ListOf, MapType, Nested, Packed, Text, Uint, Value
from specs.maps import MAX_MAP_BYTES
from specs.registry import KEY_ID_BYTES, MAX_RELAY_DATAGRAM_BYTES
from specs.strict import (
    Format,
    bounded_array,
    bounded_bytes,
    constant,
    exact_enum,
    reserved,
    u8,
    u16,
    u32,
    u64,
)

LABEL: Final = b"AEC\x01"
"""First bytes of every body; the last one is the version of the cloudlink."""
MAX_BODY_BYTES: Final = MAX_MAP_BYTES + 12
"""Largest body that holds a map."""
CHUNK_HASH_HEADER: Final = "aerolink-sha256"
"""Header of a chunk: SHA-256 of its bytes, 64 lower-case hexadecimal digits (CL-23)."""
OUTBOX_BYTES: Final = 8
"""Random name of the outbox that counts the batches (CL-11)."""
MAX_SEQUENCE: Final = 2**63 - 1
"""Databases have signed integers."""
MAX_BATCH_MESSAGES: Final = 4_096
MAX_ALARMS: Final = 64
MAX_CHUNK_BYTES: Final = 1_048_576
MAX_UPLOAD_BYTES: Final = 2**40
MAX_NAME_BYTES: Final = 200
MAX_TOPIC_BYTES: Final = 64
MAX_MESSAGE_BYTES: Final = 60_000
MAX_RELAY_FRAMES: Final = 128
MIN_RELAY_FRAME_BYTES: Final = 8
MAX_RELAY_FRAME_BYTES: Final = MAX_RELAY_DATAGRAM_BYTES + 12
MAX_RELAY_BYTES: Final = 6 + MAX_RELAY_FRAMES * (2 + MAX_RELAY_FRAME_BYTES)
MAX_RECORD_BYTES: Final = MAX_RELAY_BYTES
"""Largest payload of a record of the downlink."""
MAX_CSR_BYTES: Final = 4_096
MAX_CERTIFICATE_BYTES: Final = 8_192
MAX_TOKEN_BYTES: Final = 256
_HEX_ID_BYTES: Final = 16

# --- frames -------------------------------------------------------------------------------------


class BodyKind(IntEnum):
    """What a body is."""

    TELEMETRY = 1
    ALARMS = 2
    ACCEPTED = 3
    UPLOAD_OPEN = 4
    UPLOAD_STATE = 5
    DOWNLINK_ACK = 6
    DOWNLINK_MESSAGE = 7
    TIME = 8
    HEALTH = 9
    RENEWAL = 10
    ENROLMENT = 11
    CERTIFICATE = 12


@dataclass(frozen=True, slots=True)
class MapBody:
    """The frame around every map."""

    kind: BodyKind
    """What it is."""
    content: bytes = field(repr=False)
    """A map with the keys of this kind."""


MAP_BODY: Final = Format(
    "cloudlink body",
    MapBody,
    Struct(
        constant(LABEL),
        "kind" / exact_enum(u16, BodyKind),
        reserved(2),
        "content" / bounded_bytes(u32, MAX_MAP_BYTES, 1),
    ),
)


class DownlinkKind(IntEnum):
    """What a record of the downlink is."""

    KEEPALIVE = 0
    """The cloud is there; sequence 0, no payload."""
    MESSAGE = 1
    """Durable until it is acknowledged; the payload is a body of kind DOWNLINK_MESSAGE."""
    RELAY = 2
    """Not durable; sequence 0, the payload is a relay batch."""


@dataclass(frozen=True, slots=True)
class DownlinkRecord:
    """One record of the downlink's response."""

    kind: DownlinkKind
    """What it is."""
    sequence: int = 0
    """Of a MESSAGE: counts the messages for this device from 1; else 0."""
    payload: bytes = field(default=b"", repr=False)
    """Depends on the kind."""


DOWNLINK_RECORD: Final = Format(
    "downlink record",
    DownlinkRecord,
    Struct(
        "kind" / exact_enum(u8, DownlinkKind),
        reserved(3),
        "sequence" / u64,
        "payload" / bounded_bytes(u32, MAX_RECORD_BYTES),
    ),
)
DOWNLINK_HEAD_BYTES: Final = 16
"""Bytes of a record before its payload; the last four are its length."""


@dataclass(frozen=True, slots=True)
class RelayFrames:
    """Frames of a relay channel, in order."""

    frames: tuple[bytes, ...] = field(repr=False)
    """Each a frame of specs/5-relay.md; datagrams are whole."""


RELAY_BATCH: Final = Format(
    "cloudlink relay batch",
    RelayFrames,
    Struct(
        constant(LABEL),
        "frames"
        / bounded_array(u16, bounded_bytes(u16, MAX_RELAY_FRAME_BYTES, MIN_RELAY_FRAME_BYTES), MAX_RELAY_FRAMES, 1),
    ),
)

# --- maps ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TelemetryBatch:
    """Messages of a drone as they came."""

    outbox: bytes
    """Random name of the outbox that counts: a new one begins when the old one is lost."""
    sequence: int
    """Counts the batches of this outbox."""
    times_ms: tuple[int, ...]
    """When each message came, sender's clock, milliseconds since 1970."""
    messages: tuple[bytes, ...] = field(repr=False)
    """Airlink messages, number first; as many as there are times."""
    drone: bytes = b""
    """Key id of the drone that they are from, if it is known."""


@dataclass(frozen=True, slots=True)
class ReportedAlarm:
    """Something that an operator must see."""

    time_ms: int
    """When, sender's clock, milliseconds since 1970."""
    kind: str
    """Name of the alarm."""
    detail: str = ""
    """One line; for people."""
    source: bytes = b""
    """Key id of the node that raised it; empty: the sender."""


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """Alarms, oldest first."""

    outbox: bytes
    """As in telemetry; alarms have an outbox, so a count, of their own."""
    sequence: int
    """Counts the reports of this outbox."""
    alarms: tuple[ReportedAlarm, ...]
    """At least one."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch is durable at the cloud."""

    sequence: int
    """Which batch."""
    repeated: bool = False
    """It was there already."""


class UploadKind(Enum):
    """What an upload is."""

    SEALED_LOG = "sealed-log"
    """A sealed flight log (specs/8-sealed-logs.md): verified and unsealed."""
    FILE = "file"
    """Anything else: kept as it is."""


class UploadPhase(Enum):
    """How far an upload is."""

    OPEN = "open"
    """The cloud waits for bytes from the offset on, or for `finish`."""
    HELD = "held"
    """Whole and durable; a sealed log that waits for the drone's verifying keys. Nothing is left to send."""
    STORED = "stored"
    """Whole, durable and, if it is a sealed log, verified and unsealed."""
    REFUSED = "refused"
    """Not wanted, for the reason given: sending it again changes nothing."""


class UploadReason(Enum):
    """Why an upload was refused."""

    NONE = "none"
    """It was not."""
    HASH = "hash"
    """The bytes are not those of the SHA-256. A new `open` lifts it, twice at most."""
    MALFORMED = "malformed"
    """Not a sealed log."""
    SIGNATURE = "signature"
    """A signature does not hold."""
    SIGNER = "signer"
    """Signed by keys that are not those pinned for this drone. Lifted when the drone gives new ones."""
    KEY = "key"
    """Not sealed to this cloud."""
    CONTENT = "content"
    """What was sealed is no flight."""
    CONFLICT = "conflict"
    """This flight of this drone is here already, and is another one."""


@dataclass(frozen=True, slots=True)
class UploadOpen:
    """Ask for an upload; the same (kind, name, size, SHA-256) again finds the same upload."""

    kind: UploadKind
    """What it is."""
    name: str
    """The sender's name for it; never a path."""
    size_bytes: int
    """Size of the whole."""
    sha256: bytes = field(repr=False)
    """SHA-256 of the whole."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload is, durably."""

    upload: str
    """The cloud's name for it: 32 hexadecimal digits."""
    phase: UploadPhase
    """How far."""
    offset: int
    """How many bytes are durable: the next chunk starts here."""
    reason: UploadReason = UploadReason.NONE
    """Of REFUSED: why."""


@dataclass(frozen=True, slots=True)
class DownlinkAck:
    """Every message up to this one is durable at the device."""

    sequence: int
    """The newest of them."""


@dataclass(frozen=True, slots=True)
class DownlinkMessage:
    """A message of the cloud to a device."""

    topic: str
    """What it is about; a device passes over topics that it does not know."""
    time_ms: int
    """When it was queued, cloud's clock, milliseconds since 1970."""
    body: bytes = field(repr=False)
    """A map; its keys are the topic's."""


@dataclass(frozen=True, slots=True)
class CloudTime:
    """The cloud's clock."""

    time_ms: int
    """Milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Health:
    """The cloud works."""

    version: int
    """Of the cloudlink: the last byte of the label."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """Ask for the next certificate."""

    csr: bytes = field(repr=False)
    """PKCS#10, DER."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Ask for the first certificate."""

    token: str = field(repr=False)
    """One-time token, as text."""
    csr: bytes = field(repr=False)
    """PKCS#10, DER."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate, and who issued it."""

    certificate: bytes = field(repr=False)
    """DER."""
    authority: bytes = field(repr=False)
    """The authority's own certificate, DER."""


_TIME: Final = Uint(2**53)
_COUNT: Final = Uint(MAX_SEQUENCE, 1)
_KEY_ID: Final = Binary(KEY_ID_BYTES, KEY_ID_BYTES)
_BATCH: Final[dict[str, Value]] = {"outbox": Binary(OUTBOX_BYTES, OUTBOX_BYTES), "sequence": _COUNT}
_ALARM: Final = MapType(
    ReportedAlarm,
    {"time_ms": _TIME, "kind": Text(64, 1), "detail": Text(MAX_NAME_BYTES), "source": _KEY_ID},
)

MAPS: Final[Mapping[BodyKind, MapType]] = {
    BodyKind.TELEMETRY: MapType(
        TelemetryBatch,
        {
            **_BATCH,
            "times_ms": ListOf(_TIME, MAX_BATCH_MESSAGES, 1),
            "messages": ListOf(Binary(MAX_MAP_BYTES, 2), MAX_BATCH_MESSAGES, 1),
            "drone": _KEY_ID,
        },
    ),
    BodyKind.ALARMS: MapType(AlarmReport, {**_BATCH, "alarms": ListOf(Nested(_ALARM), MAX_ALARMS, 1)}),
    BodyKind.ACCEPTED: MapType(Accepted, {"sequence": _COUNT, "repeated": Flag()}),
    BodyKind.UPLOAD_OPEN: MapType(
        UploadOpen,
        {
            "kind": Choice(UploadKind),
            "name": Text(MAX_NAME_BYTES, 1),
            "size_bytes": Uint(MAX_UPLOAD_BYTES, 1),
            "sha256": Binary(32, 32),
        },
    ),
    BodyKind.UPLOAD_STATE: MapType(
        UploadState,
        {
            "upload": Hex(_HEX_ID_BYTES),
            "phase": Choice(UploadPhase),
            "offset": Uint(MAX_UPLOAD_BYTES),
            "reason": Choice(UploadReason),
        },
    ),
    BodyKind.DOWNLINK_ACK: MapType(DownlinkAck, {"sequence": _COUNT}),
    BodyKind.DOWNLINK_MESSAGE: MapType(
        DownlinkMessage, {"topic": Text(MAX_TOPIC_BYTES, 1), "time_ms": _TIME, "body": Packed(MAX_MESSAGE_BYTES)}
    ),
    BodyKind.TIME: MapType(CloudTime, {"time_ms": _TIME}),
    BodyKind.HEALTH: MapType(Health, {"version": Uint(255, 1)}),
    BodyKind.RENEWAL: MapType(Renewal, {"csr": Binary(MAX_CSR_BYTES, 1)}),
    BodyKind.ENROLMENT: MapType(Enrolment, {"token": Text(MAX_TOKEN_BYTES, 1), "csr": Binary(MAX_CSR_BYTES, 1)}),
    BodyKind.CERTIFICATE: MapType(
        IssuedCertificate,
        {"certificate": Binary(MAX_CERTIFICATE_BYTES, 1), "authority": Binary(MAX_CERTIFICATE_BYTES, 1)},
    ),
}
"""The map of each kind of body."""
