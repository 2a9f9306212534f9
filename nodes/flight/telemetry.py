"""MAVLink telemetry of a modelled vehicle: which message says what, and how often.

:class:`Telemetry` serves a live model tick by tick; :class:`ModelFlight` is a whole flight as a source: take
off, fly a square, return, land.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

from nodes.flight.battery import FULL_V
from nodes.flight.mavlink import Encoder, Field
from nodes.flight.model import FlightModel
from nodes.flight.phases import Command, Phase
from nodes.flight.source import FlightFrame
from nodes.flight.state import FlightPlan, FlightState

TICK_S = 0.01
"""Step of the built-in flight."""

LONGEST_FLIGHT_S = 3_600.0
"""The built-in flight ends after this time whatever its plan."""

_SENSORS = 0x1 | 0x2 | 0x4 | 0x8 | 0x20  # gyroscope, accelerometer, magnetometer, barometer, GPS
_INFO = 6

# Modes of ArduPilot's copter: what a ground station shows.
_MODES: Final = {
    Phase.LANDED: 4, Phase.ARMED: 4, Phase.TAKING_OFF: 4,  # guided
    Phase.FLYING: 3, Phase.HOLDING: 5, Phase.RETURNING: 6, Phase.LANDING: 9,  # auto, loiter, return, land
}  # fmt: skip


def _heartbeat(state: FlightState) -> tuple[Field, ...]:
    base_mode = 0x51 | (0x80 if state.armed else 0)  # custom mode, stabilised; armed
    return 2, 3, base_mode, _MODES[state.phase], 4 if state.armed else 3, 3  # quadrotor, ArduPilot


def _attitude(state: FlightState) -> tuple[Field, ...]:
    roll, pitch, yaw = state.attitude_rad
    return _ms(state), roll, pitch, math.remainder(yaw, math.tau), *state.rates_radps


def _global_position(state: FlightState) -> tuple[Field, ...]:
    velocity = state.velocity_mps
    return (
        _ms(state), *_place(state), _milli(state.position_m.up),
        _centi(velocity.north), _centi(velocity.east), -_centi(velocity.up), _course(state.attitude_rad.yaw),
    )  # fmt: skip


def _gps(state: FlightState) -> tuple[Field, ...]:
    course = math.atan2(state.velocity_mps.east, state.velocity_mps.north)
    speed = _centi(state.ground_speed_mps)
    return round(state.time_s * 1_000_000), 3, *_place(state), 80, 120, speed, _course(course), 14


def _sys_status(state: FlightState) -> tuple[Field, ...]:
    battery = _milli(state.battery_v), _centi(state.battery_a), _percent(state.battery_remaining)
    return _SENSORS, _SENSORS, _SENSORS, 250, *battery, 0, 0, 0, 0, 0, 0


def _battery(state: FlightState) -> tuple[Field, ...]:
    cells = [_milli(state.battery_v / 4)] * 4 + [0xFFFF] * 6
    used = round(state.battery_used_mah)
    energy_hj = round(state.battery_used_mah * 3.6 * FULL_V / 100)
    remaining = _percent(state.battery_remaining)
    return 0, 1, 1, 2_500, cells, _centi(state.battery_a), used, energy_hj, remaining


def _hud(state: FlightState) -> tuple[Field, ...]:
    speed, heading = state.ground_speed_mps, round(math.degrees(state.attitude_rad.yaw)) % 360
    return speed, speed, heading, _percent(state.throttle), state.altitude_m, state.velocity_mps.up


STREAMS: Final[tuple[tuple[str, float, Callable[[FlightState], tuple[Field, ...]]], ...]] = (
    ("heartbeat", 1.0, _heartbeat),
    ("attitude", 10.0, _attitude),
    ("global_position_int", 5.0, _global_position),
    ("gps_raw_int", 5.0, _gps),
    ("sys_status", 1.0, _sys_status),
    ("battery_status", 1.0, _battery),
    ("vfr_hud", 4.0, _hud),
)
"""Message, rate in Hz, fields. A STATUSTEXT is added whenever the phase changes."""


class Telemetry:
    """Says which frames are due as states come in, in order of time."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder if encoder is not None else Encoder()
        self._sent = dict.fromkeys((name for name, _, _ in STREAMS), -1)
        self._phase: Phase | None = None

    def due(self, state: FlightState) -> list[bytes]:
        """The frames of this moment. After a long gap each stream is due once, not once for each period."""
        frames: list[bytes] = []
        if state.phase is not self._phase:
            self._phase = state.phase
            frames.append(self._encoder.frame("statustext", _INFO, state.phase.value.encode()))
        for name, rate_hz, fields in STREAMS:
            period = math.floor(state.time_s * rate_hz + 1e-6)
            if period > self._sent[name]:
                self._sent[name] = period
                frames.append(self._encoder.frame(name, *fields(state)))
        return frames


class ModelFlight:
    """The built-in flight as a :class:`~nodes.flight.source.FlightSource`."""

    name = "model"
    skipped_bytes = 0

    def __init__(self, plan: FlightPlan | None = None) -> None:
        self.plan = plan if plan is not None else FlightPlan()
        """What is flown."""

    def frames(self) -> Iterator[FlightFrame]:
        """The flight from switch-on to standing still again; about a minute of model time by default."""
        telemetry = Telemetry()
        for state in self.states():
            for data in telemetry.due(state):
                yield FlightFrame(state.time_s, data)

    def states(self) -> Iterator[FlightState]:
        """The same flight as the vehicle's state at each tick."""
        model = FlightModel(self.plan)
        yield model.state
        model.apply_command(Command.TAKE_OFF)
        flown = False
        while (state := model.step(TICK_S)).time_s < LONGEST_FLIGHT_S:
            yield state
            if state.phase is Phase.HOLDING:
                flown = model.apply_command(Command.FLY_ROUTE)
            elif state.phase is Phase.LANDED and flown:
                return


def _ms(state: FlightState) -> int:
    return round(state.time_s * 1_000)


def _place(state: FlightState) -> tuple[int, int, int]:
    return round(state.latitude_deg * 1e7), round(state.longitude_deg * 1e7), _milli(state.altitude_m)


def _course(radians: float) -> int:
    """Hundredths of a degree, 0 to 35,999."""
    return round(math.degrees(radians) * 100) % 36_000


def _milli(value: float) -> int:
    return round(value * 1_000)


def _centi(value: float) -> int:
    return round(value * 100)


def _percent(share: float) -> int:
    return round(share * 100)
