"""A tenth of all datagrams between the two ends of ``aerolink tunnel`` is lost, either way; MAVLink asks again."""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from nodes import Endpoint
from tests.live.autopilot import Autopilot, flying
from tests.live.groundstations import GroundStation, station
from tests.live.mavclients import MavProxy, mavproxy
from tests.live.missions import alike, read_waypoint_file, route, waypoint_file
from tests.live.processes import free_ports, until
from tests.live.relay import relayed
from tests.live.tunnels import LOOPBACK, Tunnel, acquaint, configured, ending

LOST = 0.1
PATIENCE_S = 60.0
"""MAVProxy asks again after one or two seconds, each time."""


@dataclass
class Weather:
    """What becomes of datagrams."""

    dice: random.Random
    passed: int = 0
    lost: list[int] = field(default_factory=list[int])
    """Sizes."""

    def passes(self, datagram: bytes) -> bool:
        if self.dice.random() < LOST:
            self.lost.append(len(datagram))
            return False
        self.passed += 1
        return True


@asynccontextmanager
async def tunnel_through_loss(
    folder: Path, weather: Weather, ground_station: Endpoint | None = None
) -> AsyncGenerator[Tunnel]:
    """Two ends that are paired, with the right to fly, and the weather between them from the first datagram on."""
    link = Endpoint(LOOPBACK, *free_ports(1))
    async with relayed(link) as relay:
        relay.pass_up = relay.pass_down = weather.passes
        made = configured(
            folder, link=link, via=relay.endpoint, station=ground_station, vehicle_calls=bool(ground_station)
        )
        with ending(acquaint(made)) as tunnel:
            await tunnel.start().flies()
            yield tunnel


def fly_a_mission(ground: GroundStation, vehicle: Autopilot) -> None:
    assert ground.fetch_parameters() == vehicle.values
    ground.upload(route(8))
    assert vehicle.mission == route(8) == ground.download()
    assert ground.arm() == 0
    assert vehicle.armed


async def test_parameters_and_a_mission(tmp_path: Path) -> None:
    weather = Weather(random.Random(5))
    async with tunnel_through_loss(tmp_path, weather) as tunnel:
        with (
            flying(Autopilot(f"udpin:{LOOPBACK}:{tunnel.autopilot}")) as vehicle,
            station(f"udpout:{LOOPBACK}:{tunnel.stations}") as ground,
        ):
            await trio.to_thread.run_sync(fly_a_mission, ground, vehicle)
            assert weather.lost
            assert not vehicle.wire.bad + ground.wire.bad


@pytest.mark.slow
async def test_mavproxy(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    plan = tmp_path / "plan.txt"
    plan.write_text(waypoint_file(route(25)))
    waiting = Endpoint(LOOPBACK, port)
    async with tunnel_through_loss(tmp_path, Weather(random.Random(6)), waiting) as tunnel:
        with (
            trio.fail_after(4 * PATIENCE_S),
            mavproxy(f"udpin:{waiting}", tmp_path / "mavproxy") as program,
            flying(Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")) as vehicle,
        ):
            await program.shows("Received 200 parameters", PATIENCE_S)
            await type_again(program, f"wp load {plan}", lambda: "MISSION_COUNT" in vehicle.seen)
            await program.shows("Sent all 25 waypoints", PATIENCE_S)
            await until(lambda: len(vehicle.mission) == 25)
            await type_again(program, "wp save back.txt", lambda: "Requesting 25 waypoints" in program.screen)
            await program.shows("Saved 25 waypoints", PATIENCE_S)
            assert alike(read_waypoint_file((program.folder / "back.txt").read_text()), route(25))


async def type_again(program: MavProxy, line: str, heard: Callable[[], bool]) -> None:
    """Type a line until it has an effect: MAVProxy asks for a mission, or offers one, only once."""
    while not heard():
        program.type(line)
        with trio.move_on_after(1.0):
            await until(heard)
