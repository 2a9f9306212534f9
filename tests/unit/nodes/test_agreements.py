"""A node forgets what its keys agree on with a peer that is revoked, forgotten or paired anew, and all at its end."""

from dataclasses import replace

import pytest
import trio

from nodes import Drone, RemoteController
from nodes.testing import MemoryNetwork
from protocols.errors import NotPairedError, RevokedError
from protocols.link.config import Identity, LinkConfig
from protocols.link.peers import PeerState
from tests.live.kit import CLASSICAL, LOOPBACK, config_of, paired, virtual

CONFIG = config_of(CLASSICAL, LinkConfig())


@virtual
async def test_all_links_of_a_node_share_what_was_agreed() -> None:
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        for carrier in ("udp", "tcp"):
            where = await drone.listen(LOOPBACK, "tcp" if carrier == "tcp" else "udp")
            await rc.connect(pair.drone_id, where, "tcp" if carrier == "tcp" else "udp")
            assert len(rc.identity.agreements) == len(drone.identity.agreements) == 1


@virtual
async def test_lk_45_a_revocation_ends_it_at_either_end() -> None:
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        await rc.connect(pair.drone_id, where)
        await drone.revoke(pair.rc_id)
        assert len(drone.identity.agreements) == 0
        assert len(rc.identity.agreements) == 1
        await rc.revoke(pair.drone_id)
        assert len(rc.identity.agreements) == 0
        await trio.sleep(1)
        assert len(rc.identity.agreements) == len(drone.identity.agreements) == 0


@virtual
async def test_pr_37_a_new_pairing_ends_it() -> None:
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        link = await rc.connect(pair.drone_id, where)
        await rc.pair(drone.open_pairing(), where)
        await trio.sleep(0.1)
        assert len(rc.identity.agreements) == len(drone.identity.agreements) == 0
        await link.wait_down()
        await rc.connect(pair.drone_id, where)
        assert len(rc.identity.agreements) == len(drone.identity.agreements) == 1


@pytest.mark.parametrize("how", ["forgotten", "revoked"])
@virtual
async def test_what_another_program_did_to_the_directory_is_noticed_at_the_next_connect(how: str) -> None:
    """`aerolink keys revoke` and `forget` write to the store of a running node."""
    network, pair = MemoryNetwork(), await paired()
    async with (
        Drone(pair.drone, CONFIG, network=network) as drone,
        RemoteController(pair.rc, CONFIG, network=network) as rc,
    ):
        where = await drone.listen(LOOPBACK)
        await rc.connect(pair.drone_id, where)
        record = await pair.rc.peers.find(pair.drone_id)
        assert record is not None
        if how == "forgotten":
            await pair.rc.peers.remove(pair.drone_id)
        else:
            await pair.rc.peers.put(replace(record, state=PeerState.REVOKED))
        with pytest.raises((NotPairedError, RevokedError)):
            await rc.connect(pair.drone_id, where)
        assert len(rc.identity.agreements) == 0


@virtual
async def test_the_end_of_a_node_ends_it_whatever_ended_the_node() -> None:
    network, pair = MemoryNetwork(), await paired()
    identities = list[Identity]()

    async def fail() -> None:
        async with (
            Drone(pair.drone, CONFIG, network=network) as drone,
            RemoteController(pair.rc, CONFIG, network=network) as rc,
        ):
            where = await drone.listen(LOOPBACK)
            await rc.connect(pair.drone_id, where)
            identities.extend((drone.identity, rc.identity))
            assert [len(identity.agreements) for identity in identities] == [1, 1]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    for identity in identities:
        agreements = identity.agreements
        agreements.keep(b"own", b"peer", bytes(32), key_id=b"", mark=agreements.mark)  # of a job that comes late
        assert len(agreements) == 0
