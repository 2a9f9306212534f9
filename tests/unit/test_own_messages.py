"""Messages of a user's own (specs/4-airlink.md, 4.7): what may be declared, and how a table reads it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import construct
import pytest
from construct import Struct

from protocols.admission import Need
from protocols.airlink import AIRLINK
from protocols.errors import MalformedError, UsageError
from protocols.groundlink import GROUNDLINK
from protocols.messages import MessageTable
from protocols.ownmessages import OwnMessage
from protocols.remotelink import REMOTE_CLOUD, REMOTE_MOBILE
from specs import strict
from specs.airlink import FORMATS
from specs.airlink.command import COMMAND, Command, CommandCode
from specs.airlink.numbers import Direction, numbered
from specs.airlink.telemetry import Battery
from specs.bounds import largest_frame_bytes
from specs.registry import ChannelClass, ChannelId
from specs.strict import Format, bounded_bytes, fixed_bytes, ranged, reserved, rest_bytes, u8, u16, u32
from tests.helpers.own import LEVEL, SPRAY, TRACE, Level, Spray, Trace

TABLES: list[MessageTable[Any]] = [AIRLINK, GROUNDLINK, REMOTE_MOBILE, REMOTE_CLOUD]
UP, DOWN = Direction.UP, Direction.DOWN


@dataclass(frozen=True, slots=True)
class Blob:
    """Whatever its bytes are."""

    data: Any
    """Some."""


def blob(part: Any, number: int = 0x8100) -> Format[Blob]:
    return Format("blob", Blob, Struct(numbered(number), "data" / part))


def declared(part: Any, channel: ChannelId = ChannelId.COMMAND, **others: Any) -> OwnMessage:
    return OwnMessage(0x8100, blob(part), channel, UP, **others)


def test_al_30_an_own_message_travels_as_it_was_declared() -> None:
    table = AIRLINK.extended([SPRAY, LEVEL, TRACE])
    for message, channel, direction in (
        (Spray(40, 3), ChannelId.COMMAND, UP),
        (Level(1_234), ChannelId.TELEMETRY, DOWN),
        (Trace(b"abc"), ChannelId.VIDEO, DOWN),
    ):
        data = table.encode(message)
        assert table.row(message).channel is channel
        assert table.decode_untrusted(channel, data, direction) == message
        for other in set(ChannelId) - {channel}:
            with pytest.raises(MalformedError):
                table.decode_untrusted(other, data)
        with pytest.raises(MalformedError, match="the wrong way"):
            table.decode_untrusted(channel, data, UP if direction is DOWN else DOWN)
    land = Command(CommandCode.LAND)
    assert table.encode(land) == AIRLINK.encode(land)  # ours are as they were
    assert table.encode(Spray(40, 3))[:2] == b"\x80\x01"
    assert table.row(Spray(1, 1)).service is ChannelClass.COMMAND


def test_al_30_the_table_of_before_stays_as_it_was() -> None:
    before = dict(AIRLINK.rows)
    AIRLINK.extended([SPRAY])
    assert before == AIRLINK.rows
    with pytest.raises(UsageError, match="no airlink message"):
        AIRLINK.row(Spray)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("number", [-1, 0, 0x0201, 0x7FFF, 0x1_0000])
def test_al_3_al_30_other_numbers_are_not_the_user_s(number: int) -> None:
    with pytest.raises(UsageError, match="from 0x8000 to 0xFFFF"):
        OwnMessage(number, blob(u8), ChannelId.COMMAND, UP)


def test_al_30_the_bytes_begin_with_the_number() -> None:
    for head in (
        numbered(0x8101),
        construct.Const(0x8100, u32),
        construct.Const(0x8100, construct.Int16ul),
        "data" / u16,
    ):
        parts = (head,) if head.name else (head, "data" / u8)
        with pytest.raises(UsageError, match=r"begin with numbered\(0x8100\)|strict"):
            OwnMessage(0x8100, Format("blob", Blob, Struct(*parts)), ChannelId.COMMAND, UP)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_al_30_no_number_and_no_dataclass_stands_twice(table: Any) -> None:
    again = OwnMessage(0x8009, Format("spray", Spray, Struct(numbered(0x8009), *SPRAY.format.construct.subcons[1:])),
                       ChannelId.COMMAND, UP)  # fmt: skip
    for own in ([SPRAY, SPRAY], [SPRAY, again]):
        with pytest.raises(UsageError, match="stands twice"):
            table.extended(own)
    with pytest.raises(UsageError, match="stands twice"):
        table.extended([SPRAY]).extended([SPRAY])


@pytest.mark.parametrize("channel", [ChannelId.CONTROL, ChannelId.LOG, ChannelId.RELAY])
def test_al_30_some_channels_carry_no_messages_of_one_s_own(channel: ChannelId) -> None:
    with pytest.raises(UsageError, match=f"the channel {channel.name} carries no messages of your own"):
        declared(u8, channel)


def test_al_30_a_link_must_have_the_channel() -> None:
    assert ChannelId.VIDEO in AIRLINK.channels
    with pytest.raises(UsageError, match="the mobile-to-drone has no channel VIDEO"):
        REMOTE_MOBILE.extended([TRACE])
    assert set(REMOTE_MOBILE.extended_by_fitting([TRACE, SPRAY]).rows) == set(REMOTE_MOBILE.rows) | {SPRAY.number}


def test_al_30_which_way_and_what_it_needs_are_said() -> None:
    with pytest.raises(UsageError, match="which way"):
        OwnMessage(0x8100, blob(u8), ChannelId.COMMAND, Direction(0))
    for need in (Need.NEVER, Need.FLIGHT_OR_READ_ONLY):
        with pytest.raises(UsageError, match="NOTHING, FLIGHT, PAYLOAD or CLOUD"):
            declared(u8, need=need)
    assert declared(u8).need is Need.FLIGHT


# --- size -------------------------------------------------------------------------------------------


class Colour(IntEnum):
    """Of a lamp."""

    RED = 1


NOT_STRICT = {
    "greedy bytes": construct.GreedyBytes,
    "greedy range": construct.GreedyRange(u8),
    "varint": construct.VarInt,
    "prefixed": construct.Prefixed(u32, construct.GreedyBytes),
    "prefixed array": construct.PrefixedArray(u32, u8),
    "bytes": construct.Bytes(4),
    "text without end": construct.CString("utf8"),
    "pascal": construct.PascalString(u16, "utf8"),
    "enumeration": construct.Enum(u8, RED=1),
    "flag": construct.Flag,
    "float": strict.f32,
    "little-endian": construct.Int32ul,
    "any of a switch": construct.Switch(lambda _: 1, {1: u8}),
    "array of any": strict.bounded_array(u8, construct.GreedyBytes, 3),
    "length that varies": bounded_bytes(construct.VarInt, 3),
    "optional": construct.Optional(u8),
    "recursive": construct.LazyBound(lambda: u8),
}


@pytest.mark.parametrize("part", NOT_STRICT.values(), ids=NOT_STRICT.keys())
def test_al_31_a_format_without_bound_is_refused(part: Any) -> None:
    with pytest.raises(UsageError, match=r"specs\.strict, and may be of any size") as caught:
        declared(part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "size"),
    [
        (u8, 1),
        (strict.i64, 8),
        (ranged(u16, 1, 5), 2),
        (strict.finite(strict.f64), 8),
        (strict.exact_enum(u8, Colour), 1),
        (strict.exact_bool(), 1),
        (fixed_bytes(32), 32),
        (bounded_bytes(u16, 1_000, 1), 1_002),
        (strict.bounded_text(u8, 200), 201),
        (rest_bytes(77), 77),
        (strict.bounded_array(u8, u32, 5), 21),
        (strict.nested(COMMAND), 4),
    ],
)
def test_al_31_the_largest_frame_is_known(part: Any, size: int) -> None:
    assert largest_frame_bytes(blob(part)) == 2 + size
    assert declared(part).row.format.name == "blob"


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_al_31_all_of_our_own_formats_have_a_bound(fmt: Format[Any]) -> None:
    assert 2 < largest_frame_bytes(fmt) <= 1_048_576


@pytest.mark.parametrize(
    ("channel", "limit"), [(ChannelId.COMMAND, 65_536), (ChannelId.TELEMETRY, 1_116), (ChannelId.VIDEO, 1_048_576)]
)
def test_al_31_a_frame_is_no_larger_than_its_channel_carries(channel: ChannelId, limit: int) -> None:
    assert declared(rest_bytes(limit - 2), channel).channel is channel
    with pytest.raises(UsageError, match=f"up to {limit + 1:,} bytes, and {channel.name} carries {limit:,}"):
        declared(rest_bytes(limit - 1), channel)


def test_al_31_reserved_bytes_and_ranges_hold_for_users_too() -> None:
    table = AIRLINK.extended([SPRAY])
    assert SPRAY.format.construct.subcons[1].name is None, "the reserved byte"
    with pytest.raises(UsageError, match="value does not fit"):
        table.encode(Spray(101, 3))
    for bad in (
        b"\x80\x01\x01\x28\x00\x03",
        b"\x80\x01\x00\xff\x00\x03",
        b"\x80\x01\x00\x28\x00",
        b"\x80\x01\x00\x28\x00\x03\x00",
    ):
        with pytest.raises(MalformedError):
            table.decode_untrusted(ChannelId.COMMAND, bad, UP)
    assert reserved(1) is not None


def test_al_32_an_end_that_has_not_declared_it_knows_no_such_number() -> None:
    data = AIRLINK.extended([SPRAY]).encode(Spray(40, 3))
    for table in TABLES:
        with pytest.raises(MalformedError, match="no message of this channel"):
            table.decode_untrusted(ChannelId.COMMAND, data, UP)
    with pytest.raises(UsageError, match="Spray is no airlink message"):
        AIRLINK.encode(Spray(40, 3))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert AIRLINK.row(Battery).channel is ChannelId.TELEMETRY
