"""Stores that are slow, full or broken: an alarm each, nothing lost, and the node goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
import trio

from nodes import Drone, Endpoint, Link, RemoteController, Stores
from nodes.ports import PeerDirectory
from nodes.stores.memory import MemoryPeerDirectory
from nodes.testing import Datagram, MemoryNetwork
from protocols.errors import (
    CounterLostError,
    LinkTimeoutError,
    PolicyError,
    RevokedError,
    StorageError,
)
from protocols.events import AlarmKind, PeerIdentified
from protocols.link.config import LinkConfig
from protocols.link.peers import CounterBlock, PeerRecord, PeerState
from protocols.link.train import one
from specs.registry import PacketType
from tests.live.kit import CLASSICAL, LOOPBACK, Pair, config_of, linked, paired, stores_of, virtual

FULL = StorageError("the disk is full: free some space and try again")
CONFIG = config_of(CLASSICAL, LinkConfig())


@dataclass
class Moody:
    """A directory and a counter store that fail or wait when the test says so."""

    peers: PeerDirectory
    error: Exception | None = None
    failing: set[str] = field(default_factory=lambda: {"find", "put", "confirm", "reserve"})
    delay_s: float = 0.0
    calls: list[str] = field(default_factory=list[str])

    async def _mood(self, what: str) -> None:
        self.calls.append(what)
        await trio.sleep(self.delay_s)
        if self.error is not None and what in self.failing:
            raise self.error

    async def find(self, key_id: bytes) -> PeerRecord | None:
        await self._mood("find")
        return await self.peers.find(key_id)

    async def all(self) -> Sequence[PeerRecord]:
        return await self.peers.all()

    async def put(self, record: PeerRecord) -> None:
        await self._mood("put")
        await self.peers.put(record)

    async def remove(self, key_id: bytes) -> None:
        await self._mood("put")
        await self.peers.remove(key_id)

    async def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        await self._mood("confirm")
        await self.peers.confirm_counters(counters)


def moody(stores: Stores) -> tuple[Stores, Moody]:
    directory = Moody(stores.peers)
    return Stores(stores.keys, directory, stores.counters), directory


def kinds(node: Drone | RemoteController) -> list[AlarmKind]:
    return [alarm.kind for alarm in node.alarms]


async def counter_of(pair: Pair) -> int:
    record = await pair.drone.peers.find(pair.rc_id)
    assert record is not None
    return record.initiation_counter


@pytest.mark.parametrize("error", [FULL, RuntimeError("a bug of the user's store")])
@virtual
async def test_a_store_that_fails_costs_one_handshake_and_no_node(error: Exception) -> None:
    network, pair = MemoryNetwork(), await paired()
    stores, directory = moody(pair.drone)
    directory.error = error
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        with pytest.raises(LinkTimeoutError, match="no answer"):  # silence: it is nobody's fault out there
            await rc.connect(pair.drone_id, where)
        assert set(kinds(drone)) == {AlarmKind.STORE_FAILED}
        assert all("bug" not in alarm.detail for alarm in drone.alarms)  # foreign text may hold anything
        directory.error = None
        await rc.connect(pair.drone_id, where)


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
@virtual
async def test_a_counter_that_could_not_be_written_still_counts(carrier: str) -> None:
    """A replay is refused while the disk is full, on a stream of its own too, and the write is made up for."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = moody(pair.drone)
    recorded: list[bytes] = []

    def record(datagram: Datagram) -> list[Datagram]:
        if datagram.data[0] == PacketType.INITIATION:
            recorded.append(datagram.data)
        return [datagram]

    network.tap = record
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        streams = await drone.listen(LOOPBACK, "tcp")
        directory.error, directory.failing = FULL, {"confirm"}
        link = await rc.connect(pair.drone_id, where)
        await trio.sleep(0.1)
        assert kinds(drone) == [AlarmKind.STORE_FAILED]
        assert await counter_of(pair) == 0
        await link.close()
        if carrier == "udp":
            network.inject(Datagram(recorded[0], Endpoint("eve", 1), where))
        else:  # LK-54: a record with the datagram's bytes without its MACs
            body = recorded[0][:-32]
            eve = await network.stream_towards(streams)
            await eve.send([one(len(body).to_bytes(2, "big") + bytes((PacketType.INITIATION, 0)) + body, None)])
            assert await eve.receive() == ()
        await trio.sleep(1)
        assert drone.handshake_counters()["stale_counters"] == 1
        directory.error = None
        await trio.sleep(15)
        assert await counter_of(pair) > 0
    assert kinds(drone).count(AlarmKind.STORE_FAILED) >= 1


@virtual
async def test_leaving_waits_for_a_write_under_way() -> None:
    network, pair = MemoryNetwork(), await paired()
    stores, directory = moody(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        directory.delay_s = 0.5
        await rc.connect(pair.drone_id, where)
        await drone.next_link()
        await trio.sleep(0.6)
        assert directory.calls[-2:] == ["find", "confirm"]
    assert await counter_of(pair) > 0


@virtual
async def test_a_slow_directory_holds_nobody_else_up() -> None:
    network, pair = MemoryNetwork(), await paired()
    other = await paired()
    records = [await pair.drone.peers.find(pair.rc_id)]

    class Slow(MemoryPeerDirectory):
        async def find(self, key_id: bytes) -> PeerRecord | None:
            if key_id == pair.rc_id:
                await trio.sleep(0.9)
            return await super().find(key_id)

    met = await other.drone.peers.find(other.rc_id)
    assert met is not None
    assert records[0] is not None
    drone_stores = Stores(pair.drone.keys, Slow([records[0], met]), pair.drone.counters)
    drone_record = await pair.rc.peers.find(pair.drone_id)
    assert drone_record is not None
    await other.rc.peers.put(drone_record)
    async with (
        Drone(drone_stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as slow,
        RemoteController(other.rc, CONFIG, network=network) as quick,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK)
        came: list[str] = []

        async def connect(name: str, rc: RemoteController) -> None:
            await rc.connect(pair.drone_id, where)
            came.append(name)

        nursery.start_soon(connect, "slow", slow)
        await trio.sleep(0.1)
        await connect("quick", quick)
        assert came == ["quick"]
        await trio.sleep(10)
        assert came == ["quick", "slow"]


# --- pairing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [FULL, OSError("raw")])
@virtual
async def test_a_drone_that_cannot_store_a_pairing_says_so_and_can_later(error: Exception) -> None:
    network = MemoryNetwork()
    stores, directory = moody(stores_of())
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing()
        directory.error, directory.failing = error, {"put"}
        with pytest.raises(LinkTimeoutError):
            await rc.pair(code, where)
        assert kinds(drone) == [AlarmKind.STORE_FAILED]
        directory.error = None
        peer = await rc.pair(code, where)  # PR-32: the same code
        await rc.connect(peer.key_id, where)
        await drone.next_link()
        await trio.sleep(1)
        assert [record.state for record in await stores.peers.all()] == [PeerState.PAIRED]
        assert not drone.is_pairing  # a code serves one device
        closed = drone.open_pairing()
        drone.close_pairing()
        with pytest.raises(LinkTimeoutError):
            await rc.pair(closed, where)


@virtual
async def test_a_controller_that_cannot_store_a_pairing_says_why() -> None:
    network = MemoryNetwork()
    stores, directory = moody(stores_of())
    async with (
        Drone(stores_of(), CONFIG, network=network) as drone,
        RemoteController(stores, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing()
        directory.error, directory.failing = FULL, {"put"}
        with pytest.raises(StorageError, match="free some space"):
            await rc.pair(code, where)
        assert kinds(rc) == [AlarmKind.STORE_FAILED]
        directory.error = None
        peer = await rc.pair(code, where)
        await rc.connect(peer.key_id, where)


@virtual
async def test_the_user_says_no_three_times_and_the_code_ends() -> None:
    network = MemoryNetwork()
    asked: list[PeerIdentified] = []

    async def no(event: PeerIdentified) -> bool:
        asked.append(event)
        await trio.lowlevel.checkpoint()
        return False

    async with (
        Drone(stores_of(), CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing(approve=no)
        for _ in range(3):
            assert drone.is_pairing
            with pytest.raises((PolicyError, LinkTimeoutError)):
                await rc.pair(code, where)
        assert not drone.is_pairing
        assert AlarmKind.PAIRING_TRIES_USED in kinds(drone)
        assert len(asked) == 3


@virtual
async def test_a_code_expires() -> None:
    network = MemoryNetwork()
    async with (
        Drone(stores_of(), CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing(lifetime_s=60)
        await trio.sleep(61)
        assert not drone.is_pairing
        with pytest.raises(LinkTimeoutError, match="wrong code, or no device in pairing mode"):
            await rc.pair(code, where)


@virtual
async def test_a_device_revoked_here_is_not_paired_again_by_the_way() -> None:
    network, pair = MemoryNetwork(), await paired()
    record = await pair.rc.peers.find(pair.drone_id)
    assert record is not None
    await pair.rc.peers.put(replace(record, state=PeerState.REVOKED))
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        with pytest.raises(RevokedError, match="lift the revocation"):
            await rc.pair(drone.open_pairing(), where)
        with pytest.raises(RevokedError):
            await rc.connect(pair.drone_id, where)


# --- counters of our own ------------------------------------------------------------------------


@dataclass
class MoodyCounters:
    """Counters that cannot be reserved when the test says so."""

    stores: Stores
    error: Exception | None = None

    async def reserve(self, dh: str, count: int, *, create: bool = False) -> CounterBlock:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return await self.stores.counters.reserve(dh, count, create=create)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(FULL, StorageError), (CounterLostError("pair again"), CounterLostError), (OSError(), StorageError)],
)
@virtual
async def test_no_counters_no_handshake(error: Exception, kind: type[Exception]) -> None:
    network, pair = MemoryNetwork(), await paired()
    counters = MoodyCounters(pair.rc, error)
    stores = Stores(pair.rc.keys, pair.rc.peers, counters)
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(stores, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        with pytest.raises(kind):
            await rc.connect(pair.drone_id, where)
        counters.error = None
        await rc.connect(pair.drone_id, where)


@virtual
async def test_a_link_outlives_a_full_disk_and_asks_again() -> None:
    """Its counters last for some rekeys more; and there may be room again."""
    network, pair = MemoryNetwork(), await paired()
    counters = MoodyCounters(pair.rc)
    stores = Stores(pair.rc.keys, pair.rc.peers, counters)
    config = config_of(CLASSICAL, LinkConfig(rekey_after_s=10.0, counter_block=10))
    async with (
        Drone(pair.drone, config, network=network) as drone,
        RemoteController(stores, config, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        link = await rc.connect(pair.drone_id, where)
        counters.error = FULL
        await trio.sleep(45)  # some rekeys, and the pool is low
        assert AlarmKind.STORE_FAILED in kinds(rc)
        assert link.down is None
        counters.error = None
        await trio.sleep(200)
        assert link.down is None
        assert link.stats().link.rekeys > 15


@virtual
async def test_another_life_of_the_counter_file_asks_for_pairing() -> None:
    network = MemoryNetwork()
    stores = stores_of()
    async with Drone(stores_of(), CONFIG, network=network) as drone:
        where = await drone.listen(LOOPBACK)
        async with RemoteController(stores, CONFIG, network=network) as rc:
            peer = await rc.pair(drone.open_pairing(), where)
        fresh = Stores(stores.keys, stores.peers, stores_of().counters)
        await fresh.counters.reserve("P256", 1, create=True)
        async with RemoteController(fresh, CONFIG, network=network) as rc:
            with pytest.raises(CounterLostError, match="pair it again"):
                await rc.connect(peer.key_id, where)
            peer = await rc.pair(drone.open_pairing(), where)  # and that heals it
            link: Link = await rc.connect(peer.key_id, where)
            assert link.down is None


@virtual
async def test_linked_devices_are_paired_for_good() -> None:
    network = MemoryNetwork()
    async with linked(network=network) as scene:
        await trio.sleep(1)
        assert await counter_of(scene.pair) > 0
