"""Every rule of specs/4-airlink.md that a message alone can break, named; and all messages both ways."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import codec
from protocols.airlink import Message, decode_untrusted, encode, message_type
from protocols.errors import MalformedError, UsageError
from protocols.maps import Packable, pack_map
from specs import groundlink, remotelink
from specs.airlink import FORMATS, MESSAGES
from specs.airlink.command import Answer, ChangeSettings, Command, CommandCode, GoTo, LogOffer, Result
from specs.airlink.control import Buttons, Heartbeat, NodeState, Sticks
from specs.airlink.numbers import FIRST_USER_MESSAGE, MAX_SETTINGS_BYTES, Direction, MessageId
from specs.airlink.stream import MavlinkFrame, MediaFlags, MediaFrame
from specs.airlink.table import MessageType
from specs.airlink.telemetry import FlightPhase, FlightState, Settings
from specs.registry import ChannelClass, ChannelId
from tests.conftest import examples
from tests.tools.formats import hostile_bytes, values

PAGE = Path(__file__).parents[2] / "specs" / "4-airlink.md"
BEHAVIOUR = {"AL-5", "AL-6", "AL-10", "AL-11", "AL-12", "AL-30", "AL-31", "AL-32", "AL-33", "AL-34"}
"""Rules of nodes and channels; they are tested where they live."""
MAPS = {MessageId.CHANGE_SETTINGS, MessageId.LOG_OFFER, MessageId.SETTINGS}

every_message = pytest.mark.parametrize("row", MESSAGES.values(), ids=lambda row: row.format.name)
maps = st.dictionaries(st.text("abc_", max_size=8), st.integers(0, 9) | st.booleans(), max_size=9).map(pack_map)


def messages(row: MessageType) -> st.SearchStrategy[Any]:
    if row.id == MessageId.LOG_OFFER:
        digests = st.binary(min_size=32, max_size=32)
        return st.builds(LogOffer, st.text("abc", min_size=1, max_size=9), st.integers(0, 2**64 - 1), digests, maps)
    return st.builds(row.format.type, maps) if row.id in MAPS else values(row.format)


def refused(channel: ChannelId, data: codec.Buffer, direction: Direction | None = None) -> None:
    with pytest.raises(MalformedError):
        decode_untrusted(channel, data, direction)


# --- all messages -------------------------------------------------------------------------------


@every_message
@settings(max_examples=examples(30))
@given(data=st.data())
def test_messages_survive(row: MessageType, data: st.DataObject) -> None:
    message = data.draw(messages(row))
    encoded = encode(message)
    assert int.from_bytes(encoded[:2], "big") == row.id
    assert decode_untrusted(row.channel, memoryview(encoded)) == message
    assert message_type(message) is message_type(row.format.type) is row


@every_message
@settings(max_examples=examples(30))
@given(data=st.data())
def test_hostile_bytes_are_a_message_or_malformed(row: MessageType, data: st.DataObject) -> None:
    wire = data.draw(hostile_bytes(row.format))
    try:
        message = decode_untrusted(row.channel, wire)
    except MalformedError:
        return
    assert encode(message) == wire


@settings(max_examples=examples(30))
@given(st.sampled_from(list(ChannelId)), st.binary(max_size=40))
def test_any_bytes_on_any_channel(channel: ChannelId, wire: bytes) -> None:
    try:
        message = decode_untrusted(channel, wire)
    except MalformedError:
        return
    assert encode(message) == wire


def test_bytes_that_others_must_make_too() -> None:
    """Known answers, by hand from the page."""
    known: dict[str, Message] = {
        "0101 fc18 0000 0001 03e8 0005": Sticks(-1000, 0, 1, 1000, Buttons.PAUSE | Buttons.PHOTO),
        "0102 03 00 00000100": Heartbeat(NodeState.ACTIVE, 256),
        "0201 0003": Command(CommandCode.TAKE_OFF),
        "0202 0000 1c3a9f00 ffffffff fffffc18": GoTo(473_603_840, -1, -1000),
        "0280 02 04 6e65696e": Answer(Result.NOT_ALLOWED, "nein"),
        "0401 0001 00000007 00000009 616263": MediaFrame(MediaFlags.KEY_FRAME, 7, 9, b"abc"),
        "0501 fe0001020300aaaa": MavlinkFrame(bytes.fromhex("fe0001020300aaaa")),
    }
    for wire, message in known.items():
        assert encode(message).hex() == wire.replace(" ", "")


# --- the table ----------------------------------------------------------------------------------


def test_al_every_rule_is_named_by_a_test() -> None:
    rules = set(re.findall(r"\*\*(AL-\d+)\*\*", PAGE.read_text()))
    named = re.findall(r"^def test_(al_\d+)_", Path(__file__).read_text(), re.MULTILINE)
    assert rules == BEHAVIOUR | {name.upper().replace("_", "-") for name in named}


def test_the_page_lists_the_table() -> None:
    listed = re.findall(r"^\| (0x\w{4}) \| (\w+) \| (up|down|both) \| (\w+) \|$", PAGE.read_text(), re.MULTILINE)
    ways = {Direction.UP: "up", Direction.DOWN: "down", Direction.UP | Direction.DOWN: "both"}
    assert listed == [
        (f"0x{row.id:04x}", row.format.type.__name__, ways[row.direction], row.channel.name.lower())
        for row in MESSAGES.values()
    ]


def test_the_table_is_complete() -> None:
    elsewhere = {*groundlink.MESSAGES, *remotelink.CLOUD_MESSAGES} - set(MESSAGES)
    assert set(MESSAGES) | elsewhere == set(MessageId)
    assert not elsewhere & set(MESSAGES)
    assert len({row.format.type for row in MESSAGES.values()}) == len(FORMATS) == len(MESSAGES)
    assert MESSAGES[MessageId.STICKS].service is ChannelClass.CONTROL
    assert MESSAGES[MessageId.FLIGHT_STATE].service is ChannelClass.STATE


def test_other_objects_are_no_messages() -> None:
    stranger: Any = object()
    with pytest.raises(UsageError):
        encode(stranger)


# --- the rules ----------------------------------------------------------------------------------


def test_al_1_only_what_is_declared() -> None:
    refused(ChannelId.CONTROL, b"")
    refused(ChannelId.CONTROL, b"\x01")
    refused(ChannelId.CONTROL, bytes.fromhex("01ff"))
    sticks = encode(Sticks(0, 0, 0, 0))
    for bad in (
        sticks[:-1],
        sticks + b"\x00",
        sticks[:2] + bytes.fromhex("03e9") + sticks[4:],  # 1001
        sticks[:2] + bytes.fromhex("fc17") + sticks[4:],  # -1001
        sticks[:-2] + bytes.fromhex("0080"),  # a button that there is not
    ):
        refused(ChannelId.CONTROL, bad)
    refused(ChannelId.CONTROL, bytes.fromhex("0102 05 00 00000000"))  # a state that there is not
    refused(ChannelId.CONTROL, bytes.fromhex("0102 01 01 00000000"))  # reserved byte
    with pytest.raises(UsageError):
        encode(Sticks(1001, 0, 0, 0))


def test_al_1_positions_are_on_earth() -> None:
    state = FlightState(0, FlightPhase.FLYING, True, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    wire = bytearray(encode(state))
    wire[9] = 2  # armed is 0 or 1
    refused(ChannelId.TELEMETRY, wire)
    for latitude, longitude in ((900_000_001, 0), (0, -1_800_000_001)):
        with pytest.raises(UsageError):
            encode(GoTo(latitude, longitude, 0))


@every_message
def test_al_2_only_on_its_channel(row: MessageType) -> None:
    assert row.channel.value == row.id >> 8
    for channel in set(ChannelId) - {row.channel}:
        refused(channel, row.id.to_bytes(2, "big") + bytes(40))


def test_al_3_user_numbers_are_free() -> None:
    assert max(MESSAGES) < FIRST_USER_MESSAGE
    for channel in ChannelId:
        refused(channel, FIRST_USER_MESSAGE.to_bytes(2, "big"))


def test_al_4_only_its_way() -> None:
    up, down = encode(Command(CommandCode.LAND)), encode(Heartbeat(NodeState.READY, 0))
    assert decode_untrusted(ChannelId.COMMAND, up, Direction.UP) == Command(CommandCode.LAND)
    refused(ChannelId.COMMAND, up, Direction.DOWN)
    for direction in Direction:
        assert decode_untrusted(ChannelId.CONTROL, down, direction) == Heartbeat(NodeState.READY, 0)


def test_al_7_maps_are_canonical() -> None:
    encoded = pack_map({"failsafe": "return", "max_height_m": 120})
    wire = encode(ChangeSettings(encoded))
    assert decode_untrusted(ChannelId.COMMAND, wire) == ChangeSettings(encoded)
    refused(ChannelId.COMMAND, bytes.fromhex("0204 0003 de0000"))
    refused(ChannelId.COMMAND, bytes.fromhex("0204 0001 90"))
    too_long: dict[str, Packable] = {"a": bytes(MAX_SETTINGS_BYTES)}
    for no_map in (b"\x90", b"\xde\x00\x00", b"", pack_map(too_long)):
        with pytest.raises(UsageError):
            encode(Settings(no_map))


@pytest.mark.parametrize(
    ("head", "length"),
    [("fe00", 8), ("feff", 263), ("fd0000", 12), ("fdff00", 267), ("fdff01", 280), ("fd0003", 25), ("fd0002", 12)],
)
def test_al_20_mavlink_frames_are_whole(head: str, length: int) -> None:
    frame = bytes.fromhex(head).ljust(length, b"\x00")
    wire = encode(MavlinkFrame(frame))
    assert decode_untrusted(ChannelId.MAVLINK, wire) == MavlinkFrame(frame)
    refused(ChannelId.MAVLINK, wire[:-1])
    refused(ChannelId.MAVLINK, wire + b"\x00")
    refused(ChannelId.MAVLINK, wire[:2] + b"\xfc" + wire[3:])


@pytest.mark.parametrize("frame", [b"", b"\xfe\x00\x00", b"\xfd\x00\x00", bytes(281)])
def test_al_20_other_bytes_are_no_frame(frame: bytes) -> None:
    with pytest.raises(UsageError):
        encode(MavlinkFrame(frame))
