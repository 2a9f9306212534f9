"""Airlink messages of the `telemetry` channel: newest wins per message number (specs/4-airlink.md, 4.4)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import Struct

from specs.airlink.numbers import (
    HALF_TURN,
    LATITUDE,
    LONGITUDE,
    MAP_BYTES,
    PERCENT,
    QUARTER_TURN,
    MessageId,
    numbered,
)
from specs.strict import Format, exact_bool, exact_enum, i16, i32, ranged, reserved, u8, u16, u32


class FlightPhase(IntEnum):
    """What the vehicle is doing."""

    LANDED = 1
    """On the ground, motors off."""
    ARMED = 2
    """On the ground, motors spinning up."""
    TAKING_OFF = 3
    FLYING = 4
    """On its way along a route, or to a place."""
    HOLDING = 5
    """Keeping its place, or moved about by the sticks."""
    RETURNING = 6
    LANDING = 7


@dataclass(frozen=True, slots=True)
class FlightState:
    """The vehicle at one moment."""

    time_ms: int
    """Drone's clock, modulo 2^32."""
    phase: FlightPhase
    """What it is doing."""
    armed: bool
    """Whether the motors may turn."""
    latitude_deg_e7: int
    """North, degrees * 1e7."""
    longitude_deg_e7: int
    """East, degrees * 1e7."""
    altitude_mm: int
    """Above mean sea level, millimetres."""
    height_mm: int
    """Above the place of take-off, millimetres."""
    velocity_north_cm_s: int
    """Centimetres per second."""
    velocity_east_cm_s: int
    """Centimetres per second."""
    velocity_down_cm_s: int
    """Centimetres per second."""
    roll_cdeg: int
    """Right is positive, hundredths of a degree, -18000 to 18000."""
    pitch_cdeg: int
    """Nose up is positive, hundredths of a degree, -9000 to 9000."""
    yaw_cdeg: int
    """Clockwise from north, hundredths of a degree, 0 to 35999."""


FLIGHT_STATE: Final = Format(
    "flight state",
    FlightState,
    Struct(
        numbered(MessageId.FLIGHT_STATE),
        reserved(2),
        "time_ms" / u32,
        "phase" / exact_enum(u8, FlightPhase),
        "armed" / exact_bool(),
        reserved(2),
        "latitude_deg_e7" / LATITUDE,
        "longitude_deg_e7" / LONGITUDE,
        "altitude_mm" / i32,
        "height_mm" / i32,
        "velocity_north_cm_s" / i16,
        "velocity_east_cm_s" / i16,
        "velocity_down_cm_s" / i16,
        "roll_cdeg" / HALF_TURN,
        "pitch_cdeg" / QUARTER_TURN,
        "yaw_cdeg" / ranged(u16, 0, 35_999),
    ),
)


@dataclass(frozen=True, slots=True)
class Battery:
    """The flight battery."""

    remaining_percent: int
    """0 to 100."""
    voltage_mv: int
    """Under load, millivolts."""
    current_ma: int
    """Drawn, milliamperes; negative while charging."""
    used_mah: int
    """Since switch-on, milliampere hours."""


BATTERY: Final = Format(
    "battery",
    Battery,
    Struct(
        numbered(MessageId.BATTERY),
        "remaining_percent" / PERCENT,
        "voltage_mv" / u32,
        "current_ma" / i32,
        "used_mah" / u32,
    ),
)


class GnssFix(IntEnum):
    """What the receiver has."""

    NONE = 0
    TWO_D = 2
    THREE_D = 3
    DIFFERENTIAL = 4
    RTK_FLOAT = 5
    RTK_FIXED = 6


@dataclass(frozen=True, slots=True)
class Gnss:
    """How good the position is."""

    fix: GnssFix
    """Kind of solution."""
    satellites: int
    """Used in it."""
    horizontal_error_mm: int
    """Estimated, one sigma, millimetres."""
    vertical_error_mm: int
    """Estimated, one sigma, millimetres."""


GNSS: Final = Format(
    "gnss",
    Gnss,
    Struct(
        numbered(MessageId.GNSS),
        "fix" / exact_enum(u8, GnssFix),
        "satellites" / u8,
        "horizontal_error_mm" / u32,
        "vertical_error_mm" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera and its card."""

    recording: bool
    """Whether video is being recorded."""
    tilt_cdeg: int
    """-9000 (down) to 9000 (up), hundredths of a degree."""
    zoom_percent: int
    """100 (none) to 3200."""
    photos: int
    """Taken since switch-on."""
    free_mib: int
    """Left on the card, mebibytes."""


CAMERA: Final = Format(
    "camera",
    Camera,
    Struct(
        numbered(MessageId.CAMERA),
        "recording" / exact_bool(),
        reserved(1),
        "tilt_cdeg" / QUARTER_TURN,
        "zoom_percent" / ranged(u16, 100, 3_200),
        "photos" / u32,
        "free_mib" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where the vehicle returns to."""

    latitude_deg_e7: int
    """North, degrees * 1e7."""
    longitude_deg_e7: int
    """East, degrees * 1e7."""
    altitude_mm: int
    """Above mean sea level, millimetres."""


HOME: Final = Format(
    "home",
    Home,
    Struct(
        numbered(MessageId.HOME),
        reserved(2),
        "latitude_deg_e7" / LATITUDE,
        "longitude_deg_e7" / LONGITUDE,
        "altitude_mm" / i32,
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings as they are."""

    settings: bytes
    """A map (specs/msgpack-maps.md): name -> value."""


SETTINGS: Final = Format("settings", Settings, Struct(numbered(MessageId.SETTINGS), "settings" / MAP_BYTES))
