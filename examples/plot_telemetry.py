"""Telemetry plotted as it arrives, by a synchronous program: `plot_telemetry.py [SECONDS] [PICTURE.png]`.

What a station calls back runs in the trio thread and must not wait; a queue brings it here. The plot is drawn in the
terminal; with a file name it is saved as well, by matplotlib.
"""

import queue
import sys
from collections import deque
from typing import Any

from rich.console import Console
from rich.live import Live

from nodes import (
    CameraStand,
    Craft,
    Drone,
    DronePlace,
    DroneSetup,
    DroneStation,
    Endpoint,
    Hands,
    MemoryCounterStore,
    MemoryDroneSealing,
    MemoryKeyStore,
    MemoryPeerDirectory,
    ModelVehicle,
    RcSetup,
    RcStation,
    RemoteController,
    SpoolLimits,
    Stores,
    memory_log_store,
)
from nodes.embed import Portal, open_portal
from protocols.crypto.keys import SystemKeySource
from specs.airlink.authority import Right
from specs.airlink.command import Command, CommandCode
from specs.airlink.telemetry import FlightState

ANY = Endpoint("127.0.0.1", 0)
LOGS = SpoolLimits(2**20)
ROWS, COLUMNS, BARS = 8, 60, " ▁▂▃▄▅▆▇█"
Heights = deque[tuple[float, float]]


def stores() -> Stores:
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


def drawn(heights: Heights) -> str:
    """The newest heights as bars, the highest at full size."""
    newest = [height for _, height in heights][-COLUMNS:]
    top = max([1.0, *newest])
    eighths = [round(8 * ROWS * max(height, 0.0) / top) for height in newest]
    lines = ["".join(BARS[min(8, max(0, each - 8 * row))] for each in eighths) for row in reversed(range(ROWS))]
    return "\n".join([*lines, f"height, now {newest[-1] if newest else 0.0:.1f} m, at most {top:.1f} m"])


async def fly(hands: Hands) -> None:
    """What the pilot does, in trio: take off and fly the route, with a beating heart."""
    await hands.take_free(Right.FLIGHT)
    await hands.ask(Command(CommandCode.TAKE_OFF))
    await hands.beat()


def watch(portal: Portal, seconds: float, console: Console) -> Heights:
    arrived: queue.SimpleQueue[object] = queue.SimpleQueue()
    heights: Heights = deque()
    drone_stores = stores()
    with portal.enter(Drone(drone_stores)) as drone, portal.enter(RemoteController(stores())) as rc:
        # What makes events and looks at the clock is made in the trio thread, too.
        craft = Craft(portal.call(ModelVehicle), CameraStand())
        sealing, peers = MemoryDroneSealing(), drone_stores.peers
        logs = memory_log_store(LOGS), memory_log_store(LOGS)
        at_drone = portal.call(DroneStation, drone, DroneSetup(ANY), craft, peers, sealing, logs[0], lambda _: None)
        where = portal.call(at_drone.listen)
        drone_id = portal.call(rc.pair, portal.call(drone.open_pairing), where).key_id
        at_rc = portal.call(RcStation, rc, RcSetup((DronePlace(drone_id, where),)), logs[1], lambda _: None)
        at_rc.see, at_rc.fly = arrived.put, fly
        with portal.start(at_drone.run), portal.start(at_rc.run), Live(console=console) as live:
            while not heights or heights[-1][0] - heights[0][0] < seconds:
                message = arrived.get(timeout=10)
                if isinstance(message, FlightState):
                    heights.append((message.time_ms / 1_000, message.height_mm / 1_000))
                    live.update(drawn(heights))
    return heights


def save(heights: Heights, path: str) -> None:
    try:
        from matplotlib.figure import Figure  # no window, no screen
    except ImportError:
        sys.exit("a picture needs matplotlib: pip install matplotlib")
    figure: Any = Figure()
    figure.add_subplot(xlabel="time / s", ylabel="height / m").plot(*zip(*heights, strict=True))
    figure.savefig(path)


def main(seconds: float, picture: str) -> None:
    with open_portal() as portal:
        heights = watch(portal, seconds, Console())
    if picture:
        save(heights, picture)
    print(f"{len(heights)} heights, up to {max(height for _, height in heights):.1f} m")


main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else "")
