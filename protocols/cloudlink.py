"""Bodies of the cloudlink in and out of bytes (specs/9-cloudlink.md). Stateless, but for the reader of the downlink.

Who receives says which kind it expects: a body of another kind is malformed, whatever stands in it. Maps are
strict (specs/msgpack-maps.md); of the declared keys each is checked for its type and its bounds, and keys that
nobody knows are passed over (CL-4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar, cast

from protocols import codec, maps
from protocols.channels import relay_frames
from protocols.errors import MalformedError, PeerError, UsageError
from protocols.events import RelayMessage
from specs.airlink import MESSAGES
from specs.airlink.numbers import FIRST_USER_MESSAGE, Direction
from specs.cloudlink import (
    DOWNLINK_HEAD_BYTES,
    DOWNLINK_RECORD,
    LABEL,
    MAP_BODY,
    MAPS,
    MAX_RECORD_BYTES,
    MAX_RELAY_FRAMES,
    MAX_SEQUENCE,
    RELAY_BATCH,
    Accepted,
    AlarmReport,
    BodyKind,
    CloudTime,
    DownlinkAck,
    DownlinkKind,
    DownlinkMessage,
    DownlinkRecord,
    Enrolment,
    Health,
    IssuedCertificate,
    MapBody,
    RelayFrames,
    Renewal,
    TelemetryBatch,
    UploadOpen,
    UploadState,
)
from specs.mapform import Binary, Choice, Flag, Hex, ListOf, MapType, Nested, Packed, Text, Uint, Value

CloudBody = (
    TelemetryBatch
    | AlarmReport
    | Accepted
    | UploadOpen
    | UploadState
    | DownlinkAck
    | DownlinkMessage
    | CloudTime
    | Health
    | Renewal
    | Enrolment
    | IssuedCertificate
)
"""Everything that a body with a map can be."""
T = TypeVar("T", bound=CloudBody)

_KINDS: Final[dict[type[Any], BodyKind]] = {row.type: kind for kind, row in MAPS.items()}
_NUMBER_BYTES: Final = 2
_COUNT_BYTES: Final = 2
"""Of frames, in a relay batch."""


def body_kind(body: type[CloudBody]) -> BodyKind:
    """Return the number of a kind of body."""
    return _KINDS[body]


# --- bodies -------------------------------------------------------------------------------------


def encode(body: CloudBody) -> bytes:
    """Return a body as bytes; UsageError if the other end would refuse it."""
    kind = _KINDS.get(type(body))
    if kind is None:
        raise UsageError(f"{type(body).__name__} is no body of the cloudlink")
    content = _packable(body, MAPS[kind])
    try:
        _checked_untrusted(content, MAPS[kind])
    except MalformedError as error:
        raise UsageError(f"this body does not fit: {error}") from None
    return codec.build(MAP_BODY, MapBody(kind, maps.pack_map(content)))


def decode_untrusted(kind: type[T], data: codec.Buffer) -> T:
    """Return the body of this kind that ``data`` is; MalformedError if it is none."""
    frame = codec.parse_untrusted(MAP_BODY, data)
    number = _KINDS[kind]
    if frame.kind is not number:
        raise MalformedError(f"cloudlink: a body of kind {number.name.lower()} was expected")
    return cast("T", _checked_untrusted(maps.unpack_map_untrusted(frame.content), MAPS[number]))


def _checked_untrusted(content: Mapping[str, object], shape: MapType) -> object:
    value = _read_untrusted(content, shape)
    if isinstance(value, TelemetryBatch):
        _check_telemetry_untrusted(value)
    return value


def _check_telemetry_untrusted(batch: TelemetryBatch) -> None:
    """CL-12: as many times as messages, and only messages that come from a drone."""
    if len(batch.times_ms) != len(batch.messages):
        raise MalformedError("cloudlink: telemetry: not as many times as messages")
    for number in {int.from_bytes(message[:_NUMBER_BYTES], "big") for message in batch.messages}:
        row = MESSAGES.get(number)
        known = row is not None and Direction.DOWN in row.direction
        if not known and number < FIRST_USER_MESSAGE:
            raise MalformedError("cloudlink: telemetry: no message of a drone")


# --- maps ---------------------------------------------------------------------------------------


def _packable(value: object, shape: MapType) -> dict[str, maps.Packable]:
    """Return the map of a dataclass; keys that hold their default are left out."""
    return {
        each.name: _plain(getattr(value, each.name), shape.keys[each.name])
        for each in fields(shape.type)
        if getattr(value, each.name) != each.default
    }


def _plain(value: object, kind: Value) -> maps.Packable:
    if isinstance(kind, ListOf):
        return [_plain(item, kind.item) for item in cast("Sequence[object]", value)]
    if isinstance(kind, Nested):
        return _packable(value, kind.map)
    if isinstance(kind, Choice) and isinstance(value, kind.kind):
        return cast("str", value.value)
    return cast("maps.Packable", value)


def _read_untrusted(found: Mapping[str, object], shape: MapType) -> object:
    name = shape.type.__name__
    if shape.required() - found.keys():
        raise MalformedError(f"cloudlink: {name}: a key is missing")
    values: dict[str, object] = {}
    for key, kind in shape.keys.items():
        if key in found:
            try:
                values[key] = _READ[type(kind)](found[key], kind)
            except (TypeError, ValueError):
                raise MalformedError(f"cloudlink: {name}: refused at {key}") from None
    return shape.type(**values)


def _bounded(size: int, low: int, high: int) -> None:
    if not low <= size <= high:
        raise ValueError


def _uint(value: object, kind: Uint) -> int:
    if type(value) is not int:
        raise TypeError
    _bounded(value, kind.low, kind.high)
    return value


def _flag(value: object, _kind: Flag) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _text(value: object, kind: Text) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not value.isprintable():
        raise ValueError
    _bounded(len(value.encode()), kind.min_bytes, kind.max_bytes)
    return value


def _hex(value: object, kind: Hex) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not is_hex(value, kind.size_bytes):
        raise ValueError
    return value


def is_hex(text: str, size_bytes: int) -> bool:
    """Whether a text is so many bytes in lower-case hexadecimal digits."""
    return len(text) == 2 * size_bytes and not text.strip("0123456789abcdef")


def _binary(value: object, kind: Binary) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    _bounded(len(value), kind.min_bytes, kind.max_bytes)
    return value


def _packed(value: object, kind: Packed) -> bytes:
    content = _binary(value, Binary(kind.max_bytes, 1))
    maps.unpack_map_untrusted(content)
    return content


def _choice(value: object, kind: Choice) -> object:
    if not isinstance(value, str):
        raise TypeError
    return kind.kind(value)


def _list(value: object, kind: ListOf) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise TypeError
    items = cast("list[object]", value)
    _bounded(len(items), kind.min_items, kind.max_items)
    read = _READ[type(kind.item)]
    return tuple([read(item, kind.item) for item in items])


def _map(value: object, kind: Nested) -> object:
    if not isinstance(value, dict):
        raise TypeError
    return _read_untrusted(cast("dict[str, object]", value), kind.map)


_READ: Final[Mapping[type[Any], Callable[[object, Any], object]]] = {
    Uint: _uint,
    Flag: _flag,
    Text: _text,
    Hex: _hex,
    Binary: _binary,
    Packed: _packed,
    Choice: _choice,
    ListOf: _list,
    Nested: _map,
}

# --- relay batches ------------------------------------------------------------------------------


def encode_relay(messages: Sequence[RelayMessage]) -> bytes:
    """Return 1 to ``MAX_RELAY_FRAMES`` messages as a relay batch; UsageError, MessageTooLargeError."""
    return codec.build(RELAY_BATCH, RelayFrames(tuple([relay_frames.encode(message) for message in messages])))


def decode_relay_untrusted(data: codec.Buffer) -> tuple[RelayMessage, ...]:
    """Return the messages of a relay batch, in order; MalformedError if any of them is none."""
    frames = codec.parse_untrusted(RELAY_BATCH, data).frames
    try:
        return tuple([relay_frames.decode_untrusted(frame) for frame in frames])
    except PeerError as error:
        raise MalformedError(f"cloudlink: {error}") from None


def relay_count_untrusted(data: bytes) -> int:
    """Return how many frames a relay batch claims to hold, before it is decoded; 0 if it is none."""
    start, end = len(LABEL), len(LABEL) + _COUNT_BYTES
    return int.from_bytes(data[start:end], "big") if data.startswith(LABEL) and len(data) >= end else 0


def relay_batches(messages: Sequence[RelayMessage]) -> list[bytes]:
    """Return any number of messages as relay batches, in order; UsageError, MessageTooLargeError."""
    starts = range(0, len(messages), MAX_RELAY_FRAMES)
    return [encode_relay(messages[start : start + MAX_RELAY_FRAMES]) for start in starts]


# --- the downlink -------------------------------------------------------------------------------

DownlinkItem = tuple[int, DownlinkMessage] | tuple[RelayMessage, ...] | None
"""A message with its sequence, relay messages, or None for a keepalive."""
KEEPALIVE: Final = codec.build(DOWNLINK_RECORD, DownlinkRecord(DownlinkKind.KEEPALIVE))


def encode_message_record(sequence: int, body: bytes) -> bytes:
    """Return the record of a message; ``body`` is ``encode(DownlinkMessage(...))``. UsageError."""
    if not 1 <= sequence <= MAX_SEQUENCE:
        raise UsageError("messages of the downlink count from 1, below 2^63")
    return codec.build(DOWNLINK_RECORD, DownlinkRecord(DownlinkKind.MESSAGE, sequence, body))


def encode_relay_record(batch: bytes) -> bytes:
    """Return the record of a relay batch, which :func:`encode_relay` has made."""
    return codec.build(DOWNLINK_RECORD, DownlinkRecord(DownlinkKind.RELAY, 0, batch))


def decode_record_untrusted(data: codec.Buffer) -> DownlinkItem:
    """Return what one whole record holds; MalformedError."""
    record = codec.parse_untrusted(DOWNLINK_RECORD, data)
    if (record.kind is DownlinkKind.MESSAGE) != (record.sequence > 0) or record.sequence > MAX_SEQUENCE:
        raise MalformedError("cloudlink: a record of the downlink with a wrong sequence")
    if record.kind is DownlinkKind.MESSAGE:
        return record.sequence, decode_untrusted(DownlinkMessage, record.payload)
    if record.kind is DownlinkKind.RELAY:
        return decode_relay_untrusted(record.payload)
    if record.payload:
        raise MalformedError("cloudlink: a keepalive with a payload")
    return None


class DownlinkReader:
    """Cuts the response of the downlink into its records; holds one unfinished record at most."""

    def __init__(self) -> None:
        self._held = bytearray()

    def receive_untrusted(self, data: codec.Buffer) -> list[DownlinkItem]:
        """Return what these bytes complete, in order; MalformedError, after which nothing more can be read."""
        self._held += data
        items: list[DownlinkItem] = []
        at = 0
        while (end := self._end_untrusted(at)) <= len(self._held):
            items.append(decode_record_untrusted(bytes(self._held[at:end])))
            at = end
        del self._held[:at]
        return items

    def _end_untrusted(self, at: int) -> int:
        """Return where the record that starts at ``at`` ends, or a place after all there is."""
        head = at + DOWNLINK_HEAD_BYTES
        if head > len(self._held):
            return head
        payload_bytes = int.from_bytes(self._held[head - 4 : head], "big")
        if payload_bytes > MAX_RECORD_BYTES:
            raise MalformedError("cloudlink: a record of the downlink is too long")
        return head + payload_bytes
