"""MAVProxy on one side, a pymavlink vehicle on the other, and ``aerolink tunnel`` between: paired as persons do it.

Nothing passes before; then a relay in front of MAVProxy keeps every byte, and both ends' records must be equal.
"""

from pathlib import Path

import trio

from nodes import Endpoint
from tests.live.autopilot import Autopilot, flying
from tests.live.groundstations import LIMIT_S
from tests.live.mavclients import mavproxy
from tests.live.missions import alike, read_waypoint_file, route, waypoint_file
from tests.live.processes import free_ports, until
from tests.live.relay import Relay, relayed
from tests.live.tunnels import LOOPBACK, Tunnel, configured, digest, ending, size


def code_shown(tunnel: Tunnel) -> str:
    """The linking code on the drone's terminal; empty while there is none."""
    codes = [str(note["code"]) for note in tunnel.drone.now.notes if note.get("event") == "code"]
    return codes[-1] if codes else ""


async def test_parameters_and_a_mission(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    plan = tmp_path / "plan.txt"
    plan.write_text(waypoint_file(route(25)))
    async with relayed(Endpoint(LOOPBACK, port)) as tap:
        with (
            ending(configured(tmp_path, station=tap.endpoint, vehicle_calls=True)) as tunnel,
            mavproxy(f"udpin:{LOOPBACK}:{port}", tmp_path / "mavproxy") as program,
            trio.fail_after(3 * LIMIT_S),
        ):
            tunnel.start()
            await until(lambda: bool(code_shown(tunnel)), tunnel.drone, tunnel.ground)
            await program.shows("Waiting for heartbeat")
            await nothing_passes(tunnel, tap)
            tunnel.ground.type(code_shown(tunnel) + "\n")
            await tunnel.flies()
            assert not tap.upward
            with flying(Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")) as vehicle:
                await program.shows("Received 200 parameters")
                program.type("param set P003_RAT 7.5")
                program.type(f"wp load {plan}")
                await program.shows("Sent all 25 waypoints")
                await program.shows("MISSION_ACK: TYPE_MISSION: ACCEPTED")
                program.type("wp save back.txt")
                await program.shows("Saved 25 waypoints")
                program.type("param save kept.parm")
                program.type("arm throttle")
                await program.shows("ARMED")
                vehicle.hush()
                await until(lambda: size(tap.upward) >= size(vehicle.wire.sent), tunnel.drone, tunnel.ground)
                program.close()
                await until(lambda: size(vehicle.wire.received) >= size(tap.downward), tunnel.drone, tunnel.ground)
                assert digest(tap.upward) == digest(vehicle.wire.sent)
                assert digest(tap.downward) == digest(vehicle.wire.received)
            assert alike(vehicle.mission, route(25))
            assert alike(read_waypoint_file((program.folder / "back.txt").read_text()), vehicle.mission)
            assert vehicle.values["P003_RAT"] == 7.5
            assert vehicle.armed
            assert parameters_in(program.folder / "kept.parm") == vehicle.values


async def nothing_passes(tunnel: Tunnel, tap: Relay) -> None:
    """Both ends run, and a vehicle talks; nothing comes out at either side."""
    with flying(Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")) as vehicle:
        await until(lambda: len(vehicle.wire.sent) > 50, tunnel.drone, tunnel.ground)
        assert not vehicle.wire.received
    assert not tap.upward


def parameters_in(file: Path) -> dict[str, float]:
    """Read what MAVProxy saves: a name and a value on each line."""
    rows = [line.split() for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value, *_ in rows}
