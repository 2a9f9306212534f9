"""Hostile relays: a remote controller and a mobile that do to what they relay whatever a test tells them.

What they say to their neighbours passes through an :class:`Evil`, which does nothing until it is told. Attacks strike
every third datagram of a session, so that the link inside goes on, and each run is the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import pytest
import trio

from nodes import Link, RemoteController
from nodes.initiating import Initiating
from nodes.initiating import Way as RelayWay
from nodes.mobile import Mobile
from nodes.ports import LogEntry, LogState, RelayHop
from nodes.relay import RelayForwarder, RelayStation
from nodes.relaying import Relaying
from nodes.stations.hands import Hands
from nodes.stores.logspool import LogSpool
from nodes.stores.spool import Spool
from nodes.stores.spoolmemory import MemoryShelf
from nodes.stores.spoolrules import SpoolLimits
from protocols.airlink import AIRLINK
from protocols.crypto.dh import SoftwareKey
from protocols.errors import StorageError
from protocols.events import AlarmKind, BulkStatus, RelayDatagram, RelayMessage, RelayOpen, SendControl
from protocols.groundlink import GROUNDLINK
from protocols.link.config import Identity, over_relay
from protocols.maps import pack_map
from specs.airlink.command import Answer, GoTo, LogOffer, Result
from specs.airlink.control import Sticks
from specs.airlink.numbers import Direction
from specs.registry import LINK_ROLES, MAX_RELAY_DATAGRAM_BYTES, ChannelId, LinkType, PacketType, Role
from tests.live.chainkit import QUOTA_BYTES, Branch, Chain, alarms_of

T = TypeVar("T")

# --- relays ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One direction of the flows of one link type."""

    link_type: LinkType
    up: bool
    """Towards the drone."""

    def __str__(self) -> str:
        return f"{self.link_type.name.removeprefix('REMOTE_').lower()}-{'up' if self.up else 'down'}"

    @property
    def back(self) -> "Way":
        return Way(self.link_type, not self.up)


MOBILE_UP, MOBILE_DOWN = (Way(LinkType.REMOTE_MOBILE, up) for up in (True, False))
CLOUD_UP, CLOUD_DOWN = (Way(LinkType.REMOTE_CLOUD, up) for up in (True, False))
Attack = Callable[[bytes], Iterable[bytes]]
"""What goes on instead of a datagram."""


class Evil:
    """What a relay does to the datagrams that it passes on; it keeps them all."""

    def __init__(self) -> None:
        self.attacks: dict[Way, Attack] = {}
        self.kept: list[tuple[Way, bytes]] = []
        """Everything that came to be passed on, in order."""
        self.flows: dict[Way, tuple[RelayHop, int]] = {}
        """Where the latest datagram of each way went."""

    def at(self, attack: Attack, *ways: Way) -> None:
        """Begin."""
        self.attacks.update(dict.fromkeys(ways, attack))

    def stop(self) -> None:
        self.attacks.clear()

    def of(self, way: Way, kind: PacketType | None = None) -> list[bytes]:
        """What was kept of one way."""
        return [data for its, data in self.kept if its == way and kind in {None, data[0]}]

    def inject(self, way: Way, data: bytes) -> None:
        """Say something in the flow that goes this way."""
        hop, flow = self.flows[way]
        hop.send(RelayDatagram(flow, by_opener=way.up, data=data))

    def pass_on(self, way: Way, hop: RelayHop, message: RelayDatagram) -> None:
        self.flows[way] = hop, message.flow
        self.kept.append((way, message.data))
        attack = self.attacks.get(way)
        for data in (message.data,) if attack is None else attack(message.data):
            hop.send(replace(message, data=data))


class EvilHop:
    """A hop behind which an :class:`Evil` stands (port RelayHop)."""

    def __init__(self, inner: RelayHop, station: RelayStation, evil: Evil) -> None:
        self.on_message: Callable[[RelayMessage], None] | None = None
        self._inner, self._station, self._evil = inner, station, evil
        self._types: dict[int, LinkType] = {}
        inner.on_message = self._take

    @property
    def key_id(self) -> bytes:
        return self._inner.key_id

    @property
    def role(self) -> Role | None:
        return self._inner.role

    @property
    def is_up(self) -> bool:
        return self._inner.is_up

    def send(self, message: RelayMessage) -> None:
        if isinstance(message, RelayOpen):
            self._types[message.flow] = message.link_type
        link_type = self._type_of(message) if isinstance(message, RelayDatagram) else None
        if isinstance(message, RelayDatagram) and link_type is not None:
            self._evil.pass_on(Way(link_type, message.by_opener), self._inner, message)
        else:
            self._inner.send(message)

    def _take(self, message: RelayMessage) -> None:
        if self.on_message is not None:
            self.on_message(message)

    def _type_of(self, message: RelayDatagram) -> LinkType | None:
        if message.by_opener:
            return self._types.get(message.flow)
        flow = self._station.incoming(self.key_id, message.flow)
        return None if flow is None else flow.link_type


class EvilStation(RelayStation):
    """Puts an :class:`Evil` behind every hop."""

    def __init__(self, own: frozenset[bytes], role: Role, evil: Evil) -> None:
        super().__init__(own)
        self.forwarder = RelayForwarder(self, role)
        self._evil = evil

    def attach(self, hop: RelayHop) -> None:
        super().attach(EvilHop(hop, self, self._evil))


class Impostor(Relaying, Initiating):
    """Goes to the drone over a relay as somebody else."""

    async def pose(self, relay: bytes, drone_id: bytes, link_type: LinkType, key: SoftwareKey | None = None) -> Link:
        """Make a link as who makes links of this type; with a key of its own, or with one that nobody knows."""
        own = self.identity
        keys = own.keys if key is None else {key.dh: key}
        self._identity = Identity(LINK_ROLES[link_type][0], keys)
        opener = partial(self.relays.towards, relay, drone_id, link_type)
        try:
            return await self._connect(drone_id, RelayWay(opener, over_relay(self.config, link_type), "the drone"))
        finally:
            self._identity = own


class HostileRc(RemoteController, Impostor):
    """A remote controller that was paired as any."""

    evil: Evil

    async def _begin(self) -> None:
        await super()._begin()
        self.evil = Evil()
        self._relays = EvilStation(self._relays.own, self.role, self.evil)


class HostileMobile(Mobile, Impostor):
    """A mobile that was paired and enrolled as any."""

    evil: Evil

    async def _begin(self) -> None:
        await super()._begin()
        self.evil = Evil()
        self._relays = EvilStation(self._relays.own, self.role, self.evil)


def evil_of(branch: Branch) -> Evil:
    """Of whichever of the two is hostile."""
    hostile = branch.rc if isinstance(branch.rc, HostileRc) else branch.mobile
    assert isinstance(hostile, HostileRc | HostileMobile)
    return hostile.evil


# --- what they do to datagrams -----------------------------------------------------------------------


class Attacks:
    """One method for each thing that can be done to datagrams; every third of a session is struck."""

    def __init__(self) -> None:
        self.did = 0
        self._count = 0
        self._held: list[bytes] = []

    def _strikes(self, data: bytes) -> bool:
        self._count += data[0] == PacketType.DATA
        strikes = data[0] == PacketType.DATA and self._count % 3 == 0
        self.did += strikes
        return strikes

    def alters(self, data: bytes) -> Iterable[bytes]:
        at = 16 + self._count % (len(data) - 16)
        return (data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :],) if self._strikes(data) else (data,)

    def alters_the_counter(self, data: bytes) -> Iterable[bytes]:
        return (data[:15] + bytes((data[15] ^ 1,)) + data[16:],) if self._strikes(data) else (data,)

    def truncates(self, data: bytes) -> Iterable[bytes]:
        return (data[:-1],) if self._strikes(data) else (data,)

    def extends(self, data: bytes) -> Iterable[bytes]:
        return ((data + b"\0")[:MAX_RELAY_DATAGRAM_BYTES],) if self._strikes(data) else (data,)

    def forges(self, data: bytes) -> Iterable[bytes]:
        """Beside each a false one, with its header and a counter far ahead."""
        if not self._strikes(data):
            return (data,)
        return (data[:8] + (int.from_bytes(data[8:16], "big") + 500).to_bytes(8, "big") + bytes(64), data)

    def splices(self, data: bytes) -> Iterable[bytes]:
        """The head of one with the tail of the one that was struck before."""
        if not self._strikes(data):
            return (data,)
        self._held.append(data)
        return (data[:24] + self._held[-2][24:],) if len(self._held) > 1 else (data,)

    def doubles(self, data: bytes) -> Iterable[bytes]:
        return (data, data) if self._strikes(data) else (data,)

    def replays(self, data: bytes) -> Iterable[bytes]:
        """Beside each the first that was struck, older every time."""
        if not self._strikes(data):
            return (data,)
        self._held.append(data)
        return (data, self._held[0]) if len(self._held) > 1 else (data,)

    def reorders(self, data: bytes) -> Iterable[bytes]:
        """Each behind the next two."""
        if self._strikes(data):
            self._held.append(data)
            return ()
        if self._held and self._count % 3 == 2:
            return (data, self._held.pop())
        return (data,)

    def drops(self, data: bytes) -> Iterable[bytes]:
        return () if self._strikes(data) else (data,)

    def delays(self, data: bytes) -> Iterable[bytes]:
        """Each behind the next dozen."""
        if self._strikes(data):
            self._held.append(data)
            return ()
        return (data, self._held.pop(0)) if len(self._held) > 4 else (data,)


SEEN: Final = (
    "alters", "alters_the_counter", "truncates", "extends", "forges", "splices", "doubles", "replays",
)  # fmt: skip
"""What an end sees by itself: a tag that fails, a counter that comes twice."""
UNSEEN: Final = ("reorders", "drops", "delays")
"""What an honest path does as well: nobody can tell who is at fault, so there is no alarm; the link counts losses."""


def each_attack_on(*ways: Way) -> pytest.MarkDecorator:
    """Parametrise a test with every attack on every other way, in turn; on the rest of the ways it is slow."""
    cases = [
        pytest.param(attack, way, id=f"{attack}-{way}", marks=[pytest.mark.slow] if (row + column) % 2 else [])
        for row, attack in enumerate([*SEEN, *UNSEEN])
        for column, way in enumerate(ways)
    ]
    return pytest.mark.parametrize(("attack", "way"), cases)


def place(number: int) -> GoTo:
    return GoTo(number, 2, 3)


async def attacked(scene: Chain, hands: Hands, evil: Evil, way: Way, attack: str) -> None:
    """Fly through an attack: everything is done once and in order, nothing else is; the alarm says what was seen."""
    end = scene.drone if way.up else scene.cloud if way.link_type is LinkType.REMOTE_CLOUD else scene.first.mobile
    far_id = hands.own if way.up else scene.drone_id
    await scene.take_flight_right(hands)
    attacks = Attacks()
    evil.at(getattr(attacks, attack), way)
    steered: list[Sticks] = []
    for number in range(1, 16):
        steered.append(Sticks(number, 0, 0, 0))
        hands.link.send_now(SendControl(ChannelId.CONTROL, AIRLINK.encode(steered[-1]), 0.4))
        assert await hands.ask(place(number)) == Answer(Result.DONE)
        await trio.sleep(0.1)
    evil.stop()
    await trio.sleep(2.0)
    assert attacks.did >= 5
    assert scene.craft.done == [place(number) for number in range(1, 16)]
    assert scene.craft.sticks == [sticks for sticks in steered if sticks in scene.craft.sticks]  # each once, in order
    assert hands.link.down is None
    await works(scene, hands)
    said = alarms_of(end, AlarmKind.RELAY_TAMPERS)
    assert bool(said) == (attack in SEEN)
    for line in said:
        assert far_id.hex() in line
        assert (": 0 altered" in line) == (attack in {"doubles", "replays"})
    for node in (scene.drone, scene.cloud, scene.first.mobile, scene.first.rc):
        assert {alarm.kind for alarm in node.alarms} <= ({AlarmKind.RELAY_TAMPERS} if node is end else set())


async def works(scene: Chain, hands: Hands) -> None:
    """The true holder's next command is done, once."""
    before = len(scene.craft.done)
    number = 1_000 + before
    assert await hands.ask(place(number)) == Answer(Result.DONE)
    await trio.sleep(1.0)
    assert scene.craft.done[before:] == [place(number)]


# --- stores of liars ---------------------------------------------------------------------------------


class Inline:
    """Runs calls at once: nothing here blocks."""

    async def run(self, call: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return call()


class LiarsLogs(LogSpool):
    """A store whose owner lies: that it has what it has not, or that it has nothing."""

    def __init__(self, quota_bytes: int = QUOTA_BYTES) -> None:
        self._quota_bytes = quota_bytes
        super().__init__(self._new(), Inline)
        self.hides = True
        """Whether nothing of it goes on."""
        self.claims = False
        """Whether it says that it has every log that is offered."""
        self.fails = False
        """Whether the next look into it fails."""
        self.thinks: trio.Event | None = None
        """The next answer to an offer waits for this; then it wants the log, whether it has it or not."""

    def _new(self) -> Spool:
        return Spool(MemoryShelf(), SpoolLimits(self._quota_bytes))

    def drop_all(self) -> None:
        self._spool = self._new()

    @property
    def kept(self) -> list[LogEntry]:
        """What is really here."""
        return self._spool.all()

    def has(self, count: int) -> bool:
        return len(self.kept) == count

    def read(self, number: int = 0) -> bytes:
        with self._spool.content(self.kept[number].sha256) as view:
            return bytes(view)

    async def all(self) -> Sequence[LogEntry]:
        fails, self.fails = self.fails, False
        if fails:
            raise StorageError("the disk does not answer (a test)")
        return [] if self.hides else await super().all()

    async def find(self, sha256: bytes) -> LogEntry | None:
        thinks, self.thinks = self.thinks, None
        if thinks is not None:
            await thinks.wait()
            return None
        if self.claims:
            return LogEntry(sha256, 1, bytes(16), bytes(16), bytes(16), LogState.RECEIVED, stored=True)
        return await super().find(sha256)


async def offer(link: Link, data: bytes, sha256: bytes | None = None) -> BulkStatus | Result:
    """Offer bytes as a log to a mobile, under a hash of our choice, and send them if they are wanted."""
    digest = sha256 or hashlib.sha256(data).digest()
    name = digest.hex()[:32]
    said = await link.request(GROUNDLINK.encode(LogOffer(name, len(data), digest, pack_map({}))))
    answer = GROUNDLINK.decode_untrusted(ChannelId.COMMAND, said, Direction.UP)
    assert isinstance(answer, Answer)
    if answer.result is not Result.STARTED:
        return answer.result
    return await link.send_object(name, data, sha256=digest)
