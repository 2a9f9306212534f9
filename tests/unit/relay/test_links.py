"""A whole link over relays: pairing, session, commands, rekey, loss, hops that come and go (specs/5-relay.md, 5.4)."""

import pytest

from nodes.relay import RelayInitiator
from protocols.channels.limits import MIN_FRAME_BYTES
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import UsageError
from protocols.events import (
    AnswerReceived,
    DownReason,
    PeerMoved,
    Rekeyed,
    RelayDatagram,
    RelayOpened,
    SendCommand,
    SendControl,
    SendRelay,
    SendState,
    SendStream,
)
from protocols.guards.address import AddressKind
from protocols.link.config import LinkConfig, over_relay
from protocols.link.peers import PeerState
from specs.registry import (
    CHANNELS,
    DEFAULT_MAX_DATAGRAM_BYTES,
    MAX_COMMAND_BYTES,
    RELAY_DATAGRAM_BYTES,
    ChannelClass,
    ChannelId,
    LinkType,
    PacketType,
    Role,
)
from tests.helpers.relays import Remote, Seen, Weather

REMOTES = (LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD)
BAD = Weather(drop=0.1, duplicate=0.1, jitter_s=0.05)


def talk(scene: Remote, here: object, words: int = 3) -> None:
    """Commands each way, each answered, each once, in order."""
    node = scene.world.nodes[-1]
    assert node is here
    before = len(scene.heard(scene.there)), len(scene.heard(node))
    for word in range(words):
        scene.say(node, b"up %d" % word)
        scene.say(scene.there, b"down %d" % word)
    scene.world.run_until(
        lambda: (len(scene.heard(scene.there)), len(scene.heard(node))) == (before[0] + words, before[1] + words)
    )
    assert scene.heard(scene.there)[before[0] :] == [b"up %d" % word for word in range(words)]
    assert scene.heard(node)[before[1] :] == [b"down %d" % word for word in range(words)]


@pytest.mark.parametrize("link_type", REMOTES)
def test_rl_32_pairing_with_a_code_and_a_session_over_relays(link_type: LinkType) -> None:
    """The same pairing and the same session as everywhere; the relays have no part in either."""
    scene = Remote(link_type=link_type, is_paired=False)
    scene.pair()
    ours, theirs = scene.initiator.peers, scene.drone.peers
    assert [record.state for record in (*ours.values(), *theirs.values())] == [PeerState.PENDING] * 2
    (mine,), (yours,) = ours.values(), theirs.values()
    assert mine.pair_secret == yours.pair_secret
    assert (mine.role, yours.role) == (Role.DRONE, scene.initiator.role)
    assert scene.rc.peers == {}
    here = scene.connect()
    talk(scene, here)
    assert theirs[scene.initiator.key_id("P256")].state is PeerState.PAIRED
    assert here.link.address is not None
    assert here.link.address.kind is AddressKind.RELAY
    assert scene.air.protocol_errors == scene.ground.protocol_errors == []


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_every_suite_over_a_hop_of_the_smallest_payloads(suite: Suite) -> None:
    """RL-10: handshakes are cut in three, and data too."""
    scene = Remote(suite, is_paired=False)
    small = scene.world.join(Role.RC, Role.DRONE, frame=MIN_FRAME_BYTES)
    scene.world.outers.remove(scene.air)
    scene.pair()
    here = scene.connect()
    talk(scene, here)
    assert small.protocol_errors == []


def test_rl_30_datagrams_are_small_and_nothing_is_probed() -> None:
    for size in (600, DEFAULT_MAX_DATAGRAM_BYTES, 9_000):
        made = over_relay(LinkConfig(max_datagram_bytes=size), LinkType.REMOTE_CLOUD)
        assert made.max_datagram_bytes == min(size, RELAY_DATAGRAM_BYTES)
        assert made.probe_limit_bytes <= made.max_datagram_bytes
        assert made.link_type is LinkType.REMOTE_CLOUD
    scene, seen = Remote(), Seen()
    scene.air.taps.append(seen)
    here = scene.connect()
    here.link.send(SendCommand(ChannelId.COMMAND, bytes(MAX_COMMAND_BYTES - 8)), scene.world.now)
    scene.there.link.send(SendStream(ChannelId.MAVLINK, bytes(9_000)), scene.world.now)
    scene.world.run_until(lambda: scene.heard(scene.there))
    scene.world.run_for(60.0)
    sizes = [
        len(each.data) for each in seen.messages if isinstance(each, RelayDatagram) and each.data[0] == PacketType.DATA
    ]
    assert max(sizes) == RELAY_DATAGRAM_BYTES
    assert scene.there.link.stats().datagram_bytes == RELAY_DATAGRAM_BYTES


def test_rl_34_a_remote_link_has_its_four_channels_and_no_relay() -> None:
    for link_type in REMOTES:
        assert {row.id: row.service for row in CHANNELS[link_type]} == {
            ChannelId.CONTROL: ChannelClass.CONTROL,
            ChannelId.COMMAND: ChannelClass.COMMAND,
            ChannelId.TELEMETRY: ChannelClass.STATE,
            ChannelId.MAVLINK: ChannelClass.STREAM,
        }
    scene = Remote()
    here = scene.connect()
    for message in (
        SendControl(ChannelId.CONTROL, b"sticks"),
        SendState(ChannelId.TELEMETRY, 1, b"state"),
        SendStream(ChannelId.MAVLINK, b"frame"),
    ):
        here.link.send(message, scene.world.now)
    scene.world.run_for(1.0)
    assert len(scene.there.inbox) == 3
    for wrong in (SendRelay(ChannelId.RELAY, RelayOpened(1)), SendStream(ChannelId.VIDEO, b"")):
        with pytest.raises(UsageError):
            here.link.send(wrong, scene.world.now)


@pytest.mark.parametrize("link_type", REMOTES)
@pytest.mark.parametrize("weather", [BAD, Weather(drop=0.15, jitter_s=0.2)], ids=["bad", "worse"])
def test_loss_doubles_and_reordering_on_the_air(link_type: LinkType, weather: Weather) -> None:
    scene = Remote(link_type=link_type, is_paired=False)
    scene.air.weather = weather
    scene.pair()
    here = scene.connect(60.0)
    talk(scene, here, 50)
    assert scene.air.protocol_errors == []


def test_keys_are_renewed_over_relays() -> None:
    scene = Remote(changes={"rekey_after_s": 30.0})
    scene.air.weather = BAD
    here = scene.connect()
    scene.world.run_for(125.0)
    assert here.all(Rekeyed)[-1].count >= 3
    talk(scene, here)


@pytest.mark.parametrize("hop", ["air", "ground"])
def test_rl_6_the_link_inside_sees_nothing_of_a_hop_that_comes_back(hop: str) -> None:
    scene = Remote()
    here = scene.connect()
    talk(scene, here)
    outer = scene.air if hop == "air" else scene.ground
    outer.part()
    scene.say(here, b"while away")
    scene.world.run_for(4.0)
    outer.join()
    scene.world.run_for(4.0)
    assert scene.heard(scene.there)[-1] == b"while away"
    talk(scene, here)
    assert (here.all(PeerMoved), scene.there.all(PeerMoved)) == ([], [])
    assert here.link.is_open
    assert scene.there.link.is_open


@pytest.mark.parametrize("link_type", REMOTES)
def test_rl_5_the_link_inside_sees_a_path_that_changes_when_the_relay_restarts(link_type: LinkType) -> None:
    scene = Remote(link_type=link_type)
    here = scene.connect()
    before = scene.there.link.address
    scene.world.restart(Role.RC)
    scene.world.run_for(6.0)
    talk(scene, here)
    assert len(scene.there.links) == 1
    assert len(scene.there.all(PeerMoved)) == 1
    assert scene.there.link.address != before
    assert isinstance(scene.world.ends[-1].carrier, RelayInitiator)


def test_a_way_that_is_gone_for_long_ends_the_link_and_a_new_one_may_come() -> None:
    scene = Remote()
    here = scene.connect()
    scene.air.part()
    scene.world.run_for(15.0)
    assert [down.reason for down in here.downs()] == [DownReason.TIMEOUT]
    assert [down.reason for down in scene.there.downs()] == [DownReason.TIMEOUT]
    scene.world.remove(here)
    scene.air.join()
    talk(scene, scene.connect())


def test_both_remote_links_at_once_share_the_way() -> None:
    scene = Remote()
    here = scene.connect()
    cloud = Remote(link_type=LinkType.REMOTE_CLOUD, seed="one")
    cloud_station, drone_station = scene.world.places[Role.CLOUD].station, scene.world.places[Role.DRONE].station
    carrier = drone_station.responder(LinkType.REMOTE_CLOUD)
    cloud.world = scene.world
    cloud.there = scene.world.add(cloud.there, carrier)
    other = cloud.connect()
    assert [hop.role for hop in cloud_station.neighbours()] == [Role.MOBILE]
    for word in range(10):
        scene.say(here, b"mobile %d" % word)
        scene.say(other, b"cloud %d" % word)
    scene.world.run_for(2.0)
    assert scene.heard(scene.there) == [b"mobile %d" % word for word in range(10)]
    assert scene.heard(cloud.there) == [b"cloud %d" % word for word in range(10)]
    assert len(other.received(AnswerReceived)) == 10
