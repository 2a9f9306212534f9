"""specs/1-link.md, 1.8: liveness, roaming and its racers, the end (acceptance 6)."""

from dataclasses import replace

import pytest

from protocols.crypto.suites import SUITES
from protocols.events import DownReason, PeerMoved
from protocols.guards.address import Address, local_address
from protocols.link.path import Path, Probe
from specs.registry import CloseCode, PacketType
from tests.machines import (
    DRONE,
    EVE,
    RC,
    Datagram,
    Drbg,
    Node,
    Scene,
    Tap,
    commands,
    config,
    datagram_link,
    offer,
    say,
    stream_link,
    talk,
)

FAST = SUITES[4]
ROAMED = local_address("rc roamed", 9)


def racer(*, drops: bool = False, blocks: bool = False, relays: bool = False) -> Tap:
    """Re-send what the RC sends from Eve's address, before it arrives; drop it; block the way back; be one herself."""

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA:
            own = [] if drops else [replace(sent, delay_s=0.004)]
            return [replace(sent, source=EVE), *own]
        if sent.target == EVE:
            return [replace(sent, target=RC)] if relays else []
        return [] if blocks and sent.target == RC else [sent]

    return race


def moves(scene: Scene) -> tuple[int, int, int]:
    counters = scene.drone.link.stats().link
    return counters.moves, counters.moves_refused, counters.paths_unanswered


def test_lk_80_keepalive_and_death() -> None:
    """LK-80: pings keep a quiet link alive; 10 s without anything authenticated are its end, at each side."""
    scene = datagram_link(FAST)
    scene.world.run_for(100.0)
    assert scene.rc.link.is_open
    assert scene.drone.link.is_open
    heard = scene.world.now
    garbage = scene.world.sent_by(RC, PacketType.DATA)[-1]
    scene.world.taps.append(lambda _: [])
    for _ in range(40):  # replays, garbage and forged handshakes do not count
        scene.world.inject(garbage, RC, DRONE)
        scene.world.inject(garbage[:-1] + b"\0", RC, DRONE)
        scene.world.inject(bytes(100), DRONE, RC)
        scene.world.run_for(0.25)
    scene.world.run_for(3.0)
    for node in (scene.rc, scene.drone):
        assert [down.reason for down in node.downs()] == [DownReason.TIMEOUT]
    assert scene.world.now - heard < 14.0
    assert scene.rc.machine.is_over
    assert list(scene.drone.machine.connections()) == []


@pytest.mark.parametrize("keepalive_s", [0.5, 3.0])
def test_lk_80_times_are_configuration(keepalive_s: float) -> None:
    """LK-80: a PING after each keep-alive time of silence; dead after the configured time."""
    settings = config(FAST, keepalive_s=keepalive_s, dead_after_s=3.5)
    scene = datagram_link(FAST, settings=settings)
    before = scene.rc.link.stats().link.packets_sent
    scene.world.run_for(9.05)
    sent = scene.rc.link.stats().link.packets_sent - before
    assert sent >= 2 * int(9 / keepalive_s) - 1  # its pings, and its pongs
    scene.world.taps.append(lambda _: [])
    at = scene.world.now
    scene.world.run_until(scene.rc.downs)
    assert scene.world.now - at <= 3.6


def test_lk_80_on_streams() -> None:
    """LK-80: the same on a stream that is open but silent."""
    scene = stream_link(FAST)
    scene.world.run_for(60.0)
    assert scene.rc.link.is_open

    def nothing(node: Node, data: bytes) -> bytes:  # noqa: ARG001
        return b""

    scene.world.tamper = nothing
    scene.world.run_for(14.0)
    assert {node.downs()[0].reason for node in (scene.rc, scene.drone)} <= {DownReason.TIMEOUT, DownReason.TRUNCATED}


def test_lk_81_82_a_legitimate_roam() -> None:
    """LK-81, LK-82: the endpoint moves when the challenge was answered and the old path was silent for 0.5 s."""
    scene = datagram_link(FAST)
    talk(scene)
    scene.rc.address = ROAMED
    start = scene.world.now
    say(scene.rc.link, b"from elsewhere", start)
    scene.world.run_for(0.4)
    assert scene.drone.link.address == RC
    assert commands(scene.drone)[-1] == b"from elsewhere"  # delivered at once; only the answers wait
    scene.world.run_until(lambda: scene.drone.all(PeerMoved))
    assert scene.world.now - start == pytest.approx(0.51, abs=0.02)
    assert scene.drone.all(PeerMoved)[0].address == ROAMED == scene.drone.link.address
    assert moves(scene) == (1, 0, 0)
    scene.world.run_for(1.0)
    talk(scene)


def test_lk_81_a_roam_in_the_middle_of_a_transfer_and_back() -> None:
    """LK-81: traffic goes on, nothing reliable is lost; later the RC comes back to its first address."""
    scene = datagram_link(FAST)
    thing = bytes(range(256)) * 4_000
    offer(scene.drone.link, thing, scene.world.now)
    scene.world.run_for(0.1)
    scene.rc.address = ROAMED
    scene.world.run_until(lambda: scene.rc.finished)
    assert scene.rc.finished == [thing]
    scene.rc.address = RC
    scene.world.run_for(6.0)
    assert scene.drone.link.address == RC
    assert moves(scene)[0] == 2


def test_lk_82_a_racer_does_not_get_the_endpoint() -> None:
    """LK-82: who re-sends genuine datagrams faster is betrayed by the genuine ones that arrive after."""
    for relays in (False, True):
        scene = datagram_link(FAST)
        talk(scene)
        scene.world.taps.append(racer(relays=relays))
        for number in range(200):
            say(scene.rc.link, b"%d" % number, scene.world.now)
            scene.world.run_for(0.1)
            assert scene.drone.link.address == RC
        scene.world.settle()
        assert commands(scene.drone)[1:] == [b"%d" % number for number in range(200)]
        moved, refused, unanswered = moves(scene)
        assert moved == unanswered == 0
        assert refused >= 5
        to_eve = sum(map(len, scene.world.sent_to(EVE)))
        from_eve = sum(map(len, scene.world.sent_by(RC, PacketType.DATA)))
        assert to_eve <= 3 * from_eve
        assert to_eve < 1_000
        assert scene.drone.downs() == []


def test_lk_82_a_racer_of_a_silent_link() -> None:
    """LK-82: even when only keep-alives travel."""
    scene = datagram_link(FAST)
    scene.world.taps.append(racer(relays=True))
    scene.world.run_for(60.0)
    assert scene.drone.link.address == RC
    assert moves(scene)[0] == 0
    talk(scene)


def test_lk_82_a_racer_against_the_initiator() -> None:
    """LK-82: the rule is the same at both ends: the drone's datagrams, re-sent by another, move nothing."""
    scene = datagram_link(FAST)

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == DRONE and sent.data[0] == PacketType.DATA:
            return [replace(sent, source=EVE), replace(sent, delay_s=0.004)]
        return [] if sent.target == EVE else [sent]

    scene.world.taps.append(race)
    for _ in range(50):
        say(scene.drone.link, b"x", scene.world.now)
        scene.world.run_for(0.1)
    assert scene.rc.link.address == DRONE
    assert scene.rc.link.stats().link.moves_refused > 0
    talk(scene)


def test_lk_82_a_racer_who_drops_the_originals_too() -> None:
    """LK-82: the drone's token still reaches the RC, whose answer, even re-sent by Eve, says so: nothing moves."""
    for relays in (False, True):
        scene = datagram_link(FAST)
        scene.world.taps.append(racer(drops=True, relays=relays))
        for number in range(50):
            say(scene.rc.link, b"%d" % number, scene.world.now)
            scene.world.run_for(0.1)
            assert scene.drone.link.address == RC
        assert commands(scene.drone) == [b"%d" % number for number in range(50)]
        assert moves(scene)[0] == 0
        assert moves(scene)[1] >= 1


def test_lk_82_who_is_the_only_path_is_the_path_until_he_stops() -> None:
    """LK-82: who blocks both ways and relays both is a path like any other, unread; when he stops it comes back."""
    scene = datagram_link(FAST)
    scene.world.taps.append(racer(drops=True, blocks=True, relays=True))
    for number in range(30):
        say(scene.rc.link, b"%d" % number, scene.world.now)
        scene.world.run_for(0.1)
    assert scene.drone.link.address == EVE
    talk(scene)
    scene.world.taps.clear()
    scene.world.run_for(5.0)
    assert scene.drone.link.address == RC
    talk(scene)
    assert scene.rc.downs() == scene.drone.downs() == []


def test_lk_83_a_candidate_that_does_not_answer_is_forgotten() -> None:
    """LK-83: after 3 s, and none is looked at for 3 s; nothing moves, whatever was blocked."""
    scene = datagram_link(FAST)
    scene.world.taps.append(racer(drops=True, blocks=True))
    for _ in range(20):
        say(scene.rc.link, b"x", scene.world.now)
        scene.world.run_for(0.25)
    assert scene.drone.link.address == RC
    assert moves(scene) == (0, 0, 1)
    to_eve = scene.world.sent_to(EVE)
    assert 1 <= len(to_eve) <= 20
    assert sum(map(len, to_eve)) <= 3 * sum(map(len, scene.world.sent_by(RC, PacketType.DATA)))
    scene.world.taps.clear()
    scene.world.run_for(2.0)
    talk(scene)


def test_lk_81_only_the_highest_counter_names_a_candidate() -> None:
    """LK-81: late or doubled datagrams from elsewhere name nobody; nor does anything that does not verify."""
    scene = datagram_link(FAST)
    held = scene.rc.link.sessions[0].seal(b"\x0e")
    talk(scene)
    damaged = scene.rc.link.sessions[0].seal(b"\x0e")[:-1] + b"\0"
    for data in (held, held, damaged, scene.world.sent_by(RC, PacketType.DATA)[-1]):
        scene.world.inject(data, EVE, DRONE)
    scene.world.run_for(2.5)
    assert scene.world.sent_to(EVE) == []
    assert moves(scene) == (0, 0, 0)


A, B, C, D = (local_address(name) for name in "abcd")


def newest(path: Path, address: Address, size: int, now: float) -> list[Probe]:
    return path.on_genuine(address, size, now, newest=True, rtt_s=0.02)


def run_to(path: Path, start: float, end: float) -> list[Probe]:
    """Keep every deadline of a path; return what it challenged."""
    probes: list[Probe] = []
    while (due := path.next_deadline()) is not None and due <= end:
        probes += path.handle_deadline(max(due, start))[1]
    return probes


def test_lk_81_challenges() -> None:
    """LK-81: a token each, three in the grace, within three times what came; the address in use 30 times a second."""
    path = Path(A, Drbg("path"))
    assert path.next_deadline() is None
    assert path.handle_deadline(0.0) == (False, [])
    assert path.on_response(bytes(8), 0.0) is False
    to_b, to_a = newest(path, B, 44, 0.0)
    assert (to_b.address, to_a.address) == (B, A)
    assert path.on_genuine(C, 44, 0.0, newest=False, rtt_s=None) == []  # a copy names nobody
    assert path.may_answer(B)  # the second 44 of 132
    probes = run_to(path, 0.0, 0.49)
    assert [probe for probe in probes if probe.address == B] == [to_b]  # and that was the third
    assert not path.may_answer(B)
    home = [probe.token for probe in probes if probe.address == A]
    assert len(home) == len(set(home)) == 14
    newest(path, B, 44, 0.5)
    assert path.may_answer(B)
    assert path.may_answer(C)


def test_lk_82_tokens_decide() -> None:
    """LK-82: an answer for the address in use refuses all who are older than its token; else the grace decides."""
    path = Path(A, Drbg("path"))
    to_b, to_a = newest(path, B, 400, 0.0)
    assert not path.on_response(to_b.token, 0.1)
    to_c, to_a_again = newest(path, C, 400, 0.2)
    assert to_a_again.token != to_a.token
    assert not path.on_response(to_a.token, 0.25)  # B is refused; C came after this token was sent
    assert path.moves_refused == 1
    assert path.on_response(to_c.token, 0.3) is False
    assert run_to(path, 0.3, 0.69) != []
    assert path.address == A
    assert path.handle_deadline(0.7) == (True, [])
    assert (path.address, path.next_deadline()) == (C, None)
    assert path.on_response(to_a_again.token, 0.8) is False
    to_d, home = newest(path, D, 400, 1.0)
    assert path.on_response(home.token, 1.1) is False  # from wherever
    assert path.on_response(to_d.token, 1.1) is False
    assert (path.address, path.moves_refused, path.next_deadline()) == (C, 2, None)


def test_lk_82_the_grace_is_three_round_trips_on_a_slow_path() -> None:
    """LK-82: a token needs a round trip to be answered, and further chances."""
    path = Path(A, Drbg("slow"))
    to_b, _ = path.on_genuine(B, 400, 0.0, newest=True, rtt_s=0.6)
    path.on_response(to_b.token, 0.7)
    run_to(path, 0.7, 1.79)
    assert path.address == A
    assert path.handle_deadline(1.8)[0] is True


def test_lk_83_quiet_times() -> None:
    """LK-83: forgotten after 3 s, not looked at for 3 s; others are; an answer after the grace moves at once."""
    path = Path(A, Drbg("quiet"))
    newest(path, B, 400, 0.0)
    run_to(path, 0.0, 3.0)
    assert (path.unanswered, path.next_deadline()) == (1, None)
    assert newest(path, B, 400, 5.9) == []
    to_c = newest(path, C, 400, 5.9)[0]
    to_b = newest(path, B, 400, 6.0)[0]
    run_to(path, 6.0, 6.8)
    assert path.on_response(to_b.token, 6.9) is True
    assert path.address == B
    assert not path.on_response(to_c.token, 6.9)


def test_lk_81_the_oldest_that_answered_nothing_makes_room() -> None:
    """LK-81: at most 8; who has answered keeps his place."""
    path = Path(A, Drbg("many"))
    first = newest(path, B, 400, 0.0)[0]
    path.on_response(first.token, 0.01)
    for number in range(40):
        assert len(newest(path, local_address(f"spoofed {number}"), 400, 0.02)) == 2
    run_to(path, 0.02, 0.5)
    assert path.address == B
    for number in range(100):  # and the list of quiet addresses is bounded too
        newest(path, local_address(f"later {number}"), 400, 1.0 + number * 4)
        run_to(path, 1.0 + number * 4, 5.0 + number * 4)
    assert path.address == B
    full = Path(A, Drbg("full"))
    for number in range(8):
        full.on_response(newest(full, local_address(f"answers {number}"), 400, 0.0)[0].token, 0.0)
    assert newest(full, B, 400, 0.1) == []


@pytest.mark.parametrize("winner", ["home", "first", "second", "nobody"])
def test_lk_83_an_opening_by_itself(winner: str) -> None:
    """LK-83: of several addresses the first whose token is answered is in use; nothing else is sent before."""
    path = Path(A, Drbg("path"))
    assert (path.open((), 0.0), path.is_proven) == ([], True)
    home, to_b, to_c = path.open((B, C), 0.0)
    assert [probe.address for probe in (home, to_b, to_c)] == [A, B, C]
    newest(path, A, 40, 0.1)
    newest(path, B, 40, 0.1)
    assert not path.on_response(bytes(8), 0.1)
    assert (path.is_proven, path.is_lost) == (False, False)
    if winner == "nobody":
        run_to(path, 0.1, 2.99)
        assert (path.is_proven, path.is_lost) == (False, False)
        run_to(path, 3.0, 3.0)
        assert (path.is_lost, path.unanswered) == (True, 3)
        return
    token, address = {"home": (home.token, A), "first": (to_b.token, B), "second": (to_c.token, C)}[winner]
    assert path.on_response(token, 0.2) is (winner != "home")
    assert (path.address, path.is_proven, path.next_deadline()) == (address, True, None)
    assert not path.on_response(to_b.token, 0.3)
    crowd = Path(A, Drbg("crowd"))
    assert len(crowd.open([local_address(f"rival {number}") for number in range(20)], 0.0)) == 8


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
@pytest.mark.parametrize("code", list(CloseCode))
def test_lk_84_close(carrier: str, code: CloseCode) -> None:
    """LK-84: authenticated, with its code; nothing is said after it by either side."""
    scene = datagram_link(FAST) if carrier == "datagrams" else stream_link(FAST)
    for number in range(30):
        say(scene.rc.link, b"%d" % number, scene.world.now)
    scene.rc.link.close(code)
    scene.world.settle()
    expected = DownReason.REPLACED if code is CloseCode.REPLACED else DownReason.PEER_CLOSED
    assert [(down.reason, down.code) for down in scene.drone.downs()] == [(expected, code)]
    assert [down.reason for down in scene.rc.downs()] == [DownReason.CLOSED]
    assert commands(scene.drone) == []
    before = scene.rc.link.stats().link.packets_sent, scene.drone.link.stats().link.packets_sent
    scene.world.run_for(30.0)
    assert (scene.rc.link.stats().link.packets_sent, scene.drone.link.stats().link.packets_sent) == before
    assert scene.rc.machine.is_over
    assert scene.rc.link.next_packet(scene.world.now) is None
    assert scene.rc.link.next_deadline() is None


def test_lk_84_a_forged_close_is_nothing() -> None:
    """LK-84: a close that nobody sealed, replayed from another link, or reflected, ends nothing."""
    scene, other = datagram_link(FAST), datagram_link(FAST, seed="other")
    other.rc.link.close()
    other.world.settle()
    close = other.world.sent_by(RC, PacketType.DATA)[-1]
    index = scene.drone.link.sessions[0].index.to_bytes(4, "big")
    for data in (close, close[:4] + index + close[8:], b"\4\0\0\0" + index + bytes(8) + b"\x08\0\0\0" + bytes(16)):
        scene.world.inject(data, RC, DRONE)
    scene.world.settle()
    talk(scene)


def test_abort_says_nothing() -> None:
    """The client gives up before the link is up, or ends it without a word."""
    scene = datagram_link(FAST)
    before = len(scene.world.log)
    scene.rc.client.abort(DownReason.REFUSED)
    scene.world.settle()
    assert [down.reason for down in scene.rc.downs()] == [DownReason.REFUSED]
    assert len(scene.world.log) == before
    assert scene.rc.machine.is_over
