"""Which right a message towards the drone needs (specs/7-authority.md, 7.3): one table, and the parse of a MAVLink id.

The table has a row for every message that travels up on any link. What is not in it is refused (AU-20): a new message
makes nobody act before somebody has thought about who may send it.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from specs.airlink.authority import AuthorityRequest, Right
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, GoTo
from specs.airlink.control import Heartbeat, Sticks
from specs.airlink.stream import MavlinkFrame, is_mavlink_frame
from specs.groundlink import LinkQuality
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys


class Need(Enum):
    """What the sender of a message must have."""

    NOTHING = auto()
    """A link to the drone is enough: the message makes nothing move, or has rules of its own (7.2, 7.4)."""
    FLIGHT = auto()
    PAYLOAD = auto()
    FLIGHT_OR_READ_ONLY = auto()
    """The flight right, unless the frame is one of :data:`READ_ONLY_MAVLINK` (AU-21)."""
    CLOUD = auto()
    """The role of the cloud, and no right (AU-24)."""
    NEVER = auto()
    """Means nothing to a drone."""


NEEDS: Final[Mapping[type[object], Need]] = {
    Sticks: Need.FLIGHT,
    Heartbeat: Need.NOTHING,
    Command: Need.FLIGHT,
    GoTo: Need.FLIGHT,
    CameraControl: Need.PAYLOAD,
    ChangeSettings: Need.FLIGHT,
    AuthorityRequest: Need.NOTHING,
    SealingKeys: Need.CLOUD,
    LogReceipt: Need.CLOUD,
    RevokePeer: Need.CLOUD,
    Answer: Need.NOTHING,
    LinkQuality: Need.NEVER,
    MavlinkFrame: Need.FLIGHT_OR_READ_ONLY,
}
"""Message -> what its sender must have."""

READ_ONLY_MAVLINK: Final[Mapping[int, str]] = {
    4: "PING",
    20: "PARAM_REQUEST_READ",
    21: "PARAM_REQUEST_LIST",
    320: "PARAM_EXT_REQUEST_READ",
    321: "PARAM_EXT_REQUEST_LIST",
}
"""MAVLink messages that ask and change nothing: id -> name (https://mavlink.io/en/messages/common.html)."""

STICKS_MAVLINK: Final[Mapping[int, str]] = {69: "MANUAL_CONTROL", 70: "RC_CHANNELS_OVERRIDE"}
"""MAVLink messages that are sticks (AU-33)."""

COMMANDS_MAVLINK: Final[Mapping[int, str]] = {
    16: "NAV_WAYPOINT",
    17: "NAV_LOITER_UNLIM",
    20: "NAV_RETURN_TO_LAUNCH",
    21: "NAV_LAND",
    22: "NAV_TAKEOFF",
    84: "NAV_VTOL_TAKEOFF",
    85: "NAV_VTOL_LAND",
    176: "DO_SET_MODE",
    192: "DO_REPOSITION",
    193: "DO_PAUSE_CONTINUE",
    300: "MISSION_START",
}
"""MAVLink commands by which the holder says what the vehicle is to do from now on (MV-46): MAV_CMD -> name."""

_SET_MODE: Final = 11
_COMMANDS: Final = frozenset({75, 76})
"""COMMAND_INT and COMMAND_LONG; both have the command in the same place."""
_COMMAND_AT: Final = 28
_RIGHTS: Final = {Need.FLIGHT: Right.FLIGHT, Need.PAYLOAD: Right.PAYLOAD, Need.FLIGHT_OR_READ_ONLY: Right.FLIGHT}
_MARK_1, _MARK_2 = 0xFE, 0xFD
_KNOWN_FLAGS: Final = 0x01
"""The incompatibility flags of version 2 that all parsers know: signed, or nothing."""


def need_of(message: object) -> Need:
    """The row of a message; ``NEVER`` for what is in no table."""
    return NEEDS.get(type(message), Need.NEVER)


def required_right(message: object) -> Right | None:
    """The right that the sender of this message must hold; None: :func:`need_of` says what else it needs."""
    if isinstance(message, MavlinkFrame) and is_read_only_untrusted(message.frame):
        return None
    return _RIGHTS.get(need_of(message))


def is_read_only_untrusted(frame: bytes) -> bool:
    """Whether a MAVLink frame may go up without a right: AU-21, every word of it."""
    number = mavlink_id_untrusted(frame)
    return number in READ_ONLY_MAVLINK and not any(byte in {_MARK_1, _MARK_2} for byte in frame[1:])


def mavlink_id_untrusted(frame: bytes) -> int | None:
    """The message id of exactly one MAVLink frame; None if it is none, or one that not every parser reads alike.

    https://mavlink.io/en/guide/serialization.html: byte 5 in version 1; bytes 7 to 9, little-endian, in version 2.
    """
    if not is_mavlink_frame(frame):
        return None
    if frame[0] == _MARK_1:
        return frame[5]
    return int.from_bytes(frame[7:10], "little") if frame[2] & ~_KNOWN_FLAGS == 0 else None


def commands_flight_untrusted(frame: bytes) -> bool:
    """Whether a MAVLink frame says what the vehicle is to do from now on: MV-46."""
    number = mavlink_id_untrusted(frame)
    if number not in _COMMANDS:
        return number == _SET_MODE
    at = _COMMAND_AT + (6 if frame[0] == _MARK_1 else 10)
    end = at - _COMMAND_AT + frame[1]  # of the payload: version 2 leaves zeros out
    return int.from_bytes(frame[at : min(at + 2, end)], "little") in COMMANDS_MAVLINK
