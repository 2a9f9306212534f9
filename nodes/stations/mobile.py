"""The mobile at work: it shows what the drone does, flies when it may, and brings everything to the cloud.

It needs no cloud to fly: what is for the cloud waits, durably, until it is there.
"""

import ssl
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.https import HttpsClient
from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.mobile import Mobile
from nodes.pki.credentials import DeviceCredentials
from nodes.ports import LogStore
from nodes.stations.base import RELAY, Station, answer_to
from nodes.stations.hands import Fly, Hands
from nodes.stations.keep import Keeper
from nodes.stations.logs import LogDesk
from nodes.stations.notes import LinkIsDown, LinkIsUp, Progress, Say
from nodes.stations.passing import Passing
from nodes.uplink.events import UplinkEvents
from nodes.uplink.outbox import Outbox, Parcel
from nodes.uplink.states import UplinkState
from nodes.uplink.uplink import Uplink
from nodes.uplink.uploads import UploadEnd, UploadProgress
from nodes.wakeup import Wakeup
from protocols.airlink import AIRLINK
from protocols.errors import MalformedError
from protocols.events import Alarm, AlarmKind, CommandReceived, StateReceived, StreamReceived
from protocols.groundlink import GROUNDLINK
from protocols.remotelink import REMOTE_MOBILE
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import Direction
from specs.cloudlink import UploadPhase
from specs.groundlink import LinkQuality
from specs.registry import LinkType

_CLIENTS: Final = 3
"""An uplink has three HTTPS clients at a time."""
_ALARMS_S: Final = 0.5
"""How often our own alarms are looked at for the cloud."""


@dataclass(frozen=True, slots=True)
class MobileSetup:
    """How a mobile is set up."""

    rc_id: bytes
    """Key id of its remote controller."""
    rc: Endpoint
    """Where that is."""
    drone_id: bytes | None = None
    """Key id of its drone; None: it is not paired with one."""
    cloud: Endpoint | None = None
    """Where its cloud is; None: it has none."""
    cloud_name: str | None = None
    """The name in the cloud's certificate, where it is not the host of ``cloud``."""


@dataclass(frozen=True, slots=True)
class CloudWay:
    """What a mobile that has a cloud keeps for it. Whoever opened it closes it."""

    credentials: DeviceCredentials
    """Key and certificate."""
    outbox: Outbox
    """What the cloud has not acknowledged."""


class MobileStation(Station):
    """``nursery.start_soon(station.run)`` inside of the mobile's block."""

    def __init__(
        self, mobile: Mobile, setup: MobileSetup, logs: LogStore, way: CloudWay | None, say: Say, name: str = ""
    ) -> None:
        super().__init__(mobile, say, name)
        self.desk: Final = LogDesk(logs)
        """Sealed flights on their way."""
        self.see: Callable[[object], None] = lambda _: None
        """Given everything that drone and remote controller show."""
        self.fly: Fly = Hands.beat
        """What the user does on each link to the drone, heartbeats included."""
        self.hands: Hands | None = None
        """The link to the drone, while there is one."""
        self.drone_id = setup.drone_id
        """Whose telemetry it is."""
        self.uplink: Uplink | None = None
        """The way to the cloud, if there is one."""
        self._mobile = mobile
        self._setup = setup
        self._way = way
        self._passing = Passing(GROUNDLINK, self._look)
        self._drone_there = False
        self._way_to_drone = Wakeup()
        self._clients: deque[HttpsClient] = deque(maxlen=_CLIENTS)
        self._online = False
        self._kept: trio.CancelScope | None = None

    async def run(self) -> None:
        """Work for ever."""
        setup = self._setup
        connect = partial(self._mobile.connect, setup.rc_id, setup.rc, "tcp")
        async with AsyncExitStack() as stack:
            if self._way is not None and setup.cloud is not None:
                self.uplink = await stack.enter_async_context(self._make_uplink(self._way, setup.cloud))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.watch)
                nursery.start_soon(self._report_alarms)
                nursery.start_soon(Keeper(connect, self._serve_rc, self.tell, "rc-mobile").run)
                if self.drone_id is not None:
                    nursery.start_soon(self.keep_drone, self.drone_id)
                await trio.sleep_forever()

    # --- remote controller ----------------------------------------------------------------------

    async def _serve_rc(self, link: Link) -> None:
        try:
            await self.serve(link, "rc-mobile", "tcp", self._take_from_rc)
        finally:
            self._passing.forget()
            self._drone_there = False

    async def _take_from_rc(self, link: Link) -> None:
        async with trio.open_nursery() as nursery:
            async for event in link:
                if isinstance(event, StateReceived | StreamReceived):
                    self._take_untrusted(event)
                elif isinstance(event, CommandReceived):
                    answer = await self.desk.answer_untrusted(event.channel, event.data, GROUNDLINK)
                    answer_to(link, event.id, event.channel, GROUNDLINK.encode(answer))
                elif isinstance(event, IncomingObject):
                    nursery.start_soon(self._take_log, link, event)

    def _take_untrusted(self, event: StateReceived | StreamReceived) -> None:
        data = self._passing.take_untrusted(event)
        is_drones = int.from_bytes(event.data[:2], "big") in AIRLINK.rows  # CL-12
        if data is not None and is_drones and self.uplink is not None:
            self.uplink.telemetry(data, drone=self.drone_id or b"")

    def _look(self, message: object) -> None:
        if isinstance(message, LinkQuality) and message.link is LinkType.AIRLINK:
            if message.up and not self._drone_there:
                self._way_to_drone.set()
            self._drone_there = message.up
        self.see(message)

    async def _take_log(self, link: Link, incoming: IncomingObject) -> None:
        await self.desk.take(incoming, self.tell, partial(self.refuse_log, link))
        if self.uplink is not None:
            self.uplink.log_added()

    # --- drone ----------------------------------------------------------------------------------

    async def keep_drone(self, drone_id: bytes) -> None:
        """Keep a link to the drone for ever; :meth:`run` does so if it was paired before.

        There is one drone: nothing happens if its link is kept already, and an earlier one's is kept no more.
        """
        if self._kept is not None and self.drone_id == drone_id:
            return
        before, hands = self._kept, self.hands
        self.drone_id = drone_id
        connect = partial(self._mobile.connect_over, self._setup.rc_id, drone_id)
        with trio.CancelScope() as self._kept:
            if before is not None:
                before.cancel()
            if hands is not None:
                await hands.link.close()
            await Keeper(connect, self._serve_drone, self.tell, "mobile-drone", self._way_to_drone).run()

    async def _serve_drone(self, link: Link) -> None:
        hands = self.hands = Hands(link, REMOTE_MOBILE, self._mobile.key_id(), self.tell)
        try:
            await self.serve(link, "mobile-drone", RELAY, self._take_from_drone, hands.used_by(self.fly))
        finally:
            self.hands = None

    async def _take_from_drone(self, link: Link) -> None:
        async for event in link:
            if isinstance(event, CommandReceived):
                answer_to(link, event.id, event.channel, REMOTE_MOBILE.encode(Answer(Result.UNSUPPORTED)))
            elif isinstance(event, StateReceived | StreamReceived):
                self._see_drone_untrusted(event)

    def _see_drone_untrusted(self, event: StateReceived | StreamReceived) -> None:
        try:
            message = REMOTE_MOBILE.decode_untrusted(event.channel, event.data, Direction.DOWN)
        except MalformedError:
            return
        if self.hands is not None:
            self.hands.see(message)
        self.see(message)

    # --- cloud ----------------------------------------------------------------------------------

    def _make_uplink(self, way: CloudWay, cloud: Endpoint) -> Uplink:
        events = UplinkEvents(
            on_state=self._on_state,
            on_progress=self._on_progress,
            on_upload=self._on_upload,
            on_refused=self._on_parcel_refused,
            on_hop=self._mobile.relays.attach,
            on_storage=self._on_storage,
        )
        return Uplink(
            cloud,
            way.credentials,
            way.outbox,
            self.desk.store,
            events=events,
            server_hostname=self._setup.cloud_name,
            connect=self._connect_cloud,
        )

    def _connect_cloud(self, endpoint: Endpoint, context: ssl.SSLContext, name: str | None) -> HttpsClient:
        client = HttpsClient(endpoint, context, name)
        self._clients.append(client)
        return client

    def _on_state(self, state: UplinkState, reason: str) -> None:
        self.tell(f"cloud: {state.value}{f': {reason}' if reason else ''}")
        if self._online:
            self.say(LinkIsDown(self.name, "mobile-cloud"))
        self._online = state is UplinkState.ONLINE
        session = next((client.session for client in self._clients if client.session is not None), None)
        if self._online and session is not None and self._way is not None:
            peer = self._way.credentials.authority_id.hex()
            self.say(LinkIsUp(self.name, session.suite, peer, session.handshake_s * 1_000, "mobile-cloud", "https"))

    def _on_progress(self, progress: UploadProgress) -> None:
        self.say(Progress(self.name, progress.entry.flight_id.hex()[:8], progress.done_bytes, progress.size_bytes))

    def _on_upload(self, end: UploadEnd) -> None:
        what = f"log {end.entry.flight_id.hex()[:8]}: {end.phase.value} at the cloud"
        if end.phase is UploadPhase.REFUSED:
            self._mobile.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, f"{what}: {end.reason.value}"))
        self.tell(what)

    def _on_parcel_refused(self, parcel: Parcel, reason: str) -> None:
        what = f"the cloud will not take {parcel.items} items: {reason}"
        self._mobile.raise_alarm(Alarm(AlarmKind.STORE_FAILED, what))

    def _on_storage(self, text: str) -> None:
        self._mobile.raise_alarm(Alarm(AlarmKind.STORE_FAILED, text))

    async def _report_alarms(self) -> None:
        """Bring our own alarms to the cloud."""
        told = 0
        while True:
            for alarm in self._mobile.alarms_after(told):
                if self.uplink is not None:
                    self.uplink.alarm(alarm.kind.name.lower(), alarm.detail)
            told = self._mobile.alarms_raised
            await trio.sleep(_ALARMS_S)
