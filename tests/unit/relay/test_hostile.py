"""A hostile relay, and a hostile end: the link inside accepts nothing that its peer did not say (5-relay.md, 5.5)."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

import pytest

from nodes.relay import RelayInitiator, RelayLimits
from nodes.relay.flows import OPEN_AGAIN_S, FlowState
from protocols.channels import relay_frames
from protocols.errors import PeerError
from protocols.events import (
    CommandReceived,
    ControlReceived,
    DownReason,
    RelayClosed,
    RelayDatagram,
    RelayMessage,
    RelayOpen,
    RelayOpened,
    RelayRefused,
    SendControl,
    SendStream,
    StreamReceived,
)
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import (
    LOAD_INITIATIONS_PER_S,
    MAX_RELAY_DATAGRAM_BYTES,
    ChannelId,
    LinkType,
    PacketType,
    RelayKind,
    RelayRefusal,
    Role,
)
from tests.helpers.devices import Device, Drbg, acquaint
from tests.helpers.nodes import Node, make_client, make_listener
from tests.helpers.relays import MessageTap, Remote

WORDS = [b"word %d" % number for number in range(30)]


def with_data(change: Callable[[bytes], Iterable[bytes]]) -> MessageTap:
    """What a relay does to the datagrams that it carries."""

    def tap(message: RelayMessage) -> Iterable[RelayMessage]:
        if not isinstance(message, RelayDatagram):
            return (message,)
        return tuple(replace(message, data=data) for data in change(message.data) if data)

    return tap


class Hostile:
    """What a relay may do to datagrams, each with a die of its own."""

    def __init__(self, seed: int = 1) -> None:
        self.dice = Random(seed)
        self.kept: list[bytes] = []
        self.did = 0

    def _strikes(self) -> bool:
        strikes = self.dice.random() < 0.25
        self.did += strikes
        return strikes

    def alters(self, data: bytes) -> Iterable[bytes]:
        if not self._strikes():
            return (data,)
        at = self.dice.randrange(len(data))
        return (data[:at] + bytes((data[at] ^ 1 << self.dice.randrange(8),)) + data[at + 1 :],)

    def truncates(self, data: bytes) -> Iterable[bytes]:
        return (data[: self.dice.randrange(1, len(data))],) if self._strikes() else (data,)

    def extends(self, data: bytes) -> Iterable[bytes]:
        return ((data + bytes(5))[:MAX_RELAY_DATAGRAM_BYTES],) if self._strikes() else (data,)

    def drops(self, data: bytes) -> Iterable[bytes]:
        return () if self._strikes() else (data,)

    def doubles(self, data: bytes) -> Iterable[bytes]:
        return (data, data) if self._strikes() else (data,)

    def replays(self, data: bytes) -> Iterable[bytes]:
        self.kept.append(data)
        return (data, self.dice.choice(self.kept)) if self._strikes() else (data,)

    def reorders(self, data: bytes) -> Iterable[bytes]:
        """Hold some back, and let them go behind later ones."""
        if self._strikes():
            self.kept.append(data)
            return ()
        held, self.kept = self.kept, []
        return (data, *reversed(held))

    def forges(self, data: bytes) -> Iterable[bytes]:
        """Write datagrams with the header of genuine ones, which it sees, and later counters."""
        if data[0] != PacketType.DATA or not self._strikes():
            return (data,)
        counter = int.from_bytes(data[8:16], "big") + self.dice.randrange(1, 1_000)
        return (data[:8] + counter.to_bytes(8, "big") + self.dice.randbytes(len(data) - 16), data)

    def mixes(self, data: bytes) -> Iterable[bytes]:
        """Join the head of one datagram to the tail of another."""
        self.kept.append(data)
        if not self._strikes():
            return (data,)
        other = self.dice.choice(self.kept)
        return (data[: len(data) // 2] + other[len(data) // 2 :],)


ATTACKS = ("alters", "truncates", "extends", "drops", "doubles", "replays", "reorders", "forges", "mixes")


def alive(scene: Remote, here: Node) -> None:
    """The link does what it is for."""
    before = len(scene.heard(scene.there))
    scene.say(here, b"still here")
    scene.world.run_until(lambda: len(scene.heard(scene.there)) > before)
    assert scene.heard(scene.there)[-1] == b"still here"


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("link_type", [LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD])
def test_rl_32_nothing_false_is_accepted(attack: str, link_type: LinkType) -> None:
    """Commands arrive each once and in order; what a stream and sticks deliver was said; no link is taken over."""
    scene, relay = Remote(link_type=link_type, changes={"dead_after_s": 60.0}), Hostile()
    here = scene.connect()
    scene.air.taps.append(with_data(getattr(relay, attack)))
    for word in WORDS:
        scene.say(here, word)
        scene.there.link.send(SendStream(ChannelId.MAVLINK, b"down " + word), scene.world.now)
        here.link.send(SendControl(ChannelId.CONTROL, b"sticks " + word, 0.2), scene.world.now)
        scene.world.run_for(0.3)
    scene.world.run_until(lambda: len(scene.heard(scene.there)) == len(WORDS), 120.0)
    scene.air.taps.clear()
    assert scene.heard(scene.there) == WORDS
    sticks = [event.data for event in scene.there.received(ControlReceived)]
    assert sticks == [b"sticks " + word for word in WORDS if b"sticks " + word in sticks]  # in order, each once
    frames = [event.data for event in here.received(StreamReceived)]
    assert len(frames) == len(set(frames))
    assert set(frames) <= {b"down " + word for word in WORDS}
    assert relay.did > 5
    assert len(scene.there.links) == len(here.links) == 1
    alive(scene, here)
    assert scene.air.protocol_errors == []


@pytest.mark.parametrize("attack", ["alters", "truncates", "replays", "reorders", "mixes"])
def test_rl_32_pairing_and_handshake_through_a_hostile_relay(attack: str) -> None:
    """What it alters costs time, and no more: what is stored at the end is the same on both sides."""
    scene, relay = Remote(is_paired=False), Hostile(3)
    scene.air.taps.append(with_data(getattr(relay, attack)))
    scene.pair()
    (mine,), (yours,) = scene.mobile.peers.values(), scene.drone.peers.values()
    assert mine.pair_secret == yours.pair_secret
    assert (mine.key_id, yours.key_id) == (scene.drone.key_id("P256"), scene.mobile.key_id("P256"))
    here = scene.connect(120.0)
    scene.air.taps.clear()
    alive(scene, here)
    assert relay.did


def test_rl_32_a_relay_without_the_code_pairs_with_nobody() -> None:
    """It leads the mobile to a drone of its own: the code fails, and the true drone never hears of it."""
    scene = Remote(is_paired=False)
    code = LinkingCode.generate(Drbg("the owner's"))
    scene.there.server.open_pairing(PairingWindow(code, scene.world.now))
    false = make_listener(Device(Role.DRONE, "the relay's own"), scene.settings)
    false.server.open_pairing(PairingWindow(LinkingCode.generate(Drbg("another")), scene.world.now))
    scene.world.ends[0].node = false
    scene.world.nodes = [false]
    here = scene.client(code)
    here.client.start(scene.world.now)
    scene.world.run_until(here.downs, 60.0)
    assert [down.reason for down in here.downs()] == [DownReason.NO_ANSWER]
    assert scene.mobile.peers == {}
    assert false.counts["wrong_mac1"] > 0
    assert scene.there.counts["initiations"] == 0


def test_rl_32_a_relay_that_knows_the_drones_key_is_a_stranger() -> None:
    """A session of its own device, which nobody has paired, over a flow of its own."""
    scene = Remote()
    here = scene.connect()
    eve = Device(Role.MOBILE, "eve")
    acquaint(eve, scene.drone)
    del scene.drone.peers[eve.key_id("P256")]
    flow = scene.world.places[Role.RC].station.open(
        scene.drone.key_id("P256"), scene.drone.key_id("P256"), LinkType.REMOTE_MOBILE
    )
    carrier = RelayInitiator(flow)
    flow.ask()
    scene.world.run_for(0.2)
    hers = make_client(eve, scene.drone, scene.settings, to=carrier.address, at=None)
    scene.world.add(hers, carrier)
    hers.client.start(scene.world.now)
    scene.world.run_until(hers.downs, 60.0)
    assert hers.links == []
    assert len(scene.there.links) == 1
    alive(scene, here)


def test_rl_20_a_relay_that_swaps_the_flows_of_two_peers() -> None:
    """Each datagram is sealed for its session: through the wrong flow it opens as its true sender's, or not at all."""
    scene, other = Remote(), Remote(seed="two")
    other.drone = scene.drone
    acquaint(other.mobile, scene.drone)
    scene.world.places[Role.CLOUD].station.forwarder = None
    here = scene.connect()
    first = scene.there.link
    carrier = scene.world.open(Role.MOBILE, Role.RC, scene.drone.key_id("P256"), LinkType.REMOTE_MOBILE)
    second_node = scene.world.add(
        make_client(other.mobile, scene.drone, scene.settings, to=carrier.address, at=None), carrier
    )
    second_node.client.start(scene.world.now)
    scene.world.run_until(lambda: len(scene.there.links) == 2)
    second = scene.there.link
    numbers = [link.address.port for link in (first, second) if link.address]
    swapped = dict(zip(numbers, reversed(numbers), strict=True))

    def swaps(message: RelayMessage) -> Iterable[RelayMessage]:
        if isinstance(message, RelayDatagram) and message.flow in swapped:
            return (replace(message, flow=swapped[message.flow]),)
        return (message,)

    scene.air.taps.append(swaps)
    for number in range(10):
        scene.say(here, b"first %d" % number)
        scene.say(second_node, b"second %d" % number)
        scene.world.run_for(0.5)
    scene.air.taps.clear()
    scene.world.run_for(5.0)
    for link, word in ((first, b"first"), (second, b"second")):
        said = [
            message.data for of, message in scene.there.inbox if of is link and isinstance(message, CommandReceived)
        ]
        assert said == [word + b" %d" % number for number in range(10)]


LIES: tuple[RelayMessage, ...] = (RelayClosed(0, False), RelayRefused(0, RelayRefusal.NOT_ALLOWED), RelayOpened(0))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: type(lie).__name__)
def test_rl_5_a_relay_that_lies_about_flows_is_asked_again_and_not_faster(lie: RelayMessage) -> None:
    scene = Remote(changes={"dead_after_s": 60.0})
    here = scene.connect()
    assert here.link.address is not None
    flow = here.link.address.port
    before = len(scene.ground.hops[0].said(RelayOpen))
    for _ in range(100):
        scene.ground.hops[1].send(replace(lie, flow=flow))
        scene.world.run_for(0.05)
    asked = len(scene.ground.hops[0].said(RelayOpen)) - before
    assert asked <= 5.0 / OPEN_AGAIN_S + 1
    alive(scene, here)


def part(flow: int, number: int, index: int, count: int, body: bytes) -> bytes:
    """Write a part as no honest neighbour would."""
    head = struct.pack(">BBBBIHBB", 1, ChannelId.RELAY, RelayKind.DATA, 0, flow, number, index, count)
    return head + body


def test_rl_11_parts_of_two_datagrams_are_not_believed() -> None:
    """A relay joins the first part of one handshake to the second of another: nobody answers it."""
    scene = Remote()
    seen: list[bytes] = []

    def crosses(frame: bytes) -> Iterable[bytes]:
        """Each second part goes out with the bytes of the second part before it."""
        if not relay_frames.is_data_untrusted(frame) or frame[10:12] != b"\1\2":
            return (frame,)
        seen.append(frame)
        return (frame[:12] + seen[-2][12:],) if len(seen) > 1 else ()

    scene.air.frame_taps.append(crosses)
    here = scene.client()
    here.client.start(scene.world.now)
    scene.world.run_until(here.downs, 30.0)
    assert len(seen) > 2
    assert here.links == scene.there.links == []
    assert scene.air.protocol_errors == []
    scene.air.frame_taps.clear()
    scene.world.remove(here)
    alive(scene, scene.connect())


def test_rl_11_wrong_parts_end_the_outer_link_and_not_the_one_inside() -> None:
    """RL-33: the neighbour has broken the protocol; the link inside goes on over the next outer link."""
    scene = Remote()
    here = scene.connect()
    for wrong in (
        (part(5, 1, 0, 2, bytes(700)), part(5, 1, 1, 3, bytes(700))),
        (part(5, 1, 0, 3, bytes(700)), part(5, 1, 1, 3, bytes(600))),
        (part(5, 1, 0, 4, bytes(600)),),
        (part(5, 1, 2, 2, b"x"),),
        (part(5, 0, 0, 1, b""),),
    ):
        before = len(scene.air.protocol_errors)
        for frame in wrong:
            scene.air.land(scene.air.hops[1], frame)
        assert len(scene.air.protocol_errors) == before + 1
        assert isinstance(scene.air.protocol_errors[-1], PeerError)
        scene.world.run_for(1.0)
    alive(scene, here)


def test_rl_22_a_relay_that_invents_flows_meets_the_load_mode() -> None:
    """Initiations through every flow that it may have: cookies, then tokens; the link that is up does not notice."""
    scene = Remote()
    here = scene.connect()
    eve = Device(Role.MOBILE, "eve")
    acquaint(eve, scene.drone)
    station, key_id = scene.world.places[Role.RC].station, scene.drone.key_id("P256")
    jobs = scene.there.jobs_run
    flows = [station.open(key_id, key_id, LinkType.REMOTE_MOBILE) for _ in range(100)]
    for flow in flows:
        flow.ask()
        scene.world.run_for(0.01)
    taken = [flow for flow in flows if flow.state is FlowState.OPEN]
    assert len(taken) == RelayLimits().flows - 1
    for flow in taken * 5:
        client = make_client(eve, scene.drone, scene.settings, at=None)
        client.client.start(scene.world.now)
        client.turn(scene.world.now)
        ((initiation, _),) = client.machine.data_to_send(scene.world.now)
        assert flow.send(initiation)
        scene.world.run_for(0.001)
    scene.world.run_for(0.1)
    assert scene.there.jobs_run - jobs <= 2 * 1.2 * LOAD_INITIATIONS_PER_S < 2 * len(taken * 5)  # two jobs for each
    assert scene.there.counts["cookies_sent"] > 0
    assert len(scene.there.links) == 1
    alive(scene, here)


def test_rl_14_and_22_a_mobile_that_floods_keeps_nobody_else_waiting() -> None:
    """Beside its flow the cloud's goes through the same relay; the flood is garbage, as much as it can send."""
    scene = Remote(link_type=LinkType.REMOTE_CLOUD)
    here = scene.connect()
    station = scene.world.places[Role.MOBILE].station
    flow = station.open(scene.rc.key_id("P256"), scene.drone.key_id("P256"), LinkType.REMOTE_CLOUD)
    flow.ask()
    scene.world.run_for(0.2)
    for number in range(40):
        for _ in range(200):
            flow.send(bytes(1_000))
        if number % 4 == 0:
            scene.say(here, b"%d" % number)
        scene.world.run_for(0.05)
    scene.world.run_for(3.0)
    assert scene.heard(scene.there) == [b"%d" % number for number in range(0, 40, 4)]
    assert scene.world.places[Role.RC].station.counts.forwarded < 40 * 200 / 2  # the rest is dropped where it begins
