"""A station from its configuration file, as ``aerolink node`` runs it, and what is to be done once at its start.

*Errands* are what needs a person: a linking code that is shown or was typed, a token of the cloud. Everything else a
station does by itself, for as long as it runs.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from nodes.cloud.node import Cloud
from nodes.config import Config
from nodes.drone import Drone
from nodes.flight import FlightFrame, load_replay
from nodes.mobile import Mobile
from nodes.ports import PeerDirectory
from nodes.remote import RemoteController
from nodes.stations.camera import CameraStand
from nodes.stations.cloud import CloudSetup, CloudStation
from nodes.stations.craft import Craft
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.mobile import CloudWay, MobileSetup, MobileStation
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_cloud, open_kept, open_way
from nodes.stations.rc import RcSetup, RcStation
from nodes.stations.recorder import RecordedFlight
from nodes.stations.vehicle import ModelVehicle, ParkedVehicle, RecordedVehicle, Vehicle
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.enrolling import enrol
from protocols.authority import AuthorityPolicy
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import ConfigError, FlowRefusedError, UsageError
from protocols.failsafe import Effect, FailsafeConfig
from protocols.link.peers import PeerRecord, PeerState
from protocols.pairing import LinkingCode
from specs.airlink.authority import Right
from specs.groundlink import LinkQuality
from specs.registry import LinkType, Role

_MIB: Final = 2**20
_AGAIN_S: Final = 0.2
_LOOK_S: Final = 0.1
SHOWS: Final = {
    Role.DRONE: {
        Role.RC: LinkType.AIRLINK,
        Role.MOBILE: LinkType.REMOTE_MOBILE,
        Role.CLOUD: LinkType.REMOTE_CLOUD,
    },
    Role.RC: {Role.MOBILE: LinkType.GROUNDLINK},
}
"""Who shows a linking code to whom, and for which link."""
ASKS: Final = {
    Role.RC: (Role.DRONE,),
    Role.MOBILE: (Role.RC, Role.DRONE),
    Role.CLOUD: (Role.DRONE,),
}
"""Who asks for the linking code of whom."""


@dataclass(frozen=True, slots=True)
class Errands:
    """What is to be done once."""

    shows: tuple[Role, ...] = ()
    """Show a linking code for a device of each of these roles."""
    asks: Role | None = None
    """Pair with a device of this role."""
    code: LinkingCode | None = None
    """The code that it shows."""
    drone_id: bytes | None = None
    """Key id of the drone to pair with over relays; a mobile learns it from its remote controller."""
    token: str | None = field(default=None, repr=False)
    """With which to enrol at the cloud."""
    on_code: Callable[[Role, LinkingCode, bytes], None] = lambda _role, _code, _own: None
    """Shows a code, and our key id, to the person in front of us."""


async def work(config: Config, errands: Errands, say: Say) -> None:
    """Run the station of a configuration for ever; ConfigError, StorageError and what its errands raise."""
    station = {Role.DRONE: _drone, Role.RC: _rc, Role.MOBILE: _mobile, Role.CLOUD: _cloud}[config.node.role]
    await station(config, errands, say)


# --- the four -----------------------------------------------------------------------------------


async def _drone(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB, keep_handed_over=True)
    vehicle, flight = await _vehicle(config)
    async with open_kept(config.node.state_dir, limits) as kept, Drone(kept.stores, config.link_config()) as drone:
        rules = config.authority
        setup = DroneSetup(
            config.link.listen,
            config.link.carrier,
            AuthorityPolicy({right: frozenset(rules.holders) for right in Right}, rules.owner),
            FailsafeConfig(rules.hold_after_s, rules.act_after_s, _ACTIONS[rules.action]),
            films=config.video.enabled,
        )
        state = kept.state
        craft = Craft(vehicle, CameraStand())
        station = DroneStation(drone, setup, craft, state.peers, state.drone_sealing, kept.logs, say)
        where = await station.listen()
        station.tell(f"listens on {where} ({config.link.carrier})")
        _show_codes(errands, drone.open_pairing, Role.DRONE, drone.key_id())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            nursery.start_soon(_record, vehicle, flight, station)


async def _rc(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with (
        open_kept(config.node.state_dir, limits) as kept,
        RemoteController(kept.stores, config.link_config()) as rc,
    ):
        if errands.code is not None:
            record = await rc.pair(errands.code, config.link.connect, config.link.carrier)
            say(Line("rc", f"paired with drone {fingerprint_text(record.key_id)}"))
        drone = await _only(kept.state.peers, Role.DRONE)
        setup = RcSetup(drone.key_id, config.link.connect, config.ground.listen, config.link.carrier)
        station = RcStation(rc, setup, kept.logs, say)
        where = await station.listen()
        station.tell(f"listens for mobiles on {where}")
        _show_codes(errands, rc.open_pairing, Role.RC, rc.key_id())
        await station.run()


async def _mobile(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB)
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_kept(config.node.state_dir, limits))
        way: CloudWay | None = None
        if config.cloud.enabled:
            way = await stack.enter_async_context(open_way(config.node.state_dir))
            if errands.token is not None:
                await enrol(config.cloud.enrolment, errands.token, way.credentials)
                say(Line("mobile", f"enrolled at the cloud as device {way.credentials.device_id}"))
        mobile = await stack.enter_async_context(Mobile(kept.stores, config.link_config()))
        if errands.code is not None and errands.asks is Role.RC:
            record = await mobile.pair(errands.code, config.ground.connect, "tcp")
            say(Line("mobile", f"paired with rc {fingerprint_text(record.key_id)}"))
        rc = await _only(kept.state.peers, Role.RC)
        drone = await _one_or_none(kept.state.peers, Role.DRONE)
        drone_id = None if drone is None else drone.key_id
        cloud = config.cloud.connect if config.cloud.enabled else None
        setup = MobileSetup(rc.key_id, config.ground.connect, drone_id, cloud)
        station = MobileStation(mobile, setup, kept.logs, way, say)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            if errands.code is not None and errands.asks is Role.DRONE:
                nursery.start_soon(_pair_mobile, mobile, station, rc.key_id, errands, errands.code)


async def _cloud(config: Config, errands: Errands, say: Say) -> None:
    async with (
        open_cloud(config.node.state_dir, config.cloud.names) as kept,
        Cloud(kept.stores, config.link_config()) as cloud,
    ):
        station = CloudStation(cloud, CloudSetup(config.cloud.listen, config.cloud.enrolment), say)
        where, enrolment = await station.listen()
        station.tell(f"serves its devices on {where}, and enrols new ones on {enrolment}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            if errands.code is not None:
                nursery.start_soon(_pair_cloud, cloud, station, errands, errands.code)


# --- errands ------------------------------------------------------------------------------------


def _show_codes(errands: Errands, make: Callable[[LinkType], LinkingCode], role: Role, own: bytes) -> None:
    for peer in errands.shows:
        errands.on_code(peer, make(SHOWS[role][peer]), own)


async def _pair_mobile(mobile: Mobile, station: MobileStation, rc: bytes, errands: Errands, code: LinkingCode) -> None:
    """Pair with the drone behind the remote controller, which says who it is; that it is, the code proves."""
    heard: list[bytes] = [] if errands.drone_id is None else [errands.drone_id]
    came = trio.Event()

    def see(message: object) -> None:
        if isinstance(message, LinkQuality) and message.link is LinkType.AIRLINK and not heard:
            heard.append(message.peer)
            came.set()

    if not heard:
        station.see = see
        await came.wait()
    record = await through(partial(mobile.pair_over, rc, code, heard[0]))
    station.tell(f"paired with drone {fingerprint_text(record.key_id)}, end to end")
    await station.keep_drone(record.key_id)


async def _pair_cloud(cloud: Cloud, station: CloudStation, errands: Errands, code: LinkingCode) -> None:
    if errands.drone_id is None:
        raise UsageError("name the drone to pair with: its key id stands beside its linking code")
    record = await through(partial(cloud.pair_drone, code, errands.drone_id))
    station.tell(f"paired with drone {fingerprint_text(record.key_id)}, end to end")
    await station.keep_drone(record.key_id)


async def through(pair: Callable[[], Awaitable[PeerRecord]]) -> PeerRecord:
    """Pair over relays as soon as there is a way."""
    while True:
        try:
            return await pair()
        except FlowRefusedError:
            await trio.sleep(_AGAIN_S)


async def _only(peers: PeerDirectory, role: Role) -> PeerRecord:
    """Return the one peer of a role; ConfigError."""
    found = await _one_or_none(peers, role)
    if found is None:
        name = role.name.lower()
        raise ConfigError(f"this node is not paired with {name}: start it once with --pair {name}")
    return found


async def _one_or_none(peers: PeerDirectory, role: Role) -> PeerRecord | None:
    found = [each for each in await peers.all() if each.role is role and each.state is not PeerState.REVOKED]
    if len(found) > 1:
        name = role.name.lower()
        raise ConfigError(f"this node is paired with {len(found)} devices of role {name}: forget all but one")
    return found[0] if found else None


# --- the drone's flight -------------------------------------------------------------------------

_ACTIONS: Final = {"return": Effect.RETURN_HOME, "land": Effect.LAND}


async def _vehicle(config: Config) -> tuple[Vehicle, RecordedFlight | None]:
    """Return what flies, and the flight if it is known already."""
    path, speed = config.flight.replay, config.flight.speed
    if path is not None:
        replay = await load_replay(path, lambda _done, _total: None)
        frames = await trio.to_thread.run_sync(list, replay.frames())
        return RecordedVehicle(_faster(frames, speed)), RecordedFlight(replay.name, frames, replay.skipped_bytes)
    return (ModelVehicle() if config.flight.model else ParkedVehicle()), None


def _faster(frames: Iterable[FlightFrame], speed: float) -> list[FlightFrame]:
    return [FlightFrame(frame.time_s / speed, frame.data) for frame in frames]


async def _record(vehicle: Vehicle, flight: RecordedFlight | None, station: DroneStation) -> None:
    """Seal a recording when it has been played, and what the model flies each time that it has landed."""
    if flight is not None:
        await station.played.wait()
        station.record(flight)
    if not isinstance(vehicle, ModelVehicle):
        return
    while True:
        while not vehicle.armed:
            del vehicle.recorded[:]  # it may stand for days
            await trio.sleep(_LOOK_S)
        await _landed(vehicle)
        station.record(RecordedFlight("model", vehicle.recorded[:]))
        del vehicle.recorded[:]


async def _landed(vehicle: Vehicle) -> None:
    """Wait for the motors to stop; a vehicle does not say when."""
    while vehicle.armed:  # noqa: ASYNC110
        await trio.sleep(_LOOK_S)
