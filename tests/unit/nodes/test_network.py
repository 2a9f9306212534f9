"""The network in memory keeps its promises, since other tests rest on it."""

import pytest
import trio
import trio.testing

from nodes import Endpoint
from nodes.ports import Carrier, Interrupted
from nodes.testing import Datagram, MemoryNetwork, stream_pair
from protocols.errors import ConfigError
from protocols.guards.address import local_address
from protocols.link.train import Train, one
from tests.live.kit import virtual

A, B = Endpoint("a", 1), Endpoint("b", 2)
TO_B = local_address("b", 2)


@virtual
async def test_datagrams_arrive_with_their_source_after_the_delay() -> None:
    network = MemoryNetwork(delay_s=0.25)
    a, where = await network.datagrams(A)
    b, _ = await network.datagrams(B)
    assert where == A
    started = trio.current_time()
    await a.send([one(b"one", TO_B), one(b"nowhere", None), one(b"two", TO_B)])
    assert await b.receive() == [one(b"one", local_address("a", 1)), one(b"two", local_address("a", 1))]
    assert trio.current_time() - started == pytest.approx(0.25)


@virtual
async def test_luck_is_seeded() -> None:
    def fates(seed: int) -> list[int]:
        network = MemoryNetwork(seed=seed, loss=0.3)
        fates: list[int] = []
        for _ in range(50):
            network.send(Datagram(b"x", A, B))  # nobody waits for it, which counts as lost too
            fates.append(network.lost)
        return fates

    assert fates(1) == fates(1)


@virtual
async def test_loss_duplicates_and_reordering() -> None:
    network = MemoryNetwork(seed=3, loss=0.2, duplicate=0.2, delay_s=0.01, jitter_s=0.01)
    a, _ = await network.datagrams(A)
    b, _ = await network.datagrams(B)
    await a.send([one(bytes([number]), TO_B) for number in range(200)])
    await trio.sleep(1)
    arrived = [train.data[0] for train in await b.receive()]
    assert 0 < network.lost < 100
    assert len(set(arrived)) == 200 - network.lost
    assert len(arrived) > len(set(arrived))
    assert arrived != sorted(arrived)


@virtual
async def test_a_tap_drops_alters_and_repeats() -> None:
    network = MemoryNetwork()
    a, _ = await network.datagrams(A)
    b, _ = await network.datagrams(B)
    network.tap = lambda datagram: [] if datagram.data == b"no" else [datagram, Datagram(b"more", A, B)]
    await a.send([one(b"no", TO_B), one(b"yes", TO_B)])
    assert [train.data for train in await b.receive()] == [b"yes", b"more"]
    network.inject(Datagram(b"forged", Endpoint("c", 3), B))
    assert await b.receive() == [one(b"forged", local_address("c", 3))]


@virtual
async def test_ports_are_taken_chosen_and_given_back() -> None:
    network = MemoryNetwork()
    a, _ = await network.datagrams(A)
    with pytest.raises(ConfigError, match="in use"):
        await network.datagrams(A)
    await a.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await a.receive()
    network.inject(Datagram(b"late", B, A))
    assert network.lost == 1
    await network.datagrams(A)
    _, first = await network.datagrams(Endpoint("c", 0))
    _, second = await network.datagrams(Endpoint("c", 0))
    assert first != second


@virtual
async def test_a_close_wakes_who_receives() -> None:
    network = MemoryNetwork()
    a, _ = await network.datagrams(A)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await a.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await a.aclose()


@virtual
async def test_streams_connect_carry_and_end() -> None:
    network = MemoryNetwork()
    listener = await network.streams(A)
    assert listener.endpoint == A
    with pytest.raises(ConfigError, match="in use"):
        await network.streams(A)
    async with trio.open_nursery() as nursery:
        ours = await network.stream_towards(A)
        theirs, source = await listener.accept()
        assert source.host == b"client"
        nursery.start_soon(ours.send, [one(b"ab", None), one(b"c", None)])
        await trio.testing.wait_all_tasks_blocked()
        assert await theirs.receive() == (one(b"abc", None),)
        await ours.aclose()
        assert await theirs.receive() == ()
        await theirs.send([one(b"nobody reads this", None)])
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive()


@virtual
async def test_a_listener_that_closes_ends_what_waits() -> None:
    network = MemoryNetwork()
    listener = await network.streams(A)
    ours = await network.stream_towards(A)
    await listener.aclose()
    assert await ours.receive() == ()
    with pytest.raises(ConfigError, match="nobody listens"):
        await network.stream_towards(A)
    await network.streams(A)


@virtual
async def test_accept_waits_for_a_stream() -> None:
    network = MemoryNetwork()
    listener = await network.streams(A)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.accept)
        await trio.testing.wait_all_tasks_blocked()
        await network.stream_towards(A)


@virtual
async def test_a_stream_holds_its_sender_back() -> None:
    ours, theirs = stream_pair(window_bytes=10)
    sent = trio.Event()

    async def send() -> None:
        await ours.send([one(bytes(25), None)])
        sent.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert not sent.is_set()
        received = 0
        while received < 25:
            received += len((await theirs.receive())[0].data)
        await sent.wait()


@virtual
async def test_closing_frees_a_sender_that_waits() -> None:
    ours, theirs = stream_pair(window_bytes=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send, [one(bytes(25), None)])
        await trio.testing.wait_all_tasks_blocked()
        await theirs.aclose()


# --- the port Carrier -----------------------------------------------------------------------------


@virtual
async def test_trains_travel_as_single_datagrams() -> None:
    network = MemoryNetwork()
    a, _ = await network.datagrams(A)
    b, _ = await network.datagrams(B)
    buffer = bytearray(b"aabbc")
    assert a.send_now([Train(memoryview(buffer), 2, TO_B), one(b"nowhere", None)]) == ()
    buffer[:] = bytes(5)  # it is the sender's again
    network.inject(Datagram(b"", A, B))  # says nothing
    assert [train.data for train in await b.receive()] == [b"aa", b"bb", b"c"]


@virtual
async def test_a_stream_takes_what_its_window_has_room_for() -> None:
    ours, theirs = stream_pair(window_bytes=10)
    buffer = bytearray(b"abcdefgh")
    trains = [one(memoryview(buffer), None), one(b"ijklm", None), one(b"n", None)]
    rest = ours.send_now(trains)
    assert [bytes(train.data) for train in rest] == [b"klm", b"n"]
    assert [bytes(train.data) for train in ours.send_now(rest)] == [b"klm", b"n"]
    buffer[:] = bytes(8)  # what has gone is the sender's again
    assert await theirs.receive() == (one(b"abcdefghij", None),)
    assert ours.send_now(rest) == ()
    assert await theirs.receive() == (one(b"klmn", None),)


async def _carriers() -> list[Carrier]:
    datagrams, _ = await MemoryNetwork().datagrams(A)
    return [datagrams, stream_pair()[0]]


@virtual
async def test_an_interrupt_ends_a_receive_and_is_not_remembered() -> None:
    for carrier in await _carriers():

        async def receive(carrier: Carrier = carrier) -> None:
            with pytest.raises(Interrupted):
                await carrier.receive()

        carrier.interrupt()  # nobody waits
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            carrier.interrupt()


@virtual
async def test_what_is_handed_to_a_closed_carrier_is_lost() -> None:
    for carrier in await _carriers():
        await carrier.aclose()
        assert carrier.send_now([one(b"x", TO_B)]) == ()
        with pytest.raises(trio.ClosedResourceError):
            await carrier.send([one(b"x", TO_B)])
        with pytest.raises(trio.ClosedResourceError):
            await carrier.receive()
