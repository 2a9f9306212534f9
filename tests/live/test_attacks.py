"""Attacks on real sockets, with the counters that show them; the machine-level ones are in tests/unit/link."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from nodes import Drone, Endpoint, RemoteController
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.keys import SystemKeySource
from protocols.errors import LinkTimeoutError
from protocols.events import AlarmKind, CommandReceived, SendCommand
from protocols.guards.address import ip_address
from protocols.link.client import Client
from protocols.link.config import Identity, LinkConfig
from protocols.link.peers import CounterBlock, PeerRecord
from protocols.pairing import LinkingCode
from specs.registry import CODE_LIFETIME_S, ChannelId, PacketType, Role
from tests.conftest import require_or_skip
from tests.live.kit import (
    CLASSICAL,
    DEADLINE_S,
    LOOPBACK,
    QUICK,
    config_of,
    echo,
    linked,
    paired,
    record_of,
    state_with_key,
    stores_in,
    stores_of,
    until,
)
from tests.live.relay import Relay, receive, relayed, stranger

FAST = config_of(CLASSICAL)
STRANGERS = 10_000


def kinds(node: Drone | RemoteController) -> list[AlarmKind]:
    return [alarm.kind for alarm in node.alarms]


def initiations(relay: Relay) -> list[bytes]:
    return [data for data in relay.upward if data[0] == PacketType.INITIATION]


# --- replay -------------------------------------------------------------------------------------


async def test_a_replayed_initiation_is_silence_also_after_both_restarted(tmp_path: Path) -> None:
    recorded: list[bytes] = []
    key_id = b""
    with trio.fail_after(DEADLINE_S):
        with state_with_key(tmp_path / "drone") as drone_state, state_with_key(tmp_path / "rc") as rc_state:
            async with Drone(stores_in(drone_state), FAST) as drone, RemoteController(stores_in(rc_state), FAST) as rc:
                where = await drone.listen(LOOPBACK)
                key_id = (await rc.pair(drone.open_pairing(), where)).key_id
                async with relayed(where) as relay:
                    link = await rc.connect(key_id, relay.endpoint)
                    await drone.next_link()
                    recorded += relay.upward
                    await _replay(where, recorded)
                    await until(lambda: drone.handshake_counters()["stale_counters"] == 1)
                    assert link.down is None
                    assert all(each.down is None for each in drone.links.values())
                    assert len(drone.links) == 1
        with state_with_key(tmp_path / "drone") as drone_state, state_with_key(tmp_path / "rc") as rc_state:
            async with Drone(stores_in(drone_state), FAST) as drone, RemoteController(stores_in(rc_state), FAST) as rc:
                where = await drone.listen(LOOPBACK)
                with stranger() as eve:
                    for data in recorded:
                        eve.sendto(data, (where.host, where.port))
                    await until(lambda: drone.handshake_counters()["stale_counters"] == 1)
                    with pytest.raises(BlockingIOError):
                        eve.recv(1)  # silence
                counters = drone.handshake_counters()
                assert counters["initiations"] == counters["public_key_jobs"] == 1
                assert counters["unknown_index"] == len(recorded) - 1
                assert counters["confirmed"] == 0
                assert kinds(drone) == [AlarmKind.STALE_COUNTER]
                assert not drone.links
                await rc.connect(key_id, where)  # the owner is not disturbed
                assert (await drone.next_link()).down is None


async def _replay(where: Endpoint, recorded: list[bytes]) -> None:
    with stranger() as eve:
        for data in recorded:
            eve.sendto(data, (where.host, where.port))
        await trio.lowlevel.checkpoint()


async def test_a_replayed_stream_ends_in_silence() -> None:
    """TCP: the bytes of a whole session, played again to a drone that restarted in between."""
    pair = await paired()
    async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
        with trio.fail_after(DEADLINE_S):
            where = await drone.listen(LOOPBACK, "tcp")
            listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
            recorded = bytearray()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_tcp_tap, listener[0], where, recorded)
                between = Endpoint(*listener[0].socket.getsockname())
                link = await rc.connect(pair.drone_id, between, "tcp")
                await drone.next_link()
                await link.close()
                await until(lambda: not drone.links)
                nursery.cancel_scope.cancel()
    async with Drone(pair.drone, FAST) as drone:
        with trio.fail_after(DEADLINE_S):
            where = await drone.listen(LOOPBACK, "tcp")
            async with await trio.open_tcp_stream(where.host, where.port) as eve:
                await eve.send_all(recorded)
                assert await _rest(eve) == b""
            counters = drone.handshake_counters()
            assert counters["stale_counters"] == counters["initiations"] == 1
            assert kinds(drone) == [AlarmKind.STALE_COUNTER]


async def _rest(stream: trio.SocketStream) -> bytes:
    try:
        return await stream.receive_some()
    except trio.BrokenResourceError:  # closed before all of it was read
        return b""


async def _tcp_tap(listener: trio.SocketListener, where: Endpoint, recorded: bytearray) -> None:
    async with (
        listener,
        await listener.accept() as front,
        await trio.open_tcp_stream(where.host, where.port) as back,
        trio.open_nursery() as nursery,
    ):

        async def down() -> None:
            async for data in back:
                await front.send_all(data)

        nursery.start_soon(down)
        async for data in front:
            recorded += data
            await back.send_all(data)
        nursery.cancel_scope.cancel()


# --- key-compromise impersonation ---------------------------------------------------------------


async def test_who_stole_the_key_of_the_drone_cannot_play_a_controller_to_it() -> None:
    """Message 1 can be forged with the responder's static key (es, ss); what follows needs the controller's own."""
    pair = await paired()
    rc_record = await pair.drone.peers.find(pair.rc_id)
    assert rc_record is not None
    drone_record = record_of(pair.drone_key, Role.DRONE)
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, FAST) as drone,
            RemoteController(pair.rc, FAST) as rc,
            trio.open_nursery() as nursery,
        ):
            where = await drone.listen(LOOPBACK)
            link = await rc.connect(pair.drone_id, where)
            nursery.start_soon(echo, await drone.next_link())
            forged = _ForgedKey(pair.rc_key.public, pair.drone_key)
            with stranger() as eve:
                client = _forger(forged, drone_record, where, counter=1_000_000)
                answers = await _handshake(client, eve, where)
                assert answers == 1  # the drone answers: message 1 looks right
                assert client.connection is None
                assert client.handshakes.failed == 1
            assert await link.request(b"still here?") == b"still here?"
            counters = drone.handshake_counters()
            assert counters["confirmed"] == 1
            assert len(drone.links) == 1
            await link.close()
            await rc.connect(pair.drone_id, where)  # its counters were not raised either
            nursery.cancel_scope.cancel()


class _ForgedKey:
    """The controller's public key, and the only agreement that a thief of the drone's key can compute."""

    dh = "P256"

    def __init__(self, public: bytes, stolen: SoftwareKey) -> None:
        self.public = public
        self._stolen = stolen

    def exchange(self, peer_public: bytes) -> bytes:
        if peer_public == self._stolen.public:  # ss
            return self._stolen.exchange(self.public)
        return os.urandom(32)  # se: the controller's private key would be needed


def _forger(key: _ForgedKey, drone: PeerRecord, where: Endpoint, counter: int) -> Client:
    client = Client(
        FAST,
        Identity(Role.RC, {"P256": key}),
        peer=drone,
        address=ip_address(where.host, where.port),
        key_source=SystemKeySource(),
        entropy=os.urandom,
    )
    client.start(0.0)
    client.add_counters(CounterBlock(counter, 64, bytes(16)), 0.0)
    return client


async def _handshake(client: Client, sock: socket.socket, where: Endpoint) -> int:
    """Run a machine by hand until one answer has come; return how many did."""
    _work(client)
    for data, _ in client.data_to_send(0.0):
        sock.sendto(data, (where.host, where.port))
    data, _ = await receive(sock)
    client.receive(data, 0.1, ip_address(where.host, where.port))
    _work(client)
    return int(data[0] == PacketType.RESPONSE)


def _work(client: Client) -> None:
    while (event := client.next_event()) is not None:
        job = getattr(event[1], "job", None)
        if job is not None:
            job.run()
            client.complete(job, 0.0)


# --- racer --------------------------------------------------------------------------------------


async def test_a_racer_who_resends_genuine_datagrams_does_not_become_the_peer() -> None:
    """He sits at the controller's side, is faster, and sends everything from his own address as well."""
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, FAST) as drone,
            RemoteController(pair.rc, FAST) as rc,
            trio.open_nursery() as nursery,
        ):
            where = await drone.listen(LOOPBACK)
            async with relayed(where) as relay:
                with stranger() as racer:
                    link = await rc.connect(pair.drone_id, relay.endpoint)
                    up = await drone.next_link()
                    nursery.start_soon(echo, up)
                    assert await link.request(b"first") == b"first"

                    def race(data: bytes) -> bool:
                        racer.sendto(data, (where.host, where.port))  # before the genuine one
                        return True

                    relay.pass_up = race
                    for number in range(30):
                        assert await link.request(b"%d" % number) == b"%d" % number
                    stats = up.stats().link
                    assert stats.moves == 0
                    assert stats.replays >= 30  # the genuine ones, which came second
                    assert stats.moves_refused >= 1
                    assert stats.failed_opens == 0
                    relay.pass_up = lambda _: True
                    assert await link.request(b"last") == b"last"
            nursery.cancel_scope.cancel()


async def test_a_controller_whose_address_changes_is_followed() -> None:
    """The counterpart: who really moved is found, after his new address answered a challenge."""
    pair = await paired()
    config = replace(FAST, keepalive_s=0.1)
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, config) as drone,
            RemoteController(pair.rc, config) as rc,
            trio.open_nursery() as nursery,
        ):
            where = await drone.listen(LOOPBACK)
            async with relayed(where) as relay:
                link = await rc.connect(pair.drone_id, relay.endpoint)
                up = await drone.next_link()
                nursery.start_soon(echo, up)
                assert await link.request(b"first") == b"first"
                relay.move()
                await until(lambda: up.stats().link.moves == 1)
                assert await link.request(b"from elsewhere") == b"from elsewhere"
                nursery.cancel_scope.cancel()


# --- floods -------------------------------------------------------------------------------------


async def _flood(where: Endpoint, packets: list[bytes]) -> None:
    """Send from many addresses, giving the drone its turn."""
    strangers = [stranger(f"127.0.{number % 200 + 1}.{number % 250 + 2}") for number in range(32)]
    for number, packet in enumerate(packets):
        strangers[number % len(strangers)].sendto(packet, (where.host, where.port))
        if number % 64 == 63:
            await trio.lowlevel.checkpoint()
    for each in strangers:
        each.close()


def _initiation(code: LinkingCode | None, peer: PeerRecord | None = None, config: LinkConfig = FAST) -> bytes:
    key = SystemKeySource().dh_key("P256")
    client = Client(
        config,
        Identity(Role.RC, {"P256": key}),
        peer=peer,
        code=code,
        address=ip_address("127.0.0.1", 1),
        key_source=SystemKeySource(),
        entropy=os.urandom,
    )
    client.start(0.0)
    client.add_counters(CounterBlock(1, 64, bytes(16)), 0.0)
    _work(client)
    ((data, _),) = client.data_to_send(0.0)
    return data


async def test_ten_thousand_strangers_do_not_stop_a_pairing() -> None:
    """They do not know the code: no public-key work, no memory, and the code lives on."""
    template = bytearray(_initiation(LinkingCode.generate(os.urandom)))
    packets: list[bytes] = []
    for _ in range(STRANGERS):
        template[4:8] = os.urandom(4)
        template[-32:-16] = os.urandom(16)  # a mac1 of their own
        packets.append(bytes(template))
    with trio.fail_after(DEADLINE_S):
        async with Drone(stores_of(), FAST) as drone, RemoteController(stores_of(), FAST) as rc:
            where = await drone.listen(LOOPBACK)
            code = drone.open_pairing(lifetime_s=CODE_LIFETIME_S)
            await _flood(where, packets[: STRANGERS // 2])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_flood, where, packets[STRANGERS // 2 :])
                peer = await rc.pair(code, where)
            await until(lambda: drone.handshake_counters()["initiations"] > STRANGERS // 2)
            counters = drone.handshake_counters()
            assert counters["wrong_mac1"] >= STRANGERS // 2  # the system may drop some before they reach us
            assert counters["public_key_jobs"] == 2  # messages 1 and 3 of the owner
            assert counters["tries_refused"] == counters["evicted"] == 0
            assert counters["paired"] == 1
            link = await rc.connect(peer.key_id, where)
            link.send_now(SendCommand(ChannelId.COMMAND, b"hello"))
            assert isinstance(await (await drone.next_link()).receive(), CommandReceived)


async def test_strangers_who_know_the_public_key_meet_cookies_and_limits() -> None:
    """Their mac1 is right. Load mode: work is bounded, an alarm is raised, and the owner still gets his link."""
    pair = await paired()
    config = replace(FAST, load_initiations_per_s=20.0)
    drone_record = record_of(pair.drone_key, Role.DRONE)
    packets = [_initiation(None, drone_record) for _ in range(60)] * 10
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, config) as drone, RemoteController(pair.rc, config) as rc:
            where = await drone.listen(LOOPBACK)
            await _flood(where, packets)
            await until(lambda: drone.handshake_counters()["initiations"] > 300)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_flood, where, packets)
                link = await rc.connect(pair.drone_id, where)
            counters = drone.handshake_counters()
            assert AlarmKind.LOAD_MODE in kinds(drone)
            assert counters["cookies_sent"] > 100
            assert counters["public_key_jobs"] < 120
            assert link.down is None


# --- wrong keys ---------------------------------------------------------------------------------


async def test_an_answer_to_a_port_that_does_not_exist_ends_nothing() -> None:
    """The source port of a datagram may say 0; whoever answers it is told "invalid argument" by the system."""
    pair = await paired()
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        require_or_skip("forging a source port needs root or CAP_NET_RAW")
    with raw, trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            where = await drone.listen(LOOPBACK)
            unknown = config_of(replace(CLASSICAL, id=99))
            packet = _initiation(None, record_of(pair.drone_key, Role.DRONE), unknown)  # is answered: refused
            head = b"\0\0" + where.port.to_bytes(2, "big") + (8 + len(packet)).to_bytes(2, "big") + b"\0\0"
            raw.sendto(head + packet, ("127.0.0.1", 0))
            await until(lambda: drone.handshake_counters()["refused"] == 1)
            await rc.connect(pair.drone_id, where)


async def test_another_drone_in_its_place_is_found_out() -> None:
    """Somebody answers at the drone's address, and has another key."""
    pair, impostor = await paired(), await paired()
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(impostor.drone, FAST) as drone,
            RemoteController(pair.rc, config_of(CLASSICAL, QUICK)) as rc,
        ):
            where = await drone.listen(LOOPBACK)
            with pytest.raises(LinkTimeoutError):
                await rc.connect(pair.drone_id, where)
            assert drone.handshake_counters()["wrong_mac1"] >= 1


async def test_a_wrong_pair_secret_is_found_out_by_the_controller() -> None:
    pair = await paired()
    rc_record = await pair.drone.peers.find(pair.rc_id)
    assert rc_record is not None
    await pair.drone.peers.put(replace(rc_record, pair_secret=bytes(32)))
    with trio.fail_after(DEADLINE_S):
        async with (
            Drone(pair.drone, FAST) as drone,
            RemoteController(pair.rc, config_of(CLASSICAL, QUICK)) as rc,
        ):
            where = await drone.listen(LOOPBACK)
            with pytest.raises(LinkTimeoutError):
                await rc.connect(pair.drone_id, where)
            assert drone.handshake_counters()["confirmed"] == 0


async def test_garbage_on_the_port_of_a_link_is_counted() -> None:
    with trio.fail_after(DEADLINE_S):
        async with linked() as scene, trio.open_nursery() as nursery:
            nursery.start_soon(echo, scene.up)
            with stranger() as eve:
                for size in (0, 1, 15, 32, 1_200, 9_000):
                    for kind in range(8):
                        eve.sendto(
                            (bytes([kind]) + os.urandom(size))[: size or 0], (scene.where.host, scene.where.port)
                        )
            await until(lambda: scene.drone.handshake_counters()["malformed"] > 20)
            assert await scene.down.request(b"?") == b"?"
            assert scene.up.stats().link.failed_opens == 0
            nursery.cancel_scope.cancel()
