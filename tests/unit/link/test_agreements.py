"""What a pair's static keys agree on is computed once, for known peers, and forgotten with them (LK-74, LK-45)."""

from dataclasses import replace

import pytest

from protocols import codec
from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.dh import DH_FUNCTIONS, SoftwareKey
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import PolicyError
from protocols.link.config import Identity
from protocols.link.handshake import (
    Offer,
    channels_sha256,
    check_response_payload_untrusted,
    initiation_payload,
    response_header,
    response_header_untrusted,
    response_payload,
)
from protocols.link.peers import PeerState
from specs.datagram import (
    INITIATION_HEADER,
    INITIATION_PAYLOAD,
    PROLOGUE,
    RESPONSE_HEADER,
    RESPONSE_PAYLOAD,
    InitiationHeader,
    InitiationPayload,
    Prologue,
    ReplyHeader,
    ResponsePayload,
)
from specs.registry import LINK_ROLES, WIRE_VERSION, HandshakeKind, LinkType
from tests.helpers.forge import forge
from tests.machines import (
    EVE,
    Device,
    Scene,
    StreamScene,
    config,
    connect,
    datagram_scene,
    make_client,
    make_stream_server,
    open_pairing,
    pair_over,
    stream_scene,
    talk,
)

FAST = SUITES[4]
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
BY_CARRIER = pytest.mark.parametrize("carrier", ["datagrams", "stream"])


class Counting:
    """A static key that counts how often it is asked for the agreement with each public key."""

    def __init__(self, key: SoftwareKey) -> None:
        self.dh = key.dh
        self.public = key.public
        self.asked: list[bytes] = []
        self._key = key

    def exchange(self, peer_public: bytes) -> bytes:
        self.asked.append(peer_public)
        return self._key.exchange(peer_public)


def table(device: Device) -> StaticAgreements:
    return device.identity.agreements


def counted(scene: Scene | StreamScene, dh: str) -> list[Counting]:
    """Give both devices keys that count, before their machines are made anew."""
    keys = [Counting(node.device.keys[dh]) for node in (scene.rc, scene.drone)]
    for node, key in zip((scene.rc, scene.drone), keys, strict=True):
        node.device.identity = Identity(node.device.role, {dh: key}, table(node.device))  # type: ignore[misc]
    return keys


def made(carrier: str, suite: Suite) -> Scene | StreamScene:
    return datagram_scene(suite) if carrier == "datagrams" else stream_scene(suite)


def known(scene: Scene | StreamScene) -> tuple[int, int]:
    return len(table(scene.rc.device)), len(table(scene.drone.device))


@BY_CARRIER
@BY_SUITE
def test_the_second_handshake_of_a_pair_computes_no_static_agreement(carrier: str, suite: Suite) -> None:
    """LK-74: over machines and connections of a node; a rekey is a handshake of the pair too."""
    first = made(carrier, suite)
    rc, drone = first.rc.device, first.drone.device
    keys = counted(first, suite.dh)
    settings = config(suite, rekey_after_s=10.0)
    for links in (1, 2):
        scene = (
            datagram_scene(suite, rc=rc, drone=drone, settings=settings)
            if carrier == "datagrams"
            else stream_scene(suite, rc=rc, drone=drone, settings=settings)
        )
        connect(scene)
        scene.world.run_for(11.0)
        talk(scene)
        assert known(scene) == (1, 1)
        assert [key.asked.count(other.public) for key, other in zip(keys, reversed(keys), strict=True)] == [1, 1], links
        assert min(len(key.asked) for key in keys) >= 2 * links  # se or es of each handshake is never spared
    for key in keys:  # and every one of these is with an ephemeral key of its own
        assert len(set(key.asked)) == len(key.asked)


def test_only_an_accepted_peer_is_remembered() -> None:
    """A stranger costs us the agreement each time, and takes nobody's place."""
    scene = datagram_scene(FAST)
    connect(scene)
    drone = scene.drone.device
    before = table(drone)._found.copy()  # pyright: ignore[reportPrivateUsage]
    for _ in range(5):
        stranger = DH_FUNCTIONS["25519"].generate()
        scene.drone.machine.receive(forge(FAST, stranger, drone.keys["25519"].public).datagram, scene.world.now, EVE)
        scene.world.run_for(2.0)
    assert scene.drone.counts["refused"] == 5
    assert table(drone)._found == before  # pyright: ignore[reportPrivateUsage]


def test_an_initiation_is_not_enough() -> None:
    """Until the directory has answered nothing is kept, and a handshake that is dropped before leaves nothing."""
    scene = datagram_scene(FAST)
    scene.drone.hold_trust = True
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(0.5)
    assert len(scene.drone.questions) >= 1
    assert known(scene) == (1, 0)  # the initiator's peer is configured
    scene.drone.server.drop_peer(scene.rc.device.key_id("25519"))
    scene.drone.answer(scene.world.now)
    scene.world.run_for(0.5)
    assert known(scene)[1] == 0


def test_an_old_counter_is_not_enough() -> None:
    """A replayed initiation is no reason to remember anything."""
    scene = datagram_scene(FAST)
    drone = scene.drone.device
    key_id = scene.rc.device.key_id("25519")
    drone.peers[key_id] = replace(drone.peers[key_id], initiation_counter=1_000)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(5.0)
    assert scene.drone.counts["stale_counters"] >= 1
    assert known(scene)[1] == 0


@pytest.mark.parametrize("how", ["revoked", "forgotten"])
def test_lk_45_who_is_refused_is_forgotten(how: str) -> None:
    """LK-45: the directory's no ends the memory too."""
    scene = datagram_scene(FAST)
    connect(scene)
    drone, key_id = scene.drone.device, scene.rc.device.key_id("25519")
    assert len(table(drone)) == 1
    if how == "revoked":
        drone.peers[key_id] = replace(drone.peers[key_id], state=PeerState.REVOKED)
    else:
        del drone.peers[key_id]
    client = make_client(scene.rc.device, drone, scene.settings)
    scene.world.nodes[0] = client
    client.client.start(scene.world.now)
    scene.world.run_for(20.0)
    assert client.links == []
    assert len(table(drone)) == 0


def test_another_refusal_says_nothing_about_the_peer() -> None:
    """A no of policy leaves the peer paired."""
    scene = datagram_scene(FAST)
    connect(scene)
    scene.drone.hold_trust = True
    client = make_client(scene.rc.device, scene.drone.device, scene.settings)
    scene.world.nodes[0] = client
    client.client.start(scene.world.now)
    scene.world.run_for(0.5)
    scene.drone.server.reject(scene.drone.questions.popleft().attempt, PolicyError("not now"), scene.world.now)
    assert len(table(scene.drone.device)) == 1


def test_lk_45_drop_peer_forgets_on_all_machines_of_a_node() -> None:
    """LK-45, PR-37: machines share the table of their identity; other peers stay."""
    scene = datagram_scene(FAST)
    connect(scene)
    drone = scene.drone.device
    other = make_stream_server(drone, scene.settings)
    table(drone).keep(drone.keys["25519"].public, b"someone else", bytes(32), key_id=b"other", mark=table(drone).mark)
    other.server.drop_peer(scene.rc.device.key_id("25519"))
    assert len(table(drone)) == 1
    assert table(drone).find(drone.keys["25519"].public, b"someone else") is not None


def test_a_job_that_was_at_work_when_its_peer_was_dropped_leaves_nothing() -> None:
    """LK-45: the initiator's handshake goes on in a thread while the user revokes its peer."""
    scene = datagram_scene(FAST)
    rc = scene.rc
    rc.hold_work = True
    rc.client.start(scene.world.now)
    scene.world.run_for(0.1)
    assert len(rc.work) == 1
    rc.device.identity.agreements.drop(scene.drone.device.key_id("25519"))
    rc.do_work(scene.world.now)
    assert len(table(rc.device)) == 0


def test_a_pairing_agrees_on_nothing_static() -> None:
    """XX has no ``ss``; a second pairing of known devices changes nothing that a session would have to unlearn."""
    scene = datagram_scene(FAST)
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    assert known(scene) == (0, 0)


def test_the_identity_shows_no_agreement() -> None:
    scene = datagram_scene(FAST)
    connect(scene)
    identity = scene.rc.device.identity
    secret = scene.rc.device.keys["25519"].exchange(scene.drone.device.keys["25519"].public)
    own, peer = (node.device.keys["25519"].public for node in (scene.rc, scene.drone))
    assert table(scene.rc.device).find(own, peer) == secret
    shown = repr(identity) + str(identity) + repr(identity.agreements) + repr(scene.rc.machine)
    assert secret.hex() not in shown
    assert repr(secret) not in shown
    assert identity == Identity(identity.role, identity.keys)


# --- bytes of a handshake, packed by struct ---------------------------------------------------------


@BY_SUITE
@pytest.mark.parametrize("kind", HandshakeKind)
def test_lk_10_to_13_struct_and_construct_say_the_same(suite: Suite, kind: HandshakeKind) -> None:
    offer = Offer(suite, kind, LinkType.AIRLINK, bytes(range(32)))
    common = (WIRE_VERSION, suite.id, kind)
    roles, channels = LINK_ROLES[LinkType.AIRLINK], channels_sha256(LinkType.AIRLINK)
    for sender in (1, 0x0102_0304, 2**32 - 1):
        header = InitiationHeader(*common, sender, LinkType.AIRLINK, *roles, continues=sender - 1)
        assert offer.header(sender, sender - 1) == codec.build(INITIATION_HEADER, header)
        counter = sender << 31
        payload = codec.build(INITIATION_PAYLOAD, InitiationPayload(counter, sender))
        assert initiation_payload(suite, kind, counter, sender).rstrip(b"\0") == payload.rstrip(b"\0")
        assert response_payload(sender) == codec.build(RESPONSE_PAYLOAD, ResponsePayload(sender))
        reply = codec.build(RESPONSE_HEADER, ReplyHeader(sender, 2**32 - sender))
        assert response_header(sender, 2**32 - sender) == reply
        assert response_header_untrusted(reply + b"more") == codec.parse_untrusted(RESPONSE_HEADER, reply)
        check_response_payload_untrusted(response_payload(sender), sender)
    prologue = Prologue(*common, LinkType.AIRLINK, *roles, channels, offer.association)
    assert offer.prologue() == codec.build(PROLOGUE, prologue)
