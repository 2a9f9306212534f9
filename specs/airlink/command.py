"""Airlink messages of the `command` channel: exactly once, answered (specs/4-airlink.md, 4.3)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from construct import Struct

from specs.airlink.numbers import (
    LATITUDE,
    LONGITUDE,
    MAP_BYTES,
    MAX_TEXT_BYTES,
    QUARTER_TURN,
    MessageId,
    numbered,
)
from specs.strict import Format, bounded_text, exact_enum, fixed_bytes, i32, ranged, reserved, u8, u16, u64


class CommandCode(IntEnum):
    """What can be asked for without saying more."""

    ARM = 1
    DISARM = 2
    TAKE_OFF = 3
    LAND = 4
    HOLD = 5
    RETURN_HOME = 6
    FLY_ROUTE = 7
    """Fly the planned route."""


@dataclass(frozen=True, slots=True)
class Command:
    """Do this now."""

    code: CommandCode
    """What."""


COMMAND: Final = Format("command", Command, Struct(numbered(MessageId.COMMAND), "code" / exact_enum(u16, CommandCode)))


@dataclass(frozen=True, slots=True)
class GoTo:
    """Fly to a place and hold there."""

    latitude_deg_e7: int
    """North, degrees * 1e7."""
    longitude_deg_e7: int
    """East, degrees * 1e7."""
    altitude_mm: int
    """Above mean sea level, millimetres."""


GO_TO: Final = Format(
    "go to",
    GoTo,
    Struct(
        numbered(MessageId.GO_TO),
        reserved(2),
        "latitude_deg_e7" / LATITUDE,
        "longitude_deg_e7" / LONGITUDE,
        "altitude_mm" / i32,
    ),
)


class CameraAction(IntEnum):
    """What the camera can be asked for."""

    NOTHING = 0
    """Only aim and zoom."""
    TAKE_PHOTO = 1
    START_RECORDING = 2
    STOP_RECORDING = 3


@dataclass(frozen=True, slots=True)
class CameraControl:
    """Aim, zoom, and release the shutter."""

    action: CameraAction
    """What to do when aimed."""
    tilt_cdeg: int
    """-9000 (straight down) to 9000 (straight up), hundredths of a degree."""
    zoom_percent: int
    """100 (none) to 3200."""


CAMERA_CONTROL: Final = Format(
    "camera control",
    CameraControl,
    Struct(
        numbered(MessageId.CAMERA_CONTROL),
        "action" / exact_enum(u8, CameraAction),
        reserved(1),
        "tilt_cdeg" / QUARTER_TURN,
        "zoom_percent" / ranged(u16, 100, 3_200),
    ),
)


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Set some settings; those that are not named stay."""

    settings: bytes
    """A map (specs/msgpack-maps.md): name -> new value."""


CHANGE_SETTINGS: Final = Format(
    "change settings", ChangeSettings, Struct(numbered(MessageId.CHANGE_SETTINGS), "settings" / MAP_BYTES)
)


@dataclass(frozen=True, slots=True)
class LogOffer:
    """The drone has a flight log; it travels, when asked for, on the `bulk` channel under this name."""

    name: str
    """Name of the bulk transfer."""
    size_bytes: int
    """Size of the object."""
    sha256: bytes = field(repr=False)
    """Its SHA-256."""
    details: bytes
    """A map: what else is known of the flight (names of the keys: specs/4-airlink.md)."""


LOG_OFFER: Final = Format(
    "log offer",
    LogOffer,
    Struct(
        numbered(MessageId.LOG_OFFER),
        "name" / bounded_text(u8, MAX_TEXT_BYTES, 1),
        "size_bytes" / u64,
        "sha256" / fixed_bytes(32),
        "details" / MAP_BYTES,
    ),
)


class Result(IntEnum):
    """How a request ended. What goes wrong is told to a peer that is authenticated, so it may be precise."""

    DONE = 0
    STARTED = 1
    """Under way: telemetry shows the rest."""
    NOT_ALLOWED = 2
    """The sender does not hold the authority."""
    NOT_NOW = 3
    """Not in this phase of the flight."""
    INVALID = 4
    """A parameter is out of this vehicle's range."""
    UNSUPPORTED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to any request; ``reply_to`` of the command frame says to which."""

    result: Result
    """How it ended."""
    text: str = ""
    """For people; never evaluated."""


ANSWER: Final = Format(
    "answer",
    Answer,
    Struct(
        numbered(MessageId.ANSWER),
        "result" / exact_enum(u8, Result),
        "text" / bounded_text(u8, MAX_TEXT_BYTES),
    ),
)
