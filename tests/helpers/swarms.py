"""Several drones behind one remote controller, and a mobile, as stations on a network in memory, paired before."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, cast

import trio

from nodes import Drone, Endpoint, RemoteController
from nodes.mobile import Mobile
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.mobile import MobileSetup, MobileStation
from nodes.stations.notes import Note
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.vehicle import Give, ParkedVehicle
from nodes.stores.sealingmemory import MemoryDroneSealing
from nodes.testing import MemoryNetwork
from nodes.uplink.uplink import Uplink
from protocols.airlink import AIRLINK, Message
from protocols.crypto.fingerprint import key_id_of
from protocols.link.config import LinkConfig
from specs.airlink.numbers import Direction
from specs.airlink.telemetry import Home
from specs.registry import ChannelId, Role
from tests.helpers.stations import log_store
from tests.live.kit import CLASSICAL, config_of, make_key, record_of, stores_of

GROUND: Final = Endpoint("rc", 2)
_CONFIG: Final = config_of(CLASSICAL, LinkConfig())
_REMOTE_SECRET: Final = bytes(32)


class Numbered(ParkedVehicle):
    """A vehicle whose home and whose MAVLink frames tell its number."""

    def __init__(self, number: int) -> None:
        self.home: Final = Home(number, number, number)
        self.frame: Final = bytes.fromhex("fe0001") + bytes([number]) + bytes(4)

    async def play(self, give: Give) -> None:
        while True:
            give(self.frame)
            await trio.sleep(0.2)

    def telemetry(self) -> list[Message]:
        return [self.home]


@dataclass
class Brought:
    """What a station gave its uplink."""

    homes: list[tuple[bytes, Home]] = field(default_factory=list[tuple[bytes, Home]])
    """Key id under which, and what."""
    logs: int = 0

    def telemetry(self, data: bytes, *, drone: bytes) -> None:
        message = AIRLINK.decode_untrusted(ChannelId.TELEMETRY, data, Direction.DOWN)
        if isinstance(message, Home):
            self.homes.append((drone, message))

    def log_added(self) -> None:
        self.logs += 1

    def for_uplink(self) -> Uplink:
        return cast("Uplink", self)


@dataclass
class Swarm:
    """Start their ``run``."""

    drones: list[DroneStation]
    vehicles: list[Numbered]
    drone_ids: list[bytes]
    rc: RcStation
    rc_id: bytes
    mobile: MobileStation
    mobile_id: bytes
    notes: list[Note]

    def start(self, nursery: trio.Nursery) -> None:
        for run in (*(drone.run for drone in self.drones), self.rc.run, self.mobile.run):
            nursery.start_soon(run)


@asynccontextmanager
async def swarm(count: int, mobiles_drone: int | None = None) -> AsyncGenerator[Swarm]:
    """``mobiles_drone``: with which of the drones the mobile is paired."""
    network = MemoryNetwork(delay_s=0.005)
    drone_keys, rc_key, mobile_key = [make_key() for _ in range(count)], make_key(), make_key()
    ids = [key_id_of(key.dh, key.public) for key in (*drone_keys, rc_key, mobile_key)]
    *drone_ids, rc_id, mobile_id = ids
    notes: list[Note] = []
    places = tuple(DronePlace(drone_id, Endpoint(f"drone{n}", 1)) for n, drone_id in enumerate(drone_ids))
    of_rc = stores_of(
        rc_key, peers=(*(record_of(key, Role.DRONE) for key in drone_keys), record_of(mobile_key, Role.MOBILE))
    )
    chosen = [] if mobiles_drone is None else [record_of(drone_keys[mobiles_drone], Role.DRONE, _REMOTE_SECRET)]
    of_mobile = stores_of(mobile_key, peers=(record_of(rc_key, Role.RC), *chosen))
    for stores in (of_rc, of_mobile):
        await stores.counters.reserve("P256", 1, create=True)
    vehicles = [Numbered(number) for number in range(count)]
    async with AsyncExitStack() as stack:
        drones: list[DroneStation] = []
        for number, (key, vehicle) in enumerate(zip(drone_keys, vehicles, strict=True)):
            stores = stores_of(
                key, peers=(record_of(rc_key, Role.RC), record_of(mobile_key, Role.MOBILE, _REMOTE_SECRET))
            )
            drone = await stack.enter_async_context(Drone(stores, _CONFIG, network=network))
            station = DroneStation(
                drone,
                DroneSetup(places[number].endpoint, films=False),
                Craft(vehicle, CameraStand()),
                stores.peers,
                MemoryDroneSealing(),
                log_store(keep_handed_over=True),
                notes.append,
                f"drone{number}",
            )
            await station.listen()
            drones.append(station)
        rc = await stack.enter_async_context(RemoteController(of_rc, _CONFIG, network=network))
        mobile = await stack.enter_async_context(Mobile(of_mobile, _CONFIG, network=network))
        rc_station = RcStation(rc, RcSetup(places, GROUND), log_store(), notes.append)
        await rc_station.listen()
        setup = MobileSetup(rc_id, GROUND, None if mobiles_drone is None else drone_ids[mobiles_drone])
        mobile_station = MobileStation(mobile, setup, log_store(), None, notes.append)
        yield Swarm(drones, vehicles, drone_ids, rc_station, rc_id, mobile_station, mobile_id, notes)
