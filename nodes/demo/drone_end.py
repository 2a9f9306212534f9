"""The drone of a demo: it shows a code, waits for its pilot, flies, films, answers, and hands its flight over."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import trio

from nodes.config.endpoint import Endpoint
from nodes.deck import FlightDeck
from nodes.demo.ends import End, fresh_stores
from nodes.demo.options import DemoOptions
from nodes.drone import Drone
from nodes.errors import LinkClosedError
from nodes.flight import FlightDigest, FlightFrame, FlightSource, ModelFlight, encode_flight, load_replay
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.drone import tell_rights
from nodes.stations.notes import Finished, Flight, Meter, Parsing, Ready, Say, counts_of
from nodes.stations.vehicle import ModelVehicle, RecordedVehicle, Vehicle
from protocols.airlink import Message, encode, message_type
from protocols.authority import Authority
from protocols.events import (
    BulkStatus,
    CommandReceived,
    ControlReceived,
    SendCommand,
    SendControl,
    SendState,
    SendStream,
)
from protocols.failsafe import Failsafe
from protocols.maps import pack_map
from specs.airlink.command import Answer, CameraAction, CameraControl, LogOffer, Result
from specs.airlink.control import Heartbeat, NodeState
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame, is_mavlink_frame
from specs.registry import ChannelId

if TYPE_CHECKING:
    from protocols.remotelink import CloudMessage

LOG_NAME: Final = "flight.aeroflt"
Frames = Callable[[], Iterable[FlightFrame]]
"""Gives a flight from its beginning, as often as it is asked for."""
_TELEMETRY_S: Final = 0.1
_HEARTBEAT_S: Final = 0.5


class DroneEnd(End):
    """``await DroneEnd(options, folder, say).run()``."""

    name = "drone"

    def __init__(self, options: DemoOptions, folder: Path, say: Say) -> None:
        super().__init__(options, folder, say)
        self._camera = CameraStand()
        self._source: FlightSource | None = None
        self._frames: Frames = list
        self._vehicle: Vehicle = ModelVehicle()
        self._flown = trio.Event()
        self._live = trio.CancelScope()
        self._requests = self._answers = 0

    async def run(self) -> None:
        """Serve one link from pairing to goodbye."""
        await self._load()
        async with (
            fresh_stores(self._folder, self.options.suite_row().dh) as stores,
            Drone(stores, self.options.link_config()) as drone,
        ):
            endpoint = await drone.listen(Endpoint("127.0.0.1", self.options.port), self.options.carrier)
            self.tell(f"listens on {endpoint} ({self.options.carrier}) and shows a linking code")
            self.say(Ready(str(endpoint), drone.open_pairing().text()))
            link = await drone.next_link()
            drone.close_pairing()
            authority = Authority()
            authority.owner = link.key_id  # the only one that is paired (AU-4)
            craft = Craft(self._vehicle, self._camera)
            self._deck = FlightDeck(craft, authority, Failsafe(), drone.raise_alarm)
            self._seat = self._deck.attach(link.key_id, link.role, partial(tell_rights, link))
            await self._serve(drone, link)

    # --- the flight -----------------------------------------------------------------------------

    async def _load(self) -> None:
        """Have the flight before anybody waits for it."""
        path = self.options.replay_path
        if self.options.flies_model:
            return
        if path is not None:
            replay = await load_replay(path, lambda done, total: self.say(Parsing(done, total)))
            self._source, self._frames = replay, replay.frames
        else:
            self._source = ModelFlight()
            flown = await trio.to_thread.run_sync(list, self._source.frames())
            self._frames = lambda: flown
        self._vehicle = RecordedVehicle(self._frames())

    async def _hand_over(self) -> None:
        """Offer the recorded flight, and transfer it whole; until_down tells if the link ends before."""
        if isinstance(self._vehicle, ModelVehicle):
            await trio.sleep(self.options.live_s)
            recorded = self._vehicle.recorded.copy()
            self._frames = lambda: recorded
        packed = await trio.to_thread.run_sync(_pack, self._frames)
        digest, container = packed.digest, packed.container
        source = self._source
        name, skipped_bytes = (source.name, source.skipped_bytes) if source else ("model", 0)
        self.say(Flight(name, digest.messages, digest.byte_count, digest.sha256, skipped_bytes))
        details = pack_map({"messages": digest.messages, "flight_ms": round(packed.duration_s * 1_000)})
        await self._request(LogOffer(LOG_NAME, len(container), packed.sha256, details))
        self.tell(f"hands over its flight: {digest.messages:,} messages, {len(container):,} bytes")
        status = await self._link.send_object(LOG_NAME, container)
        if status is not BulkStatus.OK:
            raise LinkClosedError(f"the transfer of the flight failed: {status.name}")

    async def _request(self, message: Message) -> None:
        self._requests += 1
        self._read_untrusted(ChannelId.COMMAND, await self._link.request(encode(message)), Direction.UP)
        self._answers += 1

    # --- while the link is up -------------------------------------------------------------------

    def _tasks(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        return self._stream, self._hand_over, self._obey, self._deck.run

    async def _stream(self) -> None:
        """Everything that flows until the pilot is done."""
        with self._live:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._vehicle.play, self._pass_on)
                nursery.start_soon(self._camera.film, self._show_picture)
                nursery.start_soon(self._show)
                nursery.start_soon(self._beat)
        self._flown.set()

    def _pass_on(self, frame: bytes) -> None:
        if is_mavlink_frame(frame):  # a log may hold one that is cut short, and still a frame to its reader
            self._link.send_now(SendStream(ChannelId.MAVLINK, encode(MavlinkFrame(frame))))

    def _show_picture(self, data: bytes) -> bool:
        self._link.send_now(SendStream(ChannelId.VIDEO, data))
        return True

    async def _show(self) -> None:
        while True:
            for message in (*self._vehicle.telemetry(), self._camera.state()):
                key = message_type(message).id
                self._link.send_now(SendState(ChannelId.TELEMETRY, key, encode(message)))
            await trio.sleep(_TELEMETRY_S)

    async def _beat(self) -> None:
        while True:
            time_ms = round(trio.current_time() * 1_000) & 0xFFFF_FFFF
            self._link.send_now(SendControl(ChannelId.CONTROL, encode(Heartbeat(NodeState.ACTIVE, time_ms))))
            await trio.sleep(_HEARTBEAT_S)

    async def _obey(self) -> None:
        async for event in self._link:
            if isinstance(event, ControlReceived):
                await self._steer_untrusted(event)
            elif isinstance(event, CommandReceived):
                answer = await self._answer_untrusted(event)
                self._link.send_now(SendCommand(event.channel, encode(answer), event.id))

    async def _steer_untrusted(self, event: ControlReceived) -> None:
        message = self._read_untrusted(event.channel, event.data, Direction.UP)
        if message is not None:
            await self._deck.take(self._seat, event.channel, cast("CloudMessage", message), event.expires_s)

    async def _answer_untrusted(self, event: CommandReceived) -> Answer:
        message = self._read_untrusted(ChannelId.COMMAND, event.data, Direction.UP)
        if message is None:
            return Answer(Result.INVALID)
        answer = await self._deck.take(self._seat, event.channel, cast("CloudMessage", message))
        if not isinstance(answer, Answer):
            return Answer(Result.UNSUPPORTED)
        is_end = isinstance(message, CameraControl) and message.action is CameraAction.STOP_RECORDING
        if is_end and answer.result is Result.DONE:
            await self._wind_up()
        return answer

    async def _wind_up(self) -> None:
        """The pilot is done: end the streams, and let what is under way leave before the answer does."""
        self._live.cancel()
        await self._flown.wait()
        await self._link.flush()
        self._over = True

    # --- counting -------------------------------------------------------------------------------

    def _meter(self) -> Meter:
        return replace(super()._meter(), frames=self._camera.frames)

    def _finished(self) -> Finished:
        stats = self._link.stats()
        return Finished(
            node=self.name,
            classes=counts_of(stats.channels),
            rekeys=stats.link.rekeys,
            frames=self._camera.frames,
            requests=self._requests,
            answers=self._answers,
        )


@dataclass(frozen=True, slots=True)
class _Packed:
    digest: FlightDigest
    container: bytes
    sha256: bytes
    duration_s: float


def _pack(frames: Frames) -> _Packed:
    """Everything that takes long, for another thread."""
    digest, last_s = FlightDigest(), 0.0
    for frame in frames():
        digest.add(frame.data)
        last_s = frame.time_s
    container = encode_flight(frames())
    return _Packed(digest, container, hashlib.sha256(container).digest(), last_s)
