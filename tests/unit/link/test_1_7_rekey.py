"""specs/1-link.md, 1.7: new keys while the traffic goes on."""

import gc
import weakref
from dataclasses import replace

import pytest

from protocols import codec
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import UsageError
from protocols.events import AlarmKind, DownReason, LinkUp, Rekeyed
from protocols.link.config import LinkConfig
from specs import inner
from specs.registry import CloseCode, PacketType
from tests.helpers.forge import forge
from tests.machines import (
    DRONE,
    EVE,
    RC,
    Datagram,
    Device,
    Scene,
    StreamScene,
    Weather,
    acquaint,
    commands,
    config,
    connect,
    datagram_link,
    datagram_scene,
    make_client,
    offer,
    say,
    stream_link,
    talk,
)

FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
BY_CARRIER = pytest.mark.parametrize("carrier", ["datagrams", "stream"])


def link(carrier: str, suite: Suite = FAST, **changes: object) -> Scene | StreamScene:
    settings = config(suite, **changes)
    return datagram_link(suite, settings=settings) if carrier == "datagrams" else stream_link(suite, settings=settings)


def indices(scene: Scene | StreamScene) -> list[tuple[int, int]]:
    return [(node.link.sessions[0].index, node.link.sessions[0].peer_index) for node in (scene.rc, scene.drone)]


@BY_SUITE
@BY_CARRIER
def test_lk_70_a_rekey_is_a_whole_handshake_with_new_indices(carrier: str, suite: Suite) -> None:
    """LK-70: on every carrier and in every suite; the channels go on where they were (CH-2)."""
    scene = link(carrier, suite, rekey_after_s=10.0)
    talk(scene)
    before = indices(scene)
    scene.world.run_for(10.5)
    after = indices(scene)
    assert not set(before) & set(after)
    assert after[0] == after[1][::-1]
    for node in (scene.rc, scene.drone):
        assert [event.count for event in node.all(Rekeyed)] == [1]
        assert len(node.all(LinkUp)) == 1
    talk(scene)
    assert len(commands(scene.drone)) == 2


@BY_CARRIER
def test_lk_70_a_rekey_does_not_change_the_suite(carrier: str) -> None:
    """LK-70, LK-4: a peer that begins one with another suite, though it is allowed, gets no new key."""
    scene = link(carrier, rekey_after_s=10.0, suites=(FAST, SUITES[2]))
    scene.rc.client._suite = SUITES[2]  # pyright: ignore[reportPrivateUsage]
    scene.world.run_for(11.0)
    assert scene.drone.counts["malformed"] >= 1
    assert scene.drone.all(Rekeyed) == []
    assert all(connection.suite == FAST for connection in scene.drone.machine.connections())


def test_lk_70_the_responder_asks() -> None:
    """LK-70: its key is due first: REKEY_REQUEST, and the initiator begins; not more often than every 5 s."""
    scene = datagram_scene(FAST, settings=config(FAST), drone_settings=config(FAST, rekey_after_s=10.0))
    connect(scene)
    scene.world.run_for(31.0)
    assert scene.rc.link.stats().link.rekeys == 3
    for _ in range(50):
        frame = scene.drone.link.sessions[0].seal(codec.build(inner.REKEY_REQUEST, inner.RekeyRequest()))
        scene.rc.machine.receive(frame, scene.world.now, DRONE)
    scene.world.run_for(1.0)
    assert scene.rc.link.stats().link.rekeys <= 4


@pytest.mark.parametrize("side", ["rc", "drone"])
@BY_CARRIER
def test_lk_71_due_by_messages(carrier: str, side: str) -> None:
    """LK-71: after so many messages in either direction a new key is made, whoever sent them."""
    scene = link(carrier, rekey_after_messages=50)
    node = scene.rc if side == "rc" else scene.drone
    for number in range(60):
        say(node.link, b"%d" % number, scene.world.now)
        scene.world.settle()
    scene.world.run_for(7.0)
    assert scene.rc.link.stats().link.rekeys >= 1
    assert len(commands(scene.drone if side == "rc" else scene.rc)) == 60


def test_lk_71_due_by_failed_opens() -> None:
    """LK-71: a key under attack is replaced, and the link goes on."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_failed_opens=100))
    index = scene.rc.link.sessions[0].index.to_bytes(4, "big")
    for number in range(100):
        scene.world.inject(b"\4\0\0\0" + index + (500 + number).to_bytes(8, "big") + bytes(20), RC, RC)
    scene.world.run_for(3.0)
    assert scene.rc.link.stats().link.failed_opens == 100
    assert scene.rc.alarms() == [AlarmKind.KEY_UNDER_ATTACK]
    assert scene.rc.link.stats().link.rekeys == 1
    talk(scene)


@BY_CARRIER
def test_lk_71_no_key_is_used_after_180_s(carrier: str) -> None:
    """LK-71: no rekey succeeds: at 180 s the link is down, KEY_EXHAUSTED, at both ends."""
    scene = link(carrier)
    if isinstance(scene, Scene):
        scene.world.taps.append(lambda sent: [] if sent.data[0] == PacketType.INITIATION else [sent])
    else:
        scene.rc.hold_work = True
    start = scene.rc.link.opened_s
    scene.world.run_for(179.9 - (scene.world.now - start))
    talk(scene)
    scene.world.run_for(5.0)
    reasons = {node.downs()[0].reason for node in (scene.rc, scene.drone)}
    assert reasons <= {DownReason.KEY_EXHAUSTED, DownReason.TRUNCATED}
    assert DownReason.KEY_EXHAUSTED in reasons
    assert scene.rc.link.is_down
    with pytest.raises(UsageError):
        say(scene.rc.link, b"late", scene.world.now)


def test_lk_71_no_key_seals_more_than_its_limit() -> None:
    """LK-71: at the limit of messages the link is down, and what arrives on that key is not opened."""
    scene = datagram_link(FAST, settings=config(FAST, refuse_after_messages=40, rekey_after_messages=40))
    scene.world.taps.append(lambda sent: [] if sent.data[0] == PacketType.INITIATION else [sent])
    for _ in range(60):
        if scene.rc.link.is_open:
            say(scene.rc.link, b"x", scene.world.now)
        scene.world.run_for(0.05)
    assert [down.reason for down in scene.rc.downs()] == [DownReason.KEY_EXHAUSTED]
    counters = [int.from_bytes(each[8:16], "big") for each in scene.world.sent_by(RC, PacketType.DATA)]
    assert max(counters) == 39


@pytest.mark.parametrize(
    "changes",
    [
        {"rekey_after_s": 120.1},
        {"rekey_after_s": 0.0},
        {"rekey_after_messages": 2**23 + 1},
        {"rekey_after_failed_opens": 2**20 + 1},
        {"refuse_after_s": 180.1},
        {"refuse_after_messages": 2**24 + 1},
        {"keepalive_s": 10.0},
        {"keepalive_s": 0.0},
    ],
)
def test_lk_71_configuration_may_only_be_stricter(changes: dict[str, float]) -> None:
    """LK-71: the specification's limits are the largest."""
    with pytest.raises(UsageError):
        replace(LinkConfig(), **changes)  # type: ignore[arg-type]


def test_lk_72_who_sends_on_which_key() -> None:
    """LK-72: the initiator on the new key from message 2 on, the responder from the first valid message on it."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=10.0))
    old = scene.drone.link.sessions[0].index, scene.rc.link.sessions[0].index
    scene.world.run_for(9.99)
    del scene.world.log[:]
    for _ in range(20):
        say(scene.rc.link, b"up", scene.world.now)
        say(scene.drone.link, b"down", scene.world.now)
        scene.world.run_for(0.005)
    kinds = [(each.source == RC, each.data[0]) for each in scene.world.log]
    message_2 = kinds.index((False, PacketType.RESPONSE))
    arrived = next(
        at for at, each in enumerate(scene.world.log) if each.source == RC and each.data[0] == 4
        and int.from_bytes(each.data[4:8], "big") != old[0]
    )  # fmt: skip
    for at, each in enumerate(scene.world.log):
        if each.data[0] != PacketType.DATA:
            continue
        index = int.from_bytes(each.data[4:8], "big")
        if each.source == RC:
            assert (index != old[0]) == (at >= arrived)
        elif at < arrived:
            assert index == old[1]
    assert message_2 < arrived
    scene.world.settle()
    assert len(commands(scene.drone)) == len(commands(scene.rc)) == 20


def test_lk_72_the_old_key_receives_for_10_s_more_on_datagrams() -> None:
    """LK-72: a datagram of the old key that is 9 s late arrives; one of 11 s is nobody's."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    scene.world.run_for(19.0)
    old = scene.rc.link.sessions[0]
    late = [old.seal(b"\x0e" + bytes(8)) for _ in range(2)]
    scene.world.run_until(lambda: scene.drone.all(Rekeyed))
    rekeyed = scene.world.now
    scene.world.run_for(9.0)
    before = scene.drone.link.stats().link.packets_received
    scene.drone.machine.receive(late[0], scene.world.now, RC)
    assert scene.drone.link.stats().link.packets_received == before + 1
    scene.world.run_for(rekeyed + 10.1 - scene.world.now)
    assert len(scene.drone.link.sessions) == len(scene.rc.link.sessions) == 1
    unknown = scene.drone.counts["unknown_index"]
    scene.drone.machine.receive(late[1], scene.world.now, RC)
    assert scene.drone.counts["unknown_index"] == unknown + 1


def test_lk_72_no_overlap_on_streams() -> None:
    """LK-72: with the first record of the next epoch the old key is gone, at each end."""
    scene = link("stream", rekey_after_s=10.0)
    scene.world.run_until(lambda: scene.rc.all(Rekeyed))
    assert len(scene.rc.link.sessions) == 2  # the drone still speaks on the old one
    scene.world.settle()
    assert len(scene.rc.link.sessions) == len(scene.drone.link.sessions) == 1


@pytest.mark.parametrize("dice", [1, 2, 3, 4, 6, 7])  # with 0 and 5 all initiations of a rekey are lost
def test_lk_72_nothing_is_lost_over_rekeys_in_bad_weather(dice: int) -> None:
    """Commands both ways and an object, over rekeys every 4 s, with loss, duplicates, reordering and corruption."""
    weather = Weather(drop=0.15, duplicate=0.1, corrupt=0.05, jitter_s=0.05)
    scene = datagram_scene(FAST, settings=config(FAST, rekey_after_s=4.0), weather=weather, dice=dice)
    connect(scene, 30.0)
    thing = bytes(range(256)) * 1_500
    offer(scene.drone.link, thing, scene.world.now)
    for number in range(100):
        say(scene.rc.link, b"%d" % number, scene.world.now)
        say(scene.drone.link, b"%d" % number, scene.world.now)
        scene.world.run_for(0.2)
    scene.world.run_until(lambda: scene.rc.finished and len(commands(scene.rc)) == len(commands(scene.drone)) == 100)
    assert commands(scene.rc) == commands(scene.drone) == [b"%d" % number for number in range(100)]
    assert scene.rc.finished == [thing]
    assert scene.rc.link.stats().link.rekeys >= 3
    assert len(scene.rc.all(LinkUp)) == len(scene.drone.all(LinkUp)) == 1


def test_lk_72_a_lost_message_2_and_a_lost_proof() -> None:
    """LK-72: the retry of a rekey, and data on the new key in the place of the lost ping, both lead there."""
    for lose in ("response", "proof"):
        scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=10.0))
        lost: list[Datagram] = []

        def drop(sent: Datagram, lose: str = lose, lost: list[Datagram] = lost, scene: Scene = scene) -> list[Datagram]:
            if lose == "response":
                hit = sent.data[0] == PacketType.RESPONSE
            else:
                hit = sent.source == RC and sent.data[0] == PacketType.DATA and bool(scene.rc.all(Rekeyed))
            if hit and not lost:
                lost.append(sent)
                return []
            return [sent]

        scene.world.taps.append(drop)
        scene.world.run_for(14.0)
        assert lost
        assert scene.rc.link.stats().link.rekeys == scene.drone.link.stats().link.rekeys == 1
        talk(scene)


def test_rekeys_that_time_out_are_begun_again() -> None:
    """A path that carries no handshakes for a while: the link lives, and rekeys when it can."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    scene.world.taps.append(lambda sent: [] if sent.data[0] == PacketType.INITIATION else [sent])
    scene.world.run_for(60.0)
    assert scene.rc.link.is_open
    assert scene.rc.link.stats().link.rekeys == 0
    scene.world.taps.clear()
    scene.world.run_for(12.0)
    assert scene.rc.link.stats().link.rekeys == 1
    talk(scene)


def test_a_revoked_peer_cannot_rekey() -> None:
    """What the directory says counts at each handshake; the node may close the link at once, the key ends it anyway."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    scene.drone.device.peers.clear()
    scene.world.run_for(190.0)
    assert scene.rc.link.is_down
    assert scene.drone.counts["confirmed"] == 1
    assert scene.rc.downs()[0].reason is DownReason.KEY_EXHAUSTED


def test_one_peer_cannot_continue_the_association_of_another() -> None:
    """A rekey names an association; the key that asks must be its peer's (LK-12, LK-70)."""
    scene = datagram_link(FAST)
    other = Device(scene.rc.device.role, "other")
    acquaint(other, scene.drone.device, "25519")
    for association in (scene.drone.link.binding, bytes(32), bytes(range(32))):
        forged = forge(
            FAST, other.keys["25519"], scene.drone.device.keys["25519"].public,
            continues=scene.drone.link.sessions[0].index, association=association, counter=99,
        )  # fmt: skip
        scene.world.inject(forged.datagram, EVE, DRONE)
        scene.world.settle()
    assert scene.drone.counts["failed"] == 3
    assert scene.world.sent_to(EVE) == []
    talk(scene)


def test_lk_73_a_new_association_replaces_the_old_one_when_confirmed() -> None:
    """LK-73: the old one is closed with REPLACED, its channels are gone; the new one counts from 0 (CH-2)."""
    scene = datagram_link(FAST)
    talk(scene)
    old = scene.drone.link
    client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=3))
    scene.world.nodes.append(client)
    client.client.start(scene.world.now)
    scene.world.run_until(lambda: len(scene.drone.links) == 2)
    scene.world.settle()
    assert old.is_down
    assert [(down.reason, down.code) for down in scene.rc.downs()] == [(DownReason.REPLACED, CloseCode.REPLACED)]
    assert [down.reason for down in scene.drone.downs()] == [DownReason.REPLACED]
    assert list(scene.drone.machine.connections()) == [scene.drone.link]
    talk(Scene(scene.world, client, scene.drone, scene.settings))


def test_lk_74_keys_are_dropped_when_they_are_done() -> None:
    """LK-74: nothing holds the session of an old key, of a replaced or of an ended link."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    old = [weakref.ref(node.link.sessions[0]) for node in (scene.rc, scene.drone)]
    scene.world.run_for(35.0)
    gc.collect()
    assert [each() for each in old] == [None, None]
    scene.rc.link.close()
    scene.world.settle()
    assert list(scene.drone.machine.connections()) == []
