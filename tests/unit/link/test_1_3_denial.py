"""specs/1-link.md, 1.3: strangers, floods and what they cost (acceptance 6)."""

import hashlib
import hmac
import random
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from protocols.crypto.suites import SUITES, Suite
from protocols.errors import PolicyError
from protocols.events import AlarmKind, DownReason, SendState
from protocols.guards import cookie as guard
from protocols.guards.address import Address, ip_address, relay_address
from specs.registry import ChannelId, HandshakeKind, PacketType, Role
from tests.helpers.forge import forge, remac
from tests.machines import (
    DRONE,
    EVE,
    RC,
    START_S,
    Datagram,
    Device,
    Node,
    Scene,
    acquaint,
    config,
    connect,
    datagram_link,
    datagram_scene,
    make_client,
    make_stream_server,
    open_pairing,
    pair_over,
    talk,
)

FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


def flood(
    scene: Scene, datagram: bytes, count: int, *, per_s: float, source: Address | None = None, first: int = 0
) -> None:
    """Deliver copies of an initiation, each with a new ephemeral and a mac1 that fits, from many sources."""
    public = scene.drone.device.keys["25519"].public
    for number in range(count):
        data = remac(datagram[:16] + (first + number).to_bytes(4, "big") + datagram[20:], public)
        at = source or ip_address(f"198.51.{number >> 8 & 0xFF}.{number & 0xFF}", 9)
        scene.drone.machine.receive(data, scene.world.now + number / per_s, at)
        scene.drone.turn(scene.world.now + number / per_s)
    scene.world.run_for(count / per_s)


@BY_SUITE
def test_lk_20_wrong_mac1_is_silence(suite: Suite) -> None:
    """LK-20: on initiation, response, finish and refused; no job, no answer, one counter; the right one still works."""
    scene = datagram_scene(suite)
    code = open_pairing(scene.drone, scene.world.now)

    def spoil(sent: Datagram) -> list[Datagram]:
        if sent.data[0] == PacketType.DATA:
            return [sent]
        macs = 32 if sent.data[0] == PacketType.INITIATION else 16
        at = len(sent.data) - macs
        bad = sent.data[:at] + bytes((sent.data[at] ^ 1,)) + sent.data[at + 1 :]
        return [replace(sent, data=bad), replace(sent, delay_s=0.01)]

    scene.world.taps.append(spoil)
    connect(scene)
    pair = pair_over(scene, code)
    assert scene.drone.counts["wrong_mac1"] == 3
    assert scene.rc.counts["wrong_mac1"] == pair.counts["wrong_mac1"] == 1
    assert scene.drone.counts["public_key_jobs"] == 3
    assert scene.drone.counts["failed"] == 0


def test_lk_20_mac1_keys() -> None:
    """LK-20: HKDF of the responder's public key, or of the code, info ``mac1``; the first 16 bytes of HMAC-SHA256."""
    scene = datagram_scene(FAST)
    connect(scene)
    public = scene.drone.device.keys["25519"].public
    extracted = hmac.digest(bytes(32), public, hashlib.sha256)
    key = hmac.digest(extracted, b"mac1\1", hashlib.sha256)
    initiation = scene.world.sent_by(RC, PacketType.INITIATION)[0]
    assert initiation[-32:-16] == hmac.digest(key, initiation[:-32], hashlib.sha256)[:16]
    assert initiation[-16:] == bytes(16)


def test_lk_21_mac2_is_made_with_the_cookie_and_zeros_without() -> None:
    """LK-21, LK-23, LK-24: zeros, then the cookie's MAC on the next initiation; and zeros again when it is old."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=1.0))
    flood(scene, forge(FAST, Device(Role.RC, "e").keys["25519"], public(scene)).datagram, 30, per_s=1000)
    connect(scene)
    first, second = scene.world.sent_by(RC, PacketType.INITIATION)
    assert first[-16:] == bytes(16)
    assert second[-16:] != bytes(16)
    assert first[:-32] != second[:-32]
    assert scene.drone.counts["wrong_mac2"] == scene.drone.counts["cookies_sent"]
    assert AlarmKind.LOAD_MODE in scene.drone.alarms()
    talk(scene)
    scene.world.run_for(121.0)  # a rekey, 120 s later: the cookie has expired at the RC
    assert scene.world.sent_by(RC, PacketType.INITIATION)[2][-16:] == bytes(16)


def public(scene: Scene) -> bytes:
    return scene.drone.device.keys["25519"].public


@pytest.mark.parametrize("held", ["inline", "slow"])
def test_lk_22_no_job_before_mac2_under_load(held: str) -> None:
    """LK-22: a flood with valid mac1 from 5,000 sources: no public-key job, no allocation; the owner still gets in."""
    settings = config(FAST, load_initiations_per_s=20.0)
    scene = datagram_scene(FAST, drone_settings=settings)
    scene.drone.hold_work = held == "slow"
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    flood(scene, eve, 1_000, per_s=1_000)
    jobs = scene.drone.counts["public_key_jobs"]
    assert jobs <= 41
    scene.drone.hold_work = False
    scene.drone.do_work(scene.world.now)
    scene.rc.client.start(scene.world.now)
    for _ in range(8):  # while the flood goes on
        flood(scene, eve, 500, per_s=1_000)
    assert scene.rc.links
    assert scene.drone.counts["public_key_jobs"] == jobs + 1
    assert scene.drone.counts["cookies_sent"] > 4_900
    scene.world.run_for(3.0)
    talk(scene)


def test_lk_22_cookies_do_not_silence_the_links_that_are_up() -> None:
    """LK-22: whoever knows our public key may ask for more cookies than leave; a stick leaves with the next batch."""
    scene = datagram_link(FAST, drone_settings=config(FAST, load_initiations_per_s=20.0))
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    machine, now = scene.drone.machine, scene.world.now
    for number in range(200):
        data = remac(eve[:16] + number.to_bytes(4, "big") + eve[20:], public(scene))
        machine.receive(data, now, ip_address("198.51.0.1", 9))
    scene.drone.link.send(SendState(ChannelId.TELEMETRY, 1, b"here"), now)
    batch = machine.trains_to_send(now)
    assert [train.address for train in batch if train.data[0] == PacketType.DATA] == [RC]
    while more := machine.trains_to_send(now):
        batch += more
    assert len(batch) == scene.drone.counts["cookies_sent"] + 1 > 100


def test_lk_22_load_mode_ends() -> None:
    """LK-22: when the flood is over, nobody needs a cookie any more."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=20.0))
    flood(scene, forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram, 300, per_s=1_000)
    scene.world.run_for(5.0)
    before = scene.drone.counts["cookies_sent"]
    connect(scene)
    assert scene.drone.counts["cookies_sent"] == before
    assert len(scene.world.sent_by(RC, PacketType.INITIATION)) == 1


def test_lk_23_a_cookie_is_good_for_its_address_only_and_not_for_ever() -> None:
    """LK-23: the secret rotates every 120 s, the one before is still good; another address or port needs its own."""
    seed = [0]

    def entropy(size: int) -> bytes:
        seed[0] += 1
        return bytes([seed[0]]) * size

    jar = guard.CookieJar(entropy)
    here, port = ip_address("192.0.2.1", 1), ip_address("192.0.2.1", 2)
    flow = relay_address(bytes(16), 7)
    cookie = jar.cookie(here, 0.0)
    assert (
        len({cookie, jar.cookie(port, 0.0), jar.cookie(flow, 0.0), jar.cookie(relay_address(bytes(16), 8), 0.0)}) == 4
    )
    mac2 = guard.mac2(cookie, b"message")
    assert jar.verify_mac2(b"message", mac2, here, 119.0)
    assert not jar.verify_mac2(b"message", mac2, port, 119.0)
    assert jar.verify_mac2(b"message", mac2, here, 239.0)
    assert not jar.verify_mac2(b"message", mac2, here, 361.0)


def test_lk_24_forged_cookie_replies() -> None:
    """LK-24: wrong index, tag, salt or initiation: ignored; a genuine one sends nothing before the timer."""
    scene = datagram_scene(FAST)
    key = guard.mac1_key(public(scene))
    sent_at: list[float] = []

    def answer(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.INITIATION:
            return [sent]
        sent_at.append(scene.world.now)
        sealed = guard.make_reply(key, sent.data[-32:-16], bytes(range(16)), bytes(32))
        other = guard.make_reply(key, bytes(16), bytes(16), bytes(32))
        index = sent.data[4:8]
        good = b"\3\0\0\0" + index + sealed.salt + sealed.sealed
        for bad in (
            b"\3\0\0\0" + bytes((index[0] ^ 1,)) + good[5:],
            b"\3\0\0\1" + good[4:],
            good[:8] + b"\1" + good[9:],
            good[:-1] + bytes((good[-1] ^ 1,)),
            b"\3\0\0\0" + index + other.salt + other.sealed,
            good[:-1],
            good + b"\0",
        ):
            scene.world.inject(bad, EVE, RC)
        if len(sent_at) == 1:
            for _ in range(50):
                scene.world.inject(good, EVE, RC, 0.2)
        return []

    scene.world.taps.append(answer)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(11.0)
    assert [round(at - START_S) for at in sent_at] == [0, 1, 3, 6]
    second = scene.world.sent_by(RC, PacketType.INITIATION)[1]
    assert second[-16:] == guard.mac2(bytes(range(16)), second[:-16])
    assert [down.reason for down in scene.rc.downs()] == [DownReason.NO_ANSWER]
    assert scene.rc.counts["public_key_jobs"] == 0


def test_lk_25_a_bucket_per_source() -> None:
    """LK-25: one host's initiations are limited, whatever its ports; another host is not; /64 counts as one."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=1e6))
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    for number in range(100):
        data = remac(eve[:16] + number.to_bytes(4, "big") + eve[20:], public(scene))
        scene.drone.machine.receive(data, scene.world.now, ip_address("2001:db8::1", number))
        data = remac(eve[:16] + (number + 100).to_bytes(4, "big") + eve[20:], public(scene))
        scene.drone.machine.receive(data, scene.world.now, ip_address(f"2001:db8::{number + 2:x}", 5))
    counts = scene.drone.counts
    assert counts["wrong_mac2"] == counts["cookies_sent"] == 160
    assert counts["rate_limited"] == 0
    assert counts["public_key_jobs"] <= 40
    connect(scene)


def test_lk_25_who_owns_the_address_gets_in_though_another_writes_it_on_his_datagrams() -> None:
    """LK-25: above the rate of a source a cookie is asked for; with it there is a second bucket, bounded too."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=1e6))
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    scene.rc.client.start(scene.world.now)
    for second in range(3):
        flood(scene, eve, 200, per_s=200, source=RC, first=1_000 * second)
    assert scene.rc.links
    assert scene.drone.links
    initiation = scene.world.sent_by(RC, PacketType.INITIATION)[-1]
    assert initiation[-16:] != bytes(16)
    mine = make_client(scene.rc.device, scene.drone.device, scene.settings)
    fresh = forge(FAST, mine.device.keys["25519"], public(scene)).datagram
    cookie = jar_of(scene).cookie(RC, scene.world.now)
    for number in range(60):  # who receives at this address, and asks without end
        initiation = remac(fresh[:16] + number.to_bytes(4, "big") + fresh[20:], public(scene))[:-16]
        scene.drone.machine.receive(initiation + guard.mac2(cookie, initiation), scene.world.now, RC)
    scene.world.settle()
    assert scene.drone.counts["rate_limited"] >= 10


def jar_of(scene: Scene) -> guard.CookieJar:
    return scene.drone.listener._jar  # pyright: ignore[reportPrivateUsage]


def test_lk_25_an_observer_who_replays_the_owners_initiations_uses_up_nothing_of_his() -> None:
    """LK-25, LK-26: spoofed from his address, mac2 and all, while pending and after: no token, no public-key work."""
    scene = datagram_scene(FAST)
    world, recorded = scene.world, list[bytes]()

    def record(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.INITIATION:
            recorded.append(sent.data)
        return [sent]

    def replay(until: Callable[[], object], limit_s: float, *first: bytes) -> None:
        end = world.now + limit_s
        while world.now < end and not until():
            for data in (*first * 3, recorded[-1]):
                scene.drone.machine.receive(data, world.now, RC)
            world.run_for(0.02)

    world.taps.append(record)
    connect(scene)
    for _ in range(4):
        replay(lambda: False, 3.0, recorded[0])
        again = make_client(scene.rc.device, scene.drone.device, scene.settings)
        world.nodes = [again, scene.drone]
        again.client.start(world.now)
        began = world.now
        replay(lambda: again.links, 11.0, recorded[0])  # noqa: B023  # asked at once
        assert again.links
        assert world.now - began < 1.5  # with the first retry, that has the cookie
    assert sum(any(each[-16:]) for each in recorded) >= 2
    recorded = [each for each in recorded if any(each[-16:])]
    jobs = scene.drone.counts["public_key_jobs"]
    replay(lambda: False, 20.0)
    assert scene.drone.counts["public_key_jobs"] == jobs
    assert scene.drone.counts["replies_dropped"] == 0


def test_lk_26_an_identical_initiation_gets_the_cached_reply_at_its_own_address() -> None:
    """LK-26: while pending: the same bytes, to whoever asked, rate-limited, at no public-key cost."""
    scene = datagram_scene(FAST)
    scene.rc.client.start(scene.world.now)
    scene.world.taps.append(lambda sent: [] if sent.source == DRONE and sent.target == RC else [sent])
    scene.world.run_for(0.1)
    initiation = scene.world.sent_by(RC)[0]
    for _ in range(100):
        scene.world.inject(initiation, EVE, DRONE)
    scene.world.settle()
    replies = [each for each in scene.world.sent_to(EVE) if each[0] == PacketType.RESPONSE]
    assert set(replies) == {scene.world.sent_to(RC)[0]}
    assert 35 <= len(replies) <= 40
    assert sum(map(len, scene.world.sent_to(EVE))) <= 100 * len(initiation)
    counts = scene.drone.counts
    assert counts["public_key_jobs"] == 1
    assert counts["duplicates"] == len(replies)
    assert counts["rate_limited"] == 100 - len(replies)
    assert counts["cookies_sent"] == 0


def test_lk_26_a_copy_that_arrives_while_the_first_is_in_work_is_dropped() -> None:
    """LK-26: no second job, and no answer before there is one."""
    scene = datagram_scene(FAST)
    scene.drone.hold_work = True
    scene.world.taps.append(lambda sent: [sent, sent] if sent.data[0] == PacketType.INITIATION else [sent])
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(0.1)
    assert len(scene.drone.work) == 1
    assert scene.drone.counts["duplicates"] == 1
    scene.drone.hold_work = False
    scene.drone.do_work(scene.world.now)
    scene.world.run_until(lambda: scene.drone.links)


def test_lk_27_pending_handshakes_are_bounded_and_expire() -> None:
    """LK-27: 8 of one source, 256 in all, the oldest goes first; all expire after 10 s."""
    settings = config(FAST, load_initiations_per_s=1e6)
    scene = datagram_scene(FAST, drone_settings=settings)
    drone = scene.drone
    drone.hold_work = True
    eve = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    flood(scene, eve, 20, per_s=1e6, source=ip_address("192.0.2.9", 1))
    assert drone.counts["evicted"] == 12
    flood(scene, eve, 400, per_s=1e6, first=1_000)
    assert drone.counts["public_key_jobs"] == 420
    assert drone.counts["evicted"] == 420 - 256
    jobs = len(drone.work)
    drone.do_work(scene.world.now)  # jobs whose handshake is gone come to nothing
    assert jobs == 420
    assert drone.counts["failed"] == 256  # they were forged
    flood(scene, eve, 10, per_s=1e6, first=2_000)
    assert drone.machine.next_deadline() == pytest.approx(scene.world.now + 10.0, abs=0.01)
    scene.world.run_for(10.1)
    assert drone.counts["expired"] == 10
    assert drone.machine.next_deadline() is None


def asked_about_a_pairing() -> tuple[Scene, Node, list[bytes]]:
    """Nine sessions of the past, recorded; then a pairing from the same address, and a person is asked."""
    scene = datagram_scene(FAST)
    for _ in range(9):
        node = make_client(scene.rc.device, scene.drone.device, scene.settings)
        scene.world.nodes = [node, scene.drone]
        node.client.start(scene.world.now)
        scene.world.run_until(lambda: node.links)  # noqa: B023  # asked at once
        node.link.close()
        scene.world.run_for(1.0)
    recorded = scene.world.sent_by(RC, PacketType.INITIATION)
    assert len(recorded) == 9
    scene.drone.hold_trust = True
    code = open_pairing(scene.drone, scene.world.now)
    pairing = make_client(scene.rc.device, scene.drone.device, scene.settings, code=code)
    scene.world.nodes = [pairing, scene.drone]
    pairing.client.start(scene.world.now)
    return scene, pairing, recorded


@pytest.mark.parametrize("while_", ["message 3 is on its way", "a person is asked", "the pairing is stored"])
def test_lk_27_sessions_replayed_from_the_owners_address_do_not_evict_his_pairing(while_: str) -> None:
    """LK-27: each kind is bounded on its own, and a pairing whose message 3 has come is never evicted."""
    scene, pairing, recorded = asked_about_a_pairing()
    scene.drone.hold_stores = True
    scene.world.run_for(0.025 if while_.startswith("message") else 1.0)
    assert len(scene.drone.questions) == (not while_.startswith("message"))
    if while_.startswith("the pairing"):
        scene.drone.answer(scene.world.now)
        scene.drone.turn(scene.world.now)
        assert len(scene.drone.storing) == 1
    for number in range(3):
        for data in recorded:
            fresh = remac(data[:4] + bytes((number, *data[5:])), public(scene))
            scene.drone.machine.receive(fresh if number else data, scene.world.now, RC)
        scene.drone.turn(scene.world.now)
    assert scene.drone.counts["evicted"] > 0
    scene.world.run_for(1.0)
    scene.drone.hold_trust = scene.drone.hold_stores = False
    scene.drone.answer(scene.world.now)
    scene.drone.store(scene.world.now)
    scene.world.run_until(pairing.downs, 90.0)
    assert scene.drone.counts["paired"] == pairing.counts["paired"] == 1


def test_lk_27_pairings_that_know_the_code_are_bounded_on_their_own() -> None:
    """LK-27: 16; for one more, message 3 is silence until there is room, and it is said again."""
    scene = datagram_scene(FAST, drone_settings=config(FAST, load_initiations_per_s=1e6))
    scene.drone.hold_trust = True
    code = open_pairing(scene.drone, scene.world.now)
    pairings = [
        make_client(
            Device(Role.RC, f"{n}"), scene.drone.device, scene.settings, code=code, at=ip_address(f"192.0.2.{n}", 1)
        )
        for n in range(17)
    ]
    scene.world.nodes += pairings
    for node in pairings:
        node.client.start(scene.world.now)
    scene.world.run_for(0.5)
    assert len(scene.drone.questions) == 16
    assert scene.drone.counts["rate_limited"] == 1
    assert scene.drone.counts["evicted"] == 0
    scene.drone.approve = lambda _: PolicyError("the user said no")
    [gone] = (scene.drone.questions.popleft() for _ in range(1))
    scene.drone.server.abandon(gone.attempt)
    scene.world.run_for(3.0)
    assert len(scene.drone.questions) == 16


def test_tcp_deadline_of_an_unproven_stream() -> None:
    """A stream that says nothing, or half of something, ends at the handshake deadline (10 s)."""
    for said in (b"", b"\0", bytes((0, 124, 1, 0)) + bytes(20)):
        server = make_stream_server(Device(Role.RC, "d"), config(FAST))
        server.machine.receive(said, START_S)
        assert server.machine.next_deadline() == START_S + 10.0
        server.machine.handle_deadline(START_S + 9.9)
        assert server.downs() == []
        server.machine.handle_deadline(START_S + 10.0)
        server.turn(START_S + 10.0)
        assert server.machine.is_over
        assert [down.reason for down in server.downs()] == [DownReason.TIMEOUT]
        assert server.machine.next_deadline() is None


@pytest.mark.parametrize("knowing", ["nothing", "the public key"])
def test_ten_thousand_strangers_during_pairing(knowing: str) -> None:
    """Acceptance 6: the code still works afterwards; almost no public-key work; bounded state; the counters show it."""
    scene = datagram_scene(FAST)
    code = open_pairing(scene.drone, scene.world.now)
    dice = random.Random(10_000)
    session = forge(FAST, Device(Role.RC, "eve").keys["25519"], public(scene)).datagram
    pairing = forge(FAST, Device(Role.RC, "eve").keys["25519"], b"", code=code, kind=HandshakeKind.PAIRING).datagram
    for number in range(10_000):
        now = scene.world.now + number / 1_000
        source = ip_address(f"203.0.{number >> 8 & 0xFF}.{number & 0xFF}", 1 + number % 7)
        if knowing == "nothing":
            data = remac(pairing[:16] + dice.randbytes(len(pairing) - 16), dice.randbytes(16))
        else:
            data = remac(session[:16] + number.to_bytes(4, "big") + session[20:], public(scene))
        scene.drone.machine.receive(data, now, source)
        scene.drone.turn(now)
    scene.world.run_for(10.0)
    jobs = scene.drone.counts["public_key_jobs"]
    node = pair_over(scene, code)
    counts = scene.drone.counts
    sys.stdout.write(f"10,000 initiations of strangers who know {knowing}: {counts}\n")
    assert node.counts["paired"] == counts["paired"] == 1
    assert counts["initiations"] == 10_000 + len(scene.world.sent_by(node.address or RC, PacketType.INITIATION))
    if knowing == "nothing":
        assert counts["wrong_mac1"] == 10_000
        assert jobs == 0
    else:
        assert counts["wrong_mac2"] > 9_500
        assert jobs <= 200  # the first second of the limit, before load mode began
        assert AlarmKind.LOAD_MODE in scene.drone.alarms()
    assert counts["tries_refused"] == 0
    assert AlarmKind.PAIRING_TRIES_USED not in scene.drone.alarms()


def test_a_full_listener_says_busy_and_keeps_its_peers() -> None:
    """At most ``max_peers`` associations; the peers that are there may still rekey."""
    scene = datagram_link(FAST, settings=config(FAST, rekey_after_s=20.0), drone_settings=config(FAST, max_peers=1))
    other = Device(Role.RC, "other")
    acquaint(other, scene.drone.device, "25519")
    node = make_client(other, scene.drone.device, config(FAST), at=EVE)
    scene.world.nodes.append(node)
    node.client.start(scene.world.now)
    scene.world.run_for(25.0)
    assert [(down.reason, down.hint and down.hint.name) for down in node.downs()] == [(DownReason.NO_ANSWER, "BUSY")]
    assert scene.rc.link.stats().link.rekeys == 1
    talk(scene)
