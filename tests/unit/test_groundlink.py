"""Groundlink and end-to-end links: every message both ways, and what each table leaves out (specs/6-groundlink.md)."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.airlink import AIRLINK
from protocols.errors import MalformedError, UsageError
from protocols.groundlink import GROUNDLINK
from protocols.maps import pack_map
from protocols.messages import MessageTable
from protocols.remotelink import REMOTE_CLOUD, REMOTE_MOBILE
from specs import airlink, groundlink, remotelink
from specs.airlink.command import Command, CommandCode, LogOffer
from specs.airlink.control import Sticks
from specs.airlink.numbers import Direction, MessageId
from specs.airlink.stream import MavlinkFrame
from specs.airlink.table import MessageType
from specs.airlink.telemetry import Settings
from specs.diagrams import bit_diagram
from specs.registry import ChannelId, LinkType
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys, VerifyingKeys
from specs.strict import Format
from tests.conftest import examples
from tests.tools.formats import hostile_bytes, values
from tests.tools.write_diagrams import PAGES

TABLES: dict[str, MessageTable[Any]] = {
    "airlink": AIRLINK,
    "groundlink": GROUNDLINK,
    "mobile": REMOTE_MOBILE,
    "cloud": REMOTE_CLOUD,
}
DECLARED: dict[str, Mapping[int, MessageType]] = {
    "airlink": airlink.MESSAGES,
    "groundlink": groundlink.MESSAGES,
    "mobile": remotelink.MOBILE_MESSAGES,
    "cloud": remotelink.CLOUD_MESSAGES,
}
OWN = [*groundlink.FORMATS, *remotelink.FORMATS]
FRAME = MavlinkFrame(bytes.fromhex("fe0001020300aaaa"))

every_table = pytest.mark.parametrize("name", TABLES)
every_format = pytest.mark.parametrize("fmt", OWN, ids=lambda fmt: fmt.name)


def row_of(fmt: Format[Any]) -> tuple[MessageTable[Any], MessageType]:
    table = GROUNDLINK if fmt in groundlink.FORMATS else REMOTE_CLOUD
    return table, table.row(fmt.type)


@every_format
@settings(max_examples=examples(30))
@given(data=st.data())
def test_messages_survive(fmt: Format[Any], data: st.DataObject) -> None:
    table, row = row_of(fmt)
    message = data.draw(values(fmt))
    encoded = table.encode(message)
    assert int.from_bytes(encoded[:2], "big") == row.id
    assert table.decode_untrusted(row.channel, memoryview(encoded)) == message
    assert table.row(message) is row


@every_format
@settings(max_examples=examples(30))
@given(data=st.data())
def test_hostile_bytes_are_a_message_or_malformed(fmt: Format[Any], data: st.DataObject) -> None:
    table, row = row_of(fmt)
    wire = data.draw(hostile_bytes(fmt))
    try:
        message = table.decode_untrusted(row.channel, wire)
    except MalformedError:
        return
    assert table.encode(message) == wire


@every_format
def test_every_message_is_drawn(fmt: Format[Any]) -> None:
    assert bit_diagram(fmt) in (PAGES / "6-groundlink.md").read_text()


def test_bytes_that_others_must_make_too() -> None:
    """Known answers, by hand from the page."""
    quality = groundlink.LinkQuality(LinkType.AIRLINK, True, bytes(range(16)), 2_000, 7, 65_536, 1)
    wire = "0308 01 01 000102030405060708090a0b0c0d0e0f 000007d0 0007 00010000 00000001"
    assert GROUNDLINK.encode(quality).hex() == wire.replace(" ", "")
    assert GROUNDLINK.encode(groundlink.ShownDrone(bytes(range(16)))).hex() == "03090000" + bytes(range(16)).hex()
    known: dict[str, Any] = {
        "0207 0003 616263": SealingKeys(b"abc"),
        "0281 0001 61 0002 6263": VerifyingKeys(b"a", b"bc"),
        "0208 0000" + "01" * 16 + "02" * 32: LogReceipt(b"\1" * 16, b"\2" * 32),
        "0209 0000" + "03" * 16: RevokePeer(b"\3" * 16),
    }
    for text, message in known.items():
        assert REMOTE_CLOUD.encode(message).hex() == text.replace(" ", "")


@every_table
def test_gl_1_a_message_of_another_table_or_way_is_refused(name: str) -> None:
    table, declared = TABLES[name], DECLARED[name]
    assert dict(table.rows) == dict(declared)
    for number in MessageId:
        channel = ChannelId(number >> 8)
        if number not in declared:
            with pytest.raises(MalformedError, match="no message of this channel"):
                table.decode_untrusted(channel, number.to_bytes(2, "big") + bytes(60))
        ways = declared[number].direction if number in declared else Direction(0)
        for way in set(Direction) - {each for each in Direction if each in ways}:
            with pytest.raises(MalformedError):
                table.decode_untrusted(channel, number.to_bytes(2, "big") + bytes(60), way)


@every_table
def test_gl_1_the_map_rule_holds_on_every_link(name: str) -> None:
    table = TABLES[name]
    good = table.encode(Settings(pack_map({"a": 1})))
    assert table.decode_untrusted(ChannelId.TELEMETRY, good) == Settings(pack_map({"a": 1}))
    with pytest.raises(MalformedError):
        table.decode_untrusted(ChannelId.TELEMETRY, bytes.fromhex("0306 0003 de0000"))
    with pytest.raises(UsageError, match="pack_map"):
        table.encode(Settings(b"\x90"))


def test_gl_2_nothing_of_a_groundlink_makes_the_drone_act() -> None:
    for message in (Sticks(0, 0, 0, 0), Command(CommandCode.LAND)):
        row = AIRLINK.row(message)
        with pytest.raises(MalformedError):
            GROUNDLINK.decode_untrusted(row.channel, AIRLINK.encode(message), Direction.UP)
        stranger: Any = message
        with pytest.raises(UsageError, match="no groundlink message"):
            GROUNDLINK.encode(stranger)
    frame = GROUNDLINK.encode(FRAME)
    assert GROUNDLINK.decode_untrusted(ChannelId.MAVLINK, frame, Direction.DOWN) == FRAME
    with pytest.raises(MalformedError, match="wrong way"):
        GROUNDLINK.decode_untrusted(ChannelId.MAVLINK, frame, Direction.UP)
    up = {row.id for row in groundlink.MESSAGES.values() if Direction.UP in row.direction}
    assert up == {MessageId.HEARTBEAT, MessageId.ANSWER, MessageId.LINK_QUALITY}


def test_gl_10_what_is_a_clouds_is_refused_of_a_mobile() -> None:
    receipt, keys = LogReceipt(bytes(16), bytes(32)), VerifyingKeys(b"a", b"b")
    for message in (SealingKeys(b"k"), receipt, RevokePeer(b"\1" * 16), keys):
        wire = REMOTE_CLOUD.encode(message)
        assert REMOTE_CLOUD.decode_untrusted(ChannelId.COMMAND, wire) == message
        with pytest.raises(MalformedError):
            REMOTE_MOBILE.decode_untrusted(ChannelId.COMMAND, wire)
        with pytest.raises(MalformedError):
            AIRLINK.decode_untrusted(ChannelId.COMMAND, wire)


def test_a_log_offer_keeps_its_details() -> None:
    details = pack_map({"drone_id": bytes(16), "flight_id": bytes(16), "flight_ms": 7, "messages": 3})
    offer = LogOffer("flight", 9, bytes(32), details)
    for name in ("airlink", "groundlink"):
        encoded = TABLES[name].encode(offer)
        assert TABLES[name].decode_untrusted(ChannelId.COMMAND, encoded, Direction.DOWN) == offer


def test_a_table_has_every_number_and_dataclass_once() -> None:
    rows = list(airlink.MESSAGES.values())
    with pytest.raises(UsageError, match="twice"):
        MessageTable[Any]("twofold", [*rows, rows[0]])
