"""What holds when a static key is replaced, and when a device is revoked (specs/10-key-life-cycle.md)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from nodes import Drone, Endpoint, RemoteController, StateDir, Stores
from nodes.ports import Network
from nodes.stations.drone import DroneStation
from nodes.stores.memory import MemoryPeerDirectory
from nodes.stores.sealingmemory import MemoryDroneSealing
from nodes.testing import MemoryNetwork
from protocols import airlink, groundlink, remotelink
from protocols.admission import Need, need_of
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.hpke import HpkeKey
from protocols.errors import (
    LinkTimeoutError,
    MalformedError,
    NotPairedError,
    PairingClosedError,
    StorageError,
    UsageError,
)
from protocols.link.config import LinkConfig
from protocols.link.peers import PeerState
from protocols.messages import MessageTable
from protocols.sealing import CloudKey
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import Direction
from specs.registry import ChannelId, Role
from specs.remotelink import RevokePeer
from tests.live.kit import CLASSICAL, LOOPBACK, QUICK, config_of, make_key, paired, record_of, stores_in, until
from tests.unit.nodes.test_trust import FULL, moody

CONFIG = config_of(CLASSICAL, LinkConfig())
SOON = config_of(CLASSICAL, QUICK)


def key_id(state: StateDir) -> bytes:
    return key_id_of("P256", state.key_files.load("P256").public)


async def pair_and_link(drone: Stores, rc: Stores, network: Network) -> None:
    async with (
        Drone(drone, CONFIG, network=network) as a,
        RemoteController(rc, CONFIG, network=network) as b,
    ):
        where = await a.listen(LOOPBACK)
        peer = await b.pair(a.open_pairing(), where)
        await b.connect(peer.key_id, where)
        await a.next_link()
        for stores in (drone, rc):  # the first session commits (PR-31)
            while any(peer.state is PeerState.PENDING for peer in await stores.peers.all()):  # noqa: ASYNC110
                await trio.sleep(0.005)


async def is_reached(drone: Stores, rc: Stores, drone_id: bytes, network: Network, config: LinkConfig = SOON) -> bool:
    """Whether the remote controller gets a link with what both have stored; ``CONFIG`` waits longer for it."""
    async with (
        Drone(drone, config, network=network) as a,
        RemoteController(rc, config, network=network) as b,
    ):
        where: Endpoint = await a.listen(LOOPBACK)
        try:
            await b.connect(drone_id, where)
        except (LinkTimeoutError, NotPairedError):
            return False
        return True


@pytest.mark.parametrize("rotated", ["drone", "rc"])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_kl_4_a_new_static_key_ends_every_pairing_and_pairing_again_heals_it(
    tmp_path: Path, rotated: str, forgotten: bool
) -> None:
    network = MemoryNetwork()
    with StateDir.open(tmp_path / "drone", create=True) as a, StateDir.open(tmp_path / "rc", create=True) as b:
        a.key_files.generate("P256")
        b.key_files.generate("P256")
        await pair_and_link(stores_in(a), stores_in(b), network)
        old_drone, old_rc = key_id(a), key_id(b)
        assert await is_reached(stores_in(a), stores_in(b), old_drone, network, CONFIG)
    changed = {"drone": old_drone, "rc": old_rc}[rotated]
    with StateDir.open(tmp_path / rotated) as state:
        state.key_files.generate("P256", force=True)
        assert key_id(state) != changed
    assert (tmp_path / rotated / "identity-P256.pem").stat().st_mode & 0o777 == 0o600
    with StateDir.open(tmp_path / "drone") as a, StateDir.open(tmp_path / "rc") as b:
        assert not await is_reached(stores_in(a), stores_in(b), old_drone, network)
        other = b if rotated == "drone" else a
        # The other one still knows the old key: somebody has to revoke or forget it there.
        assert [(peer.key_id, peer.state) for peer in other.peer_files.all()] == [(changed, PeerState.PAIRED)]
        if forgotten:
            other.peer_files.remove(changed)
        await pair_and_link(stores_in(a), stores_in(b), network)
        assert await is_reached(stores_in(a), stores_in(b), key_id(a), network, CONFIG)


async def test_kl_10_a_revocation_is_durable_and_beats_everything_until_it_is_forgotten(tmp_path: Path) -> None:
    network = MemoryNetwork()
    with StateDir.open(tmp_path / "drone", create=True) as a, StateDir.open(tmp_path / "rc", create=True) as b:
        a.key_files.generate("P256")
        b.key_files.generate("P256")
        await pair_and_link(stores_in(a), stores_in(b), network)
        drone_id, rc_id = key_id(a), key_id(b)
        async with (
            Drone(stores_in(a), CONFIG, network=network) as drone,
            RemoteController(stores_in(b), CONFIG, network=network) as rc,
        ):
            where = await drone.listen(LOOPBACK)
            link = await rc.connect(drone_id, where)
            await drone.next_link()
            await drone.revoke(rc_id)
            with StateDir.open(tmp_path / "drone", read_only=True) as on_disk:  # when revoke returns
                assert [peer.state for peer in on_disk.peer_files.all()] == [PeerState.REVOKED]
            await until(lambda: link.down is not None)
            with pytest.raises(PairingClosedError):  # with a valid code
                await rc.pair(drone.open_pairing(), where)
    with StateDir.open(tmp_path / "drone") as a, StateDir.open(tmp_path / "rc") as b:
        assert not await is_reached(stores_in(a), stores_in(b), drone_id, network)
        a.peer_files.remove(rc_id)  # `aerolink keys forget`
        assert not await is_reached(stores_in(a), stores_in(b), drone_id, network)
        await pair_and_link(stores_in(a), stores_in(b), network)


TABLES: list[MessageTable[Any]] = [airlink.AIRLINK, groundlink.GROUNDLINK, remotelink.REMOTE_MOBILE]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_kl_11_14_only_a_cloud_s_own_link_has_the_message(table: MessageTable[Any]) -> None:
    """What a remote controller, a mobile or a relay can say on links of its own is not it."""
    notice = RevokePeer(bytes(range(16)))
    encoded = remotelink.REMOTE_CLOUD.encode(notice)
    assert remotelink.REMOTE_CLOUD.decode_untrusted(ChannelId.COMMAND, encoded, Direction.UP) == notice
    assert need_of(notice) is Need.CLOUD
    with pytest.raises(UsageError):
        table.encode(notice)
    for channel in ChannelId:
        with pytest.raises(MalformedError):
            table.decode_untrusted(channel, encoded)


async def test_kl_13_a_drone_that_does_not_know_the_device_is_done_and_a_full_disk_is_not() -> None:
    """Or the cloud would tell it for ever; and a revocation that was not stored is told again."""
    pair = await paired()
    async with Drone(pair.drone, CONFIG, network=MemoryNetwork()) as drone:
        keeper = cast("DroneStation", SimpleNamespace(drone=drone))
        assert await DroneStation.revoke(keeper, bytes(16)) == Answer(Result.DONE)
        for _ in range(2):
            assert await DroneStation.revoke(keeper, pair.rc_id) == Answer(Result.DONE)
        (record,) = await pair.drone.peers.all()
        assert record.state is PeerState.REVOKED
    stores, directory = moody(pair.drone)
    directory.error = FULL
    async with Drone(stores, CONFIG, network=MemoryNetwork()) as drone:
        with pytest.raises(StorageError):
            await DroneStation.revoke(cast("DroneStation", SimpleNamespace(drone=drone)), pair.rc_id)


async def test_gl_16_only_the_cloud_that_the_drone_seals_to_revokes_and_no_cloud() -> None:
    ours, other, mobile = (make_key() for _ in range(3))
    own, strange, phone = (key_id_of(key.dh, key.public) for key in (ours, other, mobile))
    records = (record_of(ours, Role.CLOUD), record_of(other, Role.CLOUD), record_of(mobile, Role.MOBILE))
    sealing = MemoryDroneSealing()
    keeper = cast("DroneStation", SimpleNamespace(_keys=sealing, _peers=MemoryPeerDirectory(records)))
    assert not await DroneStation.may_revoke(keeper, phone, own)  # it has given no key yet
    await sealing.pin_cloud_key(CloudKey(own, HpkeKey.generate().public))
    assert await DroneStation.may_revoke(keeper, phone, own)
    assert await DroneStation.may_revoke(keeper, bytes(16), own)  # unknown here: done at once
    assert not await DroneStation.may_revoke(keeper, phone, strange)
    assert not await DroneStation.may_revoke(keeper, strange, own)
