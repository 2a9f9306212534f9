"""The drone at work: it is flown by whoever holds the right, shows what it does, and hands its sealed flights on."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.deck import FlightDeck, Seat
from nodes.drone import Drone
from nodes.errors import told
from nodes.link import Link
from nodes.ports import CarrierName, DroneSealing, LogStore, PeerDirectory
from nodes.stations.base import Station, answer_to, send_or_drop
from nodes.stations.craft import Craft
from nodes.stations.logs import LogDesk, ask_over
from nodes.stations.notes import HandedOver, Holds, Say
from nodes.stations.own import OwnMessages, encode_answer
from nodes.stations.recorder import RecordedFlight, Recorder
from nodes.stations.sentences import who
from protocols.airlink import AIRLINK
from protocols.authority import Authority, AuthorityChanged, AuthorityPolicy, Reason, owner_among
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import MalformedError, NotPairedError
from protocols.events import (
    Alarm,
    AlarmKind,
    CommandReceived,
    ControlReceived,
    SendControl,
    SendState,
    SendStream,
    StreamReceived,
)
from protocols.failsafe import Failsafe, FailsafeConfig
from protocols.messages import MessageTable
from protocols.ownmessages import OwnMessage
from protocols.remotelink import REMOTE_CLOUD, REMOTE_MOBILE, CloudMessage
from protocols.sealing import CloudKey
from specs.airlink.authority import AuthorityState, Right
from specs.airlink.command import Answer, Result
from specs.airlink.control import Heartbeat, NodeState
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame, is_mavlink_frame
from specs.registry import ChannelId, CloseCode, Role
from specs.remotelink import LogReceipt, SealingKeys, VerifyingKeys

TELEMETRY_S: Final = 0.1
HEARTBEAT_S: Final = 0.5
STALE_S: Final = 5.0
"""For so long all control of a link may come too late (AU-36): after the vehicle holds, before it turns back."""


@dataclass(frozen=True, slots=True)
class DroneSetup:
    """How a drone is set up."""

    listen: Endpoint
    """Where remote controllers find it."""
    carrier: CarrierName = "udp"
    """What carries that link."""
    policy: AuthorityPolicy | None = None
    """Who may hold rights."""
    failsafe: FailsafeConfig | None = None
    """When to do what without a holder."""
    films: bool = True
    """Whether it sends pictures."""
    own: tuple[OwnMessage, ...] = ()
    """Messages of the user's own: ``station.deck.on_own`` is given those that come, ``station.show`` sends others."""


class DroneStation(Station):
    """``nursery.start_soon(station.run)`` inside of the drone's block; ``endpoint`` is where it listens then."""

    def __init__(
        self,
        drone: Drone,
        setup: DroneSetup,
        craft: Craft,
        peers: PeerDirectory,
        keys: DroneSealing,
        logs: LogStore,
        say: Say,
        name: str = "",
    ) -> None:
        super().__init__(drone, say, name)
        self.authority: Final = Authority(setup.policy)
        """Who holds what."""
        failsafe = Failsafe(setup.failsafe)
        self.deck: Final = FlightDeck(craft, self.authority, failsafe, drone.raise_alarm, self, setup.own)
        """Where all links meet."""
        self.desk: Final = LogDesk(logs)
        """Sealed flights on their way."""
        self.drone: Final = drone
        """The role."""
        self.played = trio.Event()
        """What the vehicle had to show is over: a recording has been played."""
        self.alone = trio.Event()
        """The last link has ended; another may come."""
        self.malformed = 0
        """Messages that said nothing."""
        self.on_receipt: Callable[[LogReceipt], None] | None = None
        """Told when the cloud says that it has a flight."""
        self._setup = setup
        self._own = OwnMessages(setup.own)
        self._tables = {role: self._own.extend(table) for role, table in _TABLES.items()}
        self._craft = craft
        self._peers = peers
        self._keys = keys
        self._recorder = Recorder(self.known_as, keys, self.desk, self.tell)
        self._seats: dict[Link, Seat] = {}
        self._showing = trio.CancelScope()
        self._shown = trio.Event()
        self._began_s = trio.current_time()
        self.deck.on_change = self._on_change
        drone.on_revoked = self.deck.forget

    async def listen(self) -> Endpoint:
        """Open the port for remote controllers, and the way over relays; once, before :meth:`run`."""
        self.drone.listen_over_relays()
        return await self.drone.listen(self._setup.listen, self._setup.carrier)

    async def run(self) -> None:
        """Work for ever."""
        async with trio.open_nursery() as nursery:
            for task in (self.watch, self.deck.run, self._recorder.run, self._show_all):
                nursery.start_soon(task)
            async for link in self.drone.each_link():
                nursery.start_soon(self._serve, link)

    async def _show_all(self) -> None:
        """Everything that flows down, until :meth:`stop_showing`."""
        with self._showing:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._play)
                if self._setup.films:
                    nursery.start_soon(self._craft.camera.film, self._show_picture)
                nursery.start_soon(self._show)
                nursery.start_soon(self._beat)
        self._shown.set()

    async def _play(self) -> None:
        await self._craft.vehicle.play(self._pass_on)
        self.played.set()

    async def stop_showing(self) -> None:
        """End telemetry, pictures and heartbeats for good, and let what is under way leave."""
        self._showing.cancel()
        await self._shown.wait()
        for link in tuple(self._seats):
            await link.flush()

    def record(self, flight: RecordedFlight) -> None:
        """Seal a flight, and hand it on towards the cloud."""
        self._recorder.add(flight)

    # --- links ----------------------------------------------------------------------------------

    async def _serve(self, link: Link) -> None:
        await self._find_owner(link)
        if link.down is not None:  # revoked meanwhile, for one: it takes no seat
            return
        seat = self.deck.attach(link.key_id, link.role, partial(tell_rights, link))
        self._seats[link] = seat
        try:
            if link.role is Role.RC:
                await self.serve(link, "drone-rc", self._setup.carrier, self._obey, self._renew, self._hand_over)
            else:
                await self.serve(link, f"{link.role.name.lower()}-drone", "relay", self._obey, self._renew)
        finally:
            del self._seats[link]
            self.deck.detach(seat)
            if not self._seats:
                self.alone.set()

    async def _find_owner(self, link: Link) -> None:
        """AU-4: unless one is configured, the only remote controller that is paired; who it was, if nobody can say."""
        if self.authority.policy.owner is not None:
            return
        try:
            records = await self._peers.all()
        except Exception as error:  # noqa: BLE001  # the border to foreign code
            self.drone.raise_alarm(Alarm(AlarmKind.STORE_FAILED, told(error)))
        else:
            self.authority.owner = owner_among(records, link.key_id if link.down is None else None)

    async def _hand_over(self, link: Link) -> None:
        await self.desk.hand_over(link, ask_over(link, AIRLINK), self.tell)

    async def _obey(self, link: Link) -> None:
        async for event in link:
            await self._take_untrusted(link, event)

    async def _renew(self, link: Link) -> None:
        """Give up a link whose control comes too late for good (AU-36): nothing heals it but a new one (CH-12)."""
        while True:
            await trio.sleep(STALE_S / 5)
            since_s = link.control_stale_since
            if since_s is not None and trio.current_time() - since_s >= STALE_S:
                self.tell(f"what the {link.role.name.lower()} steers by comes too late: the link must be made anew")
                await link.close(CloseCode.GOING_AWAY)

    async def _take_untrusted(self, link: Link, event: object) -> None:
        """Hand a message to the deck; one that says nothing is answered, or dropped."""
        if not isinstance(event, ControlReceived | CommandReceived | StreamReceived):
            return
        table = self._tables[link.role]
        try:
            message = table.decode_untrusted(event.channel, event.data, Direction.UP)
        except MalformedError:
            self.malformed += 1
            reply: object = Answer(Result.INVALID)
        else:
            reply = await self._admit(link, event, message)
        if isinstance(event, CommandReceived):
            answer_to(
                link, event.id, event.channel, encode_answer(table, reply or Answer(Result.UNSUPPORTED), self.tell)
            )

    async def _admit(
        self, link: Link, event: ControlReceived | CommandReceived | StreamReceived, message: CloudMessage
    ) -> object | None:
        seat = self._seats[link]
        if self._own.has(message):
            return self.deck.take_own(seat, event.channel, message)
        expires_s = event.expires_s if isinstance(event, ControlReceived) else None
        return await self.deck.take(seat, event.channel, message, expires_s)

    # --- what goes down ---------------------------------------------------------------------------

    def _airlinks(self) -> Iterable[Link]:
        return [link for link in self._seats if link.role is Role.RC]

    def _pass_on(self, frame: bytes) -> None:
        if is_mavlink_frame(frame):  # a log may hold one that is cut short, and still a frame to its reader
            data = AIRLINK.encode(MavlinkFrame(frame))
            for link in self._airlinks():
                send_or_drop(link, SendStream(ChannelId.MAVLINK, data))

    def _show_picture(self, data: bytes) -> bool:
        links = self._airlinks()
        for link in links:
            send_or_drop(link, SendStream(ChannelId.VIDEO, data))
        return bool(links)

    async def _show(self) -> None:
        while True:
            items = [(AIRLINK.row(each).id, AIRLINK.encode(each)) for each in self._craft.telemetry()]
            for link in tuple(self._seats):
                for key, data in items:
                    send_or_drop(link, SendState(ChannelId.TELEMETRY, key, data))
            await trio.sleep(TELEMETRY_S)

    def show(self, message: object) -> None:
        """Tell everybody something of the user's own, of class `state` or `stream`; UsageError if it is none."""
        channel, sendable = self._own.shown(message)
        for link in tuple(self._seats):
            if channel in self._tables[link.role].channels:
                send_or_drop(link, sendable)

    async def _beat(self) -> None:
        while True:
            time_ms = round(trio.current_time() * 1_000) & 0xFFFF_FFFF
            data = AIRLINK.encode(Heartbeat(NodeState.ACTIVE, time_ms))
            for link in tuple(self._seats):
                send_or_drop(link, SendControl(ChannelId.CONTROL, data))
            await trio.sleep(HEARTBEAT_S)

    def _on_change(self, change: AuthorityChanged) -> None:
        if change.right is Right.FLIGHT:
            self._craft.drop_waiting()
        self._tell_change(change)

    def _tell_change(self, change: AuthorityChanged) -> None:
        before, after = (self._role_of(each) for each in (change.before, change.after))
        right = change.right.name.lower()
        before_id, after_id = ("" if each is None else fingerprint_text(each) for each in (change.before, change.after))
        self.say(Holds(right, after, self.name, after_id))
        if change.reason is Reason.HANDED_OVER:
            at_s = round(change.at_s - self._began_s, 3)
            self.say(HandedOver(right, before, after, at_s, self.name, before_id, after_id))
        else:
            way = f"from {who(before, before_id)} to {who(after, after_id)}"
            self.tell(f"the {right} right goes {way}: {change.reason.value}")

    def _role_of(self, key_id: bytes | None) -> str:
        roles = [seat.role.name.lower() for seat in self._seats.values() if seat.key_id == key_id]
        return roles[0] if roles else "nobody" if key_id is None else fingerprint_text(key_id)[:9]

    # --- keeper (AU-24) ---------------------------------------------------------------------------

    async def seal_to(self, keys: SealingKeys, cloud: bytes) -> VerifyingKeys | Answer:
        """Pin the cloud's key; the drone's own are the answer."""
        await self._keys.pin_cloud_key(CloudKey(cloud, keys.hpke_public))
        own = (await self._keys.signing_keys()).verifying(await self.known_as(cloud))
        self._recorder.look()
        self.tell("seals its flights to the key of the cloud")
        return VerifyingKeys(own.ecdsa_public, own.mldsa_public)

    async def known_as(self, cloud: bytes) -> bytes:
        """Our key id as a cloud knows it: each suite may have another key."""
        record = await self._peers.find(cloud)
        return self.drone.key_id(None if record is None else record.dh)

    async def log_stored(self, receipt: LogReceipt, cloud: bytes) -> Answer:
        """Let go of a log that its cloud has (GL-15)."""
        entry, pinned = await self.desk.store.find(receipt.sha256), await self._keys.cloud_key()
        if entry is not None and pinned is not None and entry.cloud_key_id == pinned.id and pinned.cloud_id != cloud:
            what = f"cloud {cloud.hex()} says that it has a log that is sealed to another"
            self.drone.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, what))
            return Answer(Result.NOT_ALLOWED, "the log is sealed to another cloud")
        known = await self.desk.acknowledge(receipt.flight_id, receipt.sha256)
        if known and self.on_receipt is not None:
            self.on_receipt(receipt)
        return Answer(Result.DONE if known else Result.INVALID)

    async def may_revoke(self, key_id: bytes, cloud: bytes) -> bool:
        """Only the cloud that the drone seals to revokes, and no other cloud (GL-16)."""
        pinned = await self._keys.cloud_key()
        clouds = [record.key_id for record in await self._peers.all() if record.role is Role.CLOUD]
        return pinned is not None and pinned.cloud_id == cloud and key_id not in clouds

    async def revoke(self, key_id: bytes) -> Answer:
        """Trust a device no more; who is not paired here is not trusted anyway (KL-13)."""
        with suppress(NotPairedError):
            await self.drone.revoke(key_id)
        return Answer(Result.DONE)


_TABLES: Final[dict[Role, MessageTable[Any]]] = {
    Role.RC: AIRLINK,
    Role.MOBILE: REMOTE_MOBILE,
    Role.CLOUD: REMOTE_CLOUD,
}


def tell_rights(link: Link, state: AuthorityState) -> None:
    """Send the state of the rights down a link; LocalError."""
    link.send_now(SendState(ChannelId.TELEMETRY, AIRLINK.row(state).id, AIRLINK.encode(state)))
