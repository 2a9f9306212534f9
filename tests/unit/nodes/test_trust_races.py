"""What is decided while a store or a person takes its time: a revocation, another pairing, the end of a code."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import trio

from nodes import Drone, Endpoint, RemoteController, Stores
from nodes.ports import CarrierName
from nodes.stores.memory import MemoryCounterStore, MemoryPeerDirectory
from nodes.testing import Datagram, MemoryNetwork
from protocols.errors import (
    LinkTimeoutError,
    NotPairedError,
    PairingClosedError,
    RevokedError,
    StorageError,
)
from protocols.events import AlarmKind, DownReason, PeerIdentified
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerRecord, PeerState
from specs.registry import CloseCode, PacketType
from tests.live.kit import CLASSICAL, LOOPBACK, Pair, config_of, paired, stores_of, virtual

FULL = StorageError("the disk is full: free some space and try again")
CONFIG = config_of(CLASSICAL, LinkConfig())


@dataclass
class Holding:
    """A network whose datagrams with keys, towards one place, wait until the test lets them go."""

    network: MemoryNetwork
    kind: int = PacketType.DATA
    held: list[Datagram] = field(default_factory=list[Datagram])

    def begin(self, where: Endpoint) -> None:
        def tap(datagram: Datagram) -> list[Datagram]:
            if datagram.destination == where and datagram.data[0] == self.kind:
                self.held.append(datagram)
                return []
            return [datagram]

        self.network.tap = tap

    def release(self) -> None:
        self.network.tap = None
        for datagram in self.held:
            self.network.inject(datagram)


class Late(MemoryPeerDirectory):
    """Its answers are as old as they are late; it may fail."""

    find_s = put_s = 0.0
    failing = ""

    async def find(self, key_id: bytes) -> PeerRecord | None:
        record = await super().find(key_id)
        await trio.sleep(self.find_s)
        return record

    async def put(self, record: PeerRecord) -> None:
        if self.failing == "put":
            raise FULL
        await trio.sleep(self.put_s / 2)
        await super().put(record)
        await trio.sleep(self.put_s / 2)

    async def remove(self, key_id: bytes) -> None:
        if self.failing == "remove":
            raise FULL
        await super().remove(key_id)


async def late(stores: Stores) -> tuple[Stores, Late]:
    directory = Late(await stores.peers.all())
    return Stores(stores.keys, directory, stores.counters), directory


async def state_of(pair: Pair, stores: Stores | None = None) -> PeerState | None:
    record = await (stores or pair.drone).peers.find(pair.rc_id)
    return None if record is None else record.state


# --- revocation ---------------------------------------------------------------------------------


@virtual
async def test_lk_45_a_handshake_answered_before_the_revocation_comes_to_nothing() -> None:
    """LK-45: not with the transport message that was held back; the link in use ends with its code."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        first = await rc.connect(pair.drone_id, where)
        await trio.sleep(0.5)
        holding = Holding(network)
        holding.begin(where)
        second = await rc.connect(pair.drone_id, where)
        await trio.sleep(0.5)
        assert len(drone.links) == 1
        await drone.revoke(pair.rc_id)
        assert not drone.links
        down = await first.wait_down()
        assert (down.reason, down.code) == (DownReason.PEER_CLOSED, CloseCode.REVOKED)
        holding.release()
        await trio.sleep(1)
        assert not drone.links
        assert await state_of(pair) is PeerState.REVOKED
        assert (await second.wait_down()).reason is DownReason.TIMEOUT
        with pytest.raises(NotPairedError, match="revoked"):
            await rc.connect(pair.drone_id, where)


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
@virtual
async def test_lk_45_who_was_looked_up_before_the_revocation_is_refused(carrier: str) -> None:
    """LK-45: the directory's answer is older than the revocation."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK, "tcp" if carrier == "tcp" else "udp")
        directory.find_s = 0.8

        async def connect() -> None:
            with pytest.raises((NotPairedError, LinkTimeoutError)):
                await rc.connect(pair.drone_id, where, "tcp" if carrier == "tcp" else "udp")

        nursery.start_soon(connect)
        await trio.sleep(0.5)
        await drone.revoke(pair.rc_id)
        await trio.sleep(0.5)
        assert not drone.links
        assert drone.handshake_counters()["confirmed"] == 0
        assert drone.handshake_counters()["refused"] == 1


@virtual
async def test_lk_45_from_the_moment_of_the_revocation_though_the_store_takes_its_time() -> None:
    """LK-45: a link of a device that is being revoked does not come up, whatever the store says so far."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK)
        await rc.connect(pair.drone_id, where)
        await trio.sleep(0.1)
        directory.put_s = 3.0
        nursery.start_soon(drone.revoke, pair.rc_id)
        await trio.sleep(0.1)
        assert not drone.links
        with pytest.raises(NotPairedError, match="revoked"):
            await rc.connect(pair.drone_id, where)
        assert await state_of(pair, stores) is PeerState.REVOKED


@virtual
async def test_a_revocation_that_could_not_be_stored_holds_until_the_node_ends() -> None:
    """The caller is told; the device is refused all the same, and a second call makes it last."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        directory.failing = "put"
        with pytest.raises(StorageError):
            await drone.revoke(pair.rc_id)
        with pytest.raises(NotPairedError, match="revoked"):
            await rc.connect(pair.drone_id, where)
        directory.failing = ""
        await drone.revoke(pair.rc_id)
        assert await state_of(pair, stores) is PeerState.REVOKED
        with pytest.raises(NotPairedError, match="not known"):
            await drone.revoke(b"a device of another")


@virtual
async def test_a_revocation_is_lifted_by_removing_the_record_in_a_running_node_too() -> None:
    """PR-35: a revoked key is refused, unless the user lifted the revocation before."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        await drone.revoke(pair.rc_id)
        with pytest.raises(PairingClosedError):
            await rc.pair(drone.open_pairing(), where)
        await pair.drone.peers.remove(pair.rc_id)
        await rc.pair(drone.open_pairing(), where)
        await rc.connect(pair.drone_id, where)
        await trio.sleep(1)
        assert await state_of(pair) is PeerState.PAIRED
        assert len(drone.links) == 1


@virtual
async def test_a_device_revoked_while_the_user_is_asked_is_not_paired() -> None:
    """LK-45, PR-35: the user's yes is about a device that he knew otherwise."""
    network, pair = MemoryNetwork(), await paired()
    asked, say = trio.Event(), trio.Event()

    async def yes(_: PeerIdentified) -> bool:
        asked.set()
        await say.wait()
        return True

    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK)

        async def pair_again() -> None:
            with pytest.raises((PairingClosedError, LinkTimeoutError)):
                await rc.pair(drone.open_pairing(approve=yes), where)

        nursery.start_soon(pair_again)
        await asked.wait()
        await drone.revoke(pair.rc_id)
        say.set()
        await trio.sleep(1)
        assert await state_of(pair) is PeerState.REVOKED
        assert drone.handshake_counters()["paired"] == 0


@virtual
async def test_a_controller_that_revokes_ends_what_it_has_begun() -> None:
    """LK-45: at the initiator too: the attempt under way, and the link."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK)
        link = await rc.connect(pair.drone_id, where)
        holding = Holding(network, PacketType.INITIATION)
        holding.begin(where)

        async def connect() -> None:
            with pytest.raises(RevokedError):
                await rc.connect(pair.drone_id, where)

        nursery.start_soon(connect)
        await trio.sleep(0.5)
        await rc.revoke(pair.drone_id)
        assert link.down is not None
        holding.release()
        await trio.sleep(1)
        assert not rc.links
        with pytest.raises(RevokedError):
            await rc.connect(pair.drone_id, where)


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
@virtual
async def test_lk_45_a_controller_that_revokes_while_its_carrier_opens_sends_not_a_byte(
    carrier: CarrierName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LK-45, LK-74: there is no machine yet that could be told; nothing is agreed with the revoked key either."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK, carrier)
        opening = "datagrams_towards" if carrier == "udp" else "stream_towards"
        open_now = getattr(network, opening)

        async def revoked_meanwhile(endpoint: Endpoint) -> object:
            await rc.revoke(pair.drone_id)
            return await open_now(endpoint)

        monkeypatch.setattr(network, opening, revoked_meanwhile)
        with pytest.raises(RevokedError, match="meanwhile"):
            await rc.connect(pair.drone_id, where, carrier)
        await trio.sleep(1)
        assert len(rc.identity.agreements) == 0
        assert drone.handshake_counters()["public_key_jobs"] == 0


# --- another pairing ----------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
@virtual
async def test_pr_37_pairing_anew_voids_the_old_secret_on_every_carrier(carrier: str) -> None:
    """PR-37: links end, a handshake answered with the old secret proves nothing: no commit, no end of the code."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        datagrams, streams = await drone.listen(LOOPBACK), await drone.listen(LOOPBACK, "tcp")
        first = await rc.connect(pair.drone_id, datagrams)
        await trio.sleep(0.2)
        holding = Holding(network)
        holding.begin(datagrams)
        await rc.connect(pair.drone_id, datagrams)
        await trio.sleep(0.2)
        code = drone.open_pairing()
        if carrier == "tcp":
            await rc.pair(code, streams, "tcp")
        else:
            other = await drone.listen(LOOPBACK)
            await rc.pair(code, other)
        assert not drone.links
        assert (await first.wait_down()).reason is DownReason.REPLACED
        holding.release()
        await trio.sleep(1)
        assert not drone.links
        assert await state_of(pair) is PeerState.PENDING
        assert drone.is_pairing
        await rc.connect(pair.drone_id, datagrams)
        await trio.sleep(1)
        assert await state_of(pair) is PeerState.PAIRED
        assert not drone.is_pairing


@virtual
async def test_pr_37_who_was_looked_up_before_the_pairing_gets_no_answer_with_the_old_secret() -> None:
    """PR-37: the directory's answer is older than the pairing; the initiator asks again."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        datagrams, streams = await drone.listen(LOOPBACK), await drone.listen(LOOPBACK, "tcp")
        directory.find_s = 0.9

        async def connect() -> None:
            with suppress(LinkTimeoutError):
                await rc.connect(pair.drone_id, datagrams)

        nursery.start_soon(connect)
        await trio.sleep(0.1)
        directory.find_s = 0.0
        await rc.pair(drone.open_pairing(), streams, "tcp")
        await trio.sleep(0.85)
        assert drone.handshake_counters()["confirmed"] == 0
        assert not drone.links
        nursery.cancel_scope.cancel()


@virtual
async def test_pr_37_a_proof_with_the_old_secret_is_not_written() -> None:
    """PR-37, PR-12: neither its counter nor a commit, though it was on its way when the pairing came."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        holding = Holding(network)
        holding.begin(where)
        await rc.connect(pair.drone_id, where)  # its proof is on the way
        old = await directory.find(pair.rc_id)
        assert old is not None
        fresh = replace(old, pair_secret=bytes(32), state=PeerState.PENDING, initiation_counter=0)
        await directory.put(fresh)
        assert not drone.links
        holding.release()
        await trio.sleep(2)
        assert drone.links
        assert await directory.find(pair.rc_id) == fresh


@virtual
async def test_pr_37_a_proof_that_is_being_looked_up_raises_no_counter_of_the_pairing_that_comes_meanwhile() -> None:
    """PR-37: a controller that has lost its counters pairs anew; the old ones would lock it out again."""
    network, pair = MemoryNetwork(), await paired()
    await pair.rc.counters.reserve("P256", 5_000, create=True)
    stores, directory = await late(pair.drone)
    reset = Stores(pair.rc.keys, pair.rc.peers, MemoryCounterStore())
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        RemoteController(reset, CONFIG, network=network) as again,
    ):
        where, streams = await drone.listen(LOOPBACK), await drone.listen(LOOPBACK, "tcp")
        holding = Holding(network)
        holding.begin(where)
        await rc.connect(pair.drone_id, where)
        directory.find_s = 0.9
        holding.release()
        await trio.sleep(0.1)
        assert drone.handshake_counters()["confirmed"] == 1  # its counter is 5,001, and the record is looked up
        directory.find_s = 0.0
        await again.pair(drone.open_pairing(), streams, "tcp")
        await trio.sleep(2)
        record = await directory.find(pair.rc_id)
        assert record is not None
        assert record.state is PeerState.PENDING
        assert record.initiation_counter < 5_000
        await again.connect(pair.drone_id, where)


# --- a pairing that cannot be stored, or is over when it is -------------------------------------


@virtual
async def test_pr_38_a_failed_store_frees_the_code_for_another_device() -> None:
    """PR-38: the claim goes with the attempt; no try is counted."""
    network = MemoryNetwork()
    stores, directory = await late(stores_of())
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as first,
        RemoteController(stores_of(), CONFIG, network=network) as second,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing()
        directory.failing = "put"
        with pytest.raises(LinkTimeoutError):
            await first.pair(code, where)
        directory.failing = ""
        peer = await second.pair(code, where)
        await second.connect(peer.key_id, where)
        await trio.sleep(1)
        assert [record.state for record in await directory.all()] == [PeerState.PAIRED]
        assert drone.handshake_counters()["tries_refused"] == 0


@virtual
async def test_pr_38_a_stream_that_breaks_while_the_pairing_is_stored_frees_the_code() -> None:
    """PR-38: and leaves no record."""
    network = MemoryNetwork()
    stores, directory = await late(stores_of())
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as first,
        RemoteController(stores_of(), CONFIG, network=network) as second,
    ):
        where = await drone.listen(LOOPBACK, "tcp")
        code = drone.open_pairing()
        directory.put_s = 2.0
        with trio.move_on_after(1.5):
            await first.pair(code, where, "tcp")
        await trio.sleep(2.0)
        assert await directory.all() == ()
        directory.put_s = 0.0
        peer = await second.pair(code, where, "tcp")
        await second.connect(peer.key_id, where, "tcp")
        assert drone.handshake_counters()["tries_refused"] == 0


@pytest.mark.parametrize("before", ["paired", "unknown"])
@pytest.mark.parametrize("failing", ["", "put", "remove"])
@virtual
async def test_pr_38_a_pairing_whose_code_ended_while_it_was_stored_is_taken_back(before: str, failing: str) -> None:
    """PR-38: the record before is put back; if that fails, the new one lets nobody in all the same."""
    network, pair = MemoryNetwork(), await paired()
    if before == "unknown":
        await pair.drone.peers.remove(pair.rc_id)
    stores, directory = await late(pair.drone)
    known = await directory.find(pair.rc_id)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
        trio.open_nursery() as nursery,
    ):
        where = await drone.listen(LOOPBACK)
        directory.put_s = 2.0

        async def pair_again() -> None:
            with pytest.raises(LinkTimeoutError):
                await rc.pair(drone.open_pairing(), where)

        nursery.start_soon(pair_again)
        await trio.sleep(1.5)
        half = await directory.find(pair.rc_id)
        assert half is not None
        assert half.state is PeerState.PENDING
        drone.close_pairing()
        directory.failing = failing
        await trio.sleep(4)
        kept = {"paired": "put", "unknown": "remove"}[before] == failing
        assert await directory.find(pair.rc_id) == (half if kept else known)
        assert drone.alarm_counts[AlarmKind.STORE_FAILED] == kept
        directory.failing, directory.put_s = "", 0.0
        await trio.sleep(80)
        ours = await pair.rc.peers.find(pair.drone_id)
        assert ours is not None
        await pair.rc.peers.put(replace(ours, pair_secret=half.pair_secret))  # as a modified device would keep it
        with pytest.raises((NotPairedError, LinkTimeoutError)):
            await rc.connect(pair.drone_id, where)
        assert not drone.links


@virtual
async def test_pr_20_a_user_who_cannot_be_asked_is_no_try_and_costs_no_node() -> None:
    """PR-20: whatever the callback raises: an alarm, no pairing, no try."""
    network = MemoryNetwork()

    async def broken(_: PeerIdentified) -> bool:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("a window that is not there")

    async with (
        Drone(stores_of(), CONFIG, network=network) as drone,
        RemoteController(stores_of(), CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        code = drone.open_pairing(approve=broken)
        with pytest.raises(LinkTimeoutError):
            await rc.pair(code, where)
        assert [alarm.kind for alarm in drone.alarms] == [AlarmKind.APPROVE_FAILED]
        assert "window" not in drone.alarms[0].detail
        assert drone.handshake_counters()["tries_refused"] == 0
        assert drone.is_pairing
        await rc.pair(drone.open_pairing(), where)


# --- counters and rates -------------------------------------------------------------------------


@virtual
async def test_lk_42_a_counter_written_while_the_directory_answered_counts() -> None:
    """LK-42: the answer is older than the write, and the write is done when it comes."""
    network, pair = MemoryNetwork(), await paired()
    stores, directory = await late(pair.drone)
    recorded: list[Datagram] = []
    network.tap = partial(recording, recorded)
    async with (
        Drone(stores, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        directory.find_s = 0.5
        await rc.connect(pair.drone_id, where)
        await trio.sleep(0.2)  # the write asks the directory first, and so is done 0.3 s from now
        network.inject(Datagram(recorded[0].data, Endpoint("eve", 1), where))
        await trio.sleep(1)
        counters = drone.handshake_counters()
        assert counters["public_key_jobs"] == 2
        assert counters["stale_counters"] == 1


def recording(into: list[Datagram], datagram: Datagram) -> list[Datagram]:
    if datagram.data[0] == PacketType.INITIATION:
        into.append(datagram)
    return [datagram]


@virtual
async def test_lk_28_a_rate_of_initiations_per_source_on_streams() -> None:
    """LK-28: over all streams; above it a stream is closed without a word and without public-key work."""
    network, pair = MemoryNetwork(), await paired()
    config = replace(CONFIG, source_initiations_per_s=0.5, source_initiations_burst=2.0)
    async with (
        Drone(pair.drone, config, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK, "tcp")
        for _ in range(2):
            await rc.connect(pair.drone_id, where, "tcp")
        with pytest.raises(LinkTimeoutError, match="no answer"):
            await rc.connect(pair.drone_id, where, "tcp")
        counters = drone.handshake_counters()
        assert (counters["rate_limited"], counters["public_key_jobs"]) == (1, 2)
        await trio.sleep(2)
        await rc.connect(pair.drone_id, where, "tcp")
        counters = drone.handshake_counters()
        assert (counters["rate_limited"], counters["public_key_jobs"]) == (1, 3)


@virtual
async def test_lk_28_a_rekey_draws_no_token() -> None:
    """LK-28: whoever rekeys has proven himself."""
    network, pair = MemoryNetwork(), await paired()
    config = replace(CONFIG, source_initiations_per_s=1e-6, source_initiations_burst=1.0, rekey_after_s=10.0)
    async with (
        Drone(pair.drone, config, network=network) as drone,
        RemoteController(pair.rc, config, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK, "tcp")
        link = await rc.connect(pair.drone_id, where, "tcp")
        await trio.sleep(60)
        assert link.down is None
        assert link.stats().link.rekeys >= 4
