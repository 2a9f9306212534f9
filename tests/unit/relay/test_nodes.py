"""Drone, RC and mobile on a network in memory: links over relays as users of nodes have them (specs/5-relay.md)."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from nodes import Drone, Endpoint, Link, RemoteController
from nodes.mobile import Mobile
from nodes.relay import LinkHop
from nodes.testing import Datagram, MemoryNetwork
from protocols.crypto.fingerprint import key_id_of
from protocols.errors import FlowRefusedError, NotPairedError
from protocols.events import CommandReceived, RelayDatagram, RelayOpened, SendCommand
from protocols.pairing import LinkingCode
from specs.registry import ChannelId, LinkType, PacketType, Role
from tests.live.kit import make_key, record_of, stores_of, virtual

AIR, GROUND = Endpoint("drone", 1), Endpoint("rc", 2)


@dataclass
class Chain:
    """Three nodes; neighbours are paired and linked, the ends are not."""

    network: MemoryNetwork
    drone: Drone
    rc: RemoteController
    mobile: Mobile
    drone_id: bytes
    rc_id: bytes
    mobile_id: bytes
    air: Link
    ground: Link

    async def pair(self) -> None:
        """Pair the ends with a code that the owner carries."""
        code = self.drone.open_pairing(LinkType.REMOTE_MOBILE)
        record = await self.mobile.pair_over(self.rc_id, LinkingCode.parse(code.text()), self.drone_id)
        assert record.key_id == self.drone_id
        self.drone.close_pairing()

    async def connect(self) -> tuple[Link, Link]:
        """Make the link from end to end; the mobile's end, and the drone's."""
        link = await self.mobile.connect_over(self.rc_id, self.drone_id)
        while (there := await self.drone.next_link()).role is not Role.MOBILE:
            pass
        return link, there


@asynccontextmanager
async def chain(network: MemoryNetwork) -> AsyncGenerator[Chain]:
    drone_key, rc_key, mobile_key = make_key(), make_key(), make_key()
    ids = [key_id_of(key.dh, key.public) for key in (drone_key, rc_key, mobile_key)]
    drone_stores = stores_of(drone_key, peers=(record_of(rc_key, Role.RC),))
    rc_stores = stores_of(rc_key, peers=(record_of(drone_key, Role.DRONE), record_of(mobile_key, Role.MOBILE)))
    mobile_stores = stores_of(mobile_key, peers=(record_of(rc_key, Role.RC),))
    for stores in (rc_stores, mobile_stores):
        await stores.counters.reserve("P256", 1, create=True)
    async with (
        Drone(drone_stores, network=network) as drone,
        RemoteController(rc_stores, network=network) as rc,
        Mobile(mobile_stores, network=network) as mobile,
    ):
        await drone.listen(AIR)
        drone.listen_over_relays()
        await rc.listen(GROUND, "tcp")
        air = await rc.connect(ids[0], AIR)
        ground = await mobile.connect(ids[1], GROUND, "tcp")
        await rc.next_link()
        yield Chain(network, drone, rc, mobile, ids[0], ids[1], ids[2], air, ground)


async def answering(link: Link) -> None:
    """Answer what is asked."""
    async for message in link:
        if isinstance(message, CommandReceived):
            await link.send(SendCommand(message.channel, b"ok " + message.data, reply_to=message.id))


@virtual
async def test_pairing_by_a_code_and_a_link_from_end_to_end() -> None:
    with trio.fail_after(60):
        async with chain(MemoryNetwork(delay_s=0.005)) as nodes:
            await nodes.pair()
            here, there = await nodes.connect()
            assert (here.role, there.role) == (Role.DRONE, Role.MOBILE)
            assert here.up.channel_binding == there.up.channel_binding
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, there)
                for number in range(20):
                    assert await here.request(b"%d" % number) == b"ok %d" % number
                nursery.cancel_scope.cancel()
            assert nodes.rc.relays.counts.forwarded > 40
            assert nodes.drone.alarms == nodes.rc.alarms == nodes.mobile.alarms == deque()


@virtual
async def test_loss_on_the_air_and_large_commands() -> None:
    network = MemoryNetwork(seed=5, delay_s=0.005, jitter_s=0.02)
    with trio.fail_after(600):
        async with chain(network) as nodes:
            await nodes.pair()
            here, there = await nodes.connect()
            network.loss = 0.1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, there)
                for size in (1, 2_000, 60_000):
                    assert await here.request(bytes(size)) == b"ok " + bytes(size)
                nursery.cancel_scope.cancel()


@virtual
async def test_rl_6_and_23_links_of_neighbours_are_replaced_below_a_link_that_stays() -> None:
    with trio.fail_after(600):
        async with chain(MemoryNetwork(delay_s=0.005)) as nodes:
            await nodes.pair()
            here, there = await nodes.connect()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answering, there)
                assert await here.request(b"before") == b"ok before"
                await nodes.ground.close()
                await trio.sleep(3.0)
                await nodes.mobile.connect(nodes.rc_id, GROUND, "tcp")
                assert await here.request(b"new ground link") == b"ok new ground link"
                await nodes.air.close()
                await trio.sleep(3.0)
                await nodes.rc.connect(nodes.drone_id, AIR)
                assert await here.request(b"new airlink") == b"ok new airlink"
                nursery.cancel_scope.cancel()
            assert here.stats().link.moves == there.stats().link.moves == 0


@virtual
async def test_rl_33_no_user_sees_what_is_relayed() -> None:
    with trio.fail_after(60):
        async with chain(MemoryNetwork(delay_s=0.005)) as nodes:
            await nodes.pair()
            here, there = await nodes.connect()
            await here.send(SendCommand(ChannelId.COMMAND, b"for the drone"))
            seen: list[object] = []

            async def watch(link: Link) -> None:
                async for message in link:
                    seen.append(message)  # noqa: PERF401  # one by one, until it is cancelled

            with trio.move_on_after(5.0):
                async with trio.open_nursery() as nursery:
                    for link in (nodes.air, nodes.ground, *nodes.rc.links.values()):
                        nursery.start_soon(watch, link)
            assert seen == []
            message = await there.receive()
            assert isinstance(message, CommandReceived)
            assert message.data == b"for the drone"


@virtual
async def test_rl_2_no_way_is_told_and_the_pairing_of_a_revoked_mobile_is_refused() -> None:
    with trio.fail_after(120):
        async with chain(MemoryNetwork(delay_s=0.005)) as nodes:
            await nodes.pair()
            with pytest.raises(FlowRefusedError):
                await nodes.mobile.relays.towards(nodes.rc_id, bytes(16), LinkType.REMOTE_MOBILE)
            here, _ = await nodes.connect()
            await nodes.drone.revoke(nodes.mobile_id)
            down = await here.wait_down()
            assert down.code is not None
            with pytest.raises(NotPairedError):
                await nodes.mobile.connect_over(nodes.rc_id, nodes.drone_id)
            await nodes.rc.revoke(nodes.mobile_id)
            await nodes.ground.wait_down()
            with pytest.raises(FlowRefusedError):
                await nodes.mobile.connect_over(nodes.rc_id, nodes.drone_id)


@virtual
async def test_what_the_air_shows_is_sealed_twice() -> None:
    """No datagram of the link inside is seen outside of the outer one, and handshakes of both have their sizes."""
    network = MemoryNetwork(delay_s=0.005)
    sent: list[Datagram] = []
    with trio.fail_after(60):
        async with chain(network) as nodes:

            def tap(datagram: Datagram) -> tuple[Datagram]:
                sent.append(datagram)
                return (datagram,)

            network.tap = tap
            await nodes.pair()
            await nodes.connect()
    kinds = {datagram.data[0] for datagram in sent}
    assert kinds == {PacketType.DATA}
    assert max(len(datagram.data) for datagram in sent if datagram.data[0] == PacketType.DATA) > 700


@virtual
async def test_a_hop_whose_link_is_down_loses_what_it_is_given() -> None:
    with trio.fail_after(60):
        async with chain(MemoryNetwork(delay_s=0.005)) as nodes:
            hop = LinkHop(nodes.air)
            assert (hop.key_id, hop.role, hop.is_up) == (nodes.drone_id, Role.DRONE, True)
            hop.send(RelayDatagram(1, by_opener=True, data=bytes(2_000)))
            assert hop.lost == 1
            await nodes.air.close()
            assert not hop.is_up
            hop.send(RelayOpened(1))
            assert hop.lost == 2
            assert nodes.rc.relays.neighbour(nodes.drone_id) is None
