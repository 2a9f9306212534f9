"""A quadrotor in a few equations: where telemetry comes from when no vehicle is there.

Each step: the phase names a wanted velocity (towards a place, braking in time; or what the sticks say), the
vehicle accelerates towards it within its limits, leans into the acceleration, turns its nose where it flies,
and draws on its battery. Then it looks around (`phases.Sense`), which may lead to the next phase. No clock,
no chance: the same plan, commands and steps give the same states.
"""

import math
from collections.abc import Callable

from nodes.flight.battery import ARMED_A, CLIMB_A_PER_MPS, HOVER_A, IDLE_A, Battery
from nodes.flight.phases import AIRBORNE, NEXT, Command, Phase, Sense
from nodes.flight.state import METRES_PER_DEGREE, Attitude, FlightPlan, FlightState, Sticks, Vector
from protocols.errors import UsageError

GRAVITY_MPS2 = 9.81
ACCELERATION_MPS2 = 3.0
CLIMB_MPS = 2.5
DESCENT_MPS = 1.5
TOUCHDOWN_MPS = 0.5
TURN_RADPS = math.radians(90)
SPIN_UP_S = 2.0
NEAR_M = 0.4
LEAN_S = 0.15
"""Time constant of roll and pitch."""
RESPONSE_S = 0.25
"""Time in which a difference in velocity is made up, if the limits allow."""
MAX_STEP_S = 0.25
"""Longer steps would make the equations swing."""
STILL = Vector(0.0, 0.0, 0.0)


class FlightModel:
    """One vehicle.

    Call :meth:`step` with the time that passed; commands and sticks act from the next step on.
    """

    def __init__(self, plan: FlightPlan | None = None) -> None:
        self.plan = plan if plan is not None else FlightPlan()
        self._time_us = 0
        self._phase = Phase.LANDED
        self._phase_s = 0.0
        self._position = STILL
        self._velocity = STILL
        self._attitude = Attitude(0.0, 0.0, 0.0)
        self._rates = Attitude(0.0, 0.0, 0.0)
        self._anchor = STILL
        self._leg = 0
        self._sticks = Sticks()
        self._battery = Battery()
        self._senses: dict[Sense, Callable[[], bool]] = {
            Sense.SPUN_UP: lambda: self._phase_s >= SPIN_UP_S,
            Sense.AT_HEIGHT: lambda: self._near(self._anchor),
            Sense.ROUTE_DONE: lambda: self._leg >= len(self.plan.route),
            Sense.AT_HOME: lambda: self._near(self._home),
            Sense.TOUCHED_DOWN: lambda: self._position.up <= 0,
            Sense.BATTERY_LOW: lambda: self._battery.low,
        }

    def apply_command(self, command: str) -> bool:
        """Whether the command is possible in this phase.

        Then it is under way. UsageError for an unknown name.
        """
        try:
            known = Command(command)
        except ValueError as error:
            raise UsageError(f"no such flight command: {command!r}; known: {', '.join(Command)}") from error
        return self._lead_on(known)

    def set_sticks(self, sticks: Sticks) -> None:
        """The sticks from now on; they count while the vehicle is holding."""
        self._sticks = sticks

    def step(self, dt_s: float) -> FlightState:
        """Move on by `dt_s` seconds, 0 to MAX_STEP_S."""
        if not 0 < dt_s <= MAX_STEP_S:
            raise UsageError(f"a step is 0 to {MAX_STEP_S} s, not {dt_s}")
        self._time_us += round(dt_s * 1_000_000)
        self._phase_s += dt_s
        self._move(dt_s)
        self._battery.draw(self._current_a(), dt_s)
        for sense, present in self._senses.items():
            if (self._phase, sense) in NEXT and present():
                self._lead_on(sense)
        return self.state

    @property
    def state(self) -> FlightState:
        """The vehicle as it is now."""
        north, east, up = self._position
        metres_per_degree_east = METRES_PER_DEGREE * math.cos(math.radians(self.plan.latitude_deg))
        return FlightState(
            time_s=self._time_us / 1_000_000,
            phase=self._phase,
            position_m=self._position,
            velocity_mps=self._velocity,
            attitude_rad=self._attitude,
            rates_radps=self._rates,
            latitude_deg=self.plan.latitude_deg + north / METRES_PER_DEGREE,
            longitude_deg=self.plan.longitude_deg + east / metres_per_degree_east,
            altitude_m=self.plan.altitude_m + up,
            throttle=min(self._battery.current_a / (2 * HOVER_A), 1.0) if self._phase in AIRBORNE else 0.0,
            battery_v=self._battery.voltage_v,
            battery_a=self._battery.current_a,
            battery_used_mah=self._battery.used_mah,
            battery_remaining=self._battery.remaining,
        )

    # --- phases -------------------------------------------------------------------------------

    def _lead_on(self, cause: Command | Sense) -> bool:
        phase = NEXT.get((self._phase, cause))
        if phase is None:
            return False
        self._phase, self._phase_s = phase, 0.0
        self._leg = 0
        self._anchor = self._position
        if phase is Phase.LANDED:
            self._velocity = STILL
        if phase is Phase.TAKING_OFF:
            self._anchor = self._position._replace(up=self.plan.height_m)
        return True

    @property
    def _home(self) -> Vector:
        """Above home, at the height of the flight or where the vehicle began to return, if that is higher."""
        return Vector(0.0, 0.0, max(self.plan.height_m, self._anchor.up))

    def _near(self, place: Vector) -> bool:
        return math.dist(self._position, place) < NEAR_M

    # --- motion -------------------------------------------------------------------------------

    def _wanted_velocity(self) -> Vector:
        match self._phase:
            case Phase.TAKING_OFF:
                return self._towards(self._anchor)
            case Phase.FLYING:
                return self._along_route()
            case Phase.HOLDING:
                return self._held_or_steered()
            case Phase.RETURNING:
                return self._towards(self._home)
            case _:  # landing: on the ground nobody asks
                sink = DESCENT_MPS if self._position.up > 2 else TOUCHDOWN_MPS
                return self._towards(self._anchor)._replace(up=-sink)

    def _towards(self, place: Vector) -> Vector:
        """Cruise, then slow down early enough to stop there with half of the acceleration there is."""
        north, east = place.north - self._position.north, place.east - self._position.east
        distance, climb = math.hypot(north, east), place.up - self._position.up
        share = _approach(distance, self.plan.speed_mps) / distance if distance > 0 else 0.0
        return Vector(north * share, east * share, math.copysign(_approach(abs(climb), CLIMB_MPS), climb))

    def _along_route(self) -> Vector:
        route = self.plan.route
        if self._near(route[self._leg]):
            self._leg += 1
        return self._towards(route[self._leg]) if self._leg < len(route) else STILL

    def _held_or_steered(self) -> Vector:
        """Back to the anchor, unless the sticks move: then the anchor comes along."""
        if self._sticks.neutral:
            return self._towards(self._anchor)
        self._anchor = self._position
        ahead, aside = self._sticks.forward * self.plan.speed_mps, self._sticks.right * self.plan.speed_mps
        sine, cosine = math.sin(self._attitude.yaw), math.cos(self._attitude.yaw)
        return Vector(ahead * cosine - aside * sine, ahead * sine + aside * cosine, self._sticks.up * CLIMB_MPS)

    def _move(self, dt_s: float) -> None:
        if self._phase not in AIRBORNE:
            self._velocity, self._rates = STILL, Attitude(0.0, 0.0, 0.0)
            self._attitude = Attitude(0.0, 0.0, self._attitude.yaw)
            self._position = self._position._replace(up=0.0)
            return
        wanted = self._wanted_velocity()
        pull = [(to - now) / RESPONSE_S for to, now in zip(wanted, self._velocity, strict=True)]
        size = math.hypot(*pull)
        share = min(1.0, ACCELERATION_MPS2 / size) if size > 0 else 0.0
        acceleration = Vector(*(part * share for part in pull))
        self._velocity = Vector(
            *(now + change * dt_s for now, change in zip(self._velocity, acceleration, strict=True))
        )
        moved = Vector(*(now + rate * dt_s for now, rate in zip(self._position, self._velocity, strict=True)))
        self._position = moved._replace(up=max(moved.up, 0.0))
        self._lean(acceleration, dt_s)

    def _lean(self, acceleration: Vector, dt_s: float) -> None:
        """Roll and pitch give the acceleration its direction; the nose turns where the vehicle flies."""
        yaw_rate = self._yaw_rate(dt_s)
        yaw = (self._attitude.yaw + yaw_rate * dt_s) % math.tau
        ahead = acceleration.north * math.cos(yaw) + acceleration.east * math.sin(yaw)
        aside = acceleration.east * math.cos(yaw) - acceleration.north * math.sin(yaw)
        share = min(dt_s / LEAN_S, 1.0)
        roll = self._attitude.roll + (math.atan2(aside, GRAVITY_MPS2) - self._attitude.roll) * share
        pitch = self._attitude.pitch + (math.atan2(-ahead, GRAVITY_MPS2) - self._attitude.pitch) * share
        self._rates = Attitude((roll - self._attitude.roll) / dt_s, (pitch - self._attitude.pitch) / dt_s, yaw_rate)
        self._attitude = Attitude(roll, pitch, yaw)

    def _yaw_rate(self, dt_s: float) -> float:
        if self._phase is Phase.HOLDING:
            return self._sticks.turn * TURN_RADPS
        if math.hypot(self._velocity.north, self._velocity.east) < 1:
            return 0.0
        course = math.atan2(self._velocity.east, self._velocity.north)
        turn = math.remainder(course - self._attitude.yaw, math.tau)
        return min(max(turn / dt_s, -TURN_RADPS), TURN_RADPS)

    def _current_a(self) -> float:
        if self._phase in AIRBORNE:
            return max(HOVER_A + CLIMB_A_PER_MPS * self._velocity.up, ARMED_A)
        return ARMED_A if self._phase is Phase.ARMED else IDLE_A


def _approach(distance_m: float, speed_mps: float) -> float:
    """The speed at this distance from where to stop: half of the acceleration there is must be enough."""
    return min(speed_mps, 1.5 * distance_m, math.sqrt(ACCELERATION_MPS2 * distance_m))
