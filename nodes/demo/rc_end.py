"""The remote controller of a demo: pairs, connects, steers, commands, and checks everything that arrives."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from nodes.config.endpoint import parse_endpoint
from nodes.demo.ends import End, fresh_stores
from nodes.demo.options import DemoOptions
from nodes.flight import digest_flight
from nodes.incoming import IncomingObject
from nodes.remote import RemoteController
from nodes.stations.hands import Hands
from nodes.stations.notes import Delivered, Finished, Meter, Ready, Say, counts_of
from nodes.stations.pilot import Pilot
from nodes.stations.telemetry import described
from nodes.video import VideoSink
from protocols.airlink import AIRLINK, Message, decode_untrusted, encode
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import MalformedError
from protocols.events import BulkStatus, ChannelEvent, CommandReceived, SendCommand, StateReceived, StreamReceived
from protocols.maps import unpack_map_untrusted
from protocols.pairing import LinkingCode
from specs.airlink.authority import Right
from specs.airlink.command import Answer, LogOffer, Result
from specs.airlink.numbers import Direction
from specs.airlink.stream import MediaFrame
from specs.airlink.telemetry import Battery, FlightState, Gnss
from specs.registry import ChannelId

MAX_FLIGHT_BYTES: Final = 2**30
"""A flight is taken into memory; a larger offer is refused."""

GetReady = Callable[[], Awaitable[Ready]]


class RcEnd(End):
    """``await RcEnd(options, folder, say, get_ready).run()``."""

    name = "rc"

    def __init__(self, options: DemoOptions, folder: Path, say: Say, get_ready: GetReady) -> None:
        super().__init__(options, folder, say)
        self._get_ready = get_ready
        self._video = VideoSink()
        self._malformed_frames = 0
        self._flight: FlightState | None = None
        self._battery: Battery | None = None
        self._gnss: Gnss | None = None
        self._object: IncomingObject | None = None
        self._offered = trio.Event()
        self._arrived = trio.Event()
        self._delivered = trio.Event()
        self._live_s = options.live_s

    async def run(self) -> None:
        """Make one link, from pairing to goodbye."""
        options = self.options
        async with (
            fresh_stores(self._folder, options.suite_row().dh) as stores,
            RemoteController(stores, options.link_config()) as rc,
        ):
            ready = await self._get_ready()
            endpoint, code = parse_endpoint(ready.endpoint), LinkingCode.parse(ready.code)
            record = await rc.pair(code, endpoint, options.carrier)
            self.tell(f"paired with {fingerprint_text(record.key_id)}")
            link = await rc.connect(record.key_id, endpoint, options.carrier)
            self._pilot = Pilot(Hands(link, AIRLINK, rc.key_id(), self.tell))
            await self._serve(rc, link)

    def _tasks(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        return self._command, self._receive, self._take_object

    # --- the pilot ------------------------------------------------------------------------------

    async def _command(self) -> None:
        """Fly, wait for the flight, say goodbye."""
        pilot = self._pilot
        with trio.CancelScope() as hands:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pilot.steer)
                await pilot.hands.take_free(Right.FLIGHT, Right.PAYLOAD)
                if not self.options.flies_model:
                    await self._offered.wait()  # it says how long the recording is
                await pilot.fly(self._live_s)
                await self._delivered.wait()
                hands.cancel()
        await pilot.finish()
        self._over = True
        await self._link.close()

    # --- what arrives ---------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:  # all that is there at once: what came before the last answer is seen before the link ends
            for event in await self._link.receive_many():
                self._take(event)

    def _take(self, event: ChannelEvent | IncomingObject) -> None:
        if isinstance(event, IncomingObject):
            self._object = event
            self._arrived.set()
        elif isinstance(event, StreamReceived) and event.channel is ChannelId.VIDEO:
            self._see_untrusted(event.data)
        elif isinstance(event, StateReceived | StreamReceived):
            self._know(self._read_untrusted(event.channel, event.data, Direction.DOWN))
        elif isinstance(event, CommandReceived):
            answer = self._answer_untrusted(event.data)
            self._link.send_now(SendCommand(event.channel, encode(answer), event.id))

    def _know(self, message: Message | None) -> None:
        self._pilot.see(message)
        if isinstance(message, FlightState):
            self._flight = message
        elif isinstance(message, Battery):
            self._battery = message
        elif isinstance(message, Gnss):
            self._gnss = message

    def _see_untrusted(self, data: bytes) -> None:
        try:
            message = decode_untrusted(ChannelId.VIDEO, data, Direction.DOWN)
        except MalformedError:
            self._malformed_frames += 1
            return
        if isinstance(message, MediaFrame):
            self._video.feed(message.data)

    def _answer_untrusted(self, data: bytes) -> Answer:
        message = self._read_untrusted(ChannelId.COMMAND, data, Direction.DOWN)
        if message is None:
            return Answer(Result.INVALID)
        if not isinstance(message, LogOffer):
            return Answer(Result.UNSUPPORTED)
        flight_ms = unpack_map_untrusted(message.details).get("flight_ms")
        if isinstance(flight_ms, int) and not self.options.flies_model and self.options.speed == "real":
            self._live_s = min(self._live_s, flight_ms / 1_000)
        self._offered.set()
        return Answer(Result.DONE)

    async def _take_object(self) -> None:
        """Take the recorded flight, and look into it before it is confirmed."""
        await self._arrived.wait()
        incoming = self._object
        assert incoming is not None  # noqa: S101  # set before the event
        if incoming.offer.size_bytes > MAX_FLIGHT_BYTES:
            incoming.end(BulkStatus.REFUSED)
            raise MalformedError("the drone offers a flight that is larger than any log")
        started_s = trio.current_time()
        data = b"".join([chunk async for chunk in incoming.chunks()])
        seconds = trio.current_time() - started_s
        digest = await trio.to_thread.run_sync(digest_flight, data)
        incoming.end(BulkStatus.OK)
        self.say(Delivered(digest.messages, digest.byte_count, digest.sha256, seconds))
        self._delivered.set()

    # --- counting -------------------------------------------------------------------------------

    def _meter(self) -> Meter:
        return replace(
            super()._meter(),
            object_bytes=self._object.received_bytes if self._object else 0,
            object_total=self._object.offer.size_bytes if self._object else 0,
            frames=self._video.frames_received,
            vehicle=described(self._flight, self._battery, self._gnss),
        )

    def _finished(self) -> Finished:
        stats = self._link.stats()
        return Finished(
            node=self.name,
            classes=counts_of(stats.channels),
            rekeys=stats.link.rekeys,
            frames=self._video.frames_received,
            frames_corrupt=self._video.frames_corrupt + self._malformed_frames,
            requests=self._pilot.hands.requests,
            answers=self._pilot.hands.answers,
        )
