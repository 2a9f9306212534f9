"""A drone from its configuration: what flies, where it listens, what of its flights is recorded."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import trio

from nodes.config import Config
from nodes.drone import Drone
from nodes.flight import FlightFrame, load_replay
from nodes.mavlink.opening import open_ports
from nodes.mavlink.port import MavlinkPort
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.live import LiveVehicle
from nodes.stations.notes import Line, Say
from nodes.stations.openings import open_kept
from nodes.stations.recorder import RecordedFlight
from nodes.stations.showing import show_vehicle
from nodes.stations.vehicle import ModelVehicle, ParkedVehicle, RecordedVehicle, Vehicle
from nodes.stores.spoolrules import SpoolLimits
from nodes.working.errands import Errands, show_codes
from protocols.authority import AuthorityPolicy
from protocols.failsafe import Effect, FailsafeConfig
from specs.airlink.authority import Right

_MIB: Final = 2**20
_LOOK_S: Final = 0.1
_ACTIONS: Final = {"return": Effect.RETURN_HOME, "land": Effect.LAND}


async def work_drone(config: Config, errands: Errands, say: Say) -> None:
    limits = SpoolLimits(config.logs.quota_mib * _MIB, keep_handed_over=True)
    tell = partial(_tell, say, config.name)
    async with (
        open_kept(config.node.state_dir, limits) as kept,
        open_ports(config.mavlink.ports, tell) as ports,
        Drone(kept.stores, config.link_config()) as drone,
    ):
        vehicle, flight = await _vehicle(config, ports, tell)
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
        station = DroneStation(drone, setup, craft, state.peers, state.drone_sealing, kept.logs, say, config.name)
        where = await station.listen()
        station.tell(f"listens on {where} ({config.link.carrier})")
        if ports:
            station.tell(f"MAVLink of the autopilot at {ports[0].where}")
        if isinstance(vehicle, LiveVehicle):
            vehicle.on_flight = lambda frames: station.record(RecordedFlight("autopilot", frames))
        async with trio.open_nursery() as nursery:
            show_codes(errands, drone, station.tell, nursery)
            nursery.start_soon(station.run)
            nursery.start_soon(_record, vehicle, flight, station)
            nursery.start_soon(show_vehicle, config.name, craft.telemetry, say)


def _tell(say: Say, name: str, text: str) -> None:
    say(Line(name, text))


async def _vehicle(
    config: Config, ports: list[MavlinkPort], tell: Callable[[str], None]
) -> tuple[Vehicle, RecordedFlight | None]:
    """Return what flies, and the flight if it is known already."""
    if ports:
        return LiveVehicle(ports[0], tell, commands=config.mavlink.failsafe), None
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
