"""specs/1-link.md, 1.4: replayed and forged initiations (acceptance 6)."""

from dataclasses import replace

import pytest

from protocols.crypto.suites import SUITES, Suite
from protocols.errors import UsageError
from protocols.events import AlarmKind, CountersNeeded, DownReason, LinkUp, PeerConfirmed, Rekeyed
from protocols.link.initiator import CounterPool
from protocols.link.peers import CounterBlock
from specs.registry import PacketType
from tests.helpers.forge import forge
from tests.machines import (
    DRONE,
    EVE,
    RC,
    Datagram,
    DatagramWorld,
    Scene,
    config,
    connect,
    datagram_link,
    datagram_scene,
    make_client,
    make_listener,
    stream_link,
    stream_scene,
    talk,
)

FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


def counter_at_drone(scene: Scene) -> int:
    return scene.drone.device.peers[scene.rc.device.key_id(scene.settings.suites[0].dh)].initiation_counter


def test_lk_40_counters_strictly_increase_and_never_repeat() -> None:
    """LK-40: over initiations, retries, rekeys and restarts, in one order, whatever crashed in between."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=3.0))
    seen = [event.counter for event in scene.drone.all(PeerConfirmed)]
    for boot in range(3):
        scene.world.run_for(10.0)
        seen = [event.counter for event in scene.drone.all(PeerConfirmed)]
        client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=2 + boot))
        scene.world.nodes[0] = client  # the old one crashes
        client.client.start(scene.world.now)
    scene.world.run_for(10.0)
    assert seen == sorted(set(seen))
    assert len(seen) > 8


def test_lk_41_counters_are_reserved_before_the_first_is_used() -> None:
    """LK-41: without a reserved block nothing is sent; with it the handshake goes on; blocks only ever rise."""
    scene = datagram_scene(FAST)
    scene.rc.hold_counters = True
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(0.5)
    assert len(scene.rc.all(CountersNeeded)) == 1
    assert scene.world.log == []
    scene.rc.give_counters(scene.world.now, 3)
    scene.world.run_until(lambda: scene.drone.links)
    assert len(scene.rc.all(CountersNeeded)) == 2  # few are left: more are wanted early
    with pytest.raises(UsageError):
        scene.rc.client.add_counters(CounterBlock(3, 1, b""), scene.world.now)
    with pytest.raises(UsageError):
        scene.rc.client.add_counters(CounterBlock(4, 0, b""), scene.world.now)


def test_lk_41_pool_hands_out_each_counter_once() -> None:
    """LK-41: across blocks, with gaps, in order."""
    pool = CounterPool()
    assert pool.take() is None
    pool.add(CounterBlock(5, 2, b""))
    pool.add(CounterBlock(10, 1, b""))
    assert pool.left == 3
    assert [pool.take() for _ in range(4)] == [5, 6, 10, None]
    with pytest.raises(UsageError):
        pool.add(CounterBlock(10, 5, b""))
    pool.add(CounterBlock(11, 1, b""))
    assert pool.take() == 11


@pytest.mark.parametrize("after_s", [0.0, 20.0])
def test_lk_41_no_counters_no_rekey(after_s: float) -> None:
    """LK-41: the link lives until its key may not be used any more; a block in time saves it."""
    settings = config(FAST, rekey_after_s=5.0, refuse_after_s=40.0)
    scene = datagram_scene(FAST, settings=settings)
    scene.rc.hold_counters = True
    scene.rc.client.start(scene.world.now)
    scene.rc.give_counters(scene.world.now, 2)
    scene.world.run_for(20.0)
    left = scene.rc.link.stats().link.rekeys
    assert left == 1
    talk(scene)
    if after_s:
        scene.rc.give_counters(scene.world.now, 64)
        scene.world.run_for(40.0)
        assert scene.rc.link.stats().link.rekeys > left
        talk(scene)
    else:
        scene.world.run_for(30.0)
        assert [down.reason for down in scene.rc.downs()] == [DownReason.KEY_EXHAUSTED]


@BY_SUITE
def test_lk_42_a_replayed_initiation(suite: Suite) -> None:
    """LK-42: after its confirmation: one job, silence, an alarm, a counter; the link goes on, the counter stays."""
    scene = datagram_link(suite)
    initiation = scene.world.sent_by(RC, PacketType.INITIATION)[0]
    before, sent = counter_at_drone(scene), len(scene.world.log)
    scene.world.inject(initiation, EVE, DRONE)
    scene.world.inject(initiation, RC, DRONE)
    scene.world.settle()
    assert scene.drone.counts["stale_counters"] == 2
    assert scene.drone.alarms() == [AlarmKind.STALE_COUNTER] * 2
    assert len(scene.world.log) == sent
    assert counter_at_drone(scene) == before
    assert scene.drone.machine.next_deadline() == scene.drone.link.next_deadline()  # nothing is pending
    talk(scene)


def test_lk_42_replay_after_both_ends_restarted() -> None:
    """LK-42: what is on disk after the restart says no; a new session of the genuine RC comes up."""
    scene = datagram_link(FAST)
    recorded = [each.data for each in scene.world.log]
    rc, drone = scene.rc.device, scene.drone.device
    again = datagram_scene(FAST, rc=rc, drone=drone)
    for data in recorded:
        again.world.inject(data, RC, DRONE)
        again.world.inject(data, EVE, DRONE)
    again.world.run_for(12.0)
    assert again.drone.counts["stale_counters"] == 2
    assert again.drone.all(LinkUp) == []
    assert again.world.log == []
    connect(again)
    talk(again)
    assert counter_at_drone(again) > 1
    assert drone.boots == 2


def test_lk_42_replay_of_what_was_never_confirmed() -> None:
    """LK-42, LK-43: an initiation whose session was never proven may be replayed: pending, and that is all."""
    scene = datagram_scene(FAST)
    scene.world.taps.append(lambda sent: [] if sent.target == RC else [sent])
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(12.0)
    first = scene.world.sent_by(RC, PacketType.INITIATION)[0]
    assert counter_at_drone(scene) == 0
    for _ in range(5):
        scene.world.inject(first, EVE, DRONE)
        scene.world.run_for(11.0)
    counts = scene.drone.counts
    assert counter_at_drone(scene) == 0
    assert counts["confirmed"] == 0
    assert counts["expired"] == 4 + 5
    assert scene.drone.all(LinkUp) == []


def test_lk_42_replayed_rekey_initiation() -> None:
    """LK-42: while the old index is known: stale; when it is gone: unknown. The association goes on."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    scene.world.run_until(lambda: scene.drone.all(Rekeyed), 30.0)
    rekey = scene.world.sent_by(RC, PacketType.INITIATION)[1]
    scene.world.inject(rekey, EVE, DRONE)
    scene.world.settle()
    assert scene.drone.counts["stale_counters"] == 1
    scene.world.run_for(11.0)
    scene.world.inject(rekey, EVE, DRONE)
    scene.world.settle()
    assert scene.drone.counts["unknown_index"] == 1
    assert len(scene.drone.all(LinkUp)) == 1
    talk(scene)


def test_lk_42_a_replay_while_the_directory_still_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """LK-42, LK-43: before the counter is on disk a replay is answered, and comes to nothing for want of a proof."""
    scene = datagram_scene(FAST)

    def slow(event: PeerConfirmed) -> None:
        """A disk that has not written yet."""

    monkeypatch.setattr(scene.drone.device, "confirm", slow)
    connect(scene)
    assert counter_at_drone(scene) == 0
    scene.world.inject(scene.world.sent_by(RC, PacketType.INITIATION)[0], EVE, DRONE)
    for data in scene.world.sent_by(RC, PacketType.DATA):
        scene.world.inject(data, EVE, DRONE)
    scene.world.run_for(11.0)
    assert scene.drone.counts["expired"] == 1
    assert len(scene.drone.all(LinkUp)) == 1
    talk(scene)


@BY_SUITE
def test_lk_42_on_a_stream(suite: Suite) -> None:
    """LK-42: the same counter and check on TCP; the stream of the replayer is closed without a word."""
    scene = stream_link(suite)
    said = bytes(scene.world.sent[scene.rc])
    again = stream_scene(suite, rc=scene.rc.device, drone=scene.drone.device)
    again.drone.machine.receive(said, again.world.now)
    again.drone.turn(again.world.now)
    assert again.drone.machine.data_to_send(again.world.now) == []
    assert again.drone.counts["stale_counters"] == 1
    assert again.drone.alarms() == [AlarmKind.STALE_COUNTER]
    assert again.drone.machine.is_over
    assert again.drone.all(LinkUp) == []


@pytest.mark.parametrize("when", ["asked", "in work", "answered"])
def test_lk_45_a_dropped_peer_proves_nothing(when: str) -> None:
    """LK-45: wherever its handshake stands; others are left alone, and it may begin again when it is let in again."""
    scene = datagram_scene(SUITES[4])
    scene.drone.hold_trust = when == "asked"
    scene.world.taps.append(lambda sent: [] if sent.source == RC and sent.data[0] == PacketType.DATA else [sent])
    scene.rc.client.start(scene.world.now)
    if when == "in work":
        scene.drone.hold_work = True
        scene.world.run_for(0.1)
        scene.drone.do_work(scene.world.now)  # message 1 is read; message 2 is to be written
    scene.world.run_for(0.5)
    assert len(scene.drone.work) == (when == "in work")
    scene.drone.server.drop_peer(b"another device")
    scene.drone.server.drop_peer(scene.rc.device.key_id("25519"))
    scene.drone.hold_trust = scene.drone.hold_work = False
    scene.drone.answer(scene.world.now)
    scene.drone.do_work(scene.world.now)
    scene.world.taps.clear()
    if when == "answered":
        for data in scene.world.sent_by(RC, PacketType.DATA):
            scene.world.inject(data, RC, DRONE)
        scene.world.settle()
        assert scene.drone.counts["unknown_index"] > 0
    assert scene.drone.counts["refused"] == 1
    assert scene.drone.links == []
    if when != "answered":
        scene.world.run_until(lambda: scene.drone.links)


@BY_SUITE
def test_lk_43_kci_message_1_with_the_responders_own_stolen_key(suite: Suite) -> None:
    """LK-43: who holds the drone's static key and the RC's public one can compute message 1, and gains nothing."""
    scene = datagram_link(suite)
    talk(scene)
    stolen, rc_public = scene.drone.device.keys[suite.dh], scene.rc.device.keys[suite.dh].public

    class Impostor:
        """The RC's public key, and the agreement that the drone's private key gives: s of IK for es, ss."""

        dh = suite.dh
        public = rc_public

        def exchange(self, peer_public: bytes) -> bytes:
            assert peer_public == stolen.public
            return stolen.exchange(rc_public)  # ss from the other side

    forged = forge(suite, Impostor(), stolen.public, counter=2**40)
    before = counter_at_drone(scene), scene.drone.link, scene.drone.link.address, scene.drone.link.sessions
    scene.world.inject(forged.datagram, EVE, DRONE)
    scene.world.settle()
    response = scene.world.sent_to(EVE)[0]  # the drone answered: message 1 is good
    assert response[0] == PacketType.RESPONSE
    # Without the pair secret nothing can be read or said on the new keys: random and borrowed ones do not open.
    index = response[4:8]
    for guess in (bytes(32), bytes(range(32))):
        scene.world.inject(bytes((4, 0, 0, 0)) + index + bytes(8) + guess, EVE, DRONE)
    scene.world.settle()
    assert (counter_at_drone(scene), scene.drone.link, scene.drone.link.address, scene.drone.link.sessions) == before
    assert len(scene.drone.all(LinkUp)) == len(scene.drone.all(PeerConfirmed)) == 1
    assert scene.drone.counts["failed"] == 2
    talk(scene)
    scene.world.run_for(11.0)
    assert scene.drone.counts["expired"] == 1
    talk(scene)
    # And the genuine RC is not locked out by the counter that the forger chose.
    client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=5))
    scene.world.nodes[0] = client
    connect(replace(scene, rc=client))


def test_lk_43_the_proof_confirms_and_only_the_proof() -> None:
    """LK-43: until the first valid transport message: no LinkUp, no counter, the old association in use."""
    scene = datagram_link(FAST)
    old = scene.drone.link
    client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=5))
    scene.world.nodes.append(client)
    scene.world.taps.append(lambda sent: [] if sent.source.port == 5 and sent.data[0] == PacketType.DATA else [sent])
    client.client.start(scene.world.now)
    scene.world.run_until(lambda: client.links)
    scene.world.run_for(1.0)
    assert scene.drone.links == [old]
    assert old.is_open
    assert counter_at_drone(scene) == 1
    talk(scene)
    scene.world.taps.clear()
    scene.world.run_until(lambda: len(scene.drone.links) == 2)
    assert counter_at_drone(scene) == 65
    assert [down.reason for down in scene.drone.downs()] == [DownReason.REPLACED]
    scene.world.settle()
    assert [down.reason for down in scene.rc.downs()] == [DownReason.REPLACED]


def test_lk_43_a_proof_that_does_not_open_proves_nothing() -> None:
    """LK-43: a damaged first transport message is a counter; the next one confirms."""
    scene = datagram_scene(FAST)
    scene.world.taps.append(
        lambda sent: (
            [replace(sent, data=sent.data[:-1] + bytes((sent.data[-1] ^ 1,))), replace(sent, delay_s=0.01)]
            if sent.source == RC and sent.data[0] == PacketType.DATA
            else [sent]
        )
    )
    connect(scene)
    assert scene.drone.counts["failed"] == 1
    talk(scene)


def test_lk_44_a_new_initiation_each_time() -> None:
    """LK-44: new counter, new ephemeral keys, new index; none is sent twice; after 10 s the attempt is over."""
    scene = datagram_scene(FAST)
    scene.world.taps.append(lambda _: [])
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(20.0)
    sent = scene.world.sent_by(RC)
    assert len(sent) == 4
    assert len({each[4:8] for each in sent}) == len({each[16:48] for each in sent}) == 4
    assert [down.reason for down in scene.rc.downs()] == [DownReason.NO_ANSWER]
    assert scene.rc.machine.is_over
    assert scene.rc.machine.next_deadline() is None


def test_lk_44_a_late_answer_to_an_earlier_initiation_is_nobodys() -> None:
    """LK-44: its index is gone; the newer handshake is the one."""
    scene = datagram_scene(FAST)
    late: list[Datagram] = []

    def delay(sent: Datagram) -> list[Datagram]:
        if sent.target == RC and not late:
            late.append(sent)
            return [replace(sent, delay_s=1.005)]
        return [sent]

    scene.world.taps.append(delay)
    connect(scene)
    scene.world.run_for(2.0)
    assert scene.rc.counts["unknown_index"] == 1
    assert len(scene.drone.all(LinkUp)) == 1
    talk(scene)


def test_two_clients_of_one_key_take_turns() -> None:
    """The later association replaces the earlier one; nothing breaks when the first comes again (LK-73)."""
    scene = datagram_link(FAST)
    listener = scene.drone
    for port in range(2, 6):
        client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=port))
        world = DatagramWorld(client, listener)
        world.now = scene.world.now + port
        connect(Scene(world, client, listener, scene.settings))
        talk(Scene(world, client, listener, scene.settings))
    assert len(list(listener.machine.connections())) == 1
    assert make_listener(scene.drone.device, scene.settings).links == []


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
@BY_SUITE
def test_the_thief_of_a_static_key_without_the_pair_secret_is_nobody(suite: Suite, carrier: str) -> None:
    """Who holds every static key of the drone, but no pair secret, cannot answer the RC; likewise the other way."""
    for thief in ("drone", "rc"):
        scene = datagram_scene(suite) if carrier == "datagrams" else stream_scene(suite)
        device, other = scene.drone.device, scene.rc.device
        if thief == "rc":
            device, other = other, device
        key_id = other.key_id(suite.dh)
        if thief == "drone":
            device.peers[key_id] = replace(device.peers[key_id], pair_secret=bytes(32))
        else:
            device.peers[key_id] = replace(device.peers[key_id], pair_secret=bytes(32))
            scene = (
                datagram_scene(suite, rc=device, drone=other)
                if carrier == "datagrams"
                else stream_scene(suite, rc=device, drone=other)
            )
        scene.rc.client.start(scene.world.now)
        scene.world.run_for(25.0)
        assert scene.rc.all(LinkUp) == scene.drone.all(LinkUp) == []
        assert scene.rc.all(PeerConfirmed) == scene.drone.all(PeerConfirmed) == []
        assert [down.reason for down in scene.rc.downs()] == [DownReason.NO_ANSWER]
