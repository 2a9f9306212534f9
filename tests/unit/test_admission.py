"""What needs which right: the table is whole, and MAVLink only reads where every parser agrees (AU-20, AU-21)."""

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.admission import (
    NEEDS,
    READ_ONLY_MAVLINK,
    STICKS_MAVLINK,
    Need,
    is_read_only_untrusted,
    mavlink_id_untrusted,
    need_of,
    required_right,
)
from specs import airlink, groundlink, remotelink
from specs.airlink.authority import Right
from specs.airlink.command import CameraAction, CameraControl, Command, CommandCode
from specs.airlink.control import Heartbeat, NodeState, Sticks
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame
from specs.airlink.telemetry import Battery
from tests.tools.formats import mavlink_frames

ACTING = {
    "COMMAND_INT": 75, "COMMAND_LONG": 76, "MISSION_ITEM_INT": 73, "MISSION_COUNT": 44, "MISSION_ACK": 47,
    "MISSION_REQUEST_INT": 51, "MISSION_CLEAR_ALL": 45, "PARAM_SET": 23, "SET_MODE": 11, "MANUAL_CONTROL": 69,
    "RC_CHANNELS_OVERRIDE": 70, "SET_POSITION_TARGET_LOCAL_NED": 84, "HEARTBEAT": 0, "SYSTEM_TIME": 2, "TIMESYNC": 111,
    "LOG_ERASE": 121, "FILE_TRANSFER_PROTOCOL": 110, "SETUP_SIGNING": 256, "PARAM_EXT_SET": 323, "TUNNEL": 385,
}  # fmt: skip


def version_1(number: int, payload: bytes = b"\0" * 4) -> bytes:
    return bytes((0xFE, len(payload), 7, 1, 1, number)) + payload + b"\x12\x34"


def version_2(number: int, payload: bytes = b"\0" * 4, flags: int = 0) -> bytes:
    head = bytes((0xFD, len(payload), flags, 0, 7, 1, 1)) + number.to_bytes(3, "little")
    return head + payload + b"\x12\x34" + (bytes(13) if flags & 1 else b"")


def test_au_20_every_message_that_goes_up_has_a_row() -> None:
    rows = [*airlink.MESSAGES.values(), *groundlink.MESSAGES.values(), *remotelink.CLOUD_MESSAGES.values()]
    assert {row.format.type for row in rows if Direction.UP in row.direction} == set(NEEDS)


def test_au_20_what_each_needs() -> None:
    assert required_right(Sticks(0, 0, 0, 0)) is Right.FLIGHT
    assert required_right(Command(CommandCode.LAND)) is Right.FLIGHT
    assert required_right(CameraControl(CameraAction.NOTHING, 0, 100)) is Right.PAYLOAD
    assert required_right(Heartbeat(NodeState.READY, 0)) is None
    assert need_of(remotelink.RevokePeer(bytes(16))) is Need.CLOUD
    assert need_of(Battery(1, 2, 3, 4)) is Need.NEVER


@pytest.mark.parametrize("number", READ_ONLY_MAVLINK)
def test_au_21_what_only_reads_needs_no_right(number: int) -> None:
    for frame in (version_2(number), version_2(number, flags=1)):
        assert mavlink_id_untrusted(frame) == number
        assert required_right(MavlinkFrame(frame)) is None
    if number < 256:
        assert required_right(MavlinkFrame(version_1(number))) is None


@pytest.mark.parametrize("number", ACTING.values(), ids=ACTING)
def test_au_21_what_acts_needs_the_flight_right(number: int) -> None:
    assert number not in READ_ONLY_MAVLINK
    assert required_right(MavlinkFrame(version_2(number))) is Right.FLIGHT
    if number < 256:
        assert required_right(MavlinkFrame(version_1(number))) is Right.FLIGHT


@pytest.mark.parametrize("flags", [2, 3, 0x80, 0xFF])
def test_au_21_unknown_flags_need_the_flight_right(flags: int) -> None:
    """A parser that does not know a flag gives the frame up, and goes on inside of it."""
    assert required_right(MavlinkFrame(version_2(20, flags=flags))) is Right.FLIGHT


def test_au_21_a_second_mark_needs_the_flight_right() -> None:
    inside = version_1(11, bytes(6))
    assert required_right(MavlinkFrame(version_1(20, inside))) is Right.FLIGHT
    for mark in (0xFE, 0xFD):
        for place in range(1, len(version_1(20))):
            frame = bytearray(version_1(20))
            frame[place] = mark
            assert not is_read_only_untrusted(bytes(frame))


@pytest.mark.parametrize("frame", [b"", b"\xfe", b"\xfd\x00", version_1(20)[:-1], version_2(20) + b"\0", b"U" * 12])
def test_au_21_what_is_no_frame_needs_the_flight_right(frame: bytes) -> None:
    assert mavlink_id_untrusted(frame) is None
    assert required_right(MavlinkFrame(frame)) is Right.FLIGHT


def test_au_21_an_id_is_three_bytes() -> None:
    """PARAM_REQUEST_READ is 20: 0x010014 is not."""
    assert mavlink_id_untrusted(version_2(0x01_0014)) == 0x01_0014
    assert required_right(MavlinkFrame(version_2(0x01_0014))) is Right.FLIGHT


@given(st.binary(max_size=300) | mavlink_frames())
def test_au_21_any_bytes(frame: bytes) -> None:
    number = mavlink_id_untrusted(frame)
    if is_read_only_untrusted(frame):
        assert number in READ_ONLY_MAVLINK
        assert frame.count(b"\xfe") + frame.count(b"\xfd") == 1
    assert number is None or number < 2**24


def test_the_ids_are_those_of_the_dialect() -> None:
    dialect = importlib.import_module("pymavlink.dialects.v20.common")
    listed = {name: number for number, name in {**READ_ONLY_MAVLINK, **STICKS_MAVLINK}.items()}
    for name, number in {**listed, **ACTING}.items():
        assert getattr(dialect, f"MAVLINK_MSG_ID_{name}") == number
