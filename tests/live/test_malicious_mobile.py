"""A malicious mobile between cloud and remote controller, paired and enrolled as any: whatever it does, the drone does
only what its true holder has said, each thing once; the alarms tell what was seen; afterwards everything goes on.

What it does to logs: ``test_malicious_logs.py``."""

import hashlib
from collections.abc import Iterable

import pytest
import trio

from nodes import RemoteController
from nodes.mobile import Mobile
from nodes.relay.flows import FlowState
from protocols.airlink import AIRLINK
from protocols.cloud_api import ROUTES, Route, RouteId, path_of
from protocols.cloudlink import encode_relay
from protocols.errors import FlowRefusedError, NotPairedError
from protocols.events import (
    AlarmKind,
    RelayClosed,
    RelayDatagram,
    RelayMessage,
    RelayOpen,
    RelayOpened,
    RelayRefused,
    SendControl,
    SendStream,
)
from protocols.groundlink import GROUNDLINK
from protocols.remotelink import REMOTE_CLOUD, REMOTE_MOBILE
from specs.airlink.authority import AuthorityAction, AuthorityRequest, Right
from specs.airlink.command import (
    Answer,
    CameraAction,
    CameraControl,
    ChangeSettings,
    Command,
    CommandCode,
    GoTo,
    Result,
)
from specs.airlink.control import Sticks
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame
from specs.cloudlink import CHUNK_HASH_HEADER
from specs.registry import ChannelId, LinkType, PacketType, RelayRefusal
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys
from tests.live.chainkit import ALL_MAY_FLY, PATIENCE_S, Cast, alarms_of, chain, flight_of, link_of, until
from tests.live.evil import (
    CLOUD_DOWN,
    CLOUD_UP,
    HostileMobile,
    Way,
    attacked,
    each_attack_on,
    evil_of,
    place,
    works,
)
from tests.live.kit import make_key, virtual

HOSTILE = Cast(mobiles=(HostileMobile,), policy=ALL_MAY_FLY)
Foreign = LogReceipt | RevokePeer | SealingKeys
FOREIGN: tuple[Foreign, ...] = (
    LogReceipt(bytes(16), bytes(32)),
    RevokePeer(bytes(16)),
    SealingKeys(b"a key of its own"),
)
REQUESTS: tuple[Command | GoTo | ChangeSettings | CameraControl, ...] = (
    Command(CommandCode.DISARM),
    GoTo(1, 2, 3),
    ChangeSettings(b"\x80"),
    CameraControl(CameraAction.TAKE_PHOTO, 0, 100),
)
ARMING = MavlinkFrame(bytes((0xFE, 33, 7, 1, 1, 76)) + bytes(35))
NONE: tuple[bytes, ...] = ()


def named(value: object) -> str:
    return type(value).__name__


# --- what it relays ----------------------------------------------------------------------------------


@each_attack_on(CLOUD_UP, CLOUD_DOWN)
@virtual
async def test_what_it_relays(attack: str, way: Way) -> None:
    """RL-32: each attack on each direction. Those of UNSEEN raise no alarm: a bad path does the same."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            await attacked(scene, await scene.cloud_hands(), evil_of(scene.first), way, attack)


@virtual
async def test_it_replays_a_whole_session_of_the_cloud() -> None:
    """LK-42: everything that it ever got of the cloud's downlink, and everything that the drone has answered."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), await scene.cloud_hands()
            await scene.take_flight_right(hands)
            for number in range(5):
                assert await hands.ask(place(number)) == Answer(Result.DONE)
            await hands.link.close()
            await until(lambda: bool(scene.cloud.links) and hands.link not in scene.cloud.links.values())
            await trio.sleep(1.0)
            recorded = list(evil.kept)
            assert [way for way, data in recorded if data[0] == PacketType.INITIATION].count(CLOUD_UP) == 2
            links = set(scene.drone.links), set(scene.cloud.links)
            for way, data in recorded * 2:
                evil.inject(way, data)
                await trio.sleep(0.05)
            await trio.sleep(3.0)
            assert scene.craft.done == [place(number) for number in range(5)]
            assert (set(scene.drone.links), set(scene.cloud.links)) == links
            assert alarms_of(scene.drone, AlarmKind.STALE_COUNTER)
            await works(scene, await scene.cloud_hands())


@virtual
async def test_it_lets_nothing_of_the_cloud_through() -> None:
    """Another mobile carries it. No alarm: nobody can tell who along the way is silent."""

    def nothing(_: bytes) -> Iterable[bytes]:
        return NONE

    cast = Cast(rcs=(RemoteController,) * 2, mobiles=(HostileMobile, Mobile), policy=ALL_MAY_FLY)
    with trio.fail_after(PATIENCE_S):
        async with chain(cast) as scene:
            hands = await scene.cloud_hands()
            await scene.take_flight_right(hands)
            evil_of(scene.first).at(nothing, CLOUD_UP, CLOUD_DOWN)
            await until(lambda: hands.link.down is not None)
            await scene.start(scene.branches[1])
            await until(lambda: bool(scene.cloud.links))
            await works(scene, await scene.cloud_hands())
            assert len(scene.craft.done) == 1


# --- flows -------------------------------------------------------------------------------------------


@virtual
async def test_it_claims_to_be_the_cloud() -> None:
    """A flow of the cloud's type it may open; its key is paired, but not in that role."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            mobile, rc_id = scene.first.mobile, scene.first.rc_id
            assert isinstance(mobile, HostileMobile)
            with pytest.raises(NotPairedError):
                await mobile.pose(rc_id, scene.drone_id, LinkType.REMOTE_CLOUD)
            assert alarms_of(scene.drone, AlarmKind.ROLE_REFUSED)
            for link_type in (LinkType.REMOTE_CLOUD, LinkType.REMOTE_MOBILE):
                with pytest.raises(NotPairedError):
                    await mobile.pose(rc_id, scene.drone_id, link_type, make_key())
            assert len(alarms_of(scene.drone, AlarmKind.UNKNOWN_PEER)) >= 2
            assert len(scene.drone.links) == 3
            hands = await scene.cloud_hands()
            await scene.take_flight_right(hands)
            await works(scene, hands)


@virtual
async def test_it_opens_strange_flows() -> None:
    """RL-3, RL-21: to strangers, to the relay itself, back to itself, to the cloud; and of types that no relay carries.

    No alarm: a flow that is refused leads nowhere; refusals are counted."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            relays, rc_id = scene.first.mobile.relays, scene.first.rc_id
            before, links = scene.first.rc.relays.counts.refused, set(scene.drone.links)
            strange = [(bytes(16), LinkType.REMOTE_MOBILE)]
            strange += [(who, LinkType.REMOTE_MOBILE) for who in (rc_id, scene.first.mobile_id, scene.cloud_id)]
            strange += [(who, LinkType.REMOTE_CLOUD) for who in (rc_id, scene.first.mobile_id, scene.cloud_id)]
            strange += [
                (who, kind) for who in (scene.drone_id, rc_id) for kind in (LinkType.AIRLINK, LinkType.GROUNDLINK)
            ]
            for destination, link_type in strange:
                with pytest.raises(FlowRefusedError):
                    await relays.towards(rc_id, destination, link_type)
            cloud = next(each for each in relays.neighbours() if each.key_id not in {rc_id, scene.drone_id})
            for destination in (scene.cloud_id, scene.drone_id, cloud.key_id):
                with pytest.raises(FlowRefusedError):
                    await relays.towards(cloud.key_id, destination, LinkType.REMOTE_CLOUD)
            assert scene.first.rc.relays.counts.refused - before == len(strange)
            assert set(scene.drone.links) == links
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


@virtual
async def test_it_floods_the_relay() -> None:
    """RL-14, RL-22: flows and datagrams are bounded, and the remote controller flies on, and so does another mobile's
    cloud. No alarm: what is over the rate is dropped and counted at the remote controller."""
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(mobiles=(HostileMobile,))) as scene:
            relays, rc_id = scene.first.mobile.relays, scene.first.rc_id
            pilot = scene.first.rc_station.hands
            assert pilot is not None
            await scene.take_flight_right(pilot)
            flows = [relays.open(rc_id, scene.drone_id, LinkType.REMOTE_MOBILE) for _ in range(40)]
            for flow in flows:
                flow.ask()
                await trio.sleep(0.01)
            taken = [flow for flow in flows if flow.state is FlowState.OPEN]
            assert len(taken) == 16 - 2  # its own, and the cloud's
            done = 0
            for number in range(60):
                for _ in range(20):
                    for flow in taken:
                        flow.send(bytes((PacketType.DATA,)) + bytes(1_100))
                if number % 6 == 0:
                    with trio.fail_after(5.0):
                        assert await pilot.ask(place(number)) == Answer(Result.DONE)
                    done += 1
                await trio.sleep(0.05)
            counts = scene.first.rc.relays.counts
            assert counts.over_rate > 1_000
            assert counts.forwarded < 60 * 0.05 * 2_000 + 1_000 + 5_000
            assert len(scene.craft.done) == done
            for flow in flows:
                flow.close()
            await trio.sleep(2.0)
            await works(scene, pilot)
            await until(lambda: bool(scene.cloud.links))


# --- its own links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", REQUESTS, ids=named)
@virtual
async def test_it_commands_without_the_right(wanted: Command | GoTo | ChangeSettings | CameraControl) -> None:
    """AU-20: end to end, while the cloud flies. On the ground link there is nothing to command (GL)."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            holder = await scene.cloud_hands()
            await scene.take_flight_right(holder)
            assert await scene.first.hands.ask(wanted) == Answer(Result.NOT_ALLOWED)
            (line,) = alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)
            assert line == f"{named(wanted)} of MOBILE {scene.first.mobile_id.hex()}"
            ground = link_of(scene.first.mobile, scene.first.rc.role)
            said = await ground.request(AIRLINK.encode(wanted))
            answer = GROUNDLINK.decode_untrusted(ChannelId.COMMAND, said, Direction.DOWN)
            assert answer == Answer(Result.UNSUPPORTED)
            assert scene.craft.done == []
            await works(scene, holder)


@virtual
async def test_it_steers_and_sends_mavlink_without_the_right() -> None:
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            holder = await scene.cloud_hands()
            await scene.take_flight_right(holder)
            for number in range(10):
                sticks = REMOTE_MOBILE.encode(Sticks(number + 1, 0, 0, 0))
                scene.first.hands.link.send_now(SendControl(ChannelId.CONTROL, sticks, 0.4))
                scene.first.hands.link.send_now(SendStream(ChannelId.MAVLINK, REMOTE_MOBILE.encode(ARMING)))
                await trio.sleep(0.1)
            assert scene.craft.sticks == scene.craft.done == []
            said = alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)
            assert {line.split()[0] for line in said} == {"Sticks", "MavlinkFrame"}
            assert all(scene.first.mobile_id.hex() in line for line in said)
            await works(scene, holder)


@pytest.mark.parametrize("message", FOREIGN, ids=named)
@virtual
async def test_it_speaks_as_the_cloud(message: Foreign) -> None:
    """SL-30, AU-24: its link has no such messages. No alarm: what cannot be read names no right that was asked for."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            said = await scene.first.hands.link.request(REMOTE_CLOUD.encode(message))
            assert AIRLINK.decode_untrusted(ChannelId.COMMAND, said, Direction.DOWN) == Answer(Result.INVALID)
            scene.record(frames := flight_of(50))
            await scene.delivered(frames)
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


@pytest.mark.parametrize("action", [AuthorityAction.OVERRIDE, AuthorityAction.REVOKE], ids=lambda each: each.name)
@virtual
async def test_it_plays_the_owner(action: AuthorityAction) -> None:
    """AU-6: it is not, and the operator is told."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            pilot = scene.first.rc_station.hands
            assert pilot is not None
            await scene.take_flight_right(pilot)
            answer = await scene.first.hands.ask(AuthorityRequest(action, Right.FLIGHT))
            assert answer == Answer(Result.NOT_ALLOWED)
            (line,) = alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)
            assert line == f"AuthorityRequest of MOBILE {scene.first.mobile_id.hex()}"
            await works(scene, pilot)


# --- the cloud ---------------------------------------------------------------------------------------

OWN = [route for route in ROUTES if route.is_own]
PARTS: dict[str, str | int] = {"upload": "00" * 16, "offset": 0, "after": 0}


def path_to(route: Route, device: str) -> str:
    """The path of a route with all its parts."""
    return path_of(route.id, device=device, **{name: PARTS[name] for name in PARTS if f"{{{name}}}" in route.path})


@pytest.mark.parametrize("route", OWN, ids=lambda route: route.id.value)
@virtual
async def test_it_wants_what_is_another_devices(route: Route) -> None:
    """CL-6: whatever it asks for is not there, and the cloud's operator is told who asked."""
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(RemoteController,) * 2, mobiles=(HostileMobile, Mobile), starts=2)) as scene:
            other = scene.branches[1].device
            path = path_to(route, other)
            body = encode_relay([RelayDatagram(1, by_opener=True, data=b"x")]) if route.id is RouteId.RELAY else b"x"
            headers = {CHUNK_HASH_HEADER: hashlib.sha256(body).hexdigest()}
            async with scene.first.wire() as wire:
                answer = await wire.request(route.method, path, body if route.method != "GET" else b"", headers=headers)
            assert (answer.status, answer.body) == (404, b"")
            (line,) = alarms_of(scene.cloud, AlarmKind.FOREIGN_RESOURCE)
            assert f"device {scene.first.device}: " in line
            assert other in line
            assert set(scene.cloud.devices_up) == {scene.first.device, other}
            scene.record(frames := flight_of(50))
            await scene.delivered(frames)


GARBAGE = (b"", b"x", bytes(2_000), b"\xff" * 2_000)


@pytest.mark.parametrize("body", GARBAGE, ids=len)
@virtual
async def test_it_says_garbage_to_the_cloud(body: bytes) -> None:
    """Each request is refused by itself. No alarm: it is its own device's, and nothing comes of it."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            async with scene.first.wire() as wire:
                for route in OWN:
                    if route.method != "GET" and route.id is not RouteId.UPLOAD_FINISH:
                        answer = await wire.request(route.method, path_to(route, scene.first.device), body)
                        assert answer.status in {400, 404, 413}
            hands = await scene.cloud_hands()
            await scene.take_flight_right(hands)
            await works(scene, hands)


@virtual
async def test_it_says_what_it_likes_of_flows_to_the_cloud() -> None:
    """RL-33: datagrams of flows that there are not, lies about those that there are; the cloud's link goes on."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), await scene.cloud_hands()
            await scene.take_flight_right(hands)
            _, flow = evil.flows[CLOUD_DOWN]
            lies: list[RelayMessage] = [
                RelayOpen(number, scene.cloud_id, LinkType.REMOTE_CLOUD) for number in range(20)
            ]
            lies += [RelayDatagram(number, by_opener=side, data=b"x") for number in (flow, 5) for side in (True, False)]
            lies += [
                RelayOpened(flow),
                RelayOpened(5),
                RelayClosed(flow, by_opener=True),
                RelayClosed(5, by_opener=False),
            ]
            async with scene.first.wire() as wire:
                path = path_of(RouteId.RELAY, device=scene.first.device)
                for number in range(10):
                    assert (await wire.request("POST", path, encode_relay(lies))).status == 200
                    assert await hands.ask(place(number)) == Answer(Result.DONE)
                for lie in (RelayClosed(flow, by_opener=False), RelayRefused(flow, RelayRefusal.NOT_ALLOWED)):
                    assert (await wire.request("POST", path, encode_relay([lie]))).status == 200
                    await trio.sleep(2.0)
            assert scene.craft.done == [place(number) for number in range(10)]
            assert hands.link.down is None
            await works(scene, hands)
