"""A pymavlink vehicle, and pymavlink and node-mavlink as ground stations, through both ends of ``aerolink tunnel``.

What the tunnel promises: specs/11-mavlink.md.
"""

from collections.abc import Generator
from typing import Any

import pytest
import trio

from tests.live.autopilot import Autopilot, flying
from tests.live.groundstations import GroundStation, station
from tests.live.mavclients import run_node
from tests.live.mavwire import signing_key
from tests.live.missions import parameters, route
from tests.live.tunnels import Tunnel, acquaint, check_equal_bytes, configured, digest, ending

KEY = signing_key("one key for all who sign")


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Generator[Tunnel]:
    """Two ends that are paired, with the right to fly."""
    with ending(acquaint(configured(tmp_path_factory.mktemp("tunnel")))) as made:
        made.start()
        trio.run(made.flies)
        yield made


def fly_a_mission(ground: GroundStation, vehicle: Autopilot) -> None:
    """All that a ground station does before a flight."""
    ground.wait_for("HEARTBEAT")
    assert ground.fetch_parameters() == vehicle.values
    ground.set_parameter("P003_RAT", 7.5)
    assert vehicle.values["P003_RAT"] == 7.5
    ground.upload(route(40))
    assert vehicle.mission == route(40) == ground.download()
    assert ground.version().flight_sw_version >> 24 == 4
    assert ground.arm() == 0
    ground.listen(lambda: ground.armed)


@pytest.mark.parametrize(("version", "key"), [(2, None), (1, None), (2, KEY)], ids=["v2", "v1", "signed"])
def test_all_that_a_ground_station_does(tunnel: Tunnel, version: int, key: bytes | None) -> None:
    with (
        flying(Autopilot(f"udpin:127.0.0.1:{tunnel.autopilot}", version=version, key=key)) as vehicle,
        station(f"udpout:127.0.0.1:{tunnel.stations}", version=version, key=key) as ground,
    ):
        fly_a_mission(ground, vehicle)
        check_equal_bytes(vehicle, ground)
        assert not vehicle.wire.bad + ground.wire.bad
        assert {frame[0] for frame in vehicle.wire.sent + ground.wire.sent} == {0xFD if version == 2 else 0xFE}
        if key:
            assert ground.wire.good_signatures == len(vehicle.wire.sent)
            assert vehicle.wire.good_signatures == len(ground.wire.sent)


def test_whom_to_believe_is_the_vehicles_business(tunnel: Tunnel) -> None:
    """Frames without a signature pass as well; the vehicle, which wants one, takes none of them."""
    with (
        flying(Autopilot(f"udpin:127.0.0.1:{tunnel.autopilot}", key=KEY)) as vehicle,
        station(f"udpout:127.0.0.1:{tunnel.stations}") as ground,
    ):
        for _ in range(5):
            ground.ask_parameters()
        vehicle.listen(lambda: len(vehicle.wire.bad) >= 5, 10.0)
        assert set(vehicle.wire.bad) == {"Invalid signature"}
        assert not vehicle.seen
        ground.wait_for("HEARTBEAT")
        check_equal_bytes(vehicle, ground)


async def test_several_ground_stations_at_once(tunnel: Tunnel) -> None:
    """All hear everything; each does, by UDP or TCP, what it would do if it were alone."""
    seen: dict[str, Any] = {}
    done: set[str] = set()

    async def use_node() -> None:
        seen.update(await run_node("tcp", tunnel.tcp))
        done.add("node")

    vehicle = Autopilot(f"udpin:127.0.0.1:{tunnel.autopilot}")
    with (
        station(f"udpout:127.0.0.1:{tunnel.stations}", system=250) as one,
        station(f"udpout:127.0.0.1:{tunnel.stations}", system=251) as other,
        flying(vehicle, after=(one.beat, other.beat)),
    ):

        def use_one() -> None:
            fly_a_mission(one, vehicle)
            done.add("one")
            one.listen(lambda: len(done) == 3)

        def use_other() -> None:
            other.fetch_parameters()
            done.add("other")
            other.listen(lambda: len(done) == 3)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(use_node)
            nursery.start_soon(trio.to_thread.run_sync, use_one)
            nursery.start_soon(trio.to_thread.run_sync, use_other)
        await trio.to_thread.run_sync(lambda: check_equal_bytes(vehicle, one, other))
        assert seen["parameters"] in (parameters(), vehicle.values)  # before or after one of them was set
        assert seen["invalid"] == 0


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_node_mavlink(tunnel: Tunnel, kind: str) -> None:
    """It checks every frame, and every signature."""
    with flying(Autopilot(f"udpin:127.0.0.1:{tunnel.autopilot}", key=KEY)) as vehicle:
        seen = await run_node(kind, tunnel.stations if kind == "udp" else tunnel.tcp, KEY)
        sent = b"".join(vehicle.wire.sent)
    assert seen["parameters"] == parameters()
    assert seen["frames"] == seen["signed"] == seen["verified"] >= len(parameters())
    assert seen["invalid"] == 0
    assert not vehicle.wire.bad
    assert (seen["bytes"], seen["sha256"]) == digest([sent[: int(seen["bytes"])]])
