"""What the flight model is told and what it tells: plain values, with their units."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from nodes.flight.phases import Phase
from protocols.errors import ConfigError

METRES_PER_DEGREE = 111_319.49
"""Of latitude, on a sphere of the equator's radius: exact enough for a field."""


class Vector(NamedTuple):
    """A place or a velocity relative to home, in metres or metres per second."""

    north: float
    east: float
    up: float


class Attitude(NamedTuple):
    """Angles in radians: roll right, pitch nose up, yaw clockwise from north in [0, 2 pi)."""

    roll: float
    pitch: float
    yaw: float


@dataclass(frozen=True, slots=True)
class FlightPlan:
    """Where and how the built-in flight goes: a square around home."""

    latitude_deg: float = 47.397_742
    """Of home, degrees north."""
    longitude_deg: float = 8.545_594
    """Of home, degrees east."""
    altitude_m: float = 488.0
    """Of home, metres above mean sea level."""
    side_m: float = 30.0
    """Length of a side of the square."""
    height_m: float = 10.0
    """Height of the flight above home."""
    speed_mps: float = 6.0
    """Cruise speed, metres per second."""

    def __post_init__(self) -> None:
        ranges = {
            "latitude_deg": (-85, 85),
            "longitude_deg": (-180, 180),
            "altitude_m": (-500, 9_000),
            "side_m": (1, 2_000),
            "height_m": (1, 120),
            "speed_mps": (0.5, 20),
        }
        for field, (low, high) in ranges.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigError(f"flight plan: {field} is {value}, but must be {low} to {high}")

    @property
    def route(self) -> tuple[Vector, ...]:
        """The corners in order; the first is flown to again at the end."""
        half, up = self.side_m / 2, self.height_m
        corners = ((half, -half), (half, half), (-half, half), (-half, -half), (half, -half))
        return tuple(Vector(north, east, up) for north, east in corners)


@dataclass(frozen=True, slots=True)
class Sticks:
    """The pilot's sticks, each from -1 to 1; values beyond are cut, and not-a-number is neutral."""

    forward: float = 0.0
    """Share of the cruise speed, along the nose."""
    right: float = 0.0
    """Share of the cruise speed, to the right of the nose."""
    up: float = 0.0
    """Share of the climb speed."""
    turn: float = 0.0
    """Share of the turn rate, clockwise."""

    def __post_init__(self) -> None:
        for field in ("forward", "right", "up", "turn"):
            value = getattr(self, field)
            object.__setattr__(self, field, 0.0 if math.isnan(value) else min(max(value, -1.0), 1.0))

    @property
    def neutral(self) -> bool:
        """Whether nothing is asked for."""
        return self == Sticks()


@dataclass(frozen=True, slots=True)
class FlightState:
    """The vehicle at one moment."""

    time_s: float
    """Model time since switch-on, seconds; whole microseconds."""
    phase: Phase
    """What it is doing."""
    position_m: Vector
    """Relative to home, metres."""
    velocity_mps: Vector
    """Metres per second."""
    attitude_rad: Attitude
    """Angles, radians."""
    rates_radps: Attitude
    """Their rates, radians per second."""
    latitude_deg: float
    """Degrees north."""
    longitude_deg: float
    """Degrees east."""
    altitude_m: float
    """Above mean sea level, metres."""
    throttle: float
    """Share of full thrust, 0 to 1."""
    battery_v: float
    """Volts, under load."""
    battery_a: float
    """Current drawn, amperes."""
    battery_used_mah: float
    """Charge drawn since switch-on, milliampere hours."""
    battery_remaining: float
    """Share of the charge left, 0 to 1."""

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        return self.phase is not Phase.LANDED

    @property
    def ground_speed_mps(self) -> float:
        """Horizontal speed, metres per second."""
        return math.hypot(self.velocity_mps.north, self.velocity_mps.east)
