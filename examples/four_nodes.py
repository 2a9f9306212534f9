"""All four nodes in one program, over real sockets: pairing, relays, a hand-over, a command, a sealed log."""

import tempfile
from pathlib import Path

import trio

from nodes import (
    CameraStand,
    Cloud,
    CloudSetup,
    CloudStation,
    Craft,
    Drone,
    DronePlace,
    DroneSetup,
    DroneStation,
    Endpoint,
    Hands,
    Line,
    Mobile,
    MobileSetup,
    MobileStation,
    ModelVehicle,
    RcSetup,
    RcStation,
    RecordedFlight,
    RemoteController,
    SpoolLimits,
    StateDir,
    enrol,
    open_cloud,
    open_kept,
    open_way,
    through,
)
from nodes.flight import ModelFlight
from specs.airlink.authority import Right
from specs.airlink.command import Command, CommandCode
from specs.registry import LinkType

ANY = Endpoint("127.0.0.1", 0)
LOGS, DRONE_LOGS = SpoolLimits(2**28), SpoolLimits(2**28, keep_handed_over=True)


def say(note: object) -> None:
    if isinstance(note, Line):
        print(f"{note.node}: {note.text}")


async def work(folder: Path) -> None:
    async with (
        open_kept(folder / "drone", DRONE_LOGS) as drone_kept,
        open_kept(folder / "rc", LOGS) as rc_kept,
        open_kept(folder / "mobile", LOGS) as mobile_kept,
        open_way(folder / "mobile") as way,
        open_cloud(folder / "cloud", ("127.0.0.1",)) as cloud_kept,
        Drone(drone_kept.stores) as drone,
        RemoteController(rc_kept.stores) as rc,
        Mobile(mobile_kept.stores) as mobile,
        Cloud(cloud_kept.stores) as cloud,
        trio.open_nursery() as nursery,
    ):
        # The cloud enrols the mobile, by a token that a person carries.
        cloud_station = CloudStation(cloud, CloudSetup(ANY, ANY), say)
        cloud_at, enrolment_at = await cloud_station.listen()
        await enrol(enrolment_at, await cloud_station.new_token("mobile"), way.credentials)

        # Drone and remote controller pair, then remote controller and mobile: each by a linking code.
        craft, state = Craft(ModelVehicle(), CameraStand()), drone_kept.state
        drone_station = DroneStation(
            drone, DroneSetup(ANY), craft, state.peers, state.drone_sealing, drone_kept.logs, say
        )
        drone_at = await drone_station.listen()
        drone_id = (await rc.pair(drone.open_pairing(), drone_at)).key_id
        rc_station = RcStation(rc, RcSetup((DronePlace(drone_id, drone_at),), ANY), rc_kept.logs, say)
        rc_at = await rc_station.listen()
        rc_id = (await mobile.pair(rc.open_pairing(), rc_at, "tcp")).key_id
        mobile_station = MobileStation(mobile, MobileSetup(rc_id, rc_at, cloud=cloud_at), mobile_kept.logs, way, say)

        # What the users do: each is given the link to the drone whenever there is one. Who is not heard loses rights.
        flown, stored = trio.Event(), trio.Event()
        (mobile_id,) = mobile.relays.own

        async def fly_rc(hands: Hands) -> None:
            nursery.start_soon(hands.beat)
            await hands.take_free(Right.FLIGHT)
            while not await hands.offer(Right.FLIGHT, mobile_id):  # noqa: ASYNC110  # it has no link to the drone yet
                await trio.sleep(0.1)

        async def fly_mobile(hands: Hands) -> None:
            nursery.start_soon(hands.beat)
            await hands.accept(Right.FLIGHT)
            await hands.ask(Command(CommandCode.TAKE_OFF), "take off")
            flown.set()

        rc_station.fly, mobile_station.fly = fly_rc, fly_mobile
        cloud_station.on_flight = lambda _: stored.set()
        for station in (drone_station, rc_station, mobile_station, cloud_station):
            nursery.start_soon(station.run)

        # Mobile and cloud pair with the drone through the others, who see datagrams and no code, secret or key.
        code, cloud_code = drone.open_pairing(LinkType.REMOTE_MOBILE), drone.open_pairing(LinkType.REMOTE_CLOUD)
        await through(lambda: mobile.pair_over(rc_id, code, drone_id))
        nursery.start_soon(mobile_station.keep_drone, drone_id)
        await through(lambda: cloud.pair_drone(cloud_code, drone_id))
        nursery.start_soon(cloud_station.keep_drone, drone_id)

        await flown.wait()
        drone_station.record(RecordedFlight("example", list(ModelFlight().frames())))
        await stored.wait()
        nursery.cancel_scope.cancel()
    print("the cloud has the flight")


with tempfile.TemporaryDirectory() as temporary:
    for name in ("drone", "rc", "mobile", "cloud"):
        with StateDir.open(Path(temporary, name), create=True) as made:
            made.key_files.generate("P256")
    trio.run(work, Path(temporary))
