"""What stands inside a protected payload: exactly one inner frame (specs/3-channels.md).

A frame is a fixed header, declared here, and for some types a body of data behind it. The headers of the hot
path are fixed-width on purpose: ``codec.derive_struct`` makes a ``struct.Struct`` of each.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import construct

from specs.registry import (
    MAX_BULK_NAME_BYTES,
    MAX_RECORD_PLAINTEXT_BYTES,
    ChannelId,
    CloseCode,
    CommandFlags,
    InnerType,
)
from specs.strict import (
    Format,
    bounded_array,
    bounded_text,
    counted_array,
    exact_enum,
    exact_flags,
    fixed_bytes,
    nested,
    ranged,
    reserved,
    rest_zeros,
    summed_bytes,
    u8,
    u16,
    u32,
    u64,
)

if TYPE_CHECKING:
    from construct import Construct


MAX_ACK_RANGES: Final = 16
"""Ranges in one ``BULK_ACK`` (CH-54)."""
MAX_BUNDLE_MESSAGES: Final = (MAX_RECORD_PLAINTEXT_BYTES - 8) // 2
"""Messages in one ``STREAM_BUNDLE``: all empty, in the largest payload (CH-43)."""


def _kind(kind: InnerType) -> "Construct[Any, Any]":
    return construct.Const(int(kind), u8)


def _channel() -> "Construct[Any, Any]":
    return "channel" / exact_enum(u8, ChannelId)


# --- CHANNEL: one header per class ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChannelHeader:
    """Every ``CHANNEL`` frame begins so; for ``state`` it is the whole header (CH-30)."""

    channel: ChannelId
    """Which flow; its class says what ``key`` is and what follows."""
    key: int
    """Of ``state``: which item."""
    sequence: int
    """Counts per channel from 0 (CH-2)."""


CHANNEL_HEADER: Final = Format(
    "channel header",
    ChannelHeader,
    construct.Struct(_kind(InnerType.CHANNEL), _channel(), "key" / u16, "sequence" / u32),
)


@dataclass(frozen=True, slots=True)
class ControlHeader:
    """Header of a ``control`` message (CH-10)."""

    channel: ChannelId
    """A channel of class ``control``."""
    lifetime_ms: int
    """1 to 65,535; stands in ``key``."""
    sequence: int
    """Only a greater one than the last is delivered (CH-11)."""
    sent_ms: int
    """Sender's monotonic clock modulo 2^32."""


CONTROL_HEADER: Final = Format(
    "control header",
    ControlHeader,
    construct.Struct(
        _kind(InnerType.CHANNEL),
        _channel(),
        "lifetime_ms" / ranged(u16, 1, 65_535),
        "sequence" / u32,
        "sent_ms" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class CommandHeader:
    """Header of a unit of a ``command`` message (CH-20)."""

    channel: ChannelId
    """A channel of class ``command``."""
    flags: CommandFlags
    """Stands in ``key``."""
    sequence: int
    """Number of this unit; the first of a message is the message's id (CH-21)."""
    reply_to: int
    """Id of the request that an ``ANSWER`` answers, else 0."""


COMMAND_HEADER: Final = Format(
    "command header",
    CommandHeader,
    construct.Struct(
        _kind(InnerType.CHANNEL),
        _channel(),
        "flags" / exact_flags(u16, CommandFlags),
        "sequence" / u32,
        "reply_to" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """Header of a fragment of a ``stream`` message (CH-40)."""

    channel: ChannelId
    """A channel of class ``stream``."""
    fec: int
    """Forward-error-correction scheme, 0 = none; stands in ``key``."""
    sequence: int
    """Number of the message."""
    index: int
    """Number of this fragment, less than ``count``."""
    count: int
    """Fragments of the message, 1 to 4,096."""


STREAM_HEADER: Final = Format(
    "stream header",
    StreamHeader,
    construct.Struct(
        _kind(InnerType.CHANNEL),
        _channel(),
        "fec" / ranged(u16, 0, 0),
        "sequence" / u32,
        "index" / u16,
        "count" / u16,
    ),
)


@dataclass(frozen=True, slots=True)
class StreamBundleHeader:
    """A ``STREAM_BUNDLE`` up to its lengths: fixed, so that the hot path has a ``struct`` of it."""

    channel: ChannelId
    """A channel of class ``stream``."""
    count: int
    """Messages of the bundle, at least 2."""
    sequence: int
    """Number of the first message; each that follows has the next."""


_STREAM_BUNDLE_FIELDS: Final = (
    _kind(InnerType.STREAM_BUNDLE),
    _channel(),
    "count" / ranged(u16, 2, MAX_BUNDLE_MESSAGES),
    "sequence" / u32,
)
STREAM_BUNDLE_HEADER: Final = Format(
    "stream bundle header", StreamBundleHeader, construct.Struct(*_STREAM_BUNDLE_FIELDS)
)


@dataclass(frozen=True, slots=True)
class StreamBundle:
    """Several whole messages of a ``stream`` channel in one payload (CH-43)."""

    channel: ChannelId
    """A channel of class ``stream``."""
    count: int
    """Messages of the bundle, at least 2."""
    sequence: int
    """Number of the first message; each that follows has the next."""
    lengths: tuple[int, ...]
    """Bytes of each message."""
    bodies: bytes
    """The messages, one after the other."""


STREAM_BUNDLE: Final = Format(
    "stream bundle",
    StreamBundle,
    construct.Struct(
        *_STREAM_BUNDLE_FIELDS,
        "lengths" / counted_array(construct.this.count, u16, MAX_BUNDLE_MESSAGES, 2),
        "bodies" / summed_bytes(construct.this.lengths, MAX_RECORD_PLAINTEXT_BYTES - 12),
    ),
)


@dataclass(frozen=True, slots=True)
class BulkHeader:
    """Header of a chunk of a ``bulk`` transfer (CH-52)."""

    channel: ChannelId
    """A channel of class ``bulk``."""
    transfer: int
    """The sender's number for the transfer; stands in ``key``."""
    packet: int
    """Packet number, raised for every transmission; stands in ``sequence``."""
    offset: int
    """Where the chunk's first byte stands in the object."""


BULK_HEADER: Final = Format(
    "bulk header",
    BulkHeader,
    construct.Struct(_kind(InnerType.CHANNEL), _channel(), "transfer" / u16, "packet" / u32, "offset" / u64),
)

# --- acknowledgements and the life of a transfer --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ack:
    """What has arrived of a ``command`` channel (CH-23)."""

    channel: ChannelId
    """The channel whose units these are; they flow the other way."""
    next: int
    """Everything before has arrived."""
    bitmap: int
    """Bit i (0 the lowest): ``next + 1 + i`` has arrived."""


ACK: Final = Format(
    "acknowledgement",
    Ack,
    construct.Struct(_kind(InnerType.ACK), _channel(), reserved(2), "next" / u32, "bitmap" / u64),
)


@dataclass(frozen=True, slots=True)
class AckRange:
    """Bytes of an object that have arrived out of order."""

    start: int
    """Offset of the first byte."""
    end: int
    """Offset behind the last byte."""


ACK_RANGE: Final = Format("range", AckRange, construct.Struct("start" / u64, "end" / u64))


@dataclass(frozen=True, slots=True)
class BulkAckHeader:
    """A ``BULK_ACK`` up to its ranges: fixed, so that the hot path has a ``struct`` of it."""

    channel: ChannelId
    """The transfer's channel."""
    transfer: int
    """The number that the receiver of this frame gave the transfer."""
    largest: int
    """Largest packet number seen; 0 before the first."""
    received_to: int
    """Everything before this offset has arrived."""
    window_to: int
    """The sender may send up to this offset (CH-55)."""
    count: int
    """Ranges that follow, 0 to 16."""


_BULK_ACK_FIELDS: Final = (
    _kind(InnerType.BULK_ACK),
    _channel(),
    "transfer" / u16,
    "largest" / u32,
    "received_to" / u64,
    "window_to" / u64,
)
BULK_ACK_HEADER: Final = Format(
    "bulk acknowledgement header",
    BulkAckHeader,
    construct.Struct(*_BULK_ACK_FIELDS, "count" / ranged(u8, 0, MAX_ACK_RANGES)),
)


@dataclass(frozen=True, slots=True)
class BulkAck:
    """What has arrived of a transfer (CH-54); always from the receiver of the object."""

    channel: ChannelId
    """The transfer's channel."""
    transfer: int
    """The number that the receiver of this frame gave the transfer."""
    largest: int
    """Largest packet number seen; 0 before the first."""
    received_to: int
    """Everything before this offset has arrived."""
    window_to: int
    """The sender may send up to this offset (CH-55)."""
    ranges: tuple[AckRange, ...]
    """What has arrived above ``received_to``: ascending, disjoint, not touching; at most 16."""


BULK_ACK: Final = Format(
    "bulk acknowledgement",
    BulkAck,
    construct.Struct(*_BULK_ACK_FIELDS, "ranges" / bounded_array(u8, nested(ACK_RANGE), MAX_ACK_RANGES)),
)


@dataclass(frozen=True, slots=True)
class BulkOffer:
    """An object to send (CH-50); always from its sender."""

    channel: ChannelId
    """A channel of class ``bulk``."""
    transfer: int
    """The number that the sender of this frame gives the transfer."""
    size: int
    """Bytes of the object."""
    sha256: bytes
    """SHA-256 of the object."""
    name: str
    """What the object is called, at most 255 bytes of UTF-8; never a path."""


BULK_OFFER: Final = Format(
    "bulk offer",
    BulkOffer,
    construct.Struct(
        _kind(InnerType.BULK_OFFER),
        _channel(),
        "transfer" / u16,
        "size" / u64,
        "sha256" / fixed_bytes(32),
        "name" / bounded_text(u8, MAX_BULK_NAME_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class BulkAccept:
    """The receiver wants the object (CH-51); always from its receiver."""

    channel: ChannelId
    """The offer's channel."""
    transfer: int
    """The number that the receiver of this frame gave the transfer."""
    offset: int
    """Where sending begins; what the receiver has already, at most the size."""


BULK_ACCEPT: Final = Format(
    "bulk accept",
    BulkAccept,
    construct.Struct(_kind(InnerType.BULK_ACCEPT), _channel(), "transfer" / u16, "offset" / u64),
)


class BulkDirection(IntEnum):
    """Whose transfer number a ``BULK_DONE`` names: both sides number their own transfers."""

    FROM_SENDER = 0
    """The sender of the object ends its own transfer."""
    FROM_RECEIVER = 1
    """The receiver of the object ends (or confirms the end of) the peer's transfer."""


MAX_BULK_STATUS: Final = 3
"""Status values are OK (0), HASH_MISMATCH (1), CANCELLED (2), REFUSED (3)."""


@dataclass(frozen=True, slots=True)
class BulkDone:
    """A transfer is over (CH-51, CH-56)."""

    channel: ChannelId
    """The transfer's channel."""
    transfer: int
    """The number that the sender of the object gave the transfer."""
    status: int
    """0 to 3."""
    direction: BulkDirection
    """Which side speaks."""


BULK_DONE: Final = Format(
    "bulk done",
    BulkDone,
    construct.Struct(
        _kind(InnerType.BULK_DONE),
        _channel(),
        "transfer" / u16,
        "status" / ranged(u8, 0, MAX_BULK_STATUS),
        "direction" / exact_enum(u8, BulkDirection),
    ),
)

# --- frames of the link itself (specs/1-link.md) --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Answered by a ``PONG`` of the same id."""

    id: int
    """Chosen by the sender of the ``PING``."""


PING: Final = Format("ping", Ping, construct.Struct(_kind(InnerType.PING), reserved(1), reserved(2), "id" / u32))


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ``PING``."""

    id: int
    """The ping's."""


PONG: Final = Format("pong", Pong, construct.Struct(_kind(InnerType.PONG), reserved(1), reserved(2), "id" / u32))


@dataclass(frozen=True, slots=True)
class RekeyRequest:
    """The responder asks the initiator for a rekey."""


REKEY_REQUEST: Final = Format(
    "rekey request", RekeyRequest, construct.Struct(_kind(InnerType.REKEY_REQUEST), reserved(3))
)


@dataclass(frozen=True, slots=True)
class PathChallenge:
    """Proof is wanted that the peer receives on this path."""

    data: bytes
    """8 random bytes."""


PATH_CHALLENGE: Final = Format(
    "path challenge",
    PathChallenge,
    construct.Struct(_kind(InnerType.PATH_CHALLENGE), reserved(3), "data" / fixed_bytes(8)),
)


@dataclass(frozen=True, slots=True)
class PathResponse:
    """The answer to a ``PATH_CHALLENGE``, on the path on which it came."""

    data: bytes
    """The challenge's."""


PATH_RESPONSE: Final = Format(
    "path response",
    PathResponse,
    construct.Struct(_kind(InnerType.PATH_RESPONSE), reserved(3), "data" / fixed_bytes(8)),
)


@dataclass(frozen=True, slots=True)
class Close:
    """Authenticated end of the link."""

    code: CloseCode
    """Why."""


CLOSE: Final = Format(
    "close", Close, construct.Struct(_kind(InnerType.CLOSE), reserved(1), "code" / exact_enum(u16, CloseCode))
)


@dataclass(frozen=True, slots=True)
class PairingConfirm:
    """The responder has stored the pairing (specs/2-pairing.md)."""


PAIRING_CONFIRM: Final = Format(
    "pairing confirmation", PairingConfirm, construct.Struct(_kind(InnerType.PAIRING_CONFIRM), reserved(3))
)


@dataclass(frozen=True, slots=True)
class Padding:
    """Ignored by its receiver."""

    zeros: bytes
    """Every byte after the type is zero."""


PADDING: Final = Format(
    "padding",
    Padding,
    construct.Struct(
        _kind(InnerType.PADDING),
        "zeros" / rest_zeros(MAX_RECORD_PLAINTEXT_BYTES - 1),
    ),
)


# --- path MTU (specs/1-link.md, 1.11) ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Probe:
    """Does a datagram of this size pass? Answered by a ``PROBE_ACK`` of the same id."""

    id: int
    """Chosen by the sender of the ``PROBE``."""
    zeros: bytes
    """What makes it as large as it is."""


PROBE: Final = Format(
    "probe",
    Probe,
    construct.Struct(
        _kind(InnerType.PROBE),
        reserved(1),
        reserved(2),
        "id" / u32,
        "zeros" / rest_zeros(MAX_RECORD_PLAINTEXT_BYTES - 8),
    ),
)


@dataclass(frozen=True, slots=True)
class ProbeAck:
    """The answer to a ``PROBE``: it has arrived."""

    id: int
    """The probe's."""


PROBE_ACK: Final = Format(
    "probe acknowledgement",
    ProbeAck,
    construct.Struct(_kind(InnerType.PROBE_ACK), reserved(1), reserved(2), "id" / u32),
)
