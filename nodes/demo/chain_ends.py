"""The four nodes of the chain in a demo: each a station, set up from nothing, with a part to play.

What a person would carry from device to device is carried (``mailbox``): an address with a linking code, a token of the
cloud, and the word that all is over. Nothing else passes but through the links.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

import trio

from nodes.cloud.events import FlightStored, UploadProgressed
from nodes.cloud.node import Cloud
from nodes.config.endpoint import Endpoint, parse_endpoint
from nodes.demo.mailbox import Mailbox
from nodes.demo.options import DemoOptions
from nodes.drone import Drone
from nodes.flight import ModelFlight, frame_bytes_of, load_replay
from nodes.mobile import Mobile
from nodes.remote import RemoteController
from nodes.stations.base import METER_S
from nodes.stations.camera import CameraStand
from nodes.stations.cloud import CloudSetup, CloudStation
from nodes.stations.craft import Craft
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.hands import Hands
from nodes.stations.mobile import MobileSetup, MobileStation
from nodes.stations.notes import Carry, Delivered, Finished, Flight, Line, Parsing, Say, Shown
from nodes.stations.openings import CloudKept, Kept, open_cloud, open_kept, open_way
from nodes.stations.pilot import STEPS, Pilot, Step
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.recorder import RecordedFlight
from nodes.stations.telemetry import described
from nodes.stations.vehicle import ModelVehicle, RecordedVehicle, Vehicle
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.enrolling import enrol
from nodes.video import VideoSink
from nodes.working.errands import through
from protocols.crypto.fingerprint import fingerprint_text
from protocols.pairing import LinkingCode
from specs.airlink.authority import Right
from specs.airlink.command import Command, CommandCode
from specs.airlink.stream import MediaFrame
from specs.airlink.telemetry import Battery, FlightState, Gnss
from specs.registry import LinkType
from specs.remotelink import LogReceipt

ANY: Final = Endpoint("127.0.0.1", 0)
LOGS: Final = SpoolLimits(2**31)
"""Sealed logs that a node of a demo keeps at most."""
HAND_OVER_AT: Final = 0.5
"""Share of the time at which the right goes to the mobile."""
MOBILE_FLIES_S: Final = 0.2
"""How long the mobile has the right, at least."""


class ChainEnd:
    """One node. Subclasses say what it does in :meth:`run`."""

    name: ClassVar[str]

    def __init__(self, options: DemoOptions, folder: Path, say: Say, mailbox: Mailbox) -> None:
        self.options: Final = options
        self.say: Final = say
        self._folder = folder
        self._mailbox = mailbox

    async def run(self) -> None:
        """Set the node up, let it work, and end when all is over."""
        raise NotImplementedError

    def tell(self, text: str) -> None:
        """Say that something has happened."""
        self.say(Line(self.name, text))

    def carry(self, to: str, what: str, *values: object) -> None:
        """Give something to a person who carries it to another node."""
        self.say(Carry(to, what, " ".join(map(str, values))))

    async def carried(self, what: str) -> list[str]:
        """Wait for something that is carried to us."""
        return (await self._mailbox.get(what)).split()


async def _keep_showing(say: Say, shown: Callable[[], Shown]) -> None:
    """Say a few times a second what a node shows, and at the end."""
    try:
        while True:
            say(shown())
            await trio.sleep(METER_S)
    finally:
        say(shown())


async def _with_key(kept: Kept | CloudKept, options: DemoOptions) -> None:
    """Make the node's static key."""
    await trio.to_thread.run_sync(kept.state.key_files.generate, options.suite_row().dh)


class DroneChainEnd(ChainEnd):
    """It flies, films, obeys, and hands its sealed flight on."""

    name = "drone"

    def __init__(self, options: DemoOptions, folder: Path, say: Say, mailbox: Mailbox) -> None:
        super().__init__(options, folder, say, mailbox)
        self._flight: RecordedFlight | None = None
        self._receipt = trio.Event()

    async def run(self) -> None:
        await self._load()
        frames = () if self._flight is None else self._flight.frames
        vehicle: Vehicle = ModelVehicle() if self._flight is None else RecordedVehicle(frames)
        camera = CameraStand()
        async with open_kept(self._folder, SpoolLimits(LOGS.quota_bytes, keep_handed_over=True), create=True) as kept:
            await _with_key(kept, self.options)
            async with Drone(kept.stores, self.options.link_config()) as drone:
                setup = DroneSetup(Endpoint("127.0.0.1", self.options.port), self.options.carrier)
                craft = Craft(vehicle, camera)
                state = kept.state
                station = DroneStation(drone, setup, craft, state.peers, state.drone_sealing, kept.logs, self.say)
                station.on_receipt = self._on_receipt
                async with trio.open_nursery() as nursery:
                    where = await station.listen()
                    nursery.start_soon(station.run)
                    nursery.start_soon(_keep_showing, self.say, lambda: Shown(self.name, camera.frames))
                    await self._play(drone, station, vehicle, where)
                    nursery.cancel_scope.cancel()
            self.say(Finished(self.name, {}, 0, camera.frames))

    async def _load(self) -> None:
        """Have the flight before anybody waits for it; none: the model flies it live."""
        path = self.options.replay_path
        if self.options.flies_model:
            return
        if path is None:
            model = ModelFlight()
            self._flight = RecordedFlight(model.name, await trio.to_thread.run_sync(list, model.frames()))
            return
        replay = await load_replay(path, lambda done, total: self.say(Parsing(done, total)))
        frames = await trio.to_thread.run_sync(list, replay.frames())
        self._flight = RecordedFlight(replay.name, frames, replay.skipped_bytes)

    async def _play(self, drone: Drone, station: DroneStation, vehicle: Vehicle, where: Endpoint) -> None:
        drone_id = drone.key_id().hex()
        self.tell(f"listens on {where} ({self.options.carrier}) and shows a linking code")
        self.carry("rc", "drone", where, drone.open_pairing().text())
        for role, kind in (("mobile", LinkType.REMOTE_MOBILE), ("cloud", LinkType.REMOTE_CLOUD)):
            self.carry(role, "drone", drone_id, drone.open_pairing(kind).text())
        flight = self._flight
        if isinstance(vehicle, ModelVehicle):
            await self.carried("landed")
            flight = RecordedFlight("model", vehicle.recorded.copy())
        assert flight is not None  # noqa: S101  # the one or the other
        digest = await trio.to_thread.run_sync(flight.digest)
        self.say(Flight(flight.source, digest.messages, digest.byte_count, digest.sha256, flight.skipped_bytes))
        station.record(flight)
        await self._receipt.wait()
        self.carry("rc", "delivered", "yes")
        await self.carried("finish")
        await station.stop_showing()
        self.carry("rc", "over", "yes")
        await station.alone.wait()

    def _on_receipt(self, receipt: LogReceipt) -> None:
        self.tell(f"the cloud has flight {receipt.flight_id.hex()[:8]}")
        self._receipt.set()


class RcChainEnd(ChainEnd):
    """It flies, hands the right to the mobile and takes it back, and passes on what is not its own."""

    name = "rc"

    def __init__(self, options: DemoOptions, folder: Path, say: Say, mailbox: Mailbox) -> None:
        super().__init__(options, folder, say, mailbox)
        self._video = VideoSink()
        self._done = trio.Event()
        self._pilot: Pilot | None = None
        self._hands: list[Hands] = []

    async def run(self) -> None:
        async with open_kept(self._folder, LOGS, create=True) as kept:
            await _with_key(kept, self.options)
            async with RemoteController(kept.stores, self.options.link_config()) as rc:
                endpoint, code = await self.carried("drone")
                where = parse_endpoint(endpoint)
                record = await rc.pair(LinkingCode.parse(code), where, self.options.carrier)
                self.tell(f"paired with {fingerprint_text(record.key_id)}")
                setup = RcSetup((DronePlace(record.key_id, where),), ANY, self.options.carrier)
                station = RcStation(rc, setup, kept.logs, self.say)
                station.see, station.fly = self._see, self._fly
                ground = await station.listen()
                self.carry("mobile", "rc", ground, rc.open_pairing().text())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(station.run)
                    nursery.start_soon(_keep_showing, self.say, lambda: Shown(self.name, self._video.frames_received))
                    await self._done.wait()
                    nursery.cancel_scope.cancel()
        corrupt = self._video.frames_corrupt + station.malformed
        counts = [sum(hands.requests for hands in self._hands), sum(hands.answers for hands in self._hands)]
        self.say(Finished(self.name, {}, 0, self._video.frames_received, corrupt, *counts))

    def _see(self, message: object) -> None:
        if isinstance(message, MediaFrame):
            self._video.feed(message.data)
        elif self._pilot is not None:
            self._pilot.see(message)

    async def _fly(self, hands: Hands) -> None:
        pilot = self._pilot = Pilot(hands)
        self._hands.append(hands)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pilot.steer)
            await hands.take_free(Right.FLIGHT, Right.PAYLOAD)
            (mobile,) = await self.carried("mobile ready")
            steps = [step for step in STEPS if step.at < HAND_OVER_AT]
            steps.append(Step(HAND_OVER_AT, None, "", act=partial(self._lend, hands, bytes.fromhex(mobile))))
            steps += [step for step in STEPS if step.at >= HAND_OVER_AT]
            await pilot.fly(self._live_s(), steps)
            self.carry("drone", "landed", "yes")
            await self.carried("delivered")
            await pilot.finish()
            self.carry("drone", "finish", "yes")
            await self.carried("over")
            nursery.cancel_scope.cancel()
        self.carry("mobile", "finish", "yes")  # whoever is farthest leaves first, so that all hear each other's goodbye
        await self.carried("finish")
        self._done.set()
        await trio.sleep_forever()

    def _live_s(self) -> float:
        return self.options.live_s

    async def _lend(self, hands: Hands, mobile: bytes) -> None:
        """Hand the flight right to the mobile, and take it back when it is offered."""
        if await hands.offer(Right.FLIGHT, mobile):
            await hands.accept(Right.FLIGHT)


class MobileChainEnd(ChainEnd):
    """It shows, flies for a moment, and brings everything to the cloud."""

    name = "mobile"

    def __init__(self, options: DemoOptions, folder: Path, say: Say, mailbox: Mailbox) -> None:
        super().__init__(options, folder, say, mailbox)
        self._rc_id = b""
        self._shown: dict[type[object], object] = {}
        self._hands: list[Hands] = []

    async def run(self) -> None:
        async with open_kept(self._folder, LOGS, create=True) as kept, open_way(self._folder) as way:
            await _with_key(kept, self.options)
            cloud, enrolment, token = await self.carried("cloud")
            await enrol(parse_endpoint(enrolment), token, way.credentials)
            self.tell(f"enrolled at the cloud as device {way.credentials.device_id[:8]}")
            async with Mobile(kept.stores, self.options.link_config()) as mobile:
                endpoint, code = await self.carried("rc")
                where = parse_endpoint(endpoint)
                record = await mobile.pair(LinkingCode.parse(code), where, "tcp")
                self.tell(f"paired with {fingerprint_text(record.key_id)}")
                self._rc_id = record.key_id
                setup = MobileSetup(record.key_id, where, cloud=parse_endpoint(cloud))
                station = MobileStation(mobile, setup, kept.logs, way, self.say)
                station.see, station.fly = self._see, self._fly
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(station.run)
                    nursery.start_soon(self._pair_drone, mobile, station)
                    nursery.start_soon(_keep_showing, self.say, lambda: Shown(self.name, vehicle=self.vehicle()))
                    await self.carried("finish")
                    if station.uplink is not None:
                        await station.uplink.flush()
                    self.carry("cloud", "finish", "yes")
                    await self.carried("cloud over")
                    nursery.cancel_scope.cancel()
        self.carry("rc", "finish", "yes")
        counts = [sum(hands.requests for hands in self._hands), sum(hands.answers for hands in self._hands)]
        self.say(Finished(self.name, {}, 0, 0, 0, *counts))

    async def _pair_drone(self, mobile: Mobile, station: MobileStation) -> None:
        drone_id, code = await self.carried("drone")
        record = await through(partial(mobile.pair_over, self._rc_id, LinkingCode.parse(code), bytes.fromhex(drone_id)))
        self.tell(f"paired with {fingerprint_text(record.key_id)}, end to end")
        await station.keep_drone(record.key_id)

    def _see(self, message: object) -> None:
        self._shown[type(message)] = message

    def vehicle(self) -> str:
        """What telemetry says, in one line."""
        flight, battery, gnss = (self._shown.get(kind) for kind in (FlightState, Battery, Gnss))
        return described(
            flight if isinstance(flight, FlightState) else None,
            battery if isinstance(battery, Battery) else None,
            gnss if isinstance(gnss, Gnss) else None,
        )

    async def _fly(self, hands: Hands) -> None:
        self._hands.append(hands)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hands.beat)
            self.carry("rc", "mobile ready", hands.own.hex())
            while True:
                if await hands.accept(Right.FLIGHT):
                    await hands.ask(Command(CommandCode.HOLD), "hold")
                    await trio.sleep(max(MOBILE_FLIES_S, 0.05 * self.options.live_s))
                    await hands.offer(Right.FLIGHT, self._rc_id)


class CloudChainEnd(ChainEnd):
    """It enrols the mobile, pairs with the drone over everybody else, and has the flight in the end."""

    name = "cloud"

    def __init__(self, options: DemoOptions, folder: Path, say: Say, mailbox: Mailbox) -> None:
        super().__init__(options, folder, say, mailbox)
        self._began_s: float | None = None

    async def run(self) -> None:
        options = self.options
        async with open_cloud(self._folder, ("127.0.0.1", "localhost"), create=True) as kept:
            await _with_key(kept, options)
            async with Cloud(kept.stores, options.link_config()) as cloud:
                station = CloudStation(cloud, CloudSetup(ANY, ANY), self.say)
                station.on_flight, station.on_upload = self._on_flight, self._on_upload
                where, enrolment = await station.listen()
                token = await station.new_token("mobile")
                self.tell(f"serves its devices on {where}")
                self.carry("mobile", "cloud", where, enrolment, token)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(station.run)
                    nursery.start_soon(self._pair_drone, cloud, station)
                    await self.carried("finish")
                    nursery.cancel_scope.cancel()
        self.carry("mobile", "cloud over", "yes")
        self.say(Finished(self.name, {}, 0, 0))

    async def _pair_drone(self, cloud: Cloud, station: CloudStation) -> None:
        drone_id, code = await self.carried("drone")
        record = await through(partial(cloud.pair_drone, LinkingCode.parse(code), bytes.fromhex(drone_id)))
        self.tell(f"paired with {fingerprint_text(record.key_id)}, end to end")
        await station.keep_drone(record.key_id)

    def _on_upload(self, _: UploadProgressed) -> None:
        if self._began_s is None:
            self._began_s = trio.current_time()

    def _on_flight(self, event: FlightStored) -> None:
        flight = event.flight
        took_s = trio.current_time() - (self._began_s or trio.current_time())
        size_bytes = frame_bytes_of(flight.size_bytes, flight.messages)
        self.say(Delivered(flight.messages, size_bytes, flight.sha256.hex(), took_s, self.name))
