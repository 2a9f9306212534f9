"""specs/2-pairing.md: codes, tries, two phases; over datagrams and streams (acceptance 6)."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto.kdf import hkdf_sha256
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import CodeFormatError, NotPairedError, PolicyError, RoleRefusedError
from protocols.events import AlarmKind, DownReason, LinkUp, PairingStored, PeerConfirmed, PeerIdentified
from protocols.guards.cookie import mac1, mac1_key
from protocols.link.client import Client
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode, PairingWindow, pair_id_of, pair_secret_info
from specs import inner
from specs.registry import CODE_LIFETIME_S, CODE_TRIES, CloseCode, HandshakeKind, PacketType, Role
from tests.helpers.forge import forge
from tests.machines import (
    DRONE,
    EVE,
    RC,
    START_S,
    Datagram,
    DatagramWorld,
    Device,
    Drbg,
    Node,
    Scene,
    StreamScene,
    StreamWorld,
    Weather,
    bytewise,
    config,
    connect,
    datagram_scene,
    devices,
    make_client,
    make_listener,
    make_stream_server,
    open_pairing,
    pair_over,
    pair_over_stream,
    stream_scene,
    talk,
    whole,
)

PAGE = Path(__file__).parents[2] / "specs" / "2-pairing.md"
FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
CODES = st.builds(LinkingCode, st.binary(min_size=16, max_size=16))
PAIRER = replace(RC, port=77)


def strangers(suite: Suite = FAST, **settings: object) -> Scene:
    """Two devices that have never met, and a drone that listens."""
    rc, drone = devices(dh=None)
    limits = config(suite, **settings)
    listener = make_listener(drone, limits)
    nobody = Node(rc, listener.machine, RC)  # stands for the RC until it has a client
    return Scene(DatagramWorld(listener), nobody, listener, limits)


def start_pairing(scene: Scene, code: LinkingCode, port: int = 77) -> Node:
    """Begin a pairing; the world runs it."""
    node = make_client(scene.rc.device, scene.drone.device, scene.settings, code=code, at=replace(RC, port=port))
    scene.world.nodes.append(node)
    node.client.start(scene.world.now)
    return node


# --- 2.1 the code --------------------------------------------------------------------------------


def test_pr_1_a_code_is_16_bytes_of_the_given_entropy_and_never_shown_by_repr() -> None:
    """PR-1: the node gives the operating system's generator; no repr, str or error holds a code."""
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return bytes(range(1, size + 1))

    code = LinkingCode.generate(entropy)
    assert asked == [16]
    window = PairingWindow(code, 0.0)
    for shown in (repr(code), str(code), repr(window), f"{[code]}"):
        assert code.secret.hex() not in shown.lower()
        assert str(code.secret) not in shown
        assert code.text() not in shown
    with pytest.raises(CodeFormatError) as caught:
        LinkingCode.parse(code.text()[:-1] + "0")
    assert code.text()[:4] not in str(caught.value)


def test_pr_2_text_by_hand() -> None:
    """PR-2: 28 characters of Crockford's base32, seven groups: 128 bits, then 12 of the labelled hash."""
    secret = bytes(range(16))
    check = hashlib.sha256(b"Aerolink linking code v1" + secret).digest()
    bits = "".join(f"{byte:08b}" for byte in secret + check[:2])[:140]
    spelled = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[at : at + 5], 2)] for at in range(0, 140, 5))
    text = LinkingCode(secret).text()
    assert text == "-".join(spelled[at : at + 4] for at in range(0, 28, 4))
    assert text.replace("-", "") == spelled


@pytest.mark.bare
@given(CODES, st.data())
def test_pr_3_a_reader_is_generous_with_form_and_strict_with_content(code: LinkingCode, data: st.DataObject) -> None:
    """PR-3: case, spaces, dashes, O for 0, I and L for 1; a wrong character is noticed, but for 1 in 4,096."""
    text = code.text()
    spellings = {"0": "Oo", "1": "IiLl"}
    typed = ""
    for each in text:
        forms = [each, each.lower(), *spellings.get(each, ""), f" {each}", f"{each}\u2013"]
        typed += data.draw(st.sampled_from(forms))
    assert LinkingCode.parse(typed) == code
    at = data.draw(st.integers(0, 27))
    plain = text.replace("-", "")
    wrong = plain[:at] + data.draw(st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ")) + plain[at + 1 :]
    try:
        other = LinkingCode.parse(wrong)
    except CodeFormatError:
        return
    assert other == code or other.text().replace("-", "") == wrong  # 1 in 4,096 by chance


@given(st.text(max_size=60))
def test_pr_3_whatever_is_typed_is_a_code_or_one_error(typed: str) -> None:
    """PR-3: nothing else leaves the reader, and the error does not repeat what was typed."""
    said = ""
    try:
        LinkingCode.parse(typed)
    except CodeFormatError as error:
        said = re.sub(r"this has \d+$", "this has N", str(error))
    assert said in {
        "",
        "a linking code has 28 characters in seven groups of four; this has N",
        "a linking code has digits and letters only, without U",
        "the linking code has a typing mistake: its checksum does not fit",
    }


@pytest.mark.parametrize("typed", ["", "U" * 28, "0" * 27, "0" * 29, "ß" * 14, "0000-" * 7])
def test_pr_3_wrong_lengths_characters_and_checksum(typed: str) -> None:
    """PR-3: before a byte leaves."""
    with pytest.raises(CodeFormatError):
        LinkingCode.parse(typed)


def test_pr_4_a_code_lives_five_minutes() -> None:
    """PR-4: from its making, and not a moment longer."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.world.run_for(CODE_LIFETIME_S - 1.0)
    assert pair_over(scene, code).counts["paired"] == 1
    scene.world.run_for(2.0)
    late = pair_over(scene, code)
    assert late.counts["paired"] == 0
    assert scene.drone.counts["pairing_closed"] == 4
    assert not PairingWindow(code, 0.0).is_open(300.0)


def test_pr_4_a_pairing_under_way_when_the_code_ends() -> None:
    """PR-4: who is asked about after the end is refused, and that is no try."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_trust = True
    scene.world.run_for(CODE_LIFETIME_S - 1.0)
    node = start_pairing(scene, code)
    scene.world.run_for(2.0)
    scene.drone.answer(scene.world.now)
    scene.world.run_until(node.downs, 120.0)
    assert node.counts["paired"] == 0
    assert scene.drone.counts["tries_refused"] == 0
    assert scene.drone.device.peers == {}
    assert [(down.reason, down.hint) for down in node.downs()] == [(DownReason.REFUSED, None)]


# --- 2.2 the handshake ---------------------------------------------------------------------------


@BY_SUITE
@pytest.mark.parametrize("carrier", ["datagrams", "whole", "bytewise"])
def test_pr_10_pairing_and_the_first_session(suite: Suite, carrier: str) -> None:
    """PR-10, PR-30, PR-31: on every carrier: both store pending, the first session commits both."""
    if carrier == "datagrams":
        scene = strangers(suite)
        node = pair_over(scene, open_pairing(scene.drone, scene.world.now))
        rc, drone = scene.rc.device, scene.drone.device
        assert node.counts["paired"] == 1
        first = scene.world.sent_by(PAIRER)[0]
        assert first[3] == HandshakeKind.PAIRING
        assert first[12:16] == bytes(4)
    else:
        rc, drone = devices(dh=None)
        done = pair_over_stream(rc, drone, config(suite), cut=whole if carrier == "whole" else bytewise)
        assert [down.reason for down in done.rc.downs()] == [DownReason.CLOSED]
        assert done.drone.machine.is_over
    at_rc, at_drone = rc.peers[drone.key_id(suite.dh)], drone.peers[rc.key_id(suite.dh)]
    assert at_rc.pair_secret == at_drone.pair_secret
    assert (at_rc.state, at_drone.state) == (PeerState.PENDING, PeerState.PENDING)
    assert (at_rc.role, at_drone.role) == (Role.DRONE, Role.RC)
    assert (at_rc.public, at_drone.public) == (drone.keys[suite.dh].public, rc.keys[suite.dh].public)
    session = datagram_scene(suite, rc=rc, drone=drone)
    connect(session)
    talk(session)
    assert rc.peers[drone.key_id(suite.dh)].state is PeerState.PAIRED
    assert drone.peers[rc.key_id(suite.dh)].state is PeerState.PAIRED


def test_pr_10_keys_from_the_code() -> None:
    """PR-10: psk0 = HKDF(code, info "psk0", 32), mac1 key from the code."""
    code = LinkingCode(bytes(range(16)))
    assert code.psk0() == hkdf_sha256(code.secret, b"", b"psk0", 32)
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    pair_over(scene, code)
    initiation = scene.world.sent_by(PAIRER)[0]
    assert initiation[-32:-16] == mac1(mac1_key(code.secret), initiation[:-32])


def test_pr_11_pair_secret() -> None:
    """PR-11: bound to both keys and roles, new with each pairing, and not made of what is public."""
    info = pair_secret_info(b"I" * 32, b"R" * 32, (Role.RC, Role.DRONE))
    assert info == b"Aerolink pair secret v1" + b"I" * 32 + b"R" * 32 + bytes((2, 1))
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    secrets = set[bytes]()
    for _ in range(2):
        node = pair_over(scene, code)
        stored = node.all(PairingStored)[0]
        secrets.add(stored.pair_secret)
        assert len(stored.pair_secret) == 32
        assert stored.pair_secret.hex() not in repr(stored)
    assert len(secrets) == 2
    assert [each.pair_secret for each in scene.drone.all(PairingStored)][-1] in secrets


def test_pr_12_the_counter_of_a_pairing_is_the_floor() -> None:
    """PR-12: not compared; then sessions need a greater one. A lost counter file is healed by pairing again."""
    scene = datagram_scene(FAST)
    scene.rc.device.next_counter = 500
    connect(scene)
    rc, drone = scene.rc.device, scene.drone.device
    assert drone.peers[rc.key_id("25519")].initiation_counter == 500
    rc.next_counter, rc.counter_epoch = 1, b"another life    "
    lost = make_client(rc, drone, config(FAST), at=EVE)
    scene.world.nodes.append(lost)
    lost.client.start(scene.world.now)
    scene.world.run_for(11.0)
    assert scene.drone.counts["stale_counters"] == 4
    assert lost.links == []
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    floor = drone.peers[rc.key_id("25519")].initiation_counter
    assert floor < 500
    healed = make_client(rc, drone, config(FAST), at=replace(RC, port=5))
    scene.world.nodes.append(healed)
    connect(replace(scene, rc=healed))
    assert drone.peers[rc.key_id("25519")].initiation_counter > floor


# --- 2.3 tries -----------------------------------------------------------------------------------


def refuse(reason: PolicyError) -> Scene:
    scene = strangers()
    scene.drone.approve = lambda _: reason
    return scene


def test_pr_20_three_refused_tries_end_the_code_with_an_alarm() -> None:
    """PR-20: message 3 decrypted, and the user's no, three times; then nobody pairs with it."""
    scene = refuse(PolicyError("the user said no"))
    code = open_pairing(scene.drone, scene.world.now)
    for number in range(CODE_TRIES):
        assert AlarmKind.PAIRING_TRIES_USED not in scene.drone.alarms()
        node = pair_over(scene, code)
        assert [(down.reason, down.hint) for down in node.downs()] == [(DownReason.REFUSED, None)]
        assert scene.drone.counts["tries_refused"] == number + 1
    assert scene.drone.alarms().count(AlarmKind.PAIRING_TRIES_USED) == 1
    scene.drone.approve = lambda _: None
    assert pair_over(scene, code).counts["paired"] == 0
    assert scene.drone.counts["pairing_closed"] == 4
    fresh = open_pairing(scene.drone, scene.world.now, "another code")
    assert pair_over(scene, fresh).counts["paired"] == 1


@pytest.mark.parametrize("why", ["revoked", "role"])
def test_pr_20_a_revoked_key_and_a_wrong_role_are_tries(why: str) -> None:
    """PR-20, PR-35: refused without asking the user."""
    scene = datagram_scene(FAST)
    key_id = scene.rc.device.key_id("25519")
    record = scene.drone.device.peers[key_id]
    changed = replace(record, state=PeerState.REVOKED) if why == "revoked" else replace(record, role=Role.CLOUD)
    scene.drone.device.peers[key_id] = changed
    code = open_pairing(scene.drone, scene.world.now)
    assert pair_over(scene, code).counts["paired"] == 0
    assert scene.drone.counts["tries_refused"] == 1
    assert scene.drone.device.peers[key_id] == changed
    expected = AlarmKind.REVOKED_PEER if why == "revoked" else AlarmKind.ROLE_REFUSED
    assert scene.drone.alarms() == [expected]
    if why == "revoked":  # the user lifts the revocation
        del scene.drone.device.peers[key_id]
        assert pair_over(scene, code).counts["paired"] == 1


def test_pr_20_tries_of_both_carriers_are_counted_together() -> None:
    """PR-20: several machines share one window."""
    rc, drone = devices(dh=None)
    listener, server = make_listener(drone, config(FAST)), make_stream_server(drone, config(FAST))
    window = PairingWindow(LinkingCode(bytes(16)), START_S)
    no = PolicyError("no")
    for node in (listener, server):
        node.server.open_pairing(window)
        node.approve = lambda _: no
    world = DatagramWorld(listener)
    scene = Scene(world, Node(rc, listener.machine, RC), listener, config(FAST))
    pair_over(scene, window.code)
    pair_over(scene, window.code)
    client = make_client(rc, drone, config(FAST), to=None, code=window.code)
    stream = StreamWorld(client, server)
    client.client.start(stream.now)
    stream.run_until(client.downs, 120.0)
    assert window.tries_left == 0
    assert server.alarms() == [AlarmKind.PAIRING_TRIES_USED]
    assert [(down.reason, down.hint) for down in client.downs()] == [(DownReason.REFUSED, None)]
    world.run_for(1.0)
    assert pair_over(scene, window.code).counts["paired"] == 0


def test_pr_21_everything_else_is_no_try() -> None:
    """PR-21: wrong codes, broken messages of every kind, in numbers: counted, shown, and the code lives."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    for number in range(10):
        assert pair_over(scene, LinkingCode.generate(Drbg(f"guess {number}"))).counts["paired"] == 0
    assert scene.drone.counts["wrong_mac1"] == 40

    def spoil(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.FINISH:
            return [sent]
        bad = sent.data[:20] + bytes((sent.data[20] ^ 1,)) + sent.data[21:-16]
        return [replace(sent, data=bad + mac1(mac1_key(code.secret), bad)) for _ in range(30)]

    scene.world.taps.append(spoil)  # whoever knows the code, and breaks message 3
    for _ in range(2):
        assert pair_over(scene, code).counts["paired"] == 0
    assert scene.drone.counts["failed"] > 100
    assert scene.drone.counts["tries_refused"] == 0
    scene.world.taps.clear()
    assert pair_over(scene, code).counts["paired"] == 1


def test_pr_21_a_bad_message_3_may_be_followed_by_the_right_one() -> None:
    """PR-21, LK-16: a handshake is not poisoned by one that does not decrypt."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)

    def spoil(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.FINISH:
            return [sent]
        bad = sent.data[:20] + bytes((sent.data[20] ^ 1,)) + sent.data[21:-16]
        return [replace(sent, data=bad + mac1(mac1_key(code.secret), bad)), replace(sent, delay_s=0.01)]

    scene.world.taps.append(spoil)
    assert pair_over(scene, code).counts["paired"] == 1
    assert scene.drone.counts["failed"] == 1


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
def test_pr_22_no_window_no_word(carrier: str) -> None:
    """PR-22: silence without an open window, on both carriers; and after the user closed it."""
    code = LinkingCode(bytes(16))
    if carrier == "datagrams":
        scene = strangers()
        node = pair_over(scene, code)
        assert scene.world.sent_by(DRONE) == []
        assert scene.drone.counts["pairing_closed"] == 4
        assert scene.drone.counts["public_key_jobs"] == 0
        code = open_pairing(scene.drone, scene.world.now)
        scene.drone.server.close_pairing()
        assert pair_over(scene, code).counts["paired"] == 0
    else:
        rc, drone = devices(dh=None)
        server, node = make_stream_server(drone, config(FAST)), make_client(rc, drone, config(FAST), to=None, code=code)
        world = StreamWorld(node, server)
        node.client.start(world.now)
        world.run_until(node.downs)
        assert bytes(world.sent[server]) == b""
    assert [(down.reason, down.hint) for down in node.downs()] == [(DownReason.NO_ANSWER, None)]


def test_pr_23_silence_has_one_line() -> None:
    """PR-23: a wrong code and no window look alike: NO_ANSWER, which the node shows in the page's words."""
    from nodes.initiating import NO_PAIRING_ANSWER

    line = PAGE.read_text().split("**PR-23**")[1].split('"')[1]
    assert NO_PAIRING_ANSWER.startswith(line)
    scene = strangers()
    open_pairing(scene.drone, scene.world.now)
    wrong = pair_over(scene, LinkingCode(bytes(16))).downs()
    scene.drone.server.close_pairing()
    closed = pair_over(scene, LinkingCode(bytes(16))).downs()
    assert wrong == closed


def test_who_knows_the_code_but_is_refused_learns_no_more_than_that() -> None:
    """PR-36: one authentic answer, whatever the reason, and at once."""
    seen = set[DownReason]()
    for reason in (PolicyError("no"), RoleRefusedError("role"), NotPairedError("full")):
        scene = refuse(reason)
        began = scene.world.now
        seen.add(pair_over(scene, open_pairing(scene.drone, scene.world.now)).downs()[0].reason)
        assert scene.world.now - began < 1.0
    assert seen == {DownReason.REFUSED}


def test_pr_36_a_refusal_that_was_lost_is_said_again() -> None:
    """PR-36: for each repeated message 3."""
    scene = refuse(PolicyError("no"))
    lost: list[Datagram] = []

    def lose(sent: Datagram) -> list[Datagram]:
        if sent.source == DRONE and sent.data[0] == PacketType.DATA and len(lost) < 2:
            lost.append(sent)
            return []
        return [sent]

    scene.world.taps.append(lose)
    node = pair_over(scene, open_pairing(scene.drone, scene.world.now))
    assert [down.reason for down in node.downs()] == [DownReason.REFUSED]
    assert len(lost) == 2
    assert scene.drone.counts["tries_refused"] == 1


# --- 2.4 two phases ------------------------------------------------------------------------------


def test_pr_30_confirmation_only_after_it_is_stored() -> None:
    """PR-30: the responder stores, then confirms; the initiator stores, then closes with PAIRING_DONE."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_stores = True
    node = start_pairing(scene, code)
    node.hold_stores = True
    scene.world.run_for(0.5)
    assert [event.pairing for event in scene.drone.all(PeerIdentified)] == [True]
    assert scene.world.sent_by(DRONE, PacketType.DATA) == []
    scene.drone.store(scene.world.now)
    scene.world.run_for(0.5)
    assert len(scene.world.sent_by(DRONE, PacketType.DATA)) == 1
    assert scene.world.sent_by(PAIRER, PacketType.DATA) == []
    assert node.downs() == []
    node.store(scene.world.now)
    scene.world.settle()
    assert len(scene.world.sent_by(PAIRER, PacketType.DATA)) == 1
    assert [down.reason for down in node.downs()] == [DownReason.CLOSED]
    assert scene.drone.all(LinkUp) == []


def test_pr_30_a_store_that_never_answers() -> None:
    """PR-30: the handshake expires; nothing is confirmed; the code lives; a late word is ignored."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_stores = True
    node = start_pairing(scene, code)
    scene.world.run_for(90.0)
    assert [down.reason for down in node.downs()] == [DownReason.NO_ANSWER]
    scene.world.nodes.remove(node)
    attempt = scene.drone.storing.popleft().attempt
    scene.drone.hold_stores = False
    scene.drone.server.abandon(attempt)
    scene.drone.server.pairing_stored(attempt, scene.world.now)
    assert scene.drone.counts["paired"] == 0
    assert scene.drone.counts["tries_refused"] == 0
    assert pair_over(scene, code).counts["paired"] == 1


def test_pr_31_pending_until_the_first_session() -> None:
    """PR-31: an unproven message 1 does not commit; the first transport message does, each side by the other's."""
    scene = strangers()
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    rc, drone = scene.rc.device, scene.drone.device
    client = make_client(rc, drone, config(FAST))
    scene.world.nodes.append(client)
    scene.world.taps.append(lambda sent: [] if sent.source == RC and sent.data[0] == PacketType.DATA else [sent])
    client.client.start(scene.world.now)
    scene.world.run_for(1.0)
    assert client.links
    assert {rc.peers[drone.key_id("25519")].state, drone.peers[rc.key_id("25519")].state} == {PeerState.PENDING}
    scene.world.taps.clear()
    scene.world.run_for(3.0)
    assert {rc.peers[drone.key_id("25519")].state, drone.peers[rc.key_id("25519")].state} == {PeerState.PAIRED}


def test_pr_32_the_same_key_may_repeat_the_same_code() -> None:
    """PR-32: a pending record is replaced by the next pairing; both ends then hold the same secret."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.world.taps.append(lambda sent: [] if sent.source == DRONE and sent.data[0] == PacketType.DATA else [sent])
    assert [down.reason for down in pair_over(scene, code).downs()] == [DownReason.NO_ANSWER]
    rc, drone = scene.rc.device, scene.drone.device
    half = drone.peers[rc.key_id("25519")]
    assert half.state is PeerState.PENDING
    assert rc.peers == {}
    scene.world.taps.clear()
    assert pair_over(scene, code).counts["paired"] == 1
    assert drone.peers[rc.key_id("25519")].pair_secret == rc.peers[drone.key_id("25519")].pair_secret
    assert drone.peers[rc.key_id("25519")].pair_secret != half.pair_secret
    connect(datagram_scene(FAST, rc=rc, drone=drone))


def other_rc(scene: Scene) -> Scene:
    """The same drone, and another RC."""
    other = Device(Role.RC, "other")
    return replace(scene, rc=Node(other, scene.rc.machine, EVE))


def test_pr_32_one_device_per_code() -> None:
    """PR-32: another key that knows the code is refused, which is a try; the first one may repeat it."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    assert pair_over(scene, code).counts["paired"] == 1
    node = pair_over(other_rc(scene), code)
    assert node.counts["paired"] == 0
    assert [(down.reason, down.hint) for down in node.downs()] == [(DownReason.REFUSED, None)]
    assert scene.drone.counts["tries_refused"] == 1
    assert list(scene.drone.device.peers) == [scene.rc.device.key_id("25519")]
    assert pair_over(scene, code).counts["paired"] == 1


def test_pr_32_the_first_session_ends_the_code() -> None:
    """PR-32: who is paired and proven needs the code no more; nobody else gets to use it."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    pair_over(scene, code)
    client = make_client(scene.rc.device, scene.drone.device, scene.settings)
    scene.world.nodes.append(client)
    connect(replace(scene, rc=client))
    assert pair_over(other_rc(scene), code).counts["paired"] == 0
    assert pair_over(scene, code).counts["paired"] == 0
    assert scene.drone.counts["pairing_closed"] == 8
    assert scene.drone.counts["tries_refused"] == 0
    talk(replace(scene, rc=client))


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
def test_pr_33_a_person_may_take_a_while(carrier: str) -> None:
    """PR-33: the initiator waits about a minute for the word of whoever holds the drone."""
    if carrier == "datagrams":
        scene = strangers()
        scene.drone.hold_trust = True
        node = start_pairing(scene, open_pairing(scene.drone, scene.world.now))
        world: DatagramWorld | StreamWorld = scene.world
        drone = scene.drone
    else:
        rc, device = devices(dh=None)
        drone = make_stream_server(device, config(FAST))
        drone.hold_trust = True
        node = make_client(rc, device, config(FAST), to=None, code=open_pairing(drone, START_S))
        world = StreamWorld(node, drone)
        node.client.start(world.now)
    world.run_for(50.0)
    assert len(drone.questions) == 1
    drone.answer(world.now)
    world.run_until(node.downs)
    assert node.counts["paired"] == drone.counts["paired"] == 1


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_pr_33_repeated_message_3_gets_the_confirmation_again(lost: int) -> None:
    """PR-33: the same bytes after 1, 2, 3 s; no second public-key operation, no second question."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    gone: list[Datagram] = []

    def lose(sent: Datagram) -> list[Datagram]:
        if sent.source == DRONE and sent.data[0] == PacketType.DATA and len(gone) < lost:
            gone.append(sent)
            return []
        return [sent]

    scene.world.taps.append(lose)
    assert pair_over(scene, code).counts["paired"] == 1
    finishes = scene.world.sent_by(PAIRER, PacketType.FINISH)
    assert len(finishes) == lost + 1
    assert len(set(finishes)) == 1
    assert scene.drone.counts["public_key_jobs"] == 2
    assert len(scene.drone.all(PeerIdentified)) == scene.drone.counts["paired"] == 1


def test_pr_33_a_lost_message_3() -> None:
    """PR-33: the repetition takes its place."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    first: list[Datagram] = []

    def lose(sent: Datagram) -> list[Datagram]:
        if sent.data[0] == PacketType.FINISH and not first:
            first.append(sent)
            return []
        return [sent]

    scene.world.taps.append(lose)
    assert pair_over(scene, code).counts["paired"] == 1


def test_pr_34_transport_keys_of_a_pairing_carry_nothing_else() -> None:
    """PR-34: the initiator ends on anything but the confirmation; the responder makes no link of them."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_stores = True
    node = start_pairing(scene, code)
    scene.world.run_until(lambda: scene.drone.storing)
    pending = scene.drone.server._responder.newest()  # pyright: ignore[reportPrivateUsage]
    assert pending is not None
    session = pending.session
    assert session is not None
    for frame in (b"\x03\0\0\0\0\0\0\1", b"", b"\x01\2\0\0\0\0\0\0\0\0\0\0data", b"\x0e\0"):
        node.machine.receive(session.seal(frame), scene.world.now, DRONE)
        node.turn(scene.world.now)
    assert node.counts["paired"] == 0
    assert node.links == []
    assert node.counts["malformed"] == 4
    scene.drone.store(scene.world.now)
    scene.world.settle()
    assert node.counts["paired"] == 1
    assert scene.drone.all(LinkUp) == []
    scene.world.run_for(11.0)
    assert scene.drone.machine.next_deadline() is None  # the keys are gone with the pending handshake


def test_pr_34_a_close_from_the_responder_ends_the_pairing() -> None:
    """PR-34: CLOSE is allowed, and says that there will be no confirmation."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    scene.drone.hold_stores = True
    node = start_pairing(scene, code)
    scene.world.run_until(lambda: scene.drone.storing)
    pending = scene.drone.server._responder.newest()  # pyright: ignore[reportPrivateUsage]
    assert pending is not None
    assert pending.session is not None
    from protocols import codec

    frame = codec.build(inner.CLOSE, inner.Close(CloseCode.GOING_AWAY))
    node.machine.receive(pending.session.seal(frame), scene.world.now, DRONE)
    scene.world.settle()
    assert [down.reason for down in node.downs()] == [DownReason.PEER_CLOSED]
    assert node.machine.is_over


def test_pr_35_pairing_again_replaces_the_record_at_once() -> None:
    """PR-35: also of a device that is paired; the next session has the new secret (what ends links: PR-37)."""
    scene = datagram_scene(FAST)
    connect(scene)
    old = scene.drone.device.peers[scene.rc.device.key_id("25519")]
    assert old.state is PeerState.PAIRED
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    new = scene.drone.device.peers[scene.rc.device.key_id("25519")]
    assert new.pair_secret != old.pair_secret
    assert new.state is PeerState.PENDING
    talk(scene)
    again = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=3))
    scene.world.nodes.append(again)
    connect(replace(scene, rc=again))
    assert scene.drone.device.peers[scene.rc.device.key_id("25519")].state is PeerState.PAIRED


def test_pr_37_only_the_secret_that_came_of_the_code_ends_it() -> None:
    """PR-37: a session with the old one, on a machine that has not been told of the pairing, leaves the code open."""
    scene = datagram_scene(FAST)
    rc, drone = scene.rc.device, scene.drone.device
    window = PairingWindow(LinkingCode(bytes(16)), START_S)
    stream = stream_scene(FAST, rc=rc, drone=drone)
    for node in (scene.drone, stream.drone):
        node.server.open_pairing(window)
    stream.drone.hold_trust = True
    stream.rc.client.start(stream.world.now)
    stream.world.run_for(0.5)
    old = replace(drone.peers[rc.key_id("25519")])
    assert pair_over(scene, window.code).counts["paired"] == 1
    new = drone.peers[rc.key_id("25519")]
    drone.peers[rc.key_id("25519")] = old
    stream.drone.answer(stream.world.now)  # with what was read before
    stream.world.run_for(1.0)
    assert stream.drone.links
    assert [event.pair_id for event in stream.drone.all(PeerConfirmed)] == [pair_id_of(old.pair_secret)]
    assert window.is_open(scene.world.now)
    drone.peers[rc.key_id("25519")] = new
    scene.rc.client.start(scene.world.now)
    connect(replace(scene, rc=again(scene)))
    assert scene.drone.all(PeerConfirmed)[-1].pair_id == pair_id_of(new.pair_secret)
    assert not window.is_open(scene.world.now)


def again(scene: Scene) -> Node:
    """The RC of a scene, as it is now."""
    node = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=3))
    scene.world.nodes.append(node)
    return node


def test_pr_37_a_pair_id_tells_nothing_and_tells_secrets_apart() -> None:
    """PR-37: it is a hash with a label of its own, and is never sent."""
    assert pair_id_of(bytes(32)) == hashlib.sha256(b"Aerolink pair id v1" + bytes(32)).digest()[:16]
    assert pair_id_of(bytes(32)) != pair_id_of(b"\1" + bytes(31))


@pytest.mark.parametrize("how", ["abandoned", "stream"])
def test_pr_38_a_pairing_that_was_not_stored_frees_the_code(how: str) -> None:
    """PR-38: the node could not store it, or its stream broke meanwhile; then another device may use the code."""
    rc, drone = devices(dh=None)
    node = make_stream_server(drone, config(FAST)) if how == "stream" else make_listener(drone, config(FAST))
    window = PairingWindow(LinkingCode(bytes(16)), START_S)
    node.server.open_pairing(window)
    node.hold_stores = True
    client = make_client(rc, drone, config(FAST), to=None if how == "stream" else DRONE, code=window.code)
    world = StreamWorld(client, node) if how == "stream" else DatagramWorld(client, node)
    client.client.start(world.now)
    world.run_until(lambda: node.storing)
    attempt = node.storing[0].attempt
    assert window.claimed_by == rc.key_id("25519")
    assert node.server.is_storing(attempt, world.now)
    assert not node.server.is_storing(attempt, window.expires_s)
    assert not node.server.is_storing(attempt + 1, world.now)
    if how == "stream":
        node.machine.receive_end(world.now)
    else:
        node.server.abandon(attempt)
    assert window.admits(b"another device")
    assert not node.server.is_storing(attempt, world.now)
    node.server.pairing_stored(attempt, world.now)
    assert node.counts["paired"] == node.counts["tries_refused"] == 0


def test_pairing_in_bad_weather() -> None:
    """Loss, duplicates, reordering and corruption: every code pairs in a few attempts, and no try is counted."""
    for dice in range(4):
        scene = strangers()
        scene.world.weather = Weather(drop=0.2, duplicate=0.2, corrupt=0.05, jitter_s=0.2)
        scene.world.random.seed(dice)
        code = open_pairing(scene.drone, scene.world.now)
        for _ in range(6):
            if pair_over(scene, code).counts["paired"]:
                break
        rc, drone = scene.rc.device, scene.drone.device
        assert rc.peers[drone.key_id("25519")].pair_secret == drone.peers[rc.key_id("25519")].pair_secret
        assert scene.drone.counts["tries_refused"] == 0


def test_messages_of_a_pairing_are_nothing_in_another() -> None:
    """Splicing: a finish of one handshake for the index of another, a response to another initiation."""
    scene = strangers()
    code = open_pairing(scene.drone, scene.world.now)
    other = strangers()
    pair_over(other, open_pairing(other.drone, other.world.now))
    finish = other.world.sent_by(PAIRER, PacketType.FINISH)[0]

    def splice(sent: Datagram) -> list[Datagram]:
        if sent.data[0] != PacketType.FINISH:
            return [sent]
        spliced = sent.data[:12] + finish[12:-16]
        return [replace(sent, data=spliced + mac1(mac1_key(code.secret), spliced)), replace(sent, delay_s=0.01)]

    scene.world.taps.append(splice)
    assert pair_over(scene, code).counts["paired"] == 1


def test_a_client_has_a_peer_or_a_code() -> None:
    """Neither or both is a usage error; so is a peer of another DH function than the suite's."""
    from protocols.errors import UsageError

    rc, drone = devices()
    peer, code = rc.peers[drone.key_id("P256")], LinkingCode(bytes(16))
    entropy, keys = rc.boot()
    for wrong in ({}, {"peer": peer, "code": code}):
        with pytest.raises(UsageError):
            Client(config(), rc.identity, key_source=keys, entropy=entropy, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="P256"):
        Client(config(FAST), rc.identity, peer=peer, key_source=keys, entropy=entropy)


def test_end_of_a_stream_in_a_pairing() -> None:
    """Before the confirmation: no answer. After it was stored: done."""
    rc, drone = devices(dh=None)
    server = make_stream_server(drone, config(FAST))
    server.hold_stores = True
    node = make_client(rc, drone, config(FAST), to=None, code=open_pairing(server, START_S))
    world = StreamWorld(node, server)
    node.client.start(world.now)
    world.run_until(lambda: server.storing)
    world.end(node)
    assert [down.reason for down in node.downs()] == [DownReason.NO_ANSWER]
    node.client.pairing_stored(0, world.now)
    node.client.abort()
    assert len(node.downs()) == 1
    assert isinstance(StreamScene(world, node, server, config(FAST)), StreamScene)
    assert forge(FAST, Device(Role.RC, "x").keys["25519"], drone.keys["25519"].public).sender
