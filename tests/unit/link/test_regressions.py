"""Faults that were found by attacking the machines back to back; each stood in the code once."""

from dataclasses import replace

import pytest

from protocols import codec
from protocols.crypto.suites import SUITES
from protocols.errors import RevokedError, UsageError
from protocols.events import DownReason, LinkUp, Rekeyed, SendStream, StreamReceived
from protocols.link.config import Identity
from protocols.link.listener import Listener
from protocols.link.stream_server import StreamServer
from protocols.pairing import LinkingCode
from specs import inner
from specs.registry import ChannelId, HandshakeKind, PacketType, Role
from tests.helpers.forge import forge, remac
from tests.machines import (
    DRONE,
    EVE,
    RC,
    START_S,
    Datagram,
    Device,
    Drbg,
    Node,
    SeededKeySource,
    config,
    connect,
    datagram_link,
    datagram_scene,
    make_client,
    make_stream_server,
    open_pairing,
    pair_over,
    say,
    stream_link,
    stream_scene,
    talk,
)

FAST = SUITES[4]


def test_large_record_right_behind_the_proof() -> None:
    """The first record proves the keys; a large one in the same read is welcome (LK-43, LK-53)."""
    scene = stream_scene(FAST)
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)
    scene.rc.hold_work = True
    scene.world.run_until(lambda: scene.rc.work)
    scene.rc.do_work(scene.world.now)
    scene.rc.turn(scene.world.now)
    scene.rc.link.send(SendStream(ChannelId.VIDEO, bytes(20_000)), scene.world.now)
    scene.world.settle()
    assert [message.data for message in scene.drone.received(StreamReceived)] == [bytes(20_000)]


def test_one_rekey_per_due_time() -> None:
    """A request that crosses our own rekey does not cause another (LK-70)."""
    scene = datagram_link(FAST)
    scene.world.run_for(121 * 4)
    assert [event.count for event in scene.rc.all(Rekeyed)] == [1, 2, 3, 4]
    assert len(scene.drone.all(Rekeyed)) == 4


def test_machines_need_a_key_for_every_suite() -> None:
    """A suite without its key is refused when the machine is made, not when a stranger asks for it."""
    device = Device(Role.DRONE, "lopsided")
    identity = Identity(Role.DRONE, {"P256": device.keys["P256"]})
    settings = replace(config(), suites=(SUITES[1], SUITES[4]))
    with pytest.raises(UsageError):
        Listener(settings, identity, key_source=SeededKeySource("x"), entropy=Drbg("x"))
    with pytest.raises(UsageError):
        StreamServer(settings, identity, key_source=SeededKeySource("x"), entropy=Drbg("x"), now=START_S)


def test_load_mode_lets_nobody_through_without_a_cookie() -> None:
    """While initiations exceed the limit, none is worked on before its mac2 holds (LK-22)."""
    scene = datagram_scene(FAST, drone_settings=replace(config(FAST), load_initiations_per_s=10.0))
    eve = Device(Role.RC, "eve")
    public = scene.drone.device.keys["25519"].public
    jobs: list[int] = []
    for number in range(400):
        now = scene.world.now + number / 100  # 100 a second for 4 s
        datagram = forge(FAST, eve.keys["25519"], public, counter=number + 1).datagram
        scene.drone.machine.receive(datagram, now, replace(EVE, port=number))
        scene.drone.turn(now)
        jobs.append(scene.drone.counts["public_key_jobs"])
    assert jobs[-1] == jobs[50] <= 15
    assert scene.drone.counts["cookies_sent"] > 300


def test_rekey_of_a_dead_association_makes_no_new_one() -> None:
    """What continues an association that is over is dropped: its channels are gone (CH-2, LK-73)."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    talk(scene)
    scene.world.run_for(19.0)
    held: list[Datagram] = []
    listener = scene.drone

    def hold(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA and scene.drone.counts["initiations"] == 2:
            held.append(sent)
            return []
        return [] if sent.source == DRONE and sent.data[0] == PacketType.DATA else [sent]

    scene.world.taps.append(hold)
    scene.world.run_until(lambda: held)
    listener.link.close()
    scene.world.run_for(0.5)
    for each in held:
        scene.world.inject(each.data, RC, DRONE)
    scene.world.run_for(0.5)
    assert len(listener.all(LinkUp)) == 1
    assert listener.all(Rekeyed) == []
    assert list(listener.machine.connections()) == []


def test_nothing_is_said_after_the_close() -> None:
    """A job that ends after the link was closed puts nothing on the wire (LK-84)."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    scene.rc.hold_work = True
    scene.world.run_for(20.5)
    assert scene.rc.work
    scene.rc.link.close()
    scene.world.settle()
    sent = len(scene.world.log)
    scene.rc.do_work(scene.world.now)
    scene.rc.machine.handle_deadline(scene.world.now + 5)
    scene.world.settle()
    assert len(scene.world.log) == sent
    assert scene.rc.machine.is_over


def test_rekey_does_not_blind_the_path_guard() -> None:
    """A racer who is looked at while the keys change is still betrayed: counters begin anew (LK-82)."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0))
    for _ in range(100):
        talk(scene)  # counters of this key are high
    scene.world.run_for(19.99 - (scene.world.now - START_S))

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA:
            # The genuine ones that name her are lost, by bad luck; all others arrive, a little later than hers.
            genuine = [replace(sent, delay_s=0.005)] if scene.rc.all(Rekeyed) else []
            return [replace(sent, source=EVE), *genuine]
        if sent.target == EVE:  # she relays challenges, so that they are answered
            return [replace(sent, target=RC)]
        return [sent]

    scene.world.taps.append(race)
    for _ in range(30):
        say(scene.rc.link, b"x", scene.world.now)
        scene.world.run_for(0.05)
    assert scene.drone.all(Rekeyed)
    assert scene.drone.link.address == RC


def test_first_transport_message_from_elsewhere_does_not_take_the_endpoint() -> None:
    """Who re-sends the first transport message from his own address is a candidate, not the peer (LK-43, LK-82)."""
    scene = datagram_scene(FAST)

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA:
            return [replace(sent, source=EVE), replace(sent, delay_s=0.001)]
        return [sent]

    scene.world.taps.append(race)
    connect(scene)
    scene.world.run_for(20.0)
    assert scene.drone.link.address == RC
    assert scene.drone.link.is_open
    talk(scene)


def test_challenge_answers_count_as_amplification() -> None:
    """At most three times what came from an unproven address goes there, answers included (LK-81)."""
    scene = datagram_link(FAST)
    received = sent = 0

    def race(each: Datagram) -> list[Datagram]:
        nonlocal received, sent
        if each.target == EVE:
            sent += len(each.data)
            return []
        if each.source == RC and each.data[0] == PacketType.DATA and not received:
            received += len(each.data)
            return [replace(each, source=EVE)]  # and the genuine one is lost
        return [] if each.source == RC else [each]

    # The RC challenges a path of the drone, and Eve re-sends the challenge itself: the smallest datagram there is.
    scene.world.inject(scene.world.sent_by(DRONE)[-1], DRONE, RC)
    frame = codec.build(inner.PATH_CHALLENGE, inner.PathChallenge(bytes(8)))
    challenge = scene.rc.link.sessions[0].seal(frame)
    scene.world.taps.append(race)
    scene.world.transmit(Datagram(challenge, RC, DRONE))
    scene.world.run_for(2.9)
    assert received
    assert sent <= 3 * received


def test_pairing_confirmation_is_parsed_strictly() -> None:
    """A confirmation with something behind it is none (PR-34, CH-1)."""
    scene = datagram_scene(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    original = codec.build(inner.PAIRING_CONFIRM, inner.PairingConfirm())
    rc = make_client(scene.rc.device, scene.drone.device, scene.settings, code=code, at=replace(RC, port=9))
    scene.world.nodes.append(rc)
    scene.drone.hold_stores = True
    rc.client.start(scene.world.now)
    scene.world.run_until(lambda: scene.drone.storing)
    pending = scene.drone.server._responder.newest()  # pyright: ignore[reportPrivateUsage]
    assert pending is not None
    assert pending.session is not None
    scene.world.inject(pending.session.seal(original + b"more"), DRONE, replace(RC, port=9))
    scene.world.settle()
    assert rc.counts["paired"] == 0
    scene.drone.store(scene.world.now)
    scene.world.settle()
    assert rc.counts["paired"] == 1


def test_broken_record_ends_a_pairing_on_a_stream() -> None:
    """A record that fails ends the link, in a pairing too (LK-53)."""
    from tests.machines import StreamWorld

    rc, drone = Device(Role.RC, "rc"), Device(Role.DRONE, "drone")
    server = make_stream_server(drone, config(FAST))
    server.hold_stores = True
    client = make_client(rc, drone, config(FAST), to=None, code=open_pairing(server, START_S))
    world = StreamWorld(client, server)
    client.client.start(world.now)
    world.run_until(lambda: server.storing)
    client.machine.receive(bytes((0, 20, PacketType.DATA, 0)) + bytes(20), world.now)
    client.turn(world.now)
    assert [down.reason for down in client.downs()] == [DownReason.NO_ANSWER]


def test_message_three_is_repeated_after_1_2_and_3_seconds() -> None:
    """PR-33: waits of 1, 2 and 3 s before the repetitions, then of 5 s, for about a minute."""
    scene = datagram_scene(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    scene.world.taps.append(lambda sent: [] if sent.data[0] == PacketType.FINISH else [sent])
    at: list[float] = []
    scene.world.taps.append(lambda sent: [sent])
    times = at

    def note(sent: Datagram) -> list[Datagram]:
        if sent.data[0] == PacketType.FINISH:
            times.append(scene.world.now)
        return [sent]

    scene.world.taps.insert(0, note)
    pair_over(scene, code)
    assert [round(time - times[0], 3) for time in times] == [0.0, 1.0, 3.0, *range(6, 62, 5)]


@pytest.mark.parametrize("dash", ["-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\uff0d"])
def test_any_dash_and_space_is_read(dash: str) -> None:
    """PR-3: keyboards make typographic dashes and spaces of what is typed."""
    code = LinkingCode(bytes(range(16)))
    assert LinkingCode.parse(code.text().replace("-", dash)) == code
    assert LinkingCode.parse(code.text().replace("-", "\u00a0 \u2009\t")) == code


def test_pairing_continues_nothing() -> None:
    """A pairing has ``continues`` 0; anything else is silence, whoever sends it (PR-10)."""
    scene = datagram_link(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    index = scene.drone.link.sessions[0].index
    forged = forge(
        FAST, scene.rc.device.keys["25519"], b"", code=code, kind=HandshakeKind.PAIRING,
        continues=index, association=scene.drone.link.binding,
    )  # fmt: skip
    before = len(scene.world.log)
    scene.world.inject(forged.datagram, EVE, DRONE)
    scene.world.settle()
    assert len(scene.world.log) == before
    assert scene.drone.counts["malformed"] == 1


def test_pairing_on_a_stream_continues_nothing() -> None:
    """Likewise on a stream whose link is up: that is a violation, and ends it."""
    scene = stream_link(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    link = scene.drone.link
    forged = forge(
        FAST, scene.rc.device.keys["25519"], b"", code=code, kind=HandshakeKind.PAIRING,
        continues=link.sessions[0].index, association=link.binding,
    )  # fmt: skip
    body = forged.datagram[:-32]
    scene.drone.machine.receive(len(body).to_bytes(2, "big") + bytes((1, 0)) + body, scene.world.now)
    scene.drone.turn(scene.world.now)
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]


def test_a_stored_pairing_does_not_hide_older_deadlines() -> None:
    """Each pending handshake expires after 10 s, whatever happened to the one before it (LK-27)."""
    scene = datagram_scene(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_stores = True
    rc = make_client(scene.rc.device, scene.drone.device, scene.settings, code=code, at=replace(RC, port=9))
    scene.world.nodes.append(rc)
    rc.client.start(scene.world.now)
    scene.world.run_until(lambda: scene.drone.storing)
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], b"", code=code, kind=HandshakeKind.PAIRING)
    scene.world.inject(eve.datagram, EVE, DRONE)
    began = scene.world.now
    scene.world.run_for(5.0)
    scene.drone.store(scene.world.now)
    scene.world.run_until(lambda: scene.drone.counts["expired"])
    assert scene.world.now - began == pytest.approx(10.0, abs=0.1)


def test_a_pairing_ends_sessions_under_way_with_the_old_secret() -> None:
    """A handshake that was answered with the old pair secret cannot raise the new pairing's counter (PR-12, PR-35)."""
    scene = datagram_scene(FAST)
    held: list[Datagram] = []

    def hold(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA:
            held.append(sent)
            return []
        return [sent]

    scene.rc.device.next_counter = 1_000
    scene.world.taps.append(hold)
    scene.rc.client.start(scene.world.now)
    scene.world.run_until(lambda: held)
    scene.rc.device.next_counter = 1  # the counter file is lost: pair again
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    scene.world.inject(held[0].data, RC, DRONE)
    scene.world.settle()
    assert scene.drone.links == []
    record = scene.drone.device.peers[scene.rc.device.key_id("25519")]
    assert record.initiation_counter < 1_000


def test_revoked_reject_after_the_window_is_no_crash() -> None:
    """A refusal that comes after its handshake is gone is ignored."""
    scene = datagram_scene(FAST)
    scene.drone.server.reject(99, RevokedError("late"), scene.world.now)
    scene.drone.server.accept(99, None, scene.world.now)
    scene.drone.server.pairing_stored(99, scene.world.now)
    assert scene.drone.counts["refused"] == 0


@pytest.mark.parametrize("order", ["before", "after"])
def test_racer_of_a_whole_handshake_does_not_get_the_endpoint(order: str) -> None:
    """Who re-sends everything from the first initiation on: both addresses are asked, one receives (LK-26, LK-43)."""
    scene = datagram_scene(FAST)

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == RC:
            return [
                replace(sent, source=EVE, delay_s=0.0 if order == "before" else 0.004),
                replace(sent, delay_s=0.002),
            ]
        return [sent]

    scene.world.taps.append(race)
    connect(scene)
    talk(scene)
    scene.world.run_for(30.0)
    assert scene.drone.link.address == RC
    assert scene.rc.link.is_open
    talk(scene)


def test_the_proof_of_a_rekey_does_not_spoil_the_round_trip() -> None:
    """The ping that proves a key is timed from when it was sent (LK-56)."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=5.0))
    scene.world.run_for(6.5)
    assert scene.rc.link.stats().link.rekeys == 1
    assert scene.rc.link.stats().rtt_s == pytest.approx(0.02, abs=0.001)


def test_no_answer_is_longer_than_its_question() -> None:
    """A short initiation with a right mac1 gets no cookie reply that is longer than it (LK-24, LK-60)."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=1.0))
    public = scene.drone.device.keys["25519"].public
    asked = bytearray()
    for number in range(60):
        header = forge(FAST, scene.rc.device.keys["25519"], public, sender=number + 1).datagram[:16]
        for size in (0, 4, 100):
            asked[:] = remac(header + bytes(size) + bytes(32), public)
            before = len(scene.world.log)
            scene.world.inject(bytes(asked), EVE, DRONE)
            scene.world.settle()
            assert sum(len(each.data) for each in scene.world.log[before:]) <= len(asked)
    assert scene.drone.counts["cookies_sent"] > 0


def test_two_devices_at_once_with_one_code() -> None:
    """PR-32: while one device is being stored, another is refused; when that store fails, the code is free again."""
    scene = datagram_scene(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_trust = scene.drone.hold_stores = True
    nodes: list[Node] = []
    for number in range(3):
        rc = Device(Role.RC, f"rc {number}")
        nodes.append(make_client(rc, scene.drone.device, scene.settings, code=code, at=replace(RC, port=50 + number)))
        scene.world.nodes.append(nodes[-1])
        nodes[-1].client.start(scene.world.now)
    scene.world.run_until(lambda: len(scene.drone.questions) == 3)
    third = scene.drone.questions.pop()
    scene.drone.answer(scene.world.now)
    scene.world.run_for(0.1)
    assert len(scene.drone.storing) == 1
    assert scene.drone.counts["tries_refused"] == 1
    scene.drone.server.abandon(scene.drone.storing.popleft().attempt)
    scene.drone.questions.append(third)
    scene.drone.answer(scene.world.now)
    scene.world.run_for(0.1)
    scene.drone.store(scene.world.now)
    scene.world.run_for(0.1)
    assert [node.counts["paired"] for node in nodes] == [0, 0, 1]


def test_rekey_of_a_replaced_association_does_not_replace_the_new_one() -> None:
    """A rekey that was answered before its association was replaced comes to nothing (LK-73)."""
    scene = datagram_scene(FAST, settings=config(FAST, rekey_after_s=20.0))
    old = scene.rc
    old.hold_counters = True
    old.client.start(scene.world.now)
    old.give_counters(scene.world.now, 1)
    scene.world.run_until(lambda: scene.drone.links)
    scene.world.run_for(15.0)
    new = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=3))
    scene.rc.device.next_counter = 1_000
    old.give_counters(scene.world.now, 1)  # above those of the new association
    scene.rc.device.next_counter = 2
    held: list[Datagram] = []

    def hold(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA and old.all(Rekeyed):
            held.append(sent)
            return []
        return [] if sent.target == RC and sent.data[0] == PacketType.DATA else [sent]

    scene.world.taps.append(hold)
    scene.world.run_until(lambda: held, 10.0)
    scene.world.nodes.append(new)
    new.client.start(scene.world.now)
    scene.world.run_until(lambda: len(scene.drone.links) == 2, 5.0)
    failed = scene.drone.counts["failed"]
    scene.world.inject(held[0].data, RC, DRONE)
    scene.world.settle()
    assert scene.drone.counts["failed"] == failed + 1
    assert len(scene.drone.links) == 2
    assert scene.drone.link.is_open
    assert list(scene.drone.machine.connections()) == [scene.drone.link]
    talk(replace(scene, rc=new))
