"""The cloud at work: it serves its devices, and goes to each of its drones whenever one of them has it behind.

To a drone it says which key to seal flights to, that it has a flight, and which devices are not to be trusted any more;
each of these is durable here until the drone has confirmed it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from nodes.cloud.events import (
    CloudEvent,
    DeviceSeen,
    DownlinkChanged,
    FlightStored,
    LogHeld,
    TelemetryReceived,
    UploadProgressed,
)
from nodes.cloud.node import Cloud
from nodes.config.endpoint import Endpoint
from nodes.link import Link
from nodes.stations.base import RELAY, Station, answer_to
from nodes.stations.keep import Keeper
from nodes.stations.notes import FlightKept, Live, Say
from nodes.wakeup import Wakeup
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import AerolinkError, MalformedError, ProtocolViolationError
from protocols.events import Alarm, AlarmKind, CommandReceived
from protocols.link.peers import PeerState
from protocols.remotelink import REMOTE_CLOUD, CloudMessage
from protocols.sealing import VerifyingKeys as DroneKeys
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import Direction
from specs.registry import ChannelId, Role
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys, VerifyingKeys

_LIVE_S: Final = 1.0
"""How often what came live is told."""
_SETTLED: Final = frozenset({Result.DONE, Result.INVALID})
"""Answers to a receipt that is not told again (GL-14): the log has been let go of, or was never there."""
_AGAIN_S: Final = 30.0
"""Until a receipt that the drone could not keep is told again."""
_SILENT_S: Final = 3.0
"""A drone of which nothing came for so long, and then something, may have lost its link, and be there again."""
_NOTICES_S: Final = 2.0
"""How often revocations that wait for a drone are looked at."""


@dataclass(frozen=True, slots=True)
class CloudSetup:
    """How a cloud is set up."""

    listen: Endpoint
    """Where its devices find it."""
    enrolment: Endpoint
    """Where devices that have a token find it."""


class CloudStation(Station):
    """``nursery.start_soon(station.run)`` inside of the cloud's block."""

    def __init__(
        self, cloud: Cloud, setup: CloudSetup, say: Say, clock: Callable[[], float] = time.time, name: str = ""
    ) -> None:
        super().__init__(cloud, say, name)
        self.on_flight: Callable[[FlightStored], None] = lambda _: None
        """Told of every flight that was verified, unsealed and stored."""
        self.on_upload: Callable[[UploadProgressed], None] = lambda _: None
        """Told of every step of an upload."""
        self.live_messages = 0
        """Telemetry that came since the start."""
        self._cloud = cloud
        self._setup = setup
        self._clock = clock
        self._stored = trio.Event()
        self._ways: dict[bytes, Wakeup] = {}
        self._heard: dict[bytes, tuple[str, float]] = {}
        cloud.on_event = self._take_event

    async def listen(self) -> tuple[Endpoint, Endpoint]:
        """Open both ports; where they are."""
        return await self._cloud.listen(self._setup.listen), await self._cloud.listen_for_enrolment(
            self._setup.enrolment
        )

    async def new_token(self, name: str) -> str:
        """Make a token with which one device may enrol; ``name`` is what people call it. A secret to carry."""
        return (await self._cloud.stores.authority.make_token(self._clock(), name=name)).text()

    async def run(self) -> None:
        """Work for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            nursery.start_soon(self._tell_live)
            for record in await self._cloud.stores.links.peers.all():
                if record.role is Role.DRONE and record.state is not PeerState.REVOKED:
                    nursery.start_soon(self.keep_drone, record.key_id)
            await trio.sleep_forever()

    # --- drones ---------------------------------------------------------------------------------

    async def keep_drone(self, drone_id: bytes) -> None:
        """Keep a link to a drone for ever; :meth:`run` does so for those that were paired when it began."""
        if drone_id not in self._ways:
            way = self._ways[drone_id] = Wakeup()
            connect = partial(self._cloud.connect_drone, drone_id)
            missed = self.misses("cloud-drone", drone_id, Role.DRONE)
            await Keeper(connect, self._serve_drone, self.tell, "cloud-drone", way, missed).run()

    def _look_for_way(self, drone: bytes, device: str) -> None:
        """What a drone says has come, and did not a moment ago: there may be a way to it now."""
        way = self._ways.get(drone)
        if way is None:
            return
        now = trio.current_time()
        _, heard_s = self._heard.get(drone, ("", -math.inf))
        if now > heard_s + _SILENT_S:
            way.set()
        self._heard[drone] = (device, now)

    async def _serve_drone(self, link: Link) -> None:
        await self.serve(link, "cloud-drone", RELAY, self._listen_to, self._tell_drone, self._tell_notices)

    async def _listen_to(self, link: Link) -> None:
        async for event in link:
            if isinstance(event, CommandReceived):
                answer_to(link, event.id, event.channel, REMOTE_CLOUD.encode(Answer(Result.UNSUPPORTED)))

    async def _tell_drone(self, link: Link) -> None:
        """Keys first; then a receipt for each flight that it may let go of."""
        await self._exchange_keys(link)
        while True:
            stored = self._stored
            is_done = True
            for flight in await self._cloud.stores.records.flights(unreceipted=True):
                if flight.drone == link.key_id:
                    reply = await self._ask(link, LogReceipt(flight.flight, flight.sealed_sha256))
                    if isinstance(reply, Answer) and reply.result in _SETTLED:
                        await self._cloud.stores.records.mark_receipted(flight.drone, flight.flight)
                    else:
                        is_done = False
            with trio.move_on_after(math.inf if is_done else _AGAIN_S):
                await stored.wait()

    async def _exchange_keys(self, link: Link) -> None:
        sealing = self._cloud.stores.sealing
        reply = await self._ask(link, SealingKeys((await sealing.newest_key()).public))
        if not isinstance(reply, VerifyingKeys):
            what = "it seals to another cloud" if isinstance(reply, Answer) else "it says nothing"
            self._cloud.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, f"drone {link.key_id.hex()} gives no keys: {what}"))
            return
        try:
            await sealing.pin_drone(DroneKeys(link.key_id, reply.ecdsa_public, reply.mldsa_public))
        except AerolinkError as error:
            self._cloud.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, f"keys of drone {link.key_id.hex()}: {error}"))
            return
        self.tell("knows the keys that the drone signs its flights with")
        await self._cloud.api.uploads.drone_pinned(link.key_id)

    async def _tell_notices(self, link: Link) -> None:
        """Tell the drone of devices that are not to be trusted any more (specs/10-key-life-cycle.md)."""

        async def ask(notice: RevokePeer) -> Answer:
            reply = await self._ask(link, notice)
            if not isinstance(reply, Answer):
                raise ProtocolViolationError("a drone has answered a revocation with something else")
            return reply

        while True:
            told = await self._cloud.stores.authority.deliver_notices(link.key_id, ask, self._clock)
            if told:
                self.tell(f"the drone trusts {told} device(s) no more")
            await trio.sleep(_NOTICES_S)

    async def _ask(self, link: Link, message: CloudMessage) -> CloudMessage | None:
        data = await link.request(REMOTE_CLOUD.encode(message))
        try:
            return REMOTE_CLOUD.decode_untrusted(ChannelId.COMMAND, data, Direction.DOWN)
        except MalformedError:
            return None

    # --- devices --------------------------------------------------------------------------------

    def _take_event(self, event: CloudEvent) -> None:
        if isinstance(event, TelemetryReceived):
            self.live_messages += event.messages
            self._look_for_way(event.batch.drone, event.device)
        elif isinstance(event, FlightStored):
            flight = event.flight
            self.tell(f"flight {flight.flight.hex()[:8]}: verified, unsealed, stored, {flight.messages:,} messages")
            self.say(FlightKept(self.name, fingerprint_text(flight.drone), flight.flight.hex()[:8], flight.messages))
            self._stored.set()
            self._stored = trio.Event()
            self.on_flight(event)
        elif isinstance(event, UploadProgressed):
            self.on_upload(event)
        elif isinstance(event, DeviceSeen):
            self.tell(f"device {event.device[:8]} is here")
        elif isinstance(event, DownlinkChanged):
            self._heard = {drone: heard for drone, heard in self._heard.items() if heard[0] != event.device}
            self.tell(f"device {event.device[:8]} {'has' if event.is_up else 'has no'} downlink")
        elif isinstance(event, LogHeld):
            self.tell(f"a log of drone {event.drone.hex()[:8]} waits for its keys")

    async def _tell_live(self) -> None:
        told = -1
        try:
            while True:
                if self.live_messages != told:
                    told = self.live_messages
                    self.say(Live(told))
                await trio.sleep(_LIVE_S)
        finally:
            self.say(Live(self.live_messages))
