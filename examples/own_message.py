"""Messages of your own on our links: a sprayer that is commanded, answers, and tells how much it has left.

Both ends declare the same, by numbers from 0x8000. At the drone the deck lets nobody spray who has not the right that
the declaration names; the handler behind it sees only what was admitted.
"""

import logging
from dataclasses import dataclass

import trio
from construct import Struct

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
from nodes.deck import Seat
from protocols.admission import Need
from protocols.crypto.keys import SystemKeySource
from protocols.ownmessages import OwnMessage
from specs.airlink.authority import Right
from specs.airlink.command import Answer
from specs.airlink.numbers import Direction, numbered
from specs.registry import ChannelId
from specs.strict import Format, ranged, u8, u16

ANY = Endpoint("127.0.0.1", 0)


@dataclass(frozen=True, slots=True)
class Spray:
    percent: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Sprayed:
    millilitres: int


@dataclass(frozen=True, slots=True)
class Tank:
    millilitres: int


OWN = (
    OwnMessage(
        0x8001,
        Format("spray", Spray, Struct(numbered(0x8001), "percent" / ranged(u8, 0, 100), "seconds" / u8)),
        ChannelId.COMMAND,
        Direction.UP,
        Need.PAYLOAD,  # without a word it would be the flight right
    ),
    OwnMessage(
        0x8002,
        Format("sprayed", Sprayed, Struct(numbered(0x8002), "millilitres" / u16)),
        ChannelId.COMMAND,
        Direction.DOWN,
    ),
    OwnMessage(
        0x8003, Format("tank", Tank, Struct(numbered(0x8003), "millilitres" / u16)), ChannelId.TELEMETRY, Direction.DOWN
    ),
)


def stores() -> Stores:
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


async def main() -> None:
    drone_stores, logs = stores(), SpoolLimits(2**20)
    async with Drone(drone_stores) as drone, RemoteController(stores()) as rc, trio.open_nursery() as nursery:
        craft = Craft(ModelVehicle(), CameraStand())
        setup, sealing = DroneSetup(ANY, own=OWN), MemoryDroneSealing()
        at_drone = DroneStation(
            drone, setup, craft, drone_stores.peers, sealing, memory_log_store(logs), lambda _: None
        )
        where = await at_drone.listen()
        drone_id = (await rc.pair(drone.open_pairing(), where)).key_id
        at_rc = RcStation(rc, RcSetup((DronePlace(drone_id, where),), own=OWN), memory_log_store(logs), lambda _: None)

        def obey(message: object, seat: Seat) -> Sprayed | None:  # like a vehicle: at once, and after the deck
            if not isinstance(message, Spray):
                return None
            at_drone.show(Tank(5_000 - message.percent * message.seconds))
            print(f"the {seat.role.name.lower()} sprays {message.seconds} s")
            return Sprayed(message.percent * message.seconds)

        seen, answered = trio.Event(), trio.Event()

        def see(message: object) -> None:
            if isinstance(message, Tank):
                print(f"in the tank: {message.millilitres} ml")
                seen.set()

        async def fly(hands: Hands) -> None:
            refusal = await hands.request(Spray(50, 10))
            print(f"without the right: {refusal.result.name if isinstance(refusal, Answer) else refusal}")
            await hands.take_free(Right.PAYLOAD)
            print(f"with it: {await hands.request(Spray(50, 10))}")
            answered.set()
            await hands.beat()

        at_drone.deck.on_own, at_rc.see, at_rc.fly = obey, see, fly
        nursery.start_soon(at_drone.run)
        nursery.start_soon(at_rc.run)
        await answered.wait()
        await seen.wait()
        nursery.cancel_scope.cancel()


logging.getLogger("nodes").addHandler(logging.NullHandler())  # the refusal is an alarm, too, and would be printed
trio.run(main)
