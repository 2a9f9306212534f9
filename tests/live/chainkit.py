"""The whole chain in one process, on a network in memory and a clock that jumps: drone, remote controllers, mobiles,
cloud, each with its station. Relays may be hostile (``tests/live/evil.py``).

A *branch* is a remote controller with a mobile behind it; all branches share drone and cloud. HTTPS is not spoken here:
a mobile's requests are handed to the cloud's interface as TLS would hand them, with the certificate that it showed.
"""

import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, cast

import trio

from nodes import Drone, Endpoint, Link, RemoteController, Stores
from nodes.cloud.blobs import MemoryBlobs
from nodes.cloud.events import FlightStored
from nodes.cloud.memoryrecords import MemoryRecords
from nodes.cloud.node import Cloud, CloudStores
from nodes.flight import FlightDigest, FlightFrame
from nodes.mobile import Mobile
from nodes.node import Node
from nodes.pki.authority import DeviceAuthority
from nodes.pki.credentials import DeviceCredentials
from nodes.ports import LogState, LogStore
from nodes.stations.cloud import CloudSetup, CloudStation
from nodes.stations.cloudway import CloudWay
from nodes.stations.drone import DroneSetup, DroneStation
from nodes.stations.hands import Hands
from nodes.stations.mobile import MobileSetup
from nodes.stations.notes import Line, Note
from nodes.stations.rc import DronePlace, RcSetup, RcStation
from nodes.stations.recorder import RecordedFlight
from nodes.stores.sealingmemory import MemoryCloudSealing, MemoryDroneSealing
from nodes.stores.spoolmemory import memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from nodes.testing import MemoryNetwork
from nodes.uplink.outbox import MemoryOutbox
from protocols.authority import AuthorityPolicy
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.fingerprint import key_id_of
from protocols.events import AlarmKind
from protocols.link.peers import PeerRecord
from protocols.remotelink import REMOTE_CLOUD
from specs.airlink.authority import AuthorityAction, AuthorityRequest, Right
from specs.airlink.command import Answer, Result
from specs.registry import Role
from tests.live.chainparts import Authority, Credentials, NotedCraft, Wire, WiredMobileStation
from tests.live.kit import CLASSICAL, PATIENT, config_of, make_key, record_of, stores_of

AIR: Final = Endpoint("drone", 1)
ANY: Final = Endpoint("127.0.0.1", 0)
CONFIG: Final = config_of(CLASSICAL, replace(PATIENT, handshake_retry_s=(1.0,) * 6))
QUOTA_BYTES: Final = 10**8
PATIENCE_S: Final = 150.0
"""Virtual seconds: for ``trio.fail_after``."""
ALL_MAY_FLY: Final = AuthorityPolicy(roles={right: frozenset((Role.RC, Role.MOBILE, Role.CLOUD)) for right in Right})


@dataclass
class Cast:
    """Who plays."""

    rcs: tuple[type[RemoteController], ...] = (RemoteController,)
    """One for each branch."""
    mobiles: tuple[type[Mobile], ...] = (Mobile,)
    """Likewise."""
    rc_logs: tuple[LogStore | None, ...] = (None, None)
    """Likewise: where remote controllers keep logs, if that is special."""
    mobile_logs: tuple[LogStore | None, ...] = (None, None)
    policy: AuthorityPolicy | None = None
    mobile_owns: bool = False
    """Whether the first mobile is the drone's owner, and not its only remote controller."""
    drone_quota_bytes: int = QUOTA_BYTES
    starts: int = 1
    """Branches that are there from the beginning; :meth:`Chain.start` brings the others."""


@dataclass
class Branch:
    """A remote controller and the mobile behind it."""

    number: int
    rc_key: SoftwareKey = field(default_factory=make_key)
    mobile_key: SoftwareKey = field(default_factory=make_key)
    rc: RemoteController = field(init=False)
    mobile: Mobile = field(init=False)
    rc_station: RcStation = field(init=False)
    mobile_station: WiredMobileStation = field(init=False)
    wire: Callable[[], Wire] = field(init=False)
    rc_saw: list[object] = field(default_factory=list[object])
    mobile_saw: list[object] = field(default_factory=list[object])

    @property
    def rc_id(self) -> bytes:
        return id_of(self.rc_key)

    @property
    def mobile_id(self) -> bytes:
        return id_of(self.mobile_key)

    @property
    def device(self) -> str:
        """The mobile's id at the cloud, which is that of another key."""
        return f"{self.number + 1:02}" * 16

    @property
    def hands(self) -> Hands:
        """The mobile's, on its link to the drone."""
        assert self.mobile_station.hands is not None
        return self.mobile_station.hands

    @property
    def air(self) -> Link:
        """The remote controller's end of its link to the drone."""
        return link_of(self.rc, Role.DRONE)

    @property
    def ground(self) -> Link:
        """The remote controller's end of its link to the mobile."""
        return link_of(self.rc, Role.MOBILE)


@dataclass
class Chain:
    """Everything."""

    cast: Cast
    network: MemoryNetwork
    nursery: trio.Nursery
    drone_key: SoftwareKey
    cloud_key: SoftwareKey
    branches: list[Branch]
    craft: NotedCraft
    drone: Drone
    station: DroneStation
    logs: LogStore
    cloud: Cloud
    cloud_station: CloudStation
    flights: list[FlightStored]
    notes: list[Note]

    @property
    def drone_id(self) -> bytes:
        return id_of(self.drone_key)

    @property
    def cloud_id(self) -> bytes:
        return id_of(self.cloud_key)

    @property
    def first(self) -> Branch:
        return self.branches[0]

    @property
    def lines(self) -> list[str]:
        """What was told to people."""
        return [f"{note.node}: {note.text}" for note in self.notes if isinstance(note, Line)]

    async def start(self, branch: Branch) -> None:
        """Bring a branch up."""
        await self.nursery.start(self._live, branch)
        await until(lambda: branch.mobile_station.hands is not None)

    async def _live(self, branch: Branch, *, task_status: trio.TaskStatus[None]) -> None:
        number, network, play = branch.number, self.network, self.cast
        rc_key, mobile_key, drone_key = branch.rc_key, branch.mobile_key, self.drone_key
        rc_peers = (_knows(rc_key, drone_key, Role.DRONE), _knows(rc_key, mobile_key, Role.MOBILE))
        mobile_peers = (_knows(mobile_key, rc_key, Role.RC), _knows(mobile_key, drone_key, Role.DRONE))
        rc_stores, mobile_stores = stores_of(rc_key, peers=rc_peers), stores_of(mobile_key, peers=mobile_peers)
        for stores in (rc_stores, mobile_stores):
            await stores.counters.reserve("P256", 1, create=True)
        async with (
            play.rcs[number](rc_stores, CONFIG, network=network) as branch.rc,
            play.mobiles[number](mobile_stores, CONFIG, network=network) as branch.mobile,
            trio.open_nursery() as nursery,
        ):
            await self._set_up(branch)
            nursery.start_soon(branch.rc_station.run)
            nursery.start_soon(branch.mobile_station.run)
            task_status.started()

    async def _set_up(self, branch: Branch) -> None:
        number, tell = branch.number, self.notes.append
        where = Endpoint(f"rc{number}", 2)
        rc_logs, mobile_logs = (logs[number] or new_logs() for logs in (self.cast.rc_logs, self.cast.mobile_logs))
        branch.rc_station = RcStation(branch.rc, RcSetup((DronePlace(self.drone_id, AIR),), where), rc_logs, tell)
        branch.rc_station.see = branch.rc_saw.append
        way = CloudWay(cast("DeviceCredentials", Credentials(branch.device)), MemoryOutbox())
        branch.wire = partial(Wire, self.cloud, branch.device)
        setup = MobileSetup(branch.rc_id, where, self.drone_id, ANY)
        branch.mobile_station = WiredMobileStation(branch.wire, branch.mobile, setup, mobile_logs, way, tell)
        branch.mobile_station.see = branch.mobile_saw.append
        await branch.rc_station.listen()

    def link_from(self, key_id: bytes) -> Link:
        """The drone's end of a link."""
        return next(link for link in self.drone.links.values() if link.key_id == key_id)

    async def cloud_hands(self) -> Hands:
        """Hands of the cloud on its link to the drone, once there is one."""
        await until(lambda: bool(self.cloud.links))
        return Hands(link_of(self.cloud, Role.DRONE), REMOTE_CLOUD, self.cloud_id, lambda _: None)

    def record(self, frames: Sequence[FlightFrame]) -> None:
        """Let a flight be over."""
        self.station.record(RecordedFlight("test", frames))

    async def take_flight_right(self, hands: Hands) -> None:
        """Nobody has it, and these hands get it."""
        answer = await hands.ask(AuthorityRequest(AuthorityAction.REQUEST, Right.FLIGHT))
        assert answer == Answer(Result.DONE)

    async def delivered(self, *flights: Sequence[FlightFrame]) -> None:
        """Wait until the cloud has these flights, each once, and the drone knows it."""
        wanted = sorted(FlightDigest.of(frames).sha256 for frames in flights)
        await until(lambda: len(self.flights) >= len(wanted))
        while not all(entry.state is LogState.ACKNOWLEDGED for entry in await self.logs.all()):  # noqa: ASYNC110
            await trio.sleep(0.1)
        assert sorted(event.flight.sha256.hex() for event in self.flights) == wanted


def id_of(key: SoftwareKey) -> bytes:
    return key_id_of(key.dh, key.public)


def link_of(node: Node, role: Role) -> Link:
    return next(link for link in node.links.values() if link.role is role)


def _knows(own: SoftwareKey, other: SoftwareKey, role: Role) -> PeerRecord:
    """The record of a peer; each pair has a secret of its own."""
    secret = hashlib.sha256(b"".join(sorted((own.public, other.public)))).digest()
    return record_of(other, role, secret)


def flight_of(messages: int, tag: bytes = b"") -> list[FlightFrame]:
    """A flight that is the same each time."""
    return [FlightFrame(n / 10, b"\xfe" + hashlib.sha512(b"%d" % n + tag).digest()) for n in range(messages)]


def alarms_of(node: Node, kind: AlarmKind) -> list[str]:
    """What alarms of a kind say."""
    return [alarm.detail for alarm in node.alarms if alarm.kind is kind]


def new_logs(limits: SpoolLimits | None = None) -> LogStore:
    return memory_log_store(limits or SpoolLimits(QUOTA_BYTES))


@asynccontextmanager
async def chain(cast_of: Cast | None = None) -> AsyncGenerator[Chain]:
    """A drone, a cloud and branches; everybody is paired with whom he should be, and linked."""
    play = cast_of or Cast()
    drone_key, cloud_key = make_key(), make_key()
    branches = [Branch(number) for number in range(len(play.rcs))]
    drone_peers = [_knows(drone_key, cloud_key, Role.CLOUD)]
    for branch in branches:
        drone_peers += [_knows(drone_key, branch.rc_key, Role.RC), _knows(drone_key, branch.mobile_key, Role.MOBILE)]
    drone_stores = stores_of(drone_key, peers=tuple(drone_peers))
    cloud_stores = stores_of(cloud_key, peers=(_knows(cloud_key, drone_key, Role.DRONE),))
    await cloud_stores.counters.reserve("P256", 1, create=True)
    network, craft, notes = MemoryNetwork(delay_s=0.002), NotedCraft(), list[Note]()
    flights: list[FlightStored] = []
    async with (
        ticking(),
        Drone(drone_stores, CONFIG, network=network) as drone,
        Cloud(cloud_place(cloud_stores), CONFIG, clock=time.time) as cloud,
    ):
        logs = new_logs(SpoolLimits(play.drone_quota_bytes, keep_handed_over=True))
        policy = AuthorityPolicy(owner=branches[0].mobile_id) if play.mobile_owns else play.policy
        setup = DroneSetup(AIR, policy=policy, films=False)
        station = DroneStation(drone, setup, craft, drone_stores.peers, MemoryDroneSealing(), logs, notes.append)
        cloud_station = CloudStation(cloud, CloudSetup(ANY, ANY), notes.append)
        cloud_station.on_flight = flights.append
        await station.listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(station.run)
            nursery.start_soon(cloud_station.run)
            scene = Chain(
                play, network, nursery, drone_key, cloud_key, branches, craft, drone, station, logs, cloud,
                cloud_station, flights, notes,
            )  # fmt: skip
            for branch in branches[: play.starts]:
                await scene.start(branch)
            if play.starts:
                await until(lambda: len(drone.links) == 1 + 2 * play.starts)
            yield scene
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def ticking() -> AsyncGenerator[None]:
    """Keep the virtual clock from long leaps while nothing but threads is at work: for them it stands still."""

    async def tick() -> None:
        while True:  # noqa: ASYNC110
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        yield
        nursery.cancel_scope.cancel()


def cloud_place(links: Stores) -> CloudStores:
    authority = cast("DeviceAuthority", Authority())
    return CloudStores(links, authority, MemoryRecords(), MemoryBlobs(), MemoryCloudSealing())


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait, on the virtual clock, for something that has no event of its own."""
    with trio.fail_after(patience_s):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)
