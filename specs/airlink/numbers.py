"""Numbers of the messages of every link, and the blocks that several of them share (specs/4-airlink.md).

One number is one message, on whatever link it travels; which link has it stands in the table of that link.
"""

from enum import IntEnum, IntFlag
from typing import Any, Final

import construct
from construct import Construct

from specs.registry import KEY_ID_BYTES, MAX_STREAM_MESSAGE_BYTES
from specs.strict import bounded_bytes, fixed_bytes, i16, i32, ranged, u16

FIRST_USER_MESSAGE: Final = 0x8000
"""Numbers from here on are never given a meaning here (AL-3)."""
LAST_USER_MESSAGE: Final = 0xFFFF
MAX_USER_STATE_BYTES: Final = 1_116
"""A user's message on `telemetry` fits one datagram on every path, relays included (CH-30, AL-31)."""
MAX_TEXT_BYTES: Final = 200
MAX_SETTINGS_BYTES: Final = 1_000
"""An encoded map inside a message: it fits one protected datagram (AL-7)."""
MIN_MAVLINK_BYTES: Final = 8
"""A MAVLink 1 frame without payload."""
MAX_MAVLINK_BYTES: Final = 280
"""A signed MAVLink 2 frame with a payload of 255 bytes."""
MEDIA_HEADER_BYTES: Final = 12
MAX_MEDIA_BYTES: Final = MAX_STREAM_MESSAGE_BYTES - MEDIA_HEADER_BYTES


class MessageId(IntEnum):
    """Numbers of messages; the high byte is the channel (AL-2)."""

    STICKS = 0x0101
    HEARTBEAT = 0x0102
    COMMAND = 0x0201
    GO_TO = 0x0202
    CAMERA_CONTROL = 0x0203
    CHANGE_SETTINGS = 0x0204
    LOG_OFFER = 0x0205
    AUTHORITY_REQUEST = 0x0206
    SEALING_KEYS = 0x0207
    LOG_RECEIPT = 0x0208
    REVOKE_PEER = 0x0209
    ANSWER = 0x0280
    VERIFYING_KEYS = 0x0281
    FLIGHT_STATE = 0x0301
    BATTERY = 0x0302
    GNSS = 0x0303
    CAMERA = 0x0304
    HOME = 0x0305
    SETTINGS = 0x0306
    AUTHORITY_STATE = 0x0307
    LINK_QUALITY = 0x0308
    SHOWN_DRONE = 0x0309
    MEDIA_FRAME = 0x0401
    MAVLINK_FRAME = 0x0501


class Direction(IntFlag):
    """Which way a message may travel."""

    UP = 1
    """To the drone."""
    DOWN = 2
    """From the drone."""


def numbered(number: int) -> "Construct[Any, Any]":
    """The head of every message: its number, a ``MessageId`` or a user's (AL-30)."""
    return construct.Const(int(number), u16)


PERMILLE: Final = ranged(i16, -1_000, 1_000)
LATITUDE: Final = ranged(i32, -900_000_000, 900_000_000)
LONGITUDE: Final = ranged(i32, -1_800_000_000, 1_800_000_000)
HALF_TURN: Final = ranged(i16, -18_000, 18_000)
QUARTER_TURN: Final = ranged(i16, -9_000, 9_000)
PERCENT: Final = ranged(u16, 0, 100)
MAP_BYTES: Final = bounded_bytes(u16, MAX_SETTINGS_BYTES, 1)
KEY_ID: Final = fixed_bytes(KEY_ID_BYTES)
NOBODY: Final = bytes(KEY_ID_BYTES)
"""Stands where a key id could, and there is none."""
