"""MAVSDK behind ``aerolink tunnel``, each end on a host of its own with a cable between.

MAVSDK's server binds all addresses, and nothing of a test may be reached from outside: so it has a network namespace.
"""

from pathlib import Path

from nodes import Endpoint
from nodes.config.endpoint import DEFAULT_PORT
from tests.helpers.netns import HOSTS, Namespace, cable
from tests.live.autopilot import Autopilot, flying
from tests.live.mavclients import run_mavsdk
from tests.live.missions import parameters, route
from tests.live.processes import until
from tests.live.relay import Relay, relayed
from tests.live.tunnels import LOOPBACK, Tunnel, acquaint, configured, digest, ending, size

MAVSDK_PORT = 14_540
"""Where it waits for vehicles."""


def placed(folder: Path, ends: tuple[Namespace, Namespace], tap: Endpoint) -> Tunnel:
    """Put the drone's end and the ground's end on their hosts."""
    tunnel = acquaint(configured(folder, station=tap, vehicle_calls=True, link=Endpoint(HOSTS[0], DEFAULT_PORT)))
    tunnel.drone.inside, tunnel.ground.inside = ends
    return tunnel


async def test_telemetry_parameters_a_mission_and_motors(tmp_path: Path) -> None:
    with cable(1_500) as (air, land):
        for end in (air, land):
            end.run("ip", "link", "set", "lo", "up")
        async with relayed(Endpoint(LOOPBACK, MAVSDK_PORT), land) as tap:
            with ending(placed(tmp_path, (air, land), tap.endpoint)) as tunnel:
                await tunnel.start().flies()
                with air.entered():
                    vehicle = Autopilot(f"udpout:{LOOPBACK}:{tunnel.autopilot}")
                with flying(vehicle):
                    seen = await run_mavsdk(land, f"udpin://{LOOPBACK}:{MAVSDK_PORT}", route(20))
                    vehicle.hush()
                    await until(lambda: arrived(vehicle, tap), tunnel.drone, tunnel.ground)
    assert seen["parameters"] == parameters()
    assert vehicle.mission == route(20)
    assert seen["mission_is_back"]
    assert seen["armed"]
    assert round(seen["latitude_deg"], 2) == 47.4
    assert seen["version"] == 4
    assert digest(tap.upward) == digest(vehicle.wire.sent)
    assert digest(tap.downward) == digest(vehicle.wire.received)


def arrived(vehicle: Autopilot, tap: Relay) -> bool:
    """Whether all that was said on either side has come to the other."""
    down, up = (tap.upward, vehicle.wire.sent), (vehicle.wire.received, tap.downward)
    return all(size(came) >= size(said) for came, said in (down, up))
