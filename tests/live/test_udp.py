"""The UDP carrier on real sockets: the same datagrams whatever the system does for us, and nothing that stops it."""

import errno
import socket
from itertools import product

import pytest
import trio
import trio.testing

from nodes.carriers import Offload, SystemNetwork, UdpCarrier, offload
from nodes.config.endpoint import Endpoint
from nodes.ports import Interrupted
from protocols.errors import ConfigError
from protocols.guards.address import ip_address
from protocols.link.train import Train, one
from tests.live.carriers import ALL, Scripted, at, datagrams_of, gather, pattern
from tests.live.kit import DEADLINE_S, LOOPBACK

every = pytest.mark.parametrize(("sends", "receives"), list(product(ALL, ALL)), ids=str)
both_receives = pytest.mark.parametrize("receives", [Offload.NONE, Offload.AUTO], ids=str)


async def _bind(host: str, offload: Offload) -> UdpCarrier:
    try:
        return await UdpCarrier.bind(Endpoint(host, 0), offload)
    except ConfigError as error:
        pytest.skip(f"not here: {error}")


# --- the same datagrams -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@every
async def test_datagrams_arrive_as_they_were(sends: Offload, receives: Offload, host: str) -> None:
    """Odd last segments, single ones, trains beyond 64 segments and 64 KiB, two senders, in order."""
    a, b, receiver = await _bind(host, sends), await _bind(host, sends), await _bind(host, receives)
    to = at(receiver)
    shapes = [(1, 1), (3_000, 1_000), (2_999, 1_000), (1_001, 1_000), (70, 1), (1_244 * 52, 1_244)]
    shapes += [(1_244 * 60 + 5, 1_244), (100_000, 30_000), (200, 200), (65_000, 65_000), (6_000, 50)]
    with trio.fail_after(DEADLINE_S):
        for number, shape in enumerate(shapes):
            train = Train(pattern(shape[0], number), shape[1], to)
            await a.send([train])
            await b.send([train, one(b"\xff", to)])
            alone = datagrams_of([train])
            found = await gather(receiver, 2 * len(alone) + 1)
            for sender, more in ((a, []), (b, [b"\xff"])):
                own = [data for address, data in found if address == at(sender)]
                assert own == [data for _, data in alone] + more
        assert (a.lost, b.lost) == (0, 0)
        for carrier in (a, b, receiver):
            await carrier.aclose()


@both_receives
async def test_what_arrives_may_be_written_into_until_the_next_receive(receives: Offload) -> None:
    sender, receiver = await _bind("127.0.0.1", Offload.AUTO), await _bind("127.0.0.1", receives)
    with trio.fail_after(DEADLINE_S):
        for _ in range(2):
            await sender.send([Train(pattern(300), 100, at(receiver))])
            (train,) = await receiver.receive()
            assert isinstance(train.data, memoryview)
            assert (bytes(train.data), train.segment_bytes) == (pattern(300), 100)
            train.data[:] = bytes(300)
    await sender.aclose()
    await receiver.aclose()


async def test_a_flood_of_small_datagrams_leaves_others_their_turn() -> None:
    """Trains that the system joined count by their datagrams: what one ``receive`` gives is bounded work."""
    sender, receiver = await _bind("127.0.0.1", Offload.AUTO), await _bind("127.0.0.1", Offload.AUTO)
    found = 0
    with trio.fail_after(DEADLINE_S):
        for _ in range(16):
            await sender.send([Train(pattern(64 * 40), 40, at(receiver))])
        while found < 16 * 64:
            taken = sum(train.segments for train in await receiver.receive())
            assert taken < 256 + 64
            found += taken
    await sender.aclose()
    await receiver.aclose()


async def test_a_socket_of_ipv6_speaks_ipv4_too() -> None:
    six, four = await _bind("::", Offload.AUTO), await _bind("127.0.0.1", Offload.AUTO)
    there = ip_address("127.0.0.1", six.endpoint.port)
    with trio.fail_after(DEADLINE_S):
        await four.send([Train(pattern(300), 100, there)])
        assert await gather(six, 3) == datagrams_of([Train(pattern(300), 100, at(four))])
        await six.send([Train(pattern(250), 100, at(four))])
        assert await gather(four, 3) == datagrams_of([Train(pattern(250), 100, there)])
    assert (six.max_datagram_bytes, four.max_datagram_bytes) == (65_487, 65_507)
    await six.aclose()
    await four.aclose()


@both_receives
async def test_one_receive_takes_a_share_and_the_next_goes_on(receives: Offload) -> None:
    sender, receiver = await _bind("127.0.0.1", Offload.NONE), await _bind("127.0.0.1", receives)
    with trio.fail_after(DEADLINE_S):
        await sender.send([Train(pattern(200 * 100), 100, at(receiver))])
        shares: list[int] = []
        found = 0
        while found < 200:
            trains = await receiver.receive()
            shares.append(sum(train.segments for train in trains))
            found += shares[-1]
        assert max(shares) <= 64
        async with trio.open_nursery() as nursery:  # and nothing is left
            nursery.start_soon(receiver.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await sender.send([one(pattern(40_000), at(receiver))] * 12)
        assert sum(len(train.data) for train in await receiver.receive()) <= 4 * 65_536
    await sender.aclose()
    await receiver.aclose()


@both_receives
async def test_a_conversation_does_not_slow_a_flood_that_follows(receives: Offload) -> None:
    """After lone datagrams the carrier looks less often for a second one, but it does look."""
    a, b = await _bind("127.0.0.1", Offload.NONE), await _bind("127.0.0.1", receives)
    with trio.fail_after(DEADLINE_S):
        for number in range(20):
            await a.send([one(b"%d" % number, at(b))])
            assert await gather(b, 1) == [(at(a), b"%d" % number)]
        await a.send([one(b"%d" % number, at(b)) for number in range(64)])
        found: list[bytes] = []
        receives_made = 0
        while len(found) < 64:
            found += [data for _, data in datagrams_of(await b.receive())]
            receives_made += 1
        assert found == [b"%d" % number for number in range(64)]
        assert receives_made <= 9
    await a.aclose()
    await b.aclose()


async def test_datagrams_of_no_bytes_are_left_out() -> None:
    receiver = await _bind("127.0.0.1", Offload.AUTO)
    with trio.fail_after(DEADLINE_S), socket.socket(type=socket.SOCK_DGRAM) as sender:
        for data in (b"", b"a", b"", b"b"):
            sender.sendto(data, ("127.0.0.1", receiver.endpoint.port))
        assert [data for _, data in await gather(receiver, 2)] == [b"a", b"b"]
    await receiver.aclose()


# --- what the system has not, or refuses ------------------------------------------------------------


async def test_the_network_says_what_is_left_to_the_system() -> None:
    for wanted in ALL:
        network = SystemNetwork(wanted)
        carrier, where = await network.datagrams(LOOPBACK)
        other, _ = await network.datagrams_towards(where)
        assert carrier.offload == other.offload == wanted & offload.available()
        await carrier.aclose()
        await other.aclose()


async def test_a_system_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "available", lambda: Offload.NONE)
    a, b = await _bind("127.0.0.1", Offload.AUTO), await _bind("127.0.0.1", Offload.AUTO)
    assert a.offload is Offload.NONE
    train = Train(pattern(2_500), 1_000, at(b))
    with trio.fail_after(DEADLINE_S):
        await a.send([train])
        assert [data for _, data in await gather(b, 3)] == [data for _, data in datagrams_of([train])]
    await a.aclose()
    await b.aclose()


async def _scripted() -> tuple[Scripted, UdpCarrier, UdpCarrier]:
    """A carrier that sends trains, whatever system this is, on a socket that obeys; and one that receives."""
    sock = Scripted()
    carrier = UdpCarrier(sock)
    if Offload.SEND not in carrier.offload:
        pytest.skip("no UDP_SEGMENT here")
    return sock, carrier, await _bind("127.0.0.1", Offload.NONE)


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.ENOTSUP])
async def test_a_device_that_cannot_cut_gets_single_datagrams_from_then_on(number: int) -> None:
    sock, carrier, receiver = await _scripted()
    sock.on_sendmsg.append(number)
    train = Train(pattern(2_500), 1_000, at(receiver))
    with trio.fail_after(DEADLINE_S):
        await carrier.send([train, train])
        wanted = [data for _, data in datagrams_of([train, train])]
        assert [data for _, data in await gather(receiver, 6)] == wanted
    assert sock.calls == ["sendmsg"] + ["sendto"] * 6
    assert carrier.lost == 0
    assert Offload.SEND not in carrier.offload
    await carrier.aclose()
    await receiver.aclose()


async def test_segments_too_large_for_the_path_are_lost_and_nothing_else() -> None:
    sock, carrier, receiver = await _scripted()
    sock.on_sendmsg.append(errno.EINVAL)
    sock.on_sendto.append(errno.EMSGSIZE)
    good = Train(pattern(300), 100, at(receiver))
    with trio.fail_after(DEADLINE_S):
        await carrier.send([good._replace(data=pattern(950)), good])
        assert [data for _, data in await gather(receiver, 3)] == [data for _, data in datagrams_of([good])]
    assert sock.calls == ["sendmsg", "sendto", "sendmsg"]
    assert carrier.lost == 10
    assert Offload.SEND in carrier.offload
    await carrier.aclose()
    await receiver.aclose()


async def test_a_train_that_the_system_refuses_for_another_reason_is_lost() -> None:
    sock, carrier, receiver = await _scripted()
    sock.on_sendmsg.append(errno.EPERM)
    await carrier.send([Train(pattern(301), 100, at(receiver))])
    assert sock.calls == ["sendmsg"]
    assert carrier.lost == 4
    assert Offload.SEND in carrier.offload
    await carrier.aclose()
    await receiver.aclose()


async def test_where_there_is_no_room_the_rest_comes_back_in_order() -> None:
    sock, carrier, receiver = await _scripted()
    to = at(receiver)
    first, second = Train(pattern(70 * 100), 100, to), one(b"z", to)
    sock.on_sendmsg += [None, errno.EAGAIN]
    rest = carrier.send_now([first, second])
    assert datagrams_of(rest) == datagrams_of([first, second])[64:]
    with trio.fail_after(DEADLINE_S):
        sock.on_sendto += [errno.EAGAIN, errno.EAGAIN]  # as a train the rest has room; the single one waits
        await carrier.send(rest)
        assert [data for _, data in await gather(receiver, 71)] == [data for _, data in datagrams_of([first, second])]
    assert carrier.lost == 0
    await carrier.aclose()
    await receiver.aclose()


async def test_no_room_in_the_middle_of_finding_out_who_cannot_cut() -> None:
    sock, carrier, receiver = await _scripted()
    train = Train(pattern(350), 100, at(receiver))
    sock.on_sendmsg.append(errno.EIO)
    sock.on_sendto.append(errno.EAGAIN)
    assert carrier.send_now([train]) == (train,)  # not known yet
    assert Offload.SEND in carrier.offload
    sock.on_sendmsg.append(errno.EIO)
    sock.on_sendto += [None, None, errno.EAGAIN]
    rest = carrier.send_now([train])
    assert datagrams_of(rest) == datagrams_of([train])[2:]
    assert Offload.SEND not in carrier.offload
    assert carrier.send_now(rest) == ()
    with trio.fail_after(DEADLINE_S):
        assert [data for _, data in await gather(receiver, 4)] == [data for _, data in datagrams_of([train])]
    await carrier.aclose()
    await receiver.aclose()


async def test_an_error_of_an_earlier_datagram_stops_no_receiver() -> None:
    sock = Scripted()
    carrier = UdpCarrier(sock, Offload.NONE)
    sock.on_receive += [errno.ECONNREFUSED, errno.EHOSTUNREACH]
    with trio.fail_after(DEADLINE_S):
        await carrier.send([one(b"x", at(carrier))])
        assert await gather(carrier, 1) == [(at(carrier), b"x")]
    await carrier.aclose()


async def test_many_peers_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.carriers.udp._ADDRESSES", 2)
    carrier = await _bind("127.0.0.1", Offload.AUTO)
    others = [await _bind("127.0.0.1", Offload.AUTO) for _ in range(5)]
    with trio.fail_after(DEADLINE_S):
        for _ in range(2):
            await carrier.send([one(b"?", at(other)) for other in others])
            for other in others:
                ((origin, _),) = await gather(other, 1)
                await other.send([one(b"!", origin)])
            assert {origin for origin, _ in await gather(carrier, 5)} == {at(other) for other in others}
    for each in (carrier, *others):
        await each.aclose()


# --- waiting and closing ----------------------------------------------------------------------------


async def test_closing_ends_who_waits_and_loses_what_comes_after() -> None:
    sock = Scripted()
    carrier = UdpCarrier(sock, Offload.NONE)
    there = one(b"x", ip_address("127.0.0.1", 9))
    sock.on_sendto.extend([errno.EAGAIN] * 100_000)  # there is never room

    async def send() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await carrier.send([there])

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await carrier.receive()

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(receive)
            for _ in range(10):  # they go round and round, or wait
                await trio.lowlevel.checkpoint()
            await carrier.aclose()
        await send()
        await receive()
        assert carrier.send_now([there]) == ()
        carrier.interrupt()
        await carrier.aclose()


async def test_an_interrupt_ends_a_receive_and_nothing_else() -> None:
    carrier = await _bind("127.0.0.1", Offload.AUTO)
    ended: list[str] = []

    async def receive() -> None:
        try:
            await carrier.receive()
        except Interrupted:
            ended.append("interrupted")
        else:
            ended.append("data")

    with trio.fail_after(DEADLINE_S):
        carrier.interrupt()  # nobody waits: it is not remembered
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            assert not ended
            carrier.interrupt()
        await carrier.send([one(b"x", at(carrier))])
        await receive()
        assert ended == ["interrupted", "data"]
    await carrier.aclose()


async def test_an_interrupt_of_a_receive_that_has_yet_to_look() -> None:
    carrier = await _bind("127.0.0.1", Offload.AUTO)
    ended: list[str] = []

    async def receive() -> None:
        with pytest.raises(Interrupted):
            await carrier.receive()
        ended.append("interrupted")

    with trio.fail_after(DEADLINE_S):
        await carrier.send([one(b"%d" % number, at(carrier)) for number in range(64)])
        assert len(datagrams_of(await carrier.receive())) == 64
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(_call_soon, carrier)
        assert ended == ["interrupted"]
    await carrier.aclose()


async def _call_soon(carrier: UdpCarrier) -> None:
    await trio.lowlevel.checkpoint()
    carrier.interrupt()


async def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    carrier = await _bind("127.0.0.1", Offload.AUTO)
    with trio.fail_after(DEADLINE_S):
        await carrier.send([one(b"x", at(carrier))])
        with trio.CancelScope() as scope:
            scope.cancel()
            await carrier.receive()
        assert await gather(carrier, 1) == [(at(carrier), b"x")]
    await carrier.aclose()
