"""specs/1-link.md, 1.2: handshake messages, their lengths and what they bind."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from protocols import codec
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import UsageError
from protocols.events import LinkUp
from protocols.guards.cookie import mac1_key, response_mac1_key, verify_mac1
from protocols.link.client import Client
from protocols.link.handshake import NO_ASSOCIATION, Offer, lengths
from specs.datagram import FINISH_HEADER, INITIATION_HEADER, RESPONSE_HEADER
from specs.registry import AIRLINK_CHANNELS, HandshakeKind, LinkType, PacketType, Role
from tests.helpers.forge import forge, remac, remac_reply
from tests.machines import (
    DRONE,
    EVE,
    RC,
    START_S,
    Datagram,
    Device,
    Node,
    Scene,
    config,
    connect,
    datagram_link,
    datagram_scene,
    devices,
    open_pairing,
    pair_over,
    talk,
)

PAGE = Path(__file__).parents[3] / "specs" / "1-link.md"
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
FAST = SUITES[4]


def response_key(scene: Scene) -> bytes:
    """Return the key of mac1 in the response of a session (LK-20)."""
    record = next(iter(scene.rc.device.peers.values()))
    return response_mac1_key(record.pair_secret)


@BY_SUITE
def test_lk_10_initiation_header(suite: Suite) -> None:
    """LK-10: header, message 1, two MACs; a random index that is not 0; ``continues`` names the session rekeyed."""
    scene = datagram_link(suite, settings=config(suite, rekey_after_s=5.0))
    before = scene.drone.link.sessions[0].index
    scene.world.run_for(5.5)
    first, second = (
        codec.parse_untrusted(INITIATION_HEADER, each[:16]) for each in scene.world.sent_by(RC, PacketType.INITIATION)
    )
    assert (first.version, first.suite, first.kind, first.continues) == (1, suite.id, HandshakeKind.SESSION, 0)
    assert (first.link_type, first.initiator_role, first.responder_role) == (LinkType.AIRLINK, Role.RC, Role.DRONE)
    assert second.continues == before
    assert 0 not in {first.sender, second.sender}
    assert first.sender != second.sender


def test_lk_10_an_index_of_zero_is_never_drawn() -> None:
    """LK-10: entropy that says 0 is asked again."""
    rc, drone = devices(dh="25519")
    draws = [bytes(4), bytes(4), b"\0\0\0\7"]
    client = Client(
        config(FAST), rc.identity, peer=rc.peers[drone.key_id("25519")], address=DRONE,
        key_source=rc.boot()[1], entropy=lambda _: draws.pop(0),
    )  # fmt: skip
    client.start(START_S)
    node = Node(rc, client, RC)
    node.turn(START_S)
    assert client.data_to_send(START_S)[0][0][4:8] == b"\0\0\0\7"


@BY_SUITE
def test_lk_11_response_and_finish(suite: Suite) -> None:
    """LK-11: the same header before message 2 and message 3, and mac1 behind."""
    scene = datagram_scene(suite)
    code = open_pairing(scene.drone, scene.world.now)
    pair_over(scene, code)
    rc = replace(RC, port=77)
    response, finish = scene.world.sent_by(DRONE, PacketType.RESPONSE)[0], scene.world.sent_by(rc, PacketType.FINISH)[0]
    heads = codec.parse_untrusted(RESPONSE_HEADER, response[:12]), codec.parse_untrusted(FINISH_HEADER, finish[:12])
    assert (heads[0].sender, heads[0].receiver) == (heads[1].receiver, heads[1].sender)
    for each in (response, finish):
        assert verify_mac1(mac1_key(code.secret), each[:-16], each[-16:])


@BY_SUITE
@pytest.mark.parametrize("kind", list(HandshakeKind))
def test_lk_12_prologue(suite: Suite, kind: HandshakeKind) -> None:
    """LK-12: byte for byte, made by hand."""
    table = b"".join(bytes((row.id, row.service)) for row in AIRLINK_CHANNELS)
    fixed = b"Aerolink link v1" + bytes((1, suite.id, kind, LinkType.AIRLINK, Role.RC, Role.DRONE, 0, 0))
    for association in (NO_ASSOCIATION, bytes(range(32))):
        expected = fixed + hashlib.sha256(table).digest() + association
        assert Offer(suite, kind, LinkType.AIRLINK, association).prologue() == expected


def attacked(scene: Scene, change: Datagram) -> None:
    """Deliver a changed initiation in the place of the genuine one: nothing comes of it."""
    scene.world.inject(change.data, change.source, change.target)
    scene.world.settle()
    assert scene.drone.all(LinkUp) == []
    assert scene.world.sent_by(DRONE, PacketType.RESPONSE) == []


@pytest.mark.parametrize("suite", [SUITES[1], SUITES[4]], ids=lambda suite: suite.name)
def test_lk_12_downgrade_every_header_byte(suite: Suite) -> None:
    """LK-12, LK-4: version, suite, kind, type, roles and ``continues`` are bound, even for who can make mac1 fit."""
    no_limits = {"source_initiations_burst": 1e6, "source_initiations_per_s": 1e6, "load_initiations_per_s": 1e6}
    scene = datagram_scene(suite, drone_settings=config(suite, suites=tuple(SUITES.values()), **no_limits))
    open_pairing(scene.drone, scene.world.now)
    genuine: list[Datagram] = []

    def take(sent: Datagram) -> list[Datagram]:
        if sent.data[0] == PacketType.INITIATION and not genuine:
            genuine.append(sent)
            return []
        return [sent]

    scene.world.taps.append(take)
    scene.rc.client.start(scene.world.now)
    scene.world.settle()
    original = genuine[0]
    for at in range(16):
        for value in {original.data[at] ^ 1, original.data[at] ^ 3, original.data[at] ^ 0x80, 0, 1, 2, 3, 4}:
            changed = bytearray(original.data)
            changed[at] = value
            if bytes(changed) == original.data:
                continue
            for dh in ("P256", "25519"):
                data = remac(bytes(changed), scene.drone.device.keys[dh].public)
                attacked(scene, replace(original, data=data))
    assert scene.rc.links == []
    counts = scene.drone.counts
    assert counts["failed"] > 30  # message 1 was tried, and did not open
    assert counts["rate_limited"] == 0
    assert counts["refused"] > 10
    scene.world.inject(original.data, original.source, original.target)
    scene.world.run_until(lambda: scene.drone.links, 5.0)
    talk(scene)


@pytest.mark.parametrize("suite", [SUITES[3], SUITES[4]], ids=lambda suite: suite.name)
def test_lk_12_another_channel_table(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """LK-12: ends whose registries differ have no link."""
    import protocols.link.handshake as module

    scene = datagram_scene(suite)
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)

    def another(_: LinkType) -> bytes:
        return bytes(32)

    monkeypatch.setattr(module, "channels_sha256", another)
    scene.world.run_for(0.5)
    assert scene.drone.counts["failed"] == 1
    assert scene.drone.links == []


@BY_SUITE
def test_lk_13_payload_of_message_1(suite: Suite) -> None:
    """LK-13: counter, index, zeros; another index, a counter of 0 or padding that is not zero is silence."""
    scene = datagram_scene(suite)
    keys, public = scene.rc.device.keys[suite.dh], scene.drone.device.keys[suite.dh].public
    size = lengths(suite, HandshakeKind.SESSION).payload
    sender = 0x0EBE_0EBE
    head = (7).to_bytes(8, "big") + sender.to_bytes(4, "big")
    bad = [
        (7).to_bytes(8, "big") + (sender + 1).to_bytes(4, "big"),
        bytes(8) + sender.to_bytes(4, "big"),
    ]
    if size > 12:
        bad += [head.ljust(size - 1, b"\0") + b"\1", head + b"\x80".ljust(size - 12, b"\0")]
    for inner in bad:
        scene.world.inject(forge(suite, keys, public, inner=inner).datagram, EVE, DRONE)
        scene.world.settle()
    assert scene.drone.counts["failed"] == len(bad)
    assert scene.world.log == []
    assert not scene.drone.questions
    assert not scene.drone.all(LinkUp)
    scene.world.inject(forge(suite, keys, public, inner=head).datagram, EVE, DRONE)
    scene.world.settle()
    assert len(scene.world.sent_by(DRONE, PacketType.RESPONSE)) == 1


@pytest.mark.parametrize("suite", [SUITES[3], SUITES[4]], ids=lambda suite: suite.name)
def test_lk_13_padding_of_message_1(suite: Suite) -> None:
    """LK-13: where there is padding (pairings without a KEM) every byte of it must be zero."""
    scene = datagram_scene(suite)
    code = open_pairing(scene.drone, scene.world.now)
    sender = 0x0EBE_0EBE
    head = (7).to_bytes(8, "big") + sender.to_bytes(4, "big")
    size = lengths(suite, HandshakeKind.PAIRING).payload
    assert size > 12
    for inner in (head + b"\1", head.ljust(size - 1, b"\0") + b"\x80", head):
        forged = forge(
            suite, scene.rc.device.keys[suite.dh], b"", code=code, kind=HandshakeKind.PAIRING, inner=inner
        )  # fmt: skip
        scene.world.inject(forged.datagram, EVE, DRONE)
        scene.world.settle()
    assert scene.drone.counts["failed"] == 2
    assert len(scene.world.sent_to(EVE)) == 1


@BY_SUITE
def test_lk_13_index_of_message_2(suite: Suite) -> None:
    """LK-13: a response whose header names another index than its payload is silence; the right one is taken."""
    scene = datagram_scene(suite)
    key = response_key(scene)

    def change(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.RESPONSE:
            return [sent]
        changed = sent.data[:4] + bytes((sent.data[4] ^ 1,)) + sent.data[5:]
        return [replace(sent, data=remac_reply(changed, key)), replace(sent, delay_s=0.5)]

    scene.world.taps.append(change)
    connect(scene)
    assert scene.rc.counts["failed"] == 1
    assert len(scene.world.sent_by(RC, PacketType.INITIATION)) == 1


def test_lk_14_table_of_the_page() -> None:
    """LK-14: the lengths of the page are the code's, and none exceeds 1,452 bytes."""
    table = PAGE.read_text().split("<!-- table: handshake-lengths -->")[1].split("<!-- end -->")[0]
    numbers = {int(each.replace(",", "")) for each in re.findall(r"\d[\d,]+", table)}
    for suite in SUITES.values():
        for kind in HandshakeKind:
            exact = lengths(suite, kind)
            assert exact.initiation >= exact.response
            assert max(exact.initiation, exact.response, exact.finish) <= 1_452
            assert {exact.initiation, exact.response, exact.finish} - {0} <= numbers


@BY_SUITE
def test_lk_14_every_other_length_is_silence(suite: Suite) -> None:
    """LK-14: one byte more or less, of initiation, response and finish, with every MAC right."""
    scene = datagram_scene(suite)
    public = scene.drone.device.keys[suite.dh].public
    code = open_pairing(scene.drone, scene.world.now)

    def stretch(sent: Datagram) -> list[Datagram]:
        pairing = sent.source.port == 77 or sent.target.port == 77
        if sent.data[0] == PacketType.DATA:
            return [sent]
        first = sent.data[0] == PacketType.INITIATION
        body = sent.data[: -32 if first else -16]
        bad = [body[:-1], body + b"\0", body[: len(body) // 2], body + bytes(100), body[:16], body[:3]]
        if first:
            secret = code.secret if pairing else public
            made = [remac(each + bytes(32), secret) for each in bad]
        else:
            key = mac1_key(code.secret) if pairing else response_key(scene)
            made = [remac_reply(each + bytes(16), key) for each in bad]
        return [*(replace(sent, data=each) for each in made), replace(sent, delay_s=0.01)]

    scene.world.taps.append(stretch)
    connect(scene)
    pair = pair_over(scene, code)
    talk(scene)
    assert scene.drone.counts["malformed"] + scene.drone.counts["unknown_index"] == 3 * 6
    assert scene.rc.counts["malformed"] == 6
    assert pair.counts["malformed"] == 6
    assert scene.drone.counts["failed"] == scene.rc.counts["failed"] == 0
    assert scene.drone.counts["public_key_jobs"] == 3


@BY_SUITE
@pytest.mark.parametrize("kind", list(HandshakeKind))
def test_lk_14_a_carrier_too_small_is_refused_before_anything_is_sent(suite: Suite, kind: HandshakeKind) -> None:
    """LK-14: a clear error; hybrid suites need 1,452 bytes at most, classical ones fit 1,232 (a 1,280-byte path)."""
    needs = max(lengths(suite, kind).initiation, lengths(suite, kind).finish)
    assert needs <= (1_452 if suite.kem else 1_232)
    small = datagram_scene(suite, settings=config(suite, path_bytes=needs - 1))
    if kind is HandshakeKind.PAIRING:
        with pytest.raises(UsageError, match=r"needs datagrams of \d+ bytes"):
            pair_over(small, open_pairing(small.drone, small.world.now))
    else:
        with pytest.raises(UsageError, match=r"needs datagrams of \d+ bytes"):
            small.rc.client.start(small.world.now)
    small.world.settle()
    assert small.world.log == []
    if kind is HandshakeKind.SESSION:
        connect(datagram_scene(suite, settings=config(suite, path_bytes=needs)))


@BY_SUITE
def test_lk_15_no_application_data_before_proof(suite: Suite) -> None:
    """LK-15: messages 1 and 2 have no room for any: their payload is index, counter and zeros; data waits."""
    scene = datagram_scene(suite)
    connect(scene)
    kinds = [each.data[0] for each in scene.world.log]
    assert kinds[:2] == [PacketType.INITIATION, PacketType.RESPONSE]
    assert lengths(suite, HandshakeKind.SESSION).initiation == len(scene.world.log[0].data)
    speakers = [each.source for each in scene.world.log if each.data[0] == PacketType.DATA]
    assert speakers[0] == RC


def test_lk_16_a_bad_response_changes_nothing_and_tries_are_bounded() -> None:
    """LK-16: 20 in a burst, 20 per second; the right response still works afterwards."""
    scene = datagram_scene(FAST)
    key = response_key(scene)

    def flood(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.RESPONSE:
            return [sent]
        bad = [sent.data[:20] + number.to_bytes(2, "big") + sent.data[22:] for number in range(200)]
        return [replace(sent, data=remac_reply(each, key)) for each in bad] + [replace(sent, delay_s=0.4)]

    scene.world.taps.append(flood)
    connect(scene)
    assert scene.rc.counts["failed"] == 20
    assert scene.rc.counts["rate_limited"] == 180
    assert scene.rc.jobs_run == 22
    talk(scene)


def test_lk_16_responses_that_wait_while_one_is_tried_are_bounded() -> None:
    """LK-16: with slow work, at most 16 wait; the genuine one among them is found."""
    scene = datagram_scene(FAST)
    key = response_key(scene)

    def flood(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.RESPONSE:
            return [sent]
        bad = [sent.data[:20] + number.to_bytes(2, "big") + sent.data[22:] for number in range(10)]
        return [replace(sent, data=remac_reply(each, key)) for each in bad] + [replace(sent, delay_s=0.1)]

    scene.world.taps.append(flood)
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)
    scene.rc.hold_work = True
    scene.world.run_for(0.5)
    assert len(scene.rc.work) == 1
    for _ in range(11):
        scene.rc.do_work(scene.world.now)
        scene.rc.turn(scene.world.now)
    scene.world.settle()
    assert scene.rc.counts["failed"] == 10
    assert scene.rc.links
    assert scene.drone.links


def test_lk_16_a_job_that_was_never_run_is_a_failed_try() -> None:
    """A node that hands a job back without running it loses that try and nothing else."""
    scene = datagram_scene(FAST)
    scene.drone.hold_work = True
    scene.rc.client.start(scene.world.now)
    scene.world.run_until(lambda: scene.drone.work)
    scene.drone.machine.complete(scene.drone.work.popleft(), scene.world.now)
    assert scene.drone.counts["failed"] == 1
    scene.drone.hold_work = False
    scene.world.run_until(lambda: scene.drone.links, 10.0)
    assert len(scene.world.sent_by(RC, PacketType.INITIATION)) == 2


def test_a_reflected_message_is_nobodys() -> None:
    """Own messages that come back change nothing, at either end."""
    scene = datagram_link(FAST)
    talk(scene)
    before = scene.rc.link.stats().link, scene.drone.link.stats().link
    for each in list(scene.world.log):
        scene.world.inject(each.data, each.target, each.source)
    scene.world.settle()
    after = scene.rc.link.stats().link, scene.drone.link.stats().link
    assert before == after
    assert scene.rc.link.is_open
    assert scene.drone.link.is_open
    assert scene.rc.counts["failed"] == scene.drone.counts["failed"] == 0


def test_our_own_key_is_no_peer() -> None:
    """Whoever holds the drone's key and asks the drone with it is no peer, whatever the directory says."""
    scene = datagram_scene(FAST)
    drone = scene.drone.device
    drone.peers[drone.key_id("25519")] = replace(drone.peers[scene.rc.device.key_id("25519")])
    forged = forge(FAST, drone.keys["25519"], drone.keys["25519"].public)
    scene.world.inject(forged.datagram, EVE, DRONE)
    scene.world.settle()
    assert scene.world.log == []
    assert scene.drone.counts["failed"] == 1
    assert Device(Role.RC, "x").boots == 0
