"""Bodies, records and batches of specs/9-cloudlink.md: every rule that bytes alone can break, named."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import codec
from protocols.cloudlink import (
    KEEPALIVE,
    CloudBody,
    DownlinkItem,
    DownlinkReader,
    body_kind,
    decode_record_untrusted,
    decode_relay_untrusted,
    decode_untrusted,
    encode,
    encode_message_record,
    encode_relay,
    encode_relay_record,
    relay_batches,
)
from protocols.errors import MalformedError, MessageTooLargeError, UsageError
from protocols.events import RelayClosed, RelayDatagram, RelayMessage, RelayOpen, RelayOpened, RelayRefused
from protocols.maps import Packable, pack_map, unpack_map_untrusted
from specs.airlink.numbers import FIRST_USER_MESSAGE, MessageId
from specs.cloudlink import (
    DOWNLINK_RECORD,
    LABEL,
    MAP_BODY,
    MAPS,
    MAX_RECORD_BYTES,
    MAX_RELAY_FRAMES,
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
    ReportedAlarm,
    TelemetryBatch,
    UploadKind,
    UploadOpen,
    UploadPhase,
    UploadReason,
    UploadState,
)
from specs.mapform import Binary, Choice, Flag, Hex, ListOf, MapType, Nested, Packed, Text, Uint, Value
from specs.registry import LinkType, RelayRefusal

OUTBOX: Final = b"outbox-1"
DRONE: Final = bytes(range(16))
SHA: Final = bytes(32)
BATTERY: Final = MessageId.BATTERY.to_bytes(2, "big") + b"whatever"
MESSAGE: Final = DownlinkMessage("notice", 5, pack_map({"a": 1}))

EXAMPLES: Final[tuple[CloudBody, ...]] = (
    TelemetryBatch(OUTBOX, 1, (5, 6), (BATTERY, MessageId.MAVLINK_FRAME.to_bytes(2, "big"))),
    TelemetryBatch(OUTBOX, 2**63 - 1, (0,), ((FIRST_USER_MESSAGE + 1).to_bytes(2, "big"),), DRONE),
    AlarmReport(OUTBOX, 1, (ReportedAlarm(1, "LOAD_MODE"), ReportedAlarm(2, "KEY_FAILED", "one line", DRONE))),
    Accepted(7),
    Accepted(7, repeated=True),
    UploadOpen(UploadKind.SEALED_LOG, "flight 1", 10, SHA),
    UploadState("ab" * 16, UploadPhase.OPEN, 0),
    UploadState("ab" * 16, UploadPhase.REFUSED, 10, UploadReason.SIGNATURE),
    DownlinkAck(3),
    MESSAGE,
    CloudTime(1_700_000_000_000),
    Health(1),
    Renewal(b"csr"),
    Enrolment("TOKEN", b"csr"),
    IssuedCertificate(b"certificate", b"authority"),
)
RELAYED: Final[tuple[RelayMessage, ...]] = (
    RelayOpen(1, DRONE, LinkType.REMOTE_CLOUD),
    RelayOpened(2),
    RelayRefused(3, RelayRefusal.BUSY),
    RelayClosed(4, by_opener=True),
    RelayDatagram(2**32 - 1, by_opener=False, data=b"x" * 1_452),
)
every_example = pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: type(body).__name__)


def framed(kind: BodyKind, content: Mapping[str, Packable]) -> bytes:
    return codec.build(MAP_BODY, MapBody(kind, pack_map(content)))


def content_of(body: CloudBody) -> dict[str, Any]:
    return cast("dict[str, Any]", unpack_map_untrusted(encode(body)[12:]))


def refused(kind: type[CloudBody], data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_untrusted(kind, data)


# --- bodies -------------------------------------------------------------------------------------


def test_every_kind_has_an_example() -> None:
    assert {body_kind(type(body)) for body in EXAMPLES} == set(BodyKind) == set(MAPS)


@every_example
def test_bodies_survive(body: CloudBody) -> None:
    data = encode(body)
    assert data[:4] == LABEL
    assert int.from_bytes(data[4:6], "big") == body_kind(type(body))
    assert decode_untrusted(type(body), memoryview(data)) == body


@every_example
def test_cl_1_the_frame_is_exact(body: CloudBody) -> None:
    data = encode(body)
    kind = type(body)
    for changed in (b"", data[:11], data[:-1], data + b"\0", b"AEC\x02" + data[4:]):
        refused(kind, changed)
    refused(kind, data[:4] + b"\xff\xff" + data[6:])
    refused(kind, data[:7] + b"\1" + data[8:])
    refused(kind, data[:8] + (len(data) - 11).to_bytes(4, "big") + data[12:])
    refused(kind, data[:8] + (2**32 - 1).to_bytes(4, "big") + data[12:])
    refused(kind, data[:12] + b"\x90")


@every_example
def test_cl_2_another_kind_is_refused(body: CloudBody) -> None:
    data = encode(body)
    for other in BodyKind:
        if other is not body_kind(type(body)):
            refused(type(body), data[:4] + other.to_bytes(2, "big") + data[6:])
            refused(MAPS[other].type, data)


@every_example
def test_cl_3_required_keys_are_there(body: CloudBody) -> None:
    kind = body_kind(type(body))
    content = content_of(body)
    for key in MAPS[kind].required():
        refused(type(body), framed(kind, {name: value for name, value in content.items() if name != key}))


def wrong(kind: Value) -> list[Packable]:
    """Values that a key of this kind does not take."""
    return [None, 1.0, -1, *_WRONG[type(kind)](kind)]


def wrong_uint(kind: Uint) -> list[Packable]:
    beyond: list[Packable] = [kind.high + 1] if kind.high < 2**64 - 1 else []
    below: list[Packable] = [kind.low - 1] if kind.low else []
    return [*beyond, *below, True, "1", b"1", []]


def wrong_text(kind: Text) -> list[Packable]:
    return [b"text", "a" * (kind.max_bytes + 1), "a\nb", "\u2028", *([""] if kind.min_bytes else [])]


def wrong_hex(kind: Hex) -> list[Packable]:
    digits = "a" * (2 * kind.size_bytes)
    return [digits[1:], digits.upper(), digits[1:] + "g", digits[1:] + " ", digits + "a"]


def wrong_binary(kind: Binary) -> list[Packable]:
    short: list[Packable] = [bytes(kind.min_bytes - 1)] if kind.min_bytes else []
    long: list[Packable] = [bytes(kind.max_bytes + 1)] if kind.max_bytes < 60_000 else []
    return [*short, *long, "text"]


def wrong_list(kind: ListOf) -> list[Packable]:
    few: list[Packable] = [[]] if kind.min_items else []
    return [*few, [right(kind.item)] * (kind.max_items + 1), *[[each] for each in wrong(kind.item)]]


def wrong_map(kind: Nested) -> list[Packable]:
    return [{}, "map", *[{**nested_right(kind), key: each} for key, each in wrong_inside(kind.map)]]


_WRONG: Final[dict[type[Any], Callable[[Any], list[Packable]]]] = {
    Uint: wrong_uint,
    Flag: lambda _kind: [0, 1, "true"],
    Text: wrong_text,
    Hex: wrong_hex,
    Binary: wrong_binary,
    Packed: lambda kind: [b"", b"\x90", b"\x81", {"a": 1}, pack_map({"a": bytes(kind.max_bytes)})],
    Choice: lambda _kind: ["nonsense", ""],
    ListOf: wrong_list,
    Nested: wrong_map,
}


def wrong_inside(shape: MapType) -> list[tuple[str, Packable]]:
    return [(key, each) for key, kind in shape.keys.items() for each in wrong(kind)]


def nested_right(kind: Nested) -> dict[str, Packable]:
    return {key: right(each) for key, each in kind.map.keys.items()}


def right(kind: Value) -> Packable:
    """A value that a key of this kind takes."""
    if isinstance(kind, Uint):
        return kind.low
    if isinstance(kind, Text):
        return "a" * max(1, kind.min_bytes)
    if isinstance(kind, Binary):
        return bytes(kind.min_bytes)
    assert isinstance(kind, Nested)
    return nested_right(kind)


@every_example
def test_cl_3_types_and_bounds(body: CloudBody) -> None:
    kind = body_kind(type(body))
    content = content_of(body)
    for key, each in wrong_inside(MAPS[kind]):
        refused(type(body), framed(kind, {**content, key: each}))


@every_example
def test_cl_4_unknown_keys_are_passed_over_and_missing_ones_have_their_value(body: CloudBody) -> None:
    kind = body_kind(type(body))
    content = content_of(body)
    assert decode_untrusted(type(body), framed(kind, {**content, "zz new": [1, {"a": None}]})) == body
    required = MAPS[kind].required()
    least = decode_untrusted(type(body), framed(kind, {key: content[key] for key in required}))
    defaults = {each.name: each.default for each in fields(type(body)) if each.name not in required}
    assert least == replace(body, **cast("Any", defaults))


@pytest.mark.parametrize(
    "body",
    [
        UploadOpen(UploadKind.FILE, "a\nb", 1, SHA),
        UploadOpen(UploadKind.FILE, "\ud800", 1, SHA),
        UploadState("AB" * 16, UploadPhase.OPEN, 0),
        Accepted(0),
        DownlinkMessage("topic", 0, b"\x90"),
        cast("CloudBody", UploadOpen(cast("UploadKind", "file"), "name", 1, b"")),
    ],
    ids=str,
)
def test_what_the_other_end_would_refuse_is_not_sent(body: CloudBody) -> None:
    with pytest.raises(UsageError):
        encode(body)


def test_what_is_no_body_is_not_sent() -> None:
    with pytest.raises(UsageError):
        encode(cast("CloudBody", ReportedAlarm(1, "KIND")))


@settings(deadline=None)
@given(st.sampled_from(EXAMPLES), st.data())
def test_hostile_bytes_are_a_body_or_malformed(body: CloudBody, data: st.DataObject) -> None:
    wire = bytearray(encode(body))
    for place in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=4)):
        wire[place : place + 1] = data.draw(st.binary(max_size=2))
    try:
        found = decode_untrusted(type(body), bytes(wire))
    except MalformedError:
        return
    assert decode_untrusted(type(body), encode(found)) == found


def test_cl_12_as_many_times_as_messages() -> None:
    with pytest.raises(UsageError):
        encode(TelemetryBatch(OUTBOX, 1, (1, 2), (BATTERY,)))
    content = content_of(TelemetryBatch(OUTBOX, 1, (1,), (BATTERY,)))
    refused(TelemetryBatch, framed(BodyKind.TELEMETRY, {**content, "times_ms": [1, 2]}))


@pytest.mark.parametrize("number", [MessageId.STICKS, MessageId.COMMAND, 0x0000, 0x7FFF, 0x0399])
def test_cl_12_what_no_drone_says_is_refused(number: int) -> None:
    content = content_of(TelemetryBatch(OUTBOX, 1, (1,), (BATTERY,)))
    refused(TelemetryBatch, framed(BodyKind.TELEMETRY, {**content, "messages": [number.to_bytes(2, "big") + b"x"]}))


# --- relay --------------------------------------------------------------------------------------


def test_relay_batches_survive() -> None:
    assert decode_relay_untrusted(encode_relay(RELAYED)) == RELAYED


def test_cl_40_a_batch_with_a_wrong_frame_is_refused_whole() -> None:
    good = codec.parse_untrusted(RELAY_BATCH, encode_relay(RELAYED)).frames
    datagram = good[-1]
    part = datagram[:8] + b"\0\1\0\2" + datagram[12:]  # the first of two parts
    other_channel = good[1][:1] + b"\6" + good[1][2:]
    for bad in (part, other_channel, good[1] + b"\0", good[0][:-1], b"\1\7\x09\0" + bytes(4), datagram[:12]):
        with pytest.raises(MalformedError):
            decode_relay_untrusted(codec.build(RELAY_BATCH, RelayFrames((*good, bad))))


def test_cl_40_a_batch_has_one_to_many_frames() -> None:
    with pytest.raises(UsageError):
        encode_relay(())
    with pytest.raises(UsageError):
        encode_relay([RelayOpened(1)] * (MAX_RELAY_FRAMES + 1))
    with pytest.raises(MessageTooLargeError):
        encode_relay([RelayDatagram(1, by_opener=True, data=bytes(1_453))])
    for data in (b"", LABEL + b"\0\0", LABEL + b"\0\1\0\7" + bytes(7), LABEL + b"\xff\xff"):
        with pytest.raises(MalformedError):
            decode_relay_untrusted(data)


def test_any_number_of_relay_messages() -> None:
    messages = [RelayOpened(number) for number in range(2 * MAX_RELAY_FRAMES + 1)]
    batches = relay_batches(messages)
    assert [len(decode_relay_untrusted(batch)) for batch in batches] == [MAX_RELAY_FRAMES, MAX_RELAY_FRAMES, 1]
    assert [each for batch in batches for each in decode_relay_untrusted(batch)] == messages
    assert relay_batches(()) == []


# --- the downlink -------------------------------------------------------------------------------

ITEMS: Final[tuple[DownlinkItem, ...]] = (None, (1, MESSAGE), RELAYED, None, (2, MESSAGE))
STREAM: Final = b"".join(
    [
        KEEPALIVE,
        encode_message_record(1, encode(MESSAGE)),
        encode_relay_record(encode_relay(RELAYED)),
        KEEPALIVE,
        encode_message_record(2, encode(MESSAGE)),
    ]
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=9))
def test_records_are_cut_from_any_pieces(cuts: list[int]) -> None:
    reader = DownlinkReader()
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(places)]
    assert tuple(item for piece in pieces for item in reader.receive_untrusted(piece)) == ITEMS


def test_records_are_cut_byte_by_byte() -> None:
    reader = DownlinkReader()
    assert tuple(item for byte in STREAM for item in reader.receive_untrusted(bytes((byte,)))) == ITEMS


def test_cl_30_cl_35_sequences_belong_to_messages_alone() -> None:
    body = encode(MESSAGE)
    for number in (0, 2**63):
        with pytest.raises(UsageError):
            encode_message_record(number, body)
    assert decode_record_untrusted(encode_message_record(2**63 - 1, body)) == (2**63 - 1, MESSAGE)
    for record in (
        DownlinkRecord(DownlinkKind.MESSAGE, 0, body),
        DownlinkRecord(DownlinkKind.MESSAGE, 2**63, body),  # no database at the device could keep it
        DownlinkRecord(DownlinkKind.MESSAGE, 1, encode(Health(1))),
        DownlinkRecord(DownlinkKind.RELAY, 1, encode_relay(RELAYED)),
        DownlinkRecord(DownlinkKind.RELAY, 0, b""),
        DownlinkRecord(DownlinkKind.KEEPALIVE, 1),
        DownlinkRecord(DownlinkKind.KEEPALIVE, 0, b"x"),
    ):
        with pytest.raises(MalformedError):
            decode_record_untrusted(codec.build(DOWNLINK_RECORD, record))


def test_a_record_that_is_too_long_is_refused_by_its_length() -> None:
    reader = DownlinkReader()
    with pytest.raises(MalformedError):
        reader.receive_untrusted(KEEPALIVE[:-4] + (MAX_RECORD_BYTES + 1).to_bytes(4, "big"))


@given(st.binary(max_size=80))
def test_any_bytes_are_records_or_malformed(wire: bytes) -> None:
    try:
        DownlinkReader().receive_untrusted(wire)
    except MalformedError:
        return
