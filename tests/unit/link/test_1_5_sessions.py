"""specs/1-link.md, 1.5 and 1.6: protected traffic on both carriers, and refusals."""

from dataclasses import replace

import pytest

from protocols import codec
from protocols.crypto.ciphers import CIPHERS
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import KeyExhaustedError, MalformedError, ReplayError, RevokedError, UsageError
from protocols.events import AlarmKind, DownReason, LinkUp, SendStream, StreamReceived
from protocols.guards.cookie import mac1, mac1_key
from protocols.link.framing import handshake_body_untrusted
from protocols.link.handshake import SessionKeys
from protocols.link.peers import PeerState
from protocols.link.session import DatagramSession, RecordSession
from specs import inner
from specs.datagram import REFUSED
from specs.registry import ChannelId, CloseCode, PacketType, RefusalCode, Role
from tests.machines import (
    DRONE,
    EVE,
    RC,
    START_S,
    Cut,
    Datagram,
    StreamScene,
    bytewise,
    commands,
    config,
    connect,
    datagram_link,
    datagram_scene,
    make_client,
    make_stream_server,
    offer,
    say,
    stream_link,
    stream_scene,
    talk,
    whole,
)

FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
BY_CUT = pytest.mark.parametrize("cut", [whole, bytewise])
KEYS = SessionKeys("AESGCM", bytes(32), bytes(range(32)), bytes(32))
BACK = SessionKeys("AESGCM", bytes(range(32)), bytes(32), bytes(32))


def pair_of(kind: type[DatagramSession] | type[RecordSession], **changes: object) -> tuple[object, object]:
    settings = config(SUITES[1], **changes)
    return (
        kind(KEYS, settings, index=1, peer_index=2, epoch=0, now=0.0),
        kind(BACK, settings, index=2, peer_index=1, epoch=0, now=0.0),
    )


@BY_SUITE
def test_lk_50_binding_is_the_first_sessions_and_public(suite: Suite) -> None:
    """LK-50: both ends have it, it outlives rekeys, and it is no key."""
    scene = datagram_link(suite, settings=config(suite, rekey_after_s=5.0))
    binding = scene.rc.link.binding
    assert len(binding) == 32
    assert scene.drone.link.binding == binding == scene.rc.all(LinkUp)[0].channel_binding
    scene.world.run_for(12.0)
    assert scene.rc.link.stats().link.rekeys == 2
    assert scene.rc.link.binding == scene.drone.link.binding == binding


@pytest.mark.parametrize("cipher", sorted(CIPHERS))
def test_lk_51_data_datagram_by_hand(cipher: str) -> None:
    """LK-51: 16 bytes of header, which are the associated data, and from byte 4 the nonce, for both ciphers."""
    keys = replace(KEYS, cipher=cipher)
    session = DatagramSession(keys, config(), index=1, peer_index=0x01020304, epoch=0, now=0.0)
    for counter in range(3):
        packet = session.seal(b"frame")
        header = bytes((4, 0, 0, 0, 1, 2, 3, 4)) + counter.to_bytes(8, "big")
        assert packet == header + CIPHERS[cipher].new(keys.send).encrypt(header[4:], b"frame", header)
        assert len(packet) == 32 + len(b"frame")


def test_lk_52_window_and_marks() -> None:
    """LK-52: counters from 0 by one; what is replayed, too old or damaged changes nothing; marks follow the tag."""
    ours, theirs = pair_of(DatagramSession)
    assert isinstance(ours, DatagramSession)
    assert isinstance(theirs, DatagramSession)
    packets = [ours.seal(b"%d" % number) for number in range(2_100)]
    assert [int.from_bytes(each[8:16], "big") for each in packets] == list(range(2_100))
    last = packets[2_099]
    damaged = last[:-1] + bytes((last[-1] ^ 1,))
    with pytest.raises(Exception, match="tag"):
        theirs.open_untrusted(damaged)
    assert theirs.window.highest == -1
    assert theirs.received == 0
    assert theirs.open_untrusted(last) == b"2099"
    for old in (last, packets[2_099 - 2_049]):
        with pytest.raises(ReplayError):
            theirs.open_untrusted(old)
    assert theirs.open_untrusted(packets[2_099 - 2_048]) == b"51"
    assert theirs.received == 2


def test_lk_52_duplicates_and_garbage_change_only_counters() -> None:
    """LK-52: on a link: each is counted, none is delivered, none moves anything."""
    scene = datagram_link(FAST)
    talk(scene)
    data = scene.world.sent_by(RC, PacketType.DATA)[-1]
    before = scene.drone.link.stats().link
    for bad in (
        data,
        data[:-1],
        data + b"\0",
        data[:1] + b"\1" + data[2:],
        data[:20] + b"\0" + data[21:],
        data[:31],
        data[:4] + bytes(4) + data[8:],
        b"",
        b"\x04",
        bytes(100),
        b"\x07" + data[1:],
    ):
        scene.world.inject(bad, RC, DRONE)
        scene.world.inject(bad, DRONE, RC)
    scene.world.settle()
    after = scene.drone.link.stats().link
    assert after.replays > before.replays
    assert replace(after, replays=0, failed_opens=0) == replace(before, replays=0, failed_opens=0)
    talk(scene)


@pytest.mark.parametrize("cipher", sorted(CIPHERS))
def test_lk_53_record_by_hand(cipher: str) -> None:
    """LK-53: 4 bytes of header, which are the associated data; nonce: four zeros and the count of records."""
    keys = replace(KEYS, cipher=cipher)
    session = RecordSession(keys, config(), index=1, peer_index=2, epoch=7, now=0.0)
    for counter in range(3):
        header = bytes((0, 21, 4, 7))
        expected = CIPHERS[cipher].new(keys.send).encrypt(bytes(4) + counter.to_bytes(8, "big"), b"frame", header)
        assert session.seal(b"frame") == header + expected


@BY_CUT
def test_lk_53_a_record_that_fails_ends_the_link(cut: Cut) -> None:
    """LK-53: one bit of a data record, anywhere behind the header's type and length: AUTHENTICATION, at once."""
    for at in (3, 4, 10, -1):
        scene = stream_link(FAST, cut=cut)
        record = bytearray(scene.rc.link.sessions[0].seal(b"\x0e" + bytes(30)))
        record[at] ^= 1
        scene.drone.machine.receive(bytes(record), scene.world.now)
        scene.drone.turn(scene.world.now)
        reasons = [down.reason for down in scene.drone.downs()]
        assert reasons == [DownReason.PROTOCOL if at == 3 else DownReason.AUTHENTICATION]
        assert scene.drone.machine.is_over
        scene.drone.machine.receive(bytes(record) * 3, scene.world.now)  # what follows is not looked at
        assert scene.drone.machine.data_to_send(scene.world.now) == []


def test_lk_53_records_replayed_or_in_another_order_end_the_link() -> None:
    """LK-53: the count is the nonce: no record twice, none left out, none before another."""
    for order in ([0, 0], [1, 0], [1]):
        scene = stream_link(FAST)
        records = [scene.rc.link.sessions[0].seal(b"\x0e") for _ in range(2)]
        for each in order:
            scene.drone.machine.receive(records[each], scene.world.now)
            scene.drone.turn(scene.world.now)
        assert [down.reason for down in scene.drone.downs()] == [DownReason.AUTHENTICATION]


@BY_CUT
def test_lk_53_end_without_close_is_truncation(cut: Cut) -> None:
    """LK-53: at both ends; in the middle of a record too; and not after an authenticated close."""
    scene = stream_link(FAST, cut=cut)
    scene.drone.machine.receive(b"\0", scene.world.now)
    for node in (scene.rc, scene.drone):
        node.machine.receive_end(scene.world.now)
        node.turn(scene.world.now)
        assert [down.reason for down in node.downs()] == [DownReason.TRUNCATED]
    closed = stream_link(FAST, cut=cut)
    closed.rc.link.close(CloseCode.GOING_AWAY)
    closed.world.settle()
    assert [(down.reason, down.code) for down in closed.drone.downs()] == [
        (DownReason.PEER_CLOSED, CloseCode.GOING_AWAY)
    ]
    assert [down.reason for down in closed.rc.downs()] == [DownReason.CLOSED]


@BY_CUT
@BY_SUITE
def test_lk_53_large_messages(suite: Suite, cut: Cut) -> None:
    """LK-53: plaintext up to 65,519 bytes a record; larger writes are split."""
    if cut is bytewise and suite is not FAST:
        return
    scene = stream_link(suite, cut=cut)
    size = 1_000_000 if cut is whole else 70_000
    scene.rc.link.send(SendStream(ChannelId.VIDEO, bytes(size)), scene.world.now)
    scene.world.settle()
    assert [len(message.data) for message in scene.drone.received(StreamReceived)] == [size]
    lengths = record_lengths(scene)
    assert max(lengths) <= 65_535
    offer(scene.drone.link, bytes(range(256)) * 400, scene.world.now)
    scene.world.run_until(lambda: scene.rc.finished)
    assert scene.rc.finished == [bytes(range(256)) * 400]


def record_lengths(scene: StreamScene) -> list[int]:
    stream, at, lengths = bytes(scene.world.sent[scene.rc]), 0, list[int]()
    while at < len(stream):
        lengths.append(int.from_bytes(stream[at : at + 2], "big"))
        at += 4 + lengths[-1]
    assert at == len(stream)
    return lengths


@BY_CUT
@BY_SUITE
def test_lk_54_handshake_records_and_epochs(suite: Suite, cut: Cut) -> None:
    """LK-54: no MACs, epoch 0; data's epoch rises with each rekey, modulo 256."""
    scene = stream_link(suite, cut=cut, settings=config(suite, rekey_after_s=6.0))
    talk(scene)
    scene.world.run_for(13.0)
    talk(scene)
    kinds: list[tuple[int, int]] = []
    stream, at = bytes(scene.world.sent[scene.rc]), 0
    for length in record_lengths(scene):
        kinds.append((stream[at + 2], stream[at + 3]))
        at += 4 + length
    assert {epoch for kind, epoch in kinds if kind == PacketType.INITIATION} == {0}
    assert list(dict.fromkeys(epoch for kind, epoch in kinds if kind == PacketType.DATA)) == [0, 1, 2]
    assert scene.rc.link.stats().link.rekeys == scene.drone.link.stats().link.rekeys == 2


def test_lk_54_epochs_wrap() -> None:
    """LK-54: 256 rekeys and more: the epoch wraps, the link goes on."""
    scene = stream_link(FAST, settings=config(FAST, rekey_after_s=5.0, keepalive_s=4.0))
    scene.world.run_for(5.1 * 262)
    rekeys = scene.rc.link.stats().link.rekeys
    assert rekeys > 256
    assert scene.rc.link.sessions[0].epoch == rekeys - 256
    talk(scene)


def test_lk_54_the_key_never_switches_back() -> None:
    """LK-54: after the first record of the next epoch, one of the epoch before ends the link."""
    scene = stream_link(FAST, settings=config(FAST, rekey_after_s=6.0))
    old = scene.rc.link.sessions[0]
    scene.world.run_for(7.0)
    scene.drone.machine.receive(old.seal(b"\x0e"), scene.world.now)
    scene.drone.turn(scene.world.now)
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]
    other = stream_link(FAST, settings=config(FAST, rekey_after_s=6.0))
    old = other.drone.link.sessions[0]
    other.world.run_for(7.0)
    other.rc.machine.receive(old.seal(b"\x0e"), other.world.now)
    other.rc.turn(other.world.now)
    assert [down.reason for down in other.rc.downs()] == [DownReason.PROTOCOL]


def test_lk_54_header_and_body_of_a_handshake_record_agree() -> None:
    """LK-54: type and epoch of the record header; the body's first byte is its type."""
    for bad in (bytes((0, 1, 1, 0)), bytes((0, 1, 1, 1, 1)), bytes((0, 1, 2, 0, 1))):
        with pytest.raises(MalformedError):
            handshake_body_untrusted(bad)
    assert handshake_body_untrusted(bytes((0, 1, 1, 0, 1))) == b"\1"


@pytest.mark.parametrize(
    "said",
    [
        bytes((0, 5, 9, 0)) + bytes(5),
        bytes((9, 0, 1, 0)),
        bytes((0xFF, 0xFF, 4, 0)),
        bytes((0, 20, 4, 0)) + bytes(20),
        bytes((0, 12, 5, 0)) + b"\5\0\0\0\0\0\0\1\0\0\0\1",
        bytes((0, 3, 1, 0, 1, 1, 1)),
        bytes((0, 16, 2, 0)) + b"\2" + bytes(15),
        bytes((0, 16, 1, 0)) + bytes((1, 1, 4, 2, 0, 0, 0, 5, 1, 2, 1, 0, 0, 0, 0, 9)),
    ],
)
@BY_CUT
def test_stream_garbage_before_the_link_is_up(said: bytes, cut: Cut) -> None:
    """Whatever a stranger says first: the stream ends, with one reason, and nothing is answered."""
    server = make_stream_server(datagram_scene(FAST).drone.device, config(FAST))
    for piece in cut(said):
        server.machine.receive(piece, START_S)
        server.turn(START_S)
    assert [down.reason for down in server.downs()] == [DownReason.PROTOCOL]
    assert server.machine.is_over
    assert server.machine.data_to_send(START_S) == []
    assert server.counts["public_key_jobs"] == 0


@pytest.mark.parametrize("kind", [PacketType.INITIATION, PacketType.FINISH, PacketType.COOKIE_REPLY, PacketType.DATA])
def test_a_server_that_says_what_servers_do_not(kind: PacketType) -> None:
    """The client of a stream ends; no link is reported."""
    scene = stream_scene(FAST)
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)
    scene.rc.machine.receive(bytes((0, 1, kind, 0, kind)), scene.world.now)
    scene.rc.turn(scene.world.now)
    assert [down.reason for down in scene.rc.downs()] == [DownReason.NO_ANSWER]
    assert scene.rc.machine.is_over


def test_a_second_handshake_at_once_ends_a_stream() -> None:
    """One handshake at a time; a rekey names the session in use."""
    scene = stream_scene(FAST)
    scene.drone.hold_work = True
    scene.rc.client.start(scene.world.now)
    scene.rc.turn(scene.world.now)
    said = scene.rc.machine.data_to_send(scene.world.now)[0][0]
    scene.drone.machine.receive(said + said, scene.world.now)
    scene.drone.turn(scene.world.now)
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]
    up = stream_link(FAST)
    first = bytes(up.world.sent[up.rc])[: len(said)]
    for wrong in (first, first[:16] + b"\0\0\0\1" + first[20:]):
        again = stream_link(FAST)
        again.drone.machine.receive(wrong, again.world.now)
        again.drone.turn(again.world.now)
        assert [down.reason for down in again.drone.downs()] == [DownReason.PROTOCOL]


@pytest.mark.parametrize(
    "frame",
    [b"", b"\0", b"\xff", b"\x03", b"\x03\0\0\0\0\0\0\0\0", b"\x03\1\0\0\0\0\0\1", b"\x09\0\0\0", b"\x0e\1",
     b"\x01\x63\0\0\0\0\0\0", b"\x08\0\0\x63", b"\x05\0\0\0"],
)  # fmt: skip
@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
def test_lk_55_exactly_one_inner_frame(frame: bytes, carrier: str) -> None:
    """LK-55: anything else in an authentic payload is the peer's fault: close code PROTOCOL."""
    scene = datagram_link(FAST) if carrier == "datagrams" else stream_link(FAST)
    packet = scene.drone.link.sessions[0].seal(frame)
    scene.rc.machine.receive(packet, scene.world.now, DRONE)
    scene.world.settle()
    if frame == b"\x05\0\0\0":  # a rekey request is the responder's to say
        assert scene.rc.link.is_open
        scene.drone.machine.receive(scene.rc.link.sessions[0].seal(frame), scene.world.now, RC)
        scene.world.settle()
        scene.rc, scene.drone = scene.drone, scene.rc
    assert [(down.reason, down.code) for down in scene.rc.downs()] == [(DownReason.PROTOCOL, CloseCode.PROTOCOL)]
    assert [(down.reason, down.code) for down in scene.drone.downs()] == [(DownReason.PEER_CLOSED, CloseCode.PROTOCOL)]


def test_padding_and_pings_are_answered_or_ignored() -> None:
    """A PONG for every PING, with its id; padding of zeros is nothing; a flood of pings fills no memory."""
    scene = datagram_link(FAST)
    session = scene.drone.link.sessions[0]
    scene.rc.machine.receive(session.seal(b"\x0e" + bytes(50)), scene.world.now, DRONE)
    for number in range(500):
        frame = codec.build(inner.PING, inner.Ping(number))
        scene.rc.machine.receive(session.seal(frame), scene.world.now, DRONE)
    before = scene.rc.link.stats().link.packets_sent
    scene.world.settle()
    assert scene.rc.link.stats().link.packets_sent - before == 64
    talk(scene)


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
def test_lk_56_the_initiator_speaks_first(carrier: str) -> None:
    """LK-56: after message 2 at once, with a PING if there is nothing else, so that the responder may speak."""
    scene = datagram_scene(FAST) if carrier == "datagrams" else stream_scene(FAST)
    scene.rc.client.start(scene.world.now)
    start = scene.world.now
    scene.world.run_until(lambda: scene.drone.links)
    assert scene.world.now - start == pytest.approx(0.03)
    scene.world.settle()
    assert scene.rc.link.stats().rtt_s == pytest.approx(0.02)


# --- 1.6 refusals --------------------------------------------------------------------------------


def refusing(why: str, *, stream: bool) -> tuple[DownReason, RefusalCode | None, list[AlarmKind], int]:
    """Let a drone refuse for a reason; return what the RC shows, and the drone's alarms."""
    scene = stream_scene(FAST) if stream else datagram_scene(FAST)
    drone, key_id = scene.drone.device, scene.rc.device.key_id("25519")
    if why == "not paired":
        del drone.peers[key_id]
    elif why == "revoked":
        drone.peers[key_id] = replace(drone.peers[key_id], state=PeerState.REVOKED)
    elif why == "role":
        drone.peers[key_id] = replace(drone.peers[key_id], role=Role.MOBILE)
    scene.rc.client.start(scene.world.now)
    scene.world.run_until(scene.rc.downs)
    assert scene.drone.all(LinkUp) == []
    down = scene.rc.downs()[0]
    alarms = list(dict.fromkeys(scene.drone.alarms()))
    return down.reason, down.hint, alarms, scene.drone.counts["refused"]


@pytest.mark.parametrize("stream", [False, True], ids=["datagrams", "stream"])
@pytest.mark.parametrize(
    ("why", "alarm"),
    [
        ("not paired", AlarmKind.UNKNOWN_PEER),
        ("revoked", AlarmKind.REVOKED_PEER),
        ("role", AlarmKind.ROLE_REFUSED),
    ],
)
def test_lk_60_one_coarse_code_outside_the_precise_reason_inside(why: str, alarm: AlarmKind, stream: bool) -> None:
    """LK-60: not paired, revoked and wrong role are one code; the operator's alarm says which."""
    reason, hint, alarms, count = refusing(why, stream=stream)
    assert (reason, hint) == (DownReason.NO_ANSWER, RefusalCode.NOT_ALLOWED)
    assert alarms == [alarm]
    assert count == (1 if stream else 4)


def test_lk_60_a_refusal_is_smaller_signed_and_rate_limited() -> None:
    """LK-60: 24 bytes, mac1 over itself; a flood of refusable requests gets no more answers than the rate."""
    scene = datagram_scene(FAST, drone_settings=config(SUITES[2]))
    scene.rc.client.start(scene.world.now)
    scene.world.settle()
    initiation, refusal = scene.world.sent_by(RC)[0], scene.world.sent_by(DRONE)[0]
    assert len(refusal) == 24 < len(initiation)
    assert codec.parse_untrusted(REFUSED, refusal).code is RefusalCode.SUITE
    for _ in range(200):
        scene.world.inject(initiation, EVE, DRONE)
    scene.world.settle()
    assert len([each for each in scene.world.sent_to(EVE) if each[0] == PacketType.REFUSED]) <= 40
    assert sum(map(len, scene.world.sent_to(EVE))) < 200 * len(initiation)
    assert scene.drone.counts["public_key_jobs"] == 0


def test_lk_61_a_refusal_is_a_hint_only() -> None:
    """LK-61: forged or genuine, it changes nothing that is done: the handshake goes on, its timers too."""
    scene = datagram_scene(FAST)

    def refuse(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.INITIATION:
            return [sent]
        unsigned = b"\6\3\0\0" + sent.data[4:8]
        good = unsigned + mac1(mac1_key(scene.drone.device.keys["25519"].public), unsigned)
        wrong_index = b"\6\1\0\0" + bytes((sent.data[4] ^ 1,)) + sent.data[5:8]
        wrong_index += mac1(mac1_key(scene.drone.device.keys["25519"].public), wrong_index)
        for data in (good, good[:-1] + b"\0", good[:-1], wrong_index, b"\6\x09" + good[2:]):
            scene.world.inject(data, EVE, RC)
        return [sent]

    scene.world.taps.append(refuse)
    connect(scene)
    assert scene.rc.counts["wrong_mac1"] == 1
    assert scene.rc.counts["malformed"] == 2
    assert scene.rc.link.is_open
    talk(scene)
    # And on a link that is up, it is not even a hint.
    assert scene.rc.downs() == []


def test_lk_61_on_a_stream_the_hint_is_shown_at_its_end() -> None:
    """LK-61: the initiator waits for the end of the stream."""
    scene = stream_scene(FAST, settings=config(FAST))
    del scene.drone.device.peers[scene.rc.device.key_id("25519")]
    scene.rc.client.start(scene.world.now)
    scene.drone.hold_trust = True
    scene.world.run_for(0.1)
    scene.drone.server.reject(scene.drone.questions.popleft().attempt, RevokedError("no"), scene.world.now)
    assert scene.rc.downs() == []
    scene.world.settle()
    assert [(down.reason, down.hint) for down in scene.rc.downs()] == [(DownReason.NO_ANSWER, RefusalCode.NOT_ALLOWED)]


# --- splicing ------------------------------------------------------------------------------------


def test_messages_of_one_link_are_nothing_in_another() -> None:
    """Data, responses and initiations of another peer, suite or pairing change nothing."""
    ours, other = datagram_link(FAST, seed="ours"), datagram_link(FAST, seed="other")
    foreign = datagram_link(SUITES[2], seed="ours")
    talk(other)
    before = ours.rc.link.stats().link, ours.drone.link.stats().link
    for each in [*other.world.log, *foreign.world.log]:
        at, index = each.data, ours.drone.link.sessions[0].index.to_bytes(4, "big")
        ours.world.inject(each.data, each.source, each.target)
        if at[0] == PacketType.DATA and each.target == DRONE:
            ours.world.inject(at[:4] + index + at[8:], RC, DRONE)
    ours.world.settle()
    after = ours.rc.link.stats().link, ours.drone.link.stats().link
    assert replace(after[1], failed_opens=0, replays=0) == replace(before[1], failed_opens=0, replays=0)
    assert replace(after[0], failed_opens=0, replays=0) == replace(before[0], failed_opens=0, replays=0)
    assert len(ours.drone.all(LinkUp)) == 1
    talk(ours)


# --- limits of a session -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DatagramSession, RecordSession])
def test_lk_71_a_key_seals_and_opens_no_more_than_its_limit(kind: type[DatagramSession] | type[RecordSession]) -> None:
    """LK-71: refused at the limit of messages and of age; a rekey is due before."""
    limits = config(refuse_after_messages=5, rekey_after_messages=3)
    session = kind(KEYS, limits, index=1, peer_index=2, epoch=0, now=0.0)
    assert not session.rekey_due(1.0)
    for _ in range(3):
        session.seal(b"")
    assert session.rekey_due(1.0)
    assert session.usable(1.0)
    assert not session.usable(180.0)
    session.seal(b"")
    session.seal(b"")
    assert not session.usable(1.0)
    with pytest.raises(KeyExhaustedError):
        session.seal(b"")


def test_sending_on_a_link_that_is_down() -> None:
    """UsageError; closing twice is once; the end of a datagram carrier is a usage error too."""
    scene = datagram_link(FAST)
    scene.rc.link.close()
    scene.rc.link.close()
    with pytest.raises(UsageError):
        say(scene.rc.link, b"x", scene.world.now)
    scene.world.settle()
    assert [down.reason for down in scene.rc.downs()] == [DownReason.CLOSED]
    assert commands(scene.drone) == []
    with pytest.raises(UsageError):
        scene.drone.machine.receive_end(scene.world.now)
    assert "DOWN" in repr(scene.rc.link)
    assert make_client(scene.rc.device, scene.drone.device, scene.settings).client.connection is None
