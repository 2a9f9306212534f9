"""What goes up through ``aerolink tunnel`` without the right to fly, and that nothing passes between strangers."""

from pathlib import Path

import trio

from nodes import Endpoint
from tests.live.autopilot import Autopilot, flying
from tests.live.groundstations import LIMIT_S, GroundStation, station
from tests.live.missions import route
from tests.live.processes import free_ports, until
from tests.live.relay import relayed
from tests.live.tunnels import LOOPBACK, Tunnel, acquaint, acquaint_with_others, configured, ending

ALLOWED = {"PARAM_REQUEST_LIST", "PARAM_REQUEST_READ"}


def ask_for_everything(ground: GroundStation) -> None:
    """Heartbeats, a setting, a mission, and the motors; then once more what only asks."""
    ground.beat()
    ground.wire.send("param_set", 1, 1, b"P003_RAT", 7.5, 9)
    ground.wire.send("mission_count", 1, 1, 25)
    ground.wire.send("mission_clear_all", 1, 1)
    ground.wire.send("command_long", 1, 1, 400, 0, 1, 0, 0, 0, 0, 0, 0)
    ground.wire.send("manual_control", 1, 0, 0, 500, 0, 0)
    ground.fetch_parameters()


async def test_without_the_right_to_fly_a_ground_station_only_asks(tmp_path: Path) -> None:
    with ending(acquaint(configured(tmp_path, fly=False, vehicle_calls=True))) as tunnel:
        await tunnel.start().told()
        with (
            flying(Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")) as vehicle,
            station(f"udpout:{LOOPBACK}:{tunnel.stations}") as ground,
        ):
            vehicle.mission = route(3)
            assert await trio.to_thread.run_sync(ground.fetch_parameters) == vehicle.values
            await trio.to_thread.run_sync(ask_for_everything, ground)
            assert set(vehicle.seen) <= ALLOWED
            assert (vehicle.armed, vehicle.mission, vehicle.values["P003_RAT"]) == (False, route(3), 0.75)
            await with_the_right(tunnel)
            assert await trio.to_thread.run_sync(ground.arm) == 0
            assert vehicle.armed


async def with_the_right(tunnel: Tunnel) -> None:
    """Start the ground's end again, as one that takes the right to fly."""
    assert tunnel.ground.now.end() in {0, 143}
    config = tunnel.ground.config
    config.write_text(config.read_text().replace("fly = false", "fly = true"))
    tunnel.ground.start()
    await tunnel.flies()


async def test_between_strangers_nothing_passes(tmp_path: Path) -> None:
    """Each end is paired with somebody; all ports are open, both sides talk, and the ground's end knocks in vain."""
    link = Endpoint(LOOPBACK, *free_ports(1))
    async with relayed(link) as relay:
        made = configured(tmp_path, vehicle_calls=True, link=link, via=relay.endpoint)
        with (
            ending(acquaint_with_others(made)) as tunnel,
            flying(Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")) as vehicle,
            station(f"udpout:{LOOPBACK}:{tunnel.stations}") as ground,
        ):
            tunnel.start()
            with trio.fail_after(LIMIT_S):
                await until(lambda: len(relay.upward) >= 2, tunnel.drone, tunnel.ground)
            await trio.to_thread.run_sync(ground.listen, lambda: talked(vehicle, ground))
            assert not vehicle.wire.received + ground.wire.received
            assert not tunnel.ground.now.links("drone-rc") + tunnel.drone.now.links("drone-rc")


def talked(vehicle: Autopilot, ground: GroundStation) -> bool:
    """Whether both sides have said enough."""
    if len(ground.wire.sent) < 3:
        ground.ask_parameters()
    return len(vehicle.wire.sent) > 50 and len(ground.wire.sent) > 5
