"""Corners that no section of the page has, but every node meets."""

import pytest

from protocols.crypto.keys import SoftwareKey
from protocols.crypto.suites import SUITES
from protocols.errors import StorageError, UsageError
from protocols.events import CountersNeeded, DownReason, LinkUp
from protocols.guards.address import local_address
from protocols.guards.cookie import mac1, mac1_key, make_reply
from protocols.link.client import Client
from protocols.link.config import Identity
from protocols.link.records import RecordBuffer
from protocols.link.state import CONNECTION, INITIATOR, PENDING, ConnectionEvent, ConnectionState, advance
from specs.registry import ChannelClass, PacketType, RefusalCode, Role
from tests.machines import (
    DRONE,
    RC,
    START_S,
    Datagram,
    Node,
    StreamWorld,
    acquaint,
    commands,
    config,
    connect,
    datagram_link,
    datagram_scene,
    devices,
    make_client,
    make_stream_server,
    open_pairing,
    say,
    stream_link,
    stream_scene,
    talk,
)

FAST = SUITES[4]


class BrokenKey:
    """A static key in a token that is not there any more."""

    def __init__(self, key: SoftwareKey) -> None:
        self.dh = key.dh
        self.public = key.public

    def exchange(self, peer_public: bytes) -> bytes:  # noqa: ARG002
        raise StorageError("the token is gone")


def test_a_broken_key_of_the_initiator() -> None:
    """Ours is to blame: the error reaches the node, and the link is down."""
    rc, drone = devices(dh="25519")
    identity = Identity(Role.RC, {"25519": BrokenKey(rc.keys["25519"])})
    entropy, keys = rc.boot()
    client = Client(
        config(FAST), identity, peer=rc.peers[drone.key_id("25519")], address=DRONE, key_source=keys, entropy=entropy
    )
    node = Node(rc, client, RC)
    node.hold_work = True
    client.start(START_S)
    node.turn(START_S)
    with pytest.raises(StorageError):
        node.do_work(START_S)
    node.turn(START_S)
    assert [down.reason for down in node.downs()] == [DownReason.NO_ANSWER]
    assert client.is_over
    client.receive(b"late", START_S, DRONE)
    client.abort()
    assert len(node.downs()) == 1


def test_a_broken_key_of_the_responder_is_a_failed_handshake() -> None:
    """One counter, no answer, no exception; the listener lives."""
    scene = datagram_scene(FAST)
    server = make_stream_server(scene.drone.device, config(FAST))
    broken = Identity(Role.DRONE, {"25519": BrokenKey(scene.drone.device.keys["25519"])})
    entropy, keys = scene.drone.device.boot()
    machine = type(scene.drone.listener)(config(FAST), broken, key_source=keys, entropy=entropy)
    scene.world.nodes[1] = Node(scene.drone.device, machine, DRONE)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(1.0)
    assert machine.handshakes.failed == 1
    assert scene.world.sent_by(DRONE) == []
    assert not machine.is_over
    assert server.server.handshakes.snapshot().as_dict()["failed"] == 0


def test_jobs_that_are_nobodys() -> None:
    """A foreign job, one of another machine, and one that comes twice are discarded."""
    scene = datagram_scene(FAST)
    scene.rc.hold_work = True
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)
    job = scene.rc.work.popleft()
    job.run()

    class Foreign:
        def run(self) -> None:
            """Do nothing."""

    for machine in (scene.rc.machine, scene.drone.machine):
        machine.complete(Foreign(), scene.world.now)
    scene.drone.machine.complete(job, scene.world.now)
    scene.rc.machine.complete(job, scene.world.now)
    scene.rc.machine.complete(job, scene.world.now)
    scene.rc.hold_work = False
    scene.world.run_until(lambda: scene.drone.links)
    assert len(scene.world.sent_by(RC, PacketType.INITIATION)) == 1


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
def test_work_that_never_ends(carrier: str) -> None:
    """The attempt times out; the late job is discarded; nothing was sent."""
    scene = datagram_scene(FAST) if carrier == "datagrams" else stream_scene(FAST)
    scene.rc.hold_work = True
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(60.0)
    assert [down.reason for down in scene.rc.downs()] == [DownReason.NO_ANSWER]
    scene.rc.do_work(scene.world.now)
    assert scene.rc.machine.data_to_send(scene.world.now) == []


def test_work_that_takes_longer_than_the_timer() -> None:
    """A slow key (0.8 s each time) still makes a link: a job under way is waited for."""
    scene = datagram_scene(FAST)
    scene.rc.hold_work = scene.drone.hold_work = True
    scene.rc.client.start(scene.world.now)
    for _ in range(40):
        scene.world.run_for(0.8)
        for node in (scene.rc, scene.drone):
            node.do_work(scene.world.now)
        if scene.drone.links:
            break
    assert scene.rc.all(LinkUp)
    assert scene.drone.all(LinkUp)


def test_starting_twice_is_a_usage_error() -> None:
    """Call start once."""
    scene = datagram_scene(FAST)
    scene.rc.client.start(scene.world.now)
    with pytest.raises(UsageError):
        scene.rc.client.start(scene.world.now)


def test_tables_refuse_what_they_do_not_have() -> None:
    """A missing entry is the error."""
    with pytest.raises(UsageError, match="CLOSE_SENT is not expected in OPEN"):
        advance(CONNECTION, ConnectionState.OPEN, ConnectionEvent.CLOSE_SENT)
    assert len(INITIATOR) == 13
    assert len(PENDING) == 11


def test_a_limit_of_packets_is_respected_and_nothing_is_lost() -> None:
    """``data_to_send`` gives at most so many, most urgent first, and the rest later."""
    scene = datagram_link(FAST)
    link = scene.rc.link
    talk(scene)
    for number in range(200):
        say(link, b"%d" % number, scene.world.now)
    batches = [scene.rc.machine.data_to_send(scene.world.now, 7) for _ in range(5)]
    assert [len(batch) for batch in batches] == [7] * 5
    assert link.channels.room(ChannelClass.COMMAND) > 0
    for batch in batches:
        for data, _ in batch:
            scene.world.inject(data, RC, DRONE)
    scene.world.run_for(10.0)
    assert commands(scene.drone)[1:] == [b"%d" % number for number in range(200)]


def test_a_record_buffer_tells_what_waits() -> None:
    """For whoever accounts memory."""
    buffer = RecordBuffer()
    assert list(buffer.records_untrusted(b"\0\5\1\0abc", has_keys=lambda: False)) == []
    assert len(buffer) == 7


@pytest.mark.parametrize("other", [1, 2])
def test_a_refused_suite_on_a_stream(other: int) -> None:
    """The refusal is sent, the stream closed, the hint shown."""
    rc, drone = devices(dh="25519")
    acquaint(rc, drone, SUITES[other].dh)
    client = make_client(rc, drone, config(SUITES[other]), to=None)
    server = make_stream_server(drone, config(FAST))
    world = StreamWorld(client, server)
    client.client.start(world.now)
    world.run_until(client.downs)
    assert [(down.reason, down.hint) for down in client.downs()] == [(DownReason.NO_ANSWER, RefusalCode.SUITE)]
    assert server.machine.is_over
    assert server.server.handshakes.refused == 1
    server.machine.receive(b"more", world.now)
    server.machine.handle_deadline(world.now + 100)
    assert server.machine.data_to_send(world.now) == []


def test_wrong_lengths_on_a_stream() -> None:
    """Every message has one length there too; another ends the stream (LK-14)."""
    for which in (PacketType.INITIATION, PacketType.FINISH):
        rc, drone = devices(dh=None)
        server = make_stream_server(drone, config(FAST))
        client = make_client(rc, drone, config(FAST), to=None, code=open_pairing(server, START_S))
        world = StreamWorld(client, server)

        def tamper(node: Node, data: bytes, client: Node = client, which: PacketType = which) -> bytes:
            if node is client and data[2] == which:
                return (int.from_bytes(data[:2], "big") + 1).to_bytes(2, "big") + data[2:] + b"\0"
            return data

        world.tamper = tamper
        client.client.start(world.now)
        world.run_until(client.downs, 90.0)
        assert [down.reason for down in server.downs()] == [DownReason.PROTOCOL]
        assert server.counts["paired"] == 0


def test_both_sides_close_at_once() -> None:
    """Each says goodbye once; neither waits for the other."""
    for scene in (datagram_link(FAST), stream_link(FAST)):
        scene.rc.link.close()
        scene.drone.link.close()
        scene.world.run_for(1.0)
        for node in (scene.rc, scene.drone):
            assert [down.reason for down in node.downs()] == [DownReason.CLOSED]
            assert node.link.is_down


def test_counters_are_asked_for_once() -> None:
    """One event until the block arrives, however long that takes."""
    scene = datagram_scene(FAST)
    scene.rc.hold_counters = True
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(9.0)
    assert len(scene.rc.all(CountersNeeded)) == 1
    scene.rc.give_counters(scene.world.now)
    scene.world.run_until(lambda: scene.drone.links)
    scene.world.run_for(5.0)
    assert len(scene.rc.all(CountersNeeded)) == 1


def test_many_peers_at_one_listener() -> None:
    """Forty RCs, each with its own link; one leaves; the others go on; deadlines are kept for all."""
    scene = datagram_scene(FAST, drone_settings=config(FAST))
    drone = scene.drone.device
    nodes: list[Node] = []
    for number in range(40):
        rc = type(drone)(Role.RC, f"rc {number}")
        acquaint(rc, drone, "25519")
        nodes.append(make_client(rc, drone, scene.settings, at=local_address(f"rc {number}")))
        scene.world.nodes.append(nodes[-1])
        nodes[-1].client.start(scene.world.now)
    scene.world.run_for(5.0)
    assert all(node.links for node in nodes)
    nodes[0].link.close()
    scene.world.taps.append(lambda sent: [] if sent.source == nodes[1].address else [sent])
    scene.world.run_for(15.0)
    assert len(list(scene.drone.machine.connections())) == 38
    assert sorted(down.reason.name for down in scene.drone.downs()) == ["PEER_CLOSED", "TIMEOUT"]


def test_a_datagram_from_nowhere() -> None:
    """A listener needs to know where a datagram came from; without that it is counted and dropped."""
    scene = datagram_link(FAST)
    scene.drone.machine.receive(scene.world.sent_by(RC)[0], scene.world.now)
    assert scene.drone.counts["malformed"] == 1
    connect(datagram_scene(FAST))
    assert isinstance(scene.world.log[0], Datagram)


@pytest.mark.parametrize("right", [False, True])
def test_only_answers_to_our_own_index_count(right: bool) -> None:
    """LK-24, LK-61: a cookie and a refusal, authentic in all else, count for the index that they answer only."""
    scene = datagram_scene(FAST)
    key = mac1_key(scene.drone.device.keys["25519"].public)

    def answer(sent: Datagram) -> list[Datagram]:
        if sent.data[0] == PacketType.INITIATION:
            index = sent.data[4:8] if right else bytes((sent.data[4] ^ 1,)) + sent.data[5:8]
            cookie = make_reply(key, sent.data[-32:-16], bytes(range(16)), bytes(32))
            refusal = b"\6\4\0\0" + index
            scene.world.inject(b"\3\0\0\0" + index + cookie.salt + cookie.sealed, DRONE, RC, 0.01)
            scene.world.inject(refusal + mac1(key, refusal), DRONE, RC, 0.01)
        return []

    scene.world.taps.append(answer)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(11.0)
    assert [down.hint for down in scene.rc.downs()] == [RefusalCode.BUSY if right else None]
    second = scene.world.sent_by(RC)[1]
    assert (second[-16:] != bytes(16)) is right
