"""Path MTU discovery over bad networks (virtual time), over loopback and over a real cable (real sockets).

Each test of real sockets prints how long it took and how many probes; nothing depends on it.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
import trio

from nodes import Drone, Endpoint, Link, RemoteController
from nodes.ports import Network
from protocols.crypto.suites import SUITES
from protocols.events import SendStream, StreamReceived
from specs.registry import ChannelId
from tests.helpers.netns import HOSTS, HOSTS_6, Inside, cable, set_mtu
from tests.live.kit import CLASSICAL, DEADLINE_S, PATIENT, config_of, paired, until
from tests.machines import Datagram, Weather, config, connect, datagram_scene, offer

FAST = SUITES[4]
SEARCHES = config(FAST, probe_max_bytes=None)
BAD = Weather(drop=0.1, duplicate=0.1, corrupt=0.02, jitter_s=0.05)


# --- bad weather ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("size", [1_472, 8_972, 65_507])
def test_found_in_bad_weather(size: int, seed: int) -> None:
    """10 % loss each way, duplicates, reordering: both ends find it, and an object arrives meanwhile."""
    scene = datagram_scene(FAST, settings=SEARCHES, weather=BAD, dice=seed)

    def path(sent: Datagram) -> list[Datagram]:
        return [sent] if len(sent.data) <= size else []

    scene.world.taps.append(path)
    connect(scene, 60.0)
    thing = bytes(range(256)) * 2_000
    offer(scene.drone.link, thing, scene.world.now)
    began = scene.world.now
    ends = (scene.rc, scene.drone)
    scene.world.run_until(lambda: all(end.link.stats().datagram_bytes == size for end in ends), 300.0)
    sys.stdout.write(f"{size} bytes, seed {seed}: {scene.world.now - began:.2f} s\n")
    scene.world.run_until(lambda: scene.rc.finished, 300.0)
    assert scene.rc.finished == [thing]


# --- real sockets -----------------------------------------------------------------------------------


class Ends(NamedTuple):
    """A link."""

    up: Link
    """The drone's end."""
    down: Link
    """The remote controller's."""


async def settle(link: Link, size: int, what: str) -> None:
    began = trio.current_time()
    await until(lambda: link.stats().datagram_bytes == size)
    sys.stdout.write(f"{what}: {size} bytes after {1_000 * (trio.current_time() - began):.1f} ms\n")


async def film(up: Link, down: Link, count: int) -> int:
    """Send pictures; how many arrived."""
    arrived = 0
    for _ in range(count):
        await up.send(SendStream(ChannelId.VIDEO, bytes(40_000)))
        with trio.move_on_after(0.1):
            arrived += isinstance(await down.receive(), StreamReceived)
    return arrived


@asynccontextmanager
async def linked(host: str, drones: Network | None = None, rcs: Network | None = None) -> AsyncGenerator[Ends]:
    """Two nodes with a link, which look for the size of their path."""
    pair = await paired()
    settings = config_of(CLASSICAL, PATIENT)
    async with (
        Drone(pair.drone, settings, network=drones) as drone,
        RemoteController(pair.rc, settings, network=rcs) as rc,
    ):
        where = await drone.listen(Endpoint(host, 0))
        down = await rc.connect(pair.drone_id, where)
        yield Ends(await drone.next_link(), down)


@pytest.mark.parametrize(("host", "size"), [("127.0.0.1", 65_507), ("::1", 65_487)])
async def test_loopback_takes_what_udp_carries(host: str, size: int) -> None:
    with trio.fail_after(DEADLINE_S):
        async with linked(host) as ends:
            await settle(ends.down, size, f"{host}, remote controller")
            await settle(ends.up, size, f"{host}, drone")
            assert await film(ends.up, ends.down, 5) == 5


@pytest.mark.parametrize(
    ("mtu", "host", "size"),
    [
        (1_280, HOSTS[0], 1_200),
        (1_500, HOSTS[0], 1_472),
        (1_500, HOSTS_6[0], 1_452),
        (9_000, HOSTS[0], 8_972),
        (9_000, HOSTS_6[0], 8_952),
    ],
)
async def test_a_cable(mtu: int, host: str, size: int) -> None:
    with cable(mtu) as (one, other), trio.fail_after(DEADLINE_S):
        async with linked(host, Inside(one), Inside(other)) as ends:
            await settle(ends.down, size, f"cable of {mtu}, {host}, remote controller")
            await settle(ends.up, size, f"cable of {mtu}, {host}, drone")
            assert await film(ends.up, ends.down, 5) == 5


async def test_a_cable_that_narrows() -> None:
    """LK-89: pictures vanish, until the drone knows; then they come again."""
    with cable(9_000) as (one, other), trio.fail_after(DEADLINE_S):
        async with linked(HOSTS[0], Inside(one), Inside(other)) as ends:
            await settle(ends.up, 8_972, "cable of 9000, drone")
            assert await film(ends.up, ends.down, 3) == 3
            set_mtu((one, other), 1_500)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle, ends.up, 1_472, "cable of 1500, drone")
                await film(ends.up, ends.down, 30)
            assert await film(ends.up, ends.down, 5) == 5
