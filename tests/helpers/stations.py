"""Drone, remote controller and mobile as stations on a network in memory, paired before, none of them running yet."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from nodes import Drone, Endpoint, RemoteController, Stores
from nodes.mobile import Mobile
from nodes.ports import LogStore
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.mobile import MobileSetup, MobileStation
from nodes.stations.notes import Line, Note
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.vehicle import ParkedVehicle, Vehicle
from nodes.stores.sealingmemory import MemoryDroneSealing
from nodes.stores.spoolmemory import memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from nodes.testing import MemoryNetwork
from protocols.crypto.fingerprint import key_id_of
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerState
from protocols.ownmessages import OwnMessage
from specs.registry import Role
from tests.live.kit import CLASSICAL, config_of, make_key, record_of, stores_of

AIR: Final = Endpoint("drone", 1)
GROUND: Final = Endpoint("rc", 2)
_CONFIG: Final = config_of(CLASSICAL, LinkConfig())
_REMOTE_SECRET: Final = bytes(32)
StoresTap = Callable[[Stores], Stores]


@dataclass
class Stations:
    """Three of them; start their ``run``."""

    drone: DroneStation
    rc: RcStation
    mobile: MobileStation
    drone_id: bytes
    rc_id: bytes
    mobile_id: bytes
    notes: list[Note]

    def lines(self, beginning: str) -> list[str]:
        """What was told that begins so."""
        return [note.text for note in self.notes if isinstance(note, Line) and note.text.startswith(beginning)]


def log_store(*, quota_bytes: int = 50_000_000, keep_handed_over: bool = False) -> LogStore:
    return memory_log_store(SpoolLimits(quota_bytes, keep_handed_over=keep_handed_over))


@asynccontextmanager
async def stations(
    network: MemoryNetwork | None = None,
    *,
    vehicle: Vehicle | None = None,
    rc_state: PeerState = PeerState.PAIRED,
    tap: StoresTap = lambda stores: stores,
    own: tuple[OwnMessage, ...] = (),
    own_on_ground: tuple[OwnMessage, ...] | None = None,
) -> AsyncGenerator[Stations]:
    """``rc_state``: how the drone knows its remote controller; ``tap`` changes its stores.

    ``own``: messages that all declare, or the drone alone if ``own_on_ground`` says what the others do.
    """
    ground = own if own_on_ground is None else own_on_ground
    network = network or MemoryNetwork(delay_s=0.005)
    keys = [make_key() for _ in range(3)]
    drone_key, rc_key, mobile_key = keys
    drone_id, rc_id, mobile_id = (key_id_of(key.dh, key.public) for key in keys)
    at_drone = (record_of(rc_key, Role.RC, state=rc_state), record_of(mobile_key, Role.MOBILE, _REMOTE_SECRET))
    of_drone = tap(stores_of(drone_key, peers=at_drone))
    of_rc = stores_of(rc_key, peers=(record_of(drone_key, Role.DRONE), record_of(mobile_key, Role.MOBILE)))
    at_mobile = (record_of(rc_key, Role.RC), record_of(drone_key, Role.DRONE, _REMOTE_SECRET))
    of_mobile = stores_of(mobile_key, peers=at_mobile)
    for stores in (of_rc, of_mobile):
        await stores.counters.reserve("P256", 1, create=True)
    notes: list[Note] = []
    async with (
        Drone(of_drone, _CONFIG, network=network) as drone,
        RemoteController(of_rc, _CONFIG, network=network) as rc,
        Mobile(of_mobile, _CONFIG, network=network) as mobile,
    ):
        craft = Craft(vehicle or ParkedVehicle(), CameraStand())
        logs = log_store(keep_handed_over=True)
        found = Stations(
            DroneStation(
                drone,
                DroneSetup(AIR, films=False, own=own),
                craft,
                of_drone.peers,
                MemoryDroneSealing(),
                logs,
                notes.append,
            ),
            RcStation(rc, RcSetup((DronePlace(drone_id, AIR),), GROUND, own=ground), log_store(), notes.append),
            MobileStation(mobile, MobileSetup(rc_id, GROUND, drone_id, own=ground), log_store(), None, notes.append),
            drone_id,
            rc_id,
            mobile_id,
            notes,
        )
        await found.drone.listen()
        await found.rc.listen()
        yield found
