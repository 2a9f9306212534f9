"""Drone and remote controller on real sockets: life, death, restarts, slow and hostile neighbours."""

import errno
import gc
import hashlib
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.testing

from nodes import Drone, Endpoint, IncomingObject, Link, LinkClosedError, RemoteController, Stores
from nodes.carriers import SystemNetwork, TcpCarrier, TcpListener, UdpCarrier
from nodes.ports import CarrierName
from nodes.stores.memory import MemoryKeyStore
from protocols.crypto.keys import StaticKey
from protocols.errors import ConfigError, LinkTimeoutError, StorageError
from protocols.events import AlarmKind, BulkStatus, CommandReceived, DownReason, SendCommand
from protocols.guards.address import ip_address
from protocols.link.config import LinkConfig
from protocols.link.train import Train, one
from specs.registry import ChannelId, CloseCode
from tests.live.kit import (
    CARRIERS,
    CLASSICAL,
    DEADLINE_S,
    LOOPBACK,
    PATIENT,
    QUICK,
    Pair,
    config_of,
    echo,
    linked,
    make_key,
    paired,
    state_with_key,
    stores_in,
    stores_of,
    until,
)

FAST = config_of(CLASSICAL)
both = pytest.mark.parametrize("carrier", CARRIERS)


def open_sockets() -> int:
    """Sockets of this process that are not trio's own."""
    gc.collect()
    links: list[str] = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(fd.readlink()))
    return sum(link.startswith("socket:") for link in links)


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# --- life and death -----------------------------------------------------------------------------


@both
async def test_an_exception_of_the_user_leaves_both_blocks_as_it_was(carrier: CarrierName) -> None:
    sockets, before = open_sockets(), tasks()
    error = LookupError("mine")

    async def block() -> None:
        async with linked(carrier):
            raise error

    with trio.fail_after(DEADLINE_S), pytest.raises(LookupError) as caught:
        await block()
    assert caught.value is error
    assert (open_sockets(), tasks()) == (sockets, before)


@both
async def test_cancellation_closes_everything_and_says_goodbye(carrier: CarrierName) -> None:
    sockets, before = open_sockets(), tasks()
    pair = await paired()
    links: list[Link] = []
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone:
            where = await drone.listen(LOOPBACK, carrier)
            async with trio.open_nursery() as nursery:

                async def controller() -> None:
                    async with RemoteController(pair.rc, FAST) as rc:
                        links.append(await rc.connect(pair.drone_id, where, carrier))
                        await trio.sleep_forever()

                nursery.start_soon(controller)
                link = await drone.next_link()
                await until(lambda: bool(links))
                nursery.cancel_scope.cancel()
            down = await link.wait_down()
            assert down.reason is DownReason.PEER_CLOSED
            assert down.code is CloseCode.GOING_AWAY
            assert links[0].down is not None
            assert not drone.links
    assert (open_sockets(), tasks()) == (sockets, before)


@both
async def test_a_drone_that_ends_says_goodbye_to_all_and_frees_its_port(carrier: CarrierName) -> None:
    sockets = open_sockets()
    with trio.fail_after(DEADLINE_S):
        pair = await paired()
        async with RemoteController(pair.rc, FAST) as rc:
            async with Drone(pair.drone, FAST) as drone:
                where = await drone.listen(LOOPBACK, carrier)
                link = await rc.connect(pair.drone_id, where, carrier)
                await drone.next_link()
            assert (await link.wait_down()).reason is DownReason.PEER_CLOSED
            async with Drone(pair.drone, FAST) as drone:
                assert await drone.listen(where, carrier) == where
    assert open_sockets() == sockets


async def test_who_waits_for_links_is_told_that_the_drone_has_ended() -> None:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery, Drone(stores_of(), FAST) as drone:

            async def next_link() -> None:
                with pytest.raises(LinkClosedError):
                    await drone.next_link()

            async def each_link() -> None:
                async for _ in drone.each_link():
                    raise AssertionError  # pragma: no cover

            nursery.start_soon(next_link)
            nursery.start_soon(each_link)
            await trio.testing.wait_all_tasks_blocked()


async def test_nodes_live_in_a_nursery_of_the_user() -> None:
    pair = await paired()
    where: list[Endpoint] = []
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:

            async def fly() -> None:
                async with Drone(pair.drone, FAST) as drone:
                    where.append(await drone.listen(LOOPBACK))
                    async for link in drone.each_link():
                        nursery.start_soon(echo, link)

            nursery.start_soon(fly)
            await until(lambda: bool(where))
            async with RemoteController(pair.rc, FAST) as rc:
                link = await rc.connect(pair.drone_id, where[0])
                assert await link.request(b"?") == b"?"
            nursery.cancel_scope.cancel()


async def test_a_node_outside_of_its_block() -> None:
    pair = await paired()
    rc = RemoteController(pair.rc, FAST)
    with pytest.raises(RuntimeError, match="async with"):
        _ = rc.identity


@both
async def test_a_cancelled_attempt_leaves_nothing(carrier: CarrierName) -> None:
    sockets = open_sockets()
    pair = await paired()
    nobody = socket.socket(type=socket.SOCK_DGRAM if carrier == "udp" else socket.SOCK_STREAM)
    nobody.bind(("127.0.0.1", 0))
    if carrier == "tcp":
        nobody.listen()
    where = Endpoint(*nobody.getsockname())
    with nobody, trio.fail_after(DEADLINE_S):
        async with RemoteController(pair.rc, FAST) as rc:
            before = tasks()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(rc.connect, pair.drone_id, where, carrier)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            await until(lambda: tasks() == before)
    assert open_sockets() == sockets


# --- several, again, restarted ------------------------------------------------------------------


@both
async def test_several_controllers_on_one_drone(carrier: CarrierName) -> None:
    drone_stores = stores_of()
    with trio.fail_after(DEADLINE_S):
        async with Drone(drone_stores, FAST) as drone, trio.open_nursery() as nursery:
            where = await drone.listen(LOOPBACK, carrier)
            pairing = trio.Lock()  # a code serves one device

            async def serve() -> None:
                async for link in drone.each_link():
                    nursery.start_soon(echo, link)

            nursery.start_soon(serve)
            answers: list[bytes] = []
            finished = trio.Event()

            async def control(number: int) -> None:
                async with RemoteController(stores_of(), FAST) as rc:
                    async with pairing:
                        peer = await rc.pair(drone.open_pairing(), where, carrier)
                    link = await rc.connect(peer.key_id, where, carrier)
                    answers.append(await link.request(bytes([number])))
                    await finished.wait()

            async with trio.open_nursery() as controllers:
                for number in range(5):
                    controllers.start_soon(control, number)
                await until(lambda: len(answers) == 5)
                assert len(drone.links) == 5
                finished.set()
            assert sorted(answers) == [bytes([number]) for number in range(5)]
            counters = drone.handshake_counters()
            assert counters["paired"] == counters["confirmed"] == 5
            nursery.cancel_scope.cancel()


@both
async def test_a_link_after_both_restarted_with_their_state_folders(carrier: CarrierName, tmp_path: Path) -> None:
    where = LOOPBACK
    key_id = b""
    with trio.fail_after(DEADLINE_S):
        for round_ in range(3):
            with state_with_key(tmp_path / "drone") as drone_state, state_with_key(tmp_path / "rc") as rc_state:
                async with (
                    Drone(stores_in(drone_state), FAST) as drone,
                    RemoteController(stores_in(rc_state), FAST) as rc,
                ):
                    where = await drone.listen(where, carrier)
                    if round_ == 0:
                        key_id = (await rc.pair(drone.open_pairing(), where, carrier)).key_id
                    link = await rc.connect(key_id, where, carrier)
                    link.send_now(SendCommand(ChannelId.COMMAND, b"hello"))
                    assert isinstance(await (await drone.next_link()).receive(), CommandReceived)
                    assert not drone.alarms
                    assert not rc.alarms


@both
async def test_a_controller_reconnects_when_the_drone_comes_back(carrier: CarrierName) -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(pair.rc, FAST) as rc:
            where = LOOPBACK
            for _ in range(2):
                async with Drone(pair.drone, FAST) as drone, trio.open_nursery() as nursery:
                    where = await drone.listen(where, carrier)
                    link = await rc.connect(pair.drone_id, where, carrier)
                    nursery.start_soon(echo, await drone.next_link())
                    assert await link.request(b"?") == b"?"
                    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("first", "second"), [("udp", "udp"), ("tcp", "tcp"), ("udp", "tcp"), ("tcp", "udp")])
async def test_a_new_association_replaces_the_old_one(first: CarrierName, second: CarrierName) -> None:
    """LK-73, whatever the carriers: a controller that lost its network comes again, and the drone has one link."""
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            places = {carrier: await drone.listen(LOOPBACK, carrier) for carrier in CARRIERS}
            await rc.connect(pair.drone_id, places[first], first)
            old = await drone.next_link()
            await rc.connect(pair.drone_id, places[second], second)
            new = await drone.next_link()
            assert (await old.wait_down()).reason is DownReason.REPLACED
            assert list(drone.links.values()) == [new]
            assert new.down is None


async def test_links_that_nobody_takes_do_not_pile_up() -> None:
    pair = await paired()
    often = replace(FAST, source_initiations_burst=100.0)
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, often) as drone, RemoteController(pair.rc, FAST) as rc:
            where = await drone.listen(LOOPBACK, "tcp")
            for _ in range(70):
                link = await rc.connect(pair.drone_id, where, "tcp")
                await until(lambda: len(drone.links) == 1)
                await link.close()
                await until(lambda: not drone.links)
            taken: list[Link] = []

            async def take() -> None:
                async for each in drone.each_link():
                    taken.append(each)  # noqa: PERF401  # it never ends

            async with trio.open_nursery() as nursery:
                nursery.start_soon(take)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            assert len(taken) == 64


@both
async def test_work_in_threads(carrier: CarrierName) -> None:
    pair = await paired()
    config = LinkConfig(handshake_retry_s=PATIENT.handshake_retry_s)
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, config, work_in_threads=True) as drone,
            RemoteController(pair.rc, config, work_in_threads=True) as rc,
        ):
            where = await drone.listen(LOOPBACK, carrier)
            link = await rc.connect(pair.drone_id, where, carrier)
            assert link.up.suite == config.suites[0].name


@dataclass
class SlowKey:
    """A key in a device: it answers when the test lets it."""

    inner: StaticKey
    begun: trio.Event
    token: trio.lowlevel.TrioToken
    answer: bool = True

    @property
    def dh(self) -> str:
        return self.inner.dh

    @property
    def public(self) -> bytes:
        return self.inner.public

    def exchange(self, peer_public: bytes) -> bytes:
        self.token.run_sync_soon(self.begun.set)
        if not self.answer:
            raise OSError("the token was pulled out")
        return self.inner.exchange(peer_public)


def _with_slow_key(pair: Pair, stores: Stores, *, answer: bool) -> tuple[Stores, SlowKey]:
    key = pair.drone_key if stores is pair.drone else pair.rc_key
    slow = SlowKey(key, trio.Event(), trio.lowlevel.current_trio_token(), answer)
    return Stores(MemoryKeyStore([slow]), stores.peers, stores.counters), slow


async def test_a_drone_ends_in_the_middle_of_work_in_a_thread() -> None:
    pair = await paired()
    stores, key = _with_slow_key(pair, pair.drone, answer=True)
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(pair.rc, FAST) as rc, trio.open_nursery() as nursery:
            async with Drone(stores, FAST, work_in_threads=True) as drone:
                where = await drone.listen(LOOPBACK)
                nursery.start_soon(rc.connect, pair.drone_id, where)
                await key.begun.wait()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("threads", [False, True])
async def test_a_key_that_fails_costs_a_handshake_and_no_node(threads: bool) -> None:
    pair = await paired()
    rc_stores, rc_key = _with_slow_key(pair, pair.rc, answer=False)
    drone_stores, drone_key = _with_slow_key(pair, pair.drone, answer=True)
    quick = config_of(CLASSICAL, QUICK)
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(drone_stores, quick, work_in_threads=threads) as drone,
            RemoteController(rc_stores, quick, work_in_threads=threads) as rc,
        ):
            where = await drone.listen(LOOPBACK)
            with pytest.raises(StorageError, match="static key failed: OSError"):
                await rc.connect(pair.drone_id, where)
            rc_key.answer, drone_key.answer = True, False
            with pytest.raises(LinkTimeoutError):
                await rc.connect(pair.drone_id, where)
            assert {alarm.kind for alarm in (*rc.alarms, *drone.alarms)} == {AlarmKind.KEY_FAILED}
            drone_key.answer = True
            await rc.connect(pair.drone_id, where)


# --- TCP neighbours -----------------------------------------------------------------------------


async def _idle(where: Endpoint, count: int, source: str) -> list[socket.socket]:
    streams: list[socket.socket] = []
    for _ in range(count):
        stream = socket.socket()
        stream.bind((source, 0))
        stream.setblocking(False)
        stream.connect_ex((where.host, where.port))
        await trio.lowlevel.wait_writable(stream)
        streams.append(stream)
    return streams


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["same address", "another address"])
async def test_a_hundred_idle_streams_do_not_keep_a_good_one_out(source: str) -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, FAST) as drone,
            RemoteController(pair.rc, FAST) as rc,
            trio.open_nursery() as nursery,
        ):
            where = await drone.listen(LOOPBACK, "tcp")
            idle = await _idle(where, 100, source)
            link = await rc.connect(pair.drone_id, where, "tcp")
            nursery.start_soon(echo, await drone.next_link())
            assert await link.request(b"?") == b"?"
            assert drone.streams_refused >= 100 - drone.max_unauthenticated_streams
            idle += await _idle(where, 100, source)  # and they do not push a link out either
            assert await link.request(b"?") == b"?"
            for stream in idle:
                stream.close()
            nursery.cancel_scope.cancel()


async def test_the_busiest_source_gives_way() -> None:
    with trio.fail_after(DEADLINE_S):
        async with Drone(stores_of(), replace(FAST, handshake_deadline_s=60.0)) as drone:
            drone.max_unauthenticated_streams = 4
            where = await drone.listen(LOOPBACK, "tcp")
            lonely = await _idle(where, 1, "127.0.0.2")
            many = await _idle(where, 8, "127.0.0.3")
            await until(lambda: drone.streams_refused == 5)
            lonely[0].setblocking(False)
            with pytest.raises(BlockingIOError):
                lonely[0].recv(1)  # still open
            ended = 0
            for stream in many[:5]:  # the oldest
                await trio.lowlevel.wait_readable(stream)
                ended += stream.recv(1) == b""
            assert ended == 5
            for stream in (*lonely, *many):
                stream.close()


async def test_the_deadline_of_the_handshake_closes_a_silent_stream() -> None:
    config = replace(FAST, handshake_deadline_s=0.2)
    with trio.fail_after(DEADLINE_S):
        async with Drone(stores_of(), config) as drone:
            where = await drone.listen(LOOPBACK, "tcp")
            (stream,) = await _idle(where, 1, "127.0.0.1")
            with stream:
                await trio.lowlevel.wait_readable(stream)
                assert stream.recv(1) == b""


async def test_garbage_ends_a_stream_and_nothing_else() -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            where = await drone.listen(LOOPBACK, "tcp")
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(5_000), b"\xff" * 70_000):
                (stream,) = await _idle(where, 1, "127.0.0.1")
                with stream:
                    stream.send(garbage)
                    await trio.lowlevel.wait_readable(stream)
                    assert stream.recv(1) == b""
            await rc.connect(pair.drone_id, where, "tcp")
            assert drone.handshake_counters()["malformed"] == 3


class Stalling(TcpCarrier):
    """A stream whose owner stops reading."""

    stalled = False

    async def receive(self) -> Sequence[Train]:
        if self.stalled:
            await trio.sleep_forever()
        return await super().receive()


class StallingNetwork(SystemNetwork):
    """Gives out streams that can be stalled."""

    def __init__(self) -> None:
        super().__init__()
        self.streams_made: list[Stalling] = []

    async def stream_towards(self, endpoint: Endpoint) -> Stalling:
        carrier = await Stalling.towards(endpoint)
        self.streams_made.append(carrier)
        return carrier


async def test_a_peer_that_stops_reading_holds_nobody_up() -> None:
    """Neither while links live, nor when the drone says goodbye, nor when its own link is over."""
    lazy, busy = await paired(), await paired()
    record = await lazy.drone.peers.find(lazy.rc_id)
    assert record is not None
    drone_record = await busy.rc.peers.find(busy.drone_id)
    assert drone_record is not None
    await busy.drone.peers.put(record)
    await lazy.rc.peers.put(drone_record)
    network = StallingNetwork()
    config = replace(FAST, dead_after_s=1.0, keepalive_s=0.2)
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(busy.rc, FAST) as good, RemoteController(lazy.rc, FAST, network=network) as bad:
            async with Drone(busy.drone, config) as drone, trio.open_nursery() as nursery:
                where = await drone.listen(LOOPBACK, "tcp")
                await bad.connect(busy.drone_id, where, "tcp")
                stuck = await drone.next_link()
                link = await good.connect(busy.drone_id, where, "tcp")
                nursery.start_soon(echo, await drone.next_link())
                network.streams_made[0].stalled = True
                nursery.start_soon(_offer_until_down, stuck)
                nursery.start_soon(_say_until_down, stuck)
                for _ in range(50):
                    assert await link.request(bytes(1_000)) == bytes(1_000)
                before = open_sockets()
                down = await stuck.wait_down()
                assert down.reason is DownReason.TIMEOUT  # the other end does not answer pings that it does not read
                await until(lambda: open_sockets() < before)  # its stream is closed, although it is full
                assert await link.request(b"?") == b"?"
                nursery.cancel_scope.cancel()
            assert (await link.wait_down()).reason is DownReason.PEER_CLOSED


async def _offer_until_down(link: Link) -> None:
    with pytest.raises(LinkClosedError):
        await link.send_object("log", bytes(32 << 20))


async def _say_until_down(link: Link) -> None:
    with suppress(LinkClosedError):
        while True:
            await link.send(SendCommand(ChannelId.COMMAND, bytes(60_000)))


async def test_a_peer_that_stops_reading_does_not_take_the_goodbye_of_others() -> None:
    lazy, busy = await paired(), await paired()
    record, drone_record = await lazy.drone.peers.find(lazy.rc_id), await busy.rc.peers.find(busy.drone_id)
    assert record is not None
    assert drone_record is not None
    await busy.drone.peers.put(record)
    await lazy.rc.peers.put(drone_record)
    network = StallingNetwork()
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(busy.rc, FAST) as good, RemoteController(lazy.rc, FAST, network=network) as bad:
            async with Drone(busy.drone, FAST) as drone:
                where = await drone.listen(LOOPBACK, "tcp")
                await bad.connect(busy.drone_id, where, "tcp")
                stuck = await drone.next_link()
                network.streams_made[0].stalled = True
                links = [await good.connect(busy.drone_id, where, "tcp")]
                await drone.next_link()
                with trio.move_on_after(0.5):
                    await _say_until_down(stuck)
            assert (await links[0].wait_down()).reason is DownReason.PEER_CLOSED


# --- work ---------------------------------------------------------------------------------------


@both
async def test_a_large_object_arrives_whole(carrier: CarrierName) -> None:
    data = os.urandom(1 << 20) * 6
    with trio.fail_after(DEADLINE_S):
        async with linked(carrier) as scene, trio.open_nursery() as nursery:
            outcomes: list[BulkStatus] = []

            async def send() -> None:
                outcomes.append(await scene.up.send_object("flight.tlog", data))

            nursery.start_soon(send)
            incoming = await scene.down.receive()
            assert isinstance(incoming, IncomingObject)
            digest = hashlib.sha256()
            async for chunk in incoming.chunks():
                digest.update(chunk)
            incoming.end(BulkStatus.OK)
            assert digest.digest() == incoming.offer.sha256 == hashlib.sha256(data).digest()
            await until(lambda: bool(outcomes))
            assert outcomes == [BulkStatus.OK]


@both
async def test_requests_of_both_ends_at_once(carrier: CarrierName) -> None:
    with trio.fail_after(DEADLINE_S):
        async with linked(carrier) as scene, trio.open_nursery() as nursery:
            nursery.start_soon(echo, scene.up)
            nursery.start_soon(echo, scene.down)
            answers: list[bool] = []

            async def ask(link: Link, data: bytes) -> None:
                answers.append(await link.request(data) == data)

            async with trio.open_nursery() as requests:
                for number in range(100):
                    for link in (scene.up, scene.down):
                        requests.start_soon(ask, link, os.urandom(number * 37))
            assert answers == [True] * 200
            nursery.cancel_scope.cancel()


@both
async def test_a_slow_reader_loses_no_command(carrier: CarrierName) -> None:
    count = 1_500
    with trio.fail_after(DEADLINE_S):
        async with linked(carrier) as scene, trio.open_nursery() as nursery:

            async def say() -> None:
                for number in range(count):
                    await scene.down.send(SendCommand(ChannelId.COMMAND, number.to_bytes(2, "big") + bytes(2_000)))

            nursery.start_soon(say)
            await until(lambda: scene.up.stats().channels.command.received > 1_000)
            for number in range(count):
                message = await scene.up.receive()
                assert isinstance(message, CommandReceived)
                assert message.data[:2] == number.to_bytes(2, "big")


# --- carriers -----------------------------------------------------------------------------------


async def test_a_datagram_that_cannot_be_sent_is_lost_and_counted() -> None:
    """A peer chooses where an answer goes: port 0, a broadcast address, a network that is not there."""
    carrier = await UdpCarrier.bind(LOOPBACK)
    receiver = await UdpCarrier.bind(LOOPBACK)
    good = ip_address("127.0.0.1", receiver.endpoint.port)
    places = [("127.0.0.1", 0), ("255.255.255.255", 9), ("127.0.0.1", 9)]
    with trio.fail_after(DEADLINE_S):
        await carrier.send([one(b"x", ip_address(*place)) for place in places])
        assert carrier.lost == 2
        await carrier.send([one(bytes(65_535), good), one(b"y", None), one(b"good", good)])
        assert carrier.lost == 3
        assert [train.data for train in await receiver.receive()] == [b"good"]
    await carrier.aclose()
    await receiver.aclose()


async def test_a_closed_datagram_carrier_says_so() -> None:
    carrier = await UdpCarrier.bind(LOOPBACK)
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await carrier.receive()

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await carrier.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await carrier.send([one(b"x", ip_address("127.0.0.1", 9))])


async def test_many_sources_are_forgotten_in_time() -> None:
    carrier = await UdpCarrier.bind(LOOPBACK)
    with trio.fail_after(DEADLINE_S), socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"1", ("127.0.0.1", carrier.endpoint.port))
        first = (await carrier.receive())[0].address
        sender.sendto(b"2", ("127.0.0.1", carrier.endpoint.port))
        assert (await carrier.receive())[0].address is first
    await carrier.aclose()


async def test_ipv6_where_there_is_any() -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            for carrier in CARRIERS:
                try:
                    where = await drone.listen(Endpoint("::1", 0), carrier)
                except ConfigError as error:
                    pytest.skip(f"no IPv6 here: {error}")
                await rc.connect(pair.drone_id, where, carrier)


async def test_an_address_family_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "no")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(trio.socket, "socket", no_socket)
    for attempt in (UdpCarrier.bind, TcpListener.bind, TcpCarrier.towards):
        with pytest.raises(ConfigError, match="does not speak that address family"):
            await attempt(Endpoint("::1", 1))


async def test_names_that_cannot_be() -> None:
    for host in ("nowhere.invalid", "a" * 300):
        with pytest.raises(ConfigError, match="no such host"):
            await UdpCarrier.bind(Endpoint(host, 1))


async def test_streams_wait_while_there_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    real = trio.SocketListener.accept
    failures = [OSError(errno.EMFILE, "Too many open files")]

    async def accept(listener: trio.SocketListener) -> trio.SocketStream:
        if failures:
            raise failures.pop()
        return await real(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", accept)
    with trio.fail_after(DEADLINE_S):
        async with linked("tcp") as scene:
            assert scene.up.down is None
    assert not failures


async def test_a_listener_that_fails_for_good_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(_: trio.SocketListener) -> trio.SocketStream:
        raise OSError(errno.EINVAL, "not listening")

    monkeypatch.setattr(trio.SocketListener, "accept", accept)

    async def block() -> None:
        async with Drone(stores_of(), FAST) as drone:
            await drone.listen(LOOPBACK, "tcp")
            await trio.sleep_forever()

    with trio.fail_after(DEADLINE_S), pytest.raises(OSError, match="not listening"):
        await block()


async def test_cancelling_a_connect_or_bind_leaves_no_socket() -> None:
    sockets = open_sockets()
    for attempt in (TcpListener.bind, TcpCarrier.towards):
        with trio.CancelScope() as scope:
            scope.cancel()
            await attempt(Endpoint("127.0.0.1", 9))
    assert open_sockets() == sockets


async def test_a_host_that_swallows_connections_is_given_up() -> None:
    """Its queue is full: the system drops what arrives, and would try for two minutes."""
    pair = await paired()
    config = replace(FAST, handshake_deadline_s=0.3)
    with trio.fail_after(DEADLINE_S), socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        where = Endpoint(*full.getsockname())
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((where.host, where.port))
        async with RemoteController(pair.rc, config) as rc:
            with pytest.raises(LinkTimeoutError, match="no answer from 127"):
                await rc.connect(pair.drone_id, where, "tcp")
        for filler in fillers:
            filler.close()


def test_keys_of_the_kit_are_new() -> None:
    assert make_key().public != make_key().public
