"""The modelled vehicle: where it goes, what it obeys, and that physics holds."""

import math
from itertools import pairwise

import pytest

from nodes.flight import Command, FlightModel, FlightPlan, FlightState, ModelFlight, Phase, Sticks, Vector
from nodes.flight.battery import CAPACITY_MAH, Battery
from nodes.flight.model import ACCELERATION_MPS2
from protocols.errors import ConfigError, UsageError


def run(model: FlightModel, seconds: float, dt_s: float = 0.02) -> FlightState:
    for _ in range(round(seconds / dt_s)):
        model.step(dt_s)
    return model.state


def holding(plan: FlightPlan | None = None) -> FlightModel:
    model = FlightModel(plan)
    assert model.apply_command("take_off")
    run(model, 10)
    assert model.state.phase is Phase.HOLDING
    return model


def test_the_built_in_flight_takes_off_flies_a_square_and_comes_home() -> None:
    states = list(ModelFlight().states())
    phases = [Phase.LANDED, *(b.phase for a, b in pairwise(states) if a.phase is not b.phase)]
    assert phases == [
        Phase.LANDED, Phase.ARMED, Phase.TAKING_OFF, Phase.HOLDING, Phase.FLYING,
        Phase.RETURNING, Phase.LANDING, Phase.LANDED,
    ]  # fmt: skip
    plan = FlightPlan()
    for corner in plan.route:
        assert min(math.dist(state.position_m, corner) for state in states) < 0.5
    end = states[-1]
    assert math.hypot(end.position_m.north, end.position_m.east) < 0.5
    assert (end.position_m.up, end.velocity_mps, end.armed) == (0, Vector(0, 0, 0), False)
    assert 45 < end.time_s < 75


def test_the_same_flight_is_the_same() -> None:
    assert list(ModelFlight().states()) == list(ModelFlight().states())


def test_no_limit_is_broken() -> None:
    plan = FlightPlan(side_m=100, speed_mps=12, height_m=40)
    states = list(ModelFlight(plan).states())
    for before, after in pairwise(states):
        dt_s = after.time_s - before.time_s
        assert after.ground_speed_mps <= plan.speed_mps + 1e-6
        assert math.dist(after.position_m, before.position_m) <= 13 * dt_s
        if after.phase is before.phase and after.position_m.up > 0:
            change = math.dist(after.velocity_mps, before.velocity_mps) / dt_s
            assert change <= ACCELERATION_MPS2 + 1e-6
        assert abs(after.attitude_rad.roll) < math.radians(25)
        assert abs(after.attitude_rad.pitch) < math.radians(25)
        assert 0 <= after.attitude_rad.yaw < math.tau
        assert after.battery_used_mah > before.battery_used_mah
        assert 13 < after.battery_v < 16.9
        assert 0 <= after.throttle <= 1


def test_the_nose_points_where_it_flies_and_leans_into_it() -> None:
    states = [state for state in ModelFlight().states() if state.phase is Phase.FLYING]
    fast = [state for state in states if state.ground_speed_mps > 5.5]
    for state in fast[50:]:
        course = math.atan2(state.velocity_mps.east, state.velocity_mps.north)
        if abs(state.rates_radps.yaw) < 0.01:
            assert abs(math.remainder(course - state.attitude_rad.yaw, math.tau)) < 0.1
    assert min(state.attitude_rad.pitch for state in states) < math.radians(-10)


def test_degrees_follow_metres() -> None:
    model = holding(FlightPlan(latitude_deg=60, longitude_deg=10, altitude_m=100))
    model.set_sticks(Sticks(forward=1, right=1))
    state = run(model, 10)
    assert state.position_m.north > 10 < state.position_m.east
    assert state.latitude_deg == pytest.approx(60 + state.position_m.north / 111_319.49)
    assert state.longitude_deg == pytest.approx(10 + state.position_m.east / 111_319.49 / 0.5)
    assert state.altitude_m == 100 + state.position_m.up


def test_holding_keeps_its_place() -> None:
    model = holding()
    state = run(model, 20)
    assert state.ground_speed_mps < 0.01
    assert state.position_m.up == pytest.approx(9.6, abs=0.4)


def test_sticks_move_the_vehicle_along_its_nose_and_it_stops_when_they_are_let_go() -> None:
    model = holding()
    model.set_sticks(Sticks(forward=1, up=0.5))
    moving = run(model, 4)
    assert moving.velocity_mps.north == pytest.approx(6, abs=0.1)
    assert moving.velocity_mps.up == pytest.approx(1.25, abs=0.1)
    model.set_sticks(Sticks())
    released = run(model, 15)
    assert released.ground_speed_mps < 0.05
    model.set_sticks(Sticks(turn=1))
    turned = run(model, 1)
    assert turned.attitude_rad.yaw == pytest.approx(math.radians(90), abs=0.05)
    model.set_sticks(Sticks(forward=0.5))
    assert run(model, 3).velocity_mps.east == pytest.approx(3, abs=0.1)


def test_sticks_count_only_while_holding_and_are_cut_to_their_range() -> None:
    assert Sticks(forward=7, right=-7, up=math.nan) == Sticks(forward=1, right=-1)
    assert Sticks().neutral
    model = FlightModel()
    model.set_sticks(Sticks(up=1, forward=1))
    assert run(model, 3).position_m == Vector(0, 0, 0)
    pressed = holding()
    pressed.set_sticks(Sticks(up=-1))
    assert run(pressed, 20).position_m.up == 0


@pytest.mark.parametrize(
    ("command", "phase"),
    [("land", Phase.LANDING), ("return_home", Phase.RETURNING), ("hold", Phase.HOLDING)],
)
def test_commands_lead_on_from_the_route(command: str, phase: Phase) -> None:
    model = holding()
    assert model.apply_command("fly_route")
    run(model, 3)
    assert model.apply_command(command)
    assert run(model, 0.1).phase is phase
    if phase is not Phase.HOLDING:
        assert run(model, 60).phase is Phase.LANDED


def test_commands_that_a_phase_does_not_know_are_refused() -> None:
    model = FlightModel()
    assert not any(model.apply_command(command) for command in Command if command is not Command.TAKE_OFF)
    assert model.state.phase is Phase.LANDED
    with pytest.raises(UsageError, match="loop_the_loop"):
        model.apply_command("loop_the_loop")


def test_it_may_take_off_again_after_a_landing() -> None:
    model = holding()
    model.apply_command(Command.LAND)
    assert run(model, 30).phase is Phase.LANDED
    assert model.apply_command(Command.TAKE_OFF)
    assert run(model, 10).phase is Phase.HOLDING


def test_an_empty_battery_brings_it_home() -> None:
    model = holding()
    while model.step(0.25).phase is Phase.HOLDING:
        assert model.state.time_s < 1_500
    assert model.state.battery_remaining == pytest.approx(0.2, abs=0.01)
    assert run(model, 30).phase is Phase.LANDED


def test_a_battery_is_never_emptier_than_empty() -> None:
    battery = Battery()
    battery.draw(1_000, 1_000)
    assert (battery.used_mah, battery.remaining) == (CAPACITY_MAH, 0)


@pytest.mark.parametrize("dt_s", [0, -1, 0.3, math.nan])
def test_a_step_has_limits(dt_s: float) -> None:
    with pytest.raises(UsageError):
        FlightModel().step(dt_s)


@pytest.mark.parametrize("plan", [{"side_m": 0}, {"height_m": math.nan}, {"speed_mps": 90}, {"latitude_deg": 90}])
def test_a_plan_has_limits(plan: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(plan))):
        FlightPlan(**plan)
