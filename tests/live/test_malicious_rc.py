"""A malicious remote controller between drone and mobile, paired with both: whatever it does, the drone does only what
its true holder has said, each thing once; the alarms tell what was seen; afterwards everything goes on."""

from collections import Counter
from collections.abc import Iterable
from functools import partial

import pytest
import trio

from nodes import LinkClosedError
from nodes.cloud.events import AlarmReported, CloudEvent
from nodes.relay import RelayLimits
from nodes.relay.flows import FlowState
from nodes.stations.notes import Alarmed
from protocols.airlink import AIRLINK
from protocols.errors import NotPairedError
from protocols.events import (
    Alarm,
    AlarmKind,
    RelayClosed,
    RelayMessage,
    RelayOpened,
    RelayRefused,
    SendControl,
    SendState,
    SendStream,
)
from protocols.groundlink import GROUNDLINK
from protocols.remotelink import REMOTE_CLOUD
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
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
from specs.airlink.numbers import NOBODY, Direction
from specs.airlink.stream import MavlinkFrame
from specs.cloudlink import ReportedAlarm
from specs.registry import ChannelId, LinkType, PacketType, RelayRefusal
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys
from tests.live.chainkit import (
    ALL_MAY_FLY,
    PATIENCE_S,
    Cast,
    alarms_of,
    chain,
    flight_of,
    until,
)
from tests.live.evil import (
    CLOUD_DOWN,
    CLOUD_UP,
    MOBILE_DOWN,
    MOBILE_UP,
    Attacks,
    HostileRc,
    Way,
    attacked,
    each_attack_on,
    evil_of,
    place,
    works,
)
from tests.live.kit import make_key, virtual

HOSTILE = Cast(rcs=(HostileRc,), policy=ALL_MAY_FLY)
WAYS = (MOBILE_UP, MOBILE_DOWN, CLOUD_DOWN, CLOUD_UP)
NONE: tuple[bytes, ...] = ()


def nothing(_: bytes) -> Iterable[bytes]:
    return NONE


# --- what it relays ----------------------------------------------------------------------------------


@each_attack_on(*WAYS)
@virtual
async def test_what_it_relays(attack: str, way: Way) -> None:
    """RL-32: each attack on each direction of each link. Those of UNSEEN raise no alarm: a bad path does the same."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            hands = scene.first.hands if way in {MOBILE_UP, MOBILE_DOWN} else await scene.cloud_hands()
            await attacked(scene, hands, evil_of(scene.first), way, attack)


@virtual
async def test_it_gives_each_flow_the_datagrams_of_the_other() -> None:
    """No alarm: each datagram is genuine, and names its session; at the drone it opens as its true sender's, at the
    others it belongs to no session, like anything on a public port."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), scene.first.hands
            theirs = await scene.cloud_hands()
            await scene.take_flight_right(hands)
            counts = Counter[Way]()

            def swaps(own: Way, other: Way, data: bytes) -> Iterable[bytes]:
                counts[own] += 1
                if counts[own] % 4:
                    return (data,)
                evil.inject(other, data)
                return NONE

            for pair in ((MOBILE_UP, CLOUD_UP), (MOBILE_DOWN, CLOUD_DOWN)):
                for own, other in (pair, pair[::-1]):
                    evil.at(partial(swaps, own, other), own)
            for number in range(10):
                assert await hands.ask(place(number)) == Answer(Result.DONE)
                assert await theirs.ask(place(-1)) == Answer(Result.NOT_ALLOWED)
            evil.stop()
            await trio.sleep(3.0)
            assert min(counts.values()) > 8
            assert scene.craft.done == [place(number) for number in range(10)]
            await works(scene, hands)
            assert {alarm.kind for alarm in scene.drone.alarms} == {AlarmKind.AUTHORITY_REFUSED}  # of the cloud
            assert hands.link.down is None
            assert theirs.link.down is None


@virtual
async def test_it_replays_a_whole_session() -> None:
    """LK-42: the handshake is refused by its counter, with an alarm; other datagrams of it belong to no session."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), scene.first.hands
            await scene.take_flight_right(hands)
            for number in range(5):
                assert await hands.ask(place(number)) == Answer(Result.DONE)
            await hands.link.close()
            await until(lambda: scene.first.mobile_station.hands not in {None, hands})
            await trio.sleep(1.0)
            recorded = list(evil.kept)
            assert [way for way, data in recorded if data[0] == PacketType.INITIATION].count(MOBILE_UP) == 2
            links = set(scene.drone.links)
            for way, data in recorded * 2:
                evil.inject(way, data)
                await trio.sleep(0.05)
            await trio.sleep(3.0)
            assert scene.craft.done == [place(number) for number in range(5)]
            assert set(scene.drone.links) == links
            assert alarms_of(scene.drone, AlarmKind.STALE_COUNTER)
            await works(scene, scene.first.hands)


@virtual
async def test_it_keeps_a_command_back_until_its_link_is_over() -> None:
    """Whoever gave it was told that it has no answer; it is never done. Nor are sticks that were kept for a second.

    No alarm: silence looks like a bad path. In the air it is a matter of the failsafe (below)."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), scene.first.hands
            await scene.take_flight_right(hands)
            held: list[bytes] = []

            def holds(data: bytes) -> Iterable[bytes]:
                held.append(data)
                return NONE

            evil.at(holds, MOBILE_UP)
            hands.link.send_now(SendControl(ChannelId.CONTROL, AIRLINK.encode(Sticks(1, 1, 1, 1)), 0.4))
            await trio.sleep(1.0)
            evil.stop()
            for data in held:
                evil.inject(MOBILE_UP, data)
            await trio.sleep(1.0)
            assert scene.craft.sticks == []
            held.clear()
            evil.at(holds, MOBILE_UP)
            with pytest.raises(LinkClosedError):
                await hands.ask(place(1))
            evil.stop()
            await until(lambda: scene.first.mobile_station.hands not in {None, hands})
            for data in held:
                evil.inject(MOBILE_UP, data)
            await trio.sleep(2.0)
            assert scene.craft.done == []
            await works(scene, scene.first.hands)


@virtual
async def test_it_keeps_the_holder_from_its_drone_in_the_air() -> None:
    """AU-30: its own heartbeats count for nothing; the failsafe acts, and the alarm names the holder that is missed."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            evil, hands = evil_of(scene.first), scene.first.hands
            await scene.take_flight_right(hands)
            scene.craft.is_armed = True
            await trio.sleep(1.0)
            assert scene.craft.failsafe == []
            evil.at(nothing, MOBILE_UP, MOBILE_DOWN)
            await until(lambda: len(scene.craft.failsafe) == 2)
            assert scene.craft.failsafe[0] == "hold"
            lines = alarms_of(scene.drone, AlarmKind.FLIGHT_HOLDER_LOST)
            assert all(hands.own.hex() in line for line in lines)
            assert len(lines) == 2
            evil.stop()
            await until(lambda: scene.first.mobile_station.hands not in {None, hands})
            await trio.sleep(1.0)
            await works(scene, scene.first.hands)
            await trio.sleep(3.0)
            assert len(scene.craft.failsafe) == 2


@virtual
async def test_the_cloud_hears_of_what_a_mobile_sees() -> None:
    """Alarms of a mobile are brought to its cloud."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            reported: list[ReportedAlarm] = []
            on_event = scene.cloud.on_event

            def listen(event: CloudEvent) -> None:
                if isinstance(event, AlarmReported):
                    reported.extend(event.report.alarms)
                on_event(event)

            scene.cloud.on_event = listen
            evil_of(scene.first).at(Attacks().alters, MOBILE_DOWN)
            await until(lambda: bool(reported))
            assert {alarm.kind for alarm in reported} == {"relay_tampers"}
            assert scene.drone_id.hex() in reported[0].detail


@virtual
async def test_alarms_behind_the_first_thousand_are_told() -> None:
    """Whoever can raise many must not silence those that follow."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            for _ in range(1_100):
                scene.first.mobile.raise_alarm(Alarm(AlarmKind.RELAY_TAMPERS, "one of many"))
            await trio.sleep(2.0)
            scene.first.mobile.raise_alarm(Alarm(AlarmKind.LOG_REFUSED, "another"))
            await trio.sleep(2.0)
            told = [note.text for note in scene.notes if isinstance(note, Alarmed)]
            assert any("another" in text for text in told)
            reports = await scene.cloud.stores.records.alarms(scene.first.device)
            assert sum(row.items for row in reports) == len(told)


# --- flows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link_type", [LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD], ids=["mobile", "cloud"])
@virtual
async def test_it_claims_to_be_the_other(link_type: LinkType) -> None:
    """A flow of its own, and its own key, which is paired, but not in that role."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            rc = scene.first.rc
            assert isinstance(rc, HostileRc)
            with pytest.raises(NotPairedError):
                await rc.pose(scene.drone_id, scene.drone_id, link_type)
            assert len(scene.drone.links) == 3
            assert alarms_of(scene.drone, AlarmKind.ROLE_REFUSED)
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


@virtual
async def test_it_comes_with_a_key_that_nobody_knows() -> None:
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            rc = scene.first.rc
            assert isinstance(rc, HostileRc)
            with pytest.raises(NotPairedError):
                await rc.pose(scene.drone_id, scene.drone_id, LinkType.REMOTE_MOBILE, make_key())
            assert len(scene.drone.links) == 3
            assert alarms_of(scene.drone, AlarmKind.UNKNOWN_PEER)
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


@virtual
async def test_it_invents_flows() -> None:
    """RL-22: 64 at most, and garbage in them. No alarm: on an open port anybody may say anything, so it is counted."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            await scene.take_flight_right(scene.first.hands)
            station, drone_id = scene.first.rc.relays, scene.drone_id
            flows = [station.open(drone_id, drone_id, LinkType.REMOTE_MOBILE) for _ in range(100)]
            kinds = (PacketType.INITIATION, PacketType.RESPONSE, PacketType.COOKIE_REPLY, PacketType.DATA)
            for flow in flows:
                flow.ask()
                await trio.sleep(0.02)
            taken = [flow for flow in flows if flow.state is FlowState.OPEN]
            assert len(taken) == RelayLimits().flows - 2  # those of mobile and cloud are the others
            for kind in kinds * 5:
                for flow in taken:
                    flow.send(bytes((kind,)) + bytes(range(200)))
                await trio.sleep(0.02)
            assert len(scene.drone.links) == 3
            assert scene.craft.done == []
            await works(scene, scene.first.hands)
            for flow in flows:
                flow.close()
            await works(scene, scene.first.hands)


LIES: tuple[RelayMessage, ...] = (RelayClosed(0, False), RelayRefused(0, RelayRefusal.NOT_ALLOWED), RelayOpened(0))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: type(lie).__name__)
@virtual
async def test_it_lies_about_flows(lie: RelayMessage) -> None:
    """RL-33: what it says of a flow changes nothing but the flow. No alarm: availability is all that it has."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            hands, evil = scene.first.hands, evil_of(scene.first)
            await scene.take_flight_right(hands)
            hop, flow = evil.flows[MOBILE_DOWN]
            for number in range(20):
                hop.send(type(lie)(flow, *[getattr(lie, name) for name in lie.__slots__ if name != "flow"]))
                assert await hands.ask(place(number)) == Answer(Result.DONE)
            assert scene.craft.done == [place(number) for number in range(20)]
            assert hands.link.down is None
            await trio.sleep(2.0)
            await works(scene, hands)


# --- its own links -----------------------------------------------------------------------------------

ARMING = MavlinkFrame(bytes((0xFE, 33, 7, 1, 1, 76)) + bytes(35))
Foreign = LogReceipt | RevokePeer | SealingKeys
FOREIGN: tuple[Foreign, ...] = (
    LogReceipt(bytes(16), bytes(32)),
    RevokePeer(bytes(16)),
    SealingKeys(b"a key of its own"),
)
REQUESTS: tuple[object, ...] = (
    Command(CommandCode.DISARM),
    GoTo(1, 2, 3),
    ChangeSettings(b"\x80"),
    CameraControl(CameraAction.TAKE_PHOTO, 0, 100),
)


def named(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("request_", REQUESTS, ids=named)
@virtual
async def test_it_commands_without_the_right(request_: object) -> None:
    """AU-20: on its own airlink, while the mobile flies."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            hands = scene.first.rc_station.hands
            assert hands is not None
            await scene.take_flight_right(scene.first.hands)
            assert await hands.ask(request_) == Answer(Result.NOT_ALLOWED)
            assert scene.craft.done == []
            (line,) = alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)
            assert line == f"{named(request_)} of RC {scene.first.rc_id.hex()}"
            await works(scene, scene.first.hands)


@virtual
async def test_it_steers_and_sends_mavlink_without_the_right() -> None:
    """AU-21: what only reads passes."""
    reading = MavlinkFrame(bytes((0xFE, 2, 7, 1, 1, 21)) + bytes(4))
    hidden = MavlinkFrame(bytes((0xFE, 12, 7, 1, 1, 21)) + bytes(4) + b"\xfe" + bytes(9))
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            await scene.take_flight_right(scene.first.hands)
            air = scene.first.air
            for number in range(10):
                air.send_now(SendControl(ChannelId.CONTROL, AIRLINK.encode(Sticks(number + 1, 0, 0, 0)), 0.4))
                for frame in (ARMING, hidden, reading):
                    air.send_now(SendStream(ChannelId.MAVLINK, AIRLINK.encode(frame)))
                await trio.sleep(0.1)
            assert scene.craft.sticks == []
            assert scene.craft.done == [reading.frame] * 10
            said = alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)
            assert all(scene.first.rc_id.hex() in line for line in said)
            assert {line.split()[0] for line in said} == {"Sticks", "MavlinkFrame"}
            await works(scene, scene.first.hands)


@pytest.mark.parametrize("message", FOREIGN, ids=named)
@virtual
async def test_it_speaks_as_the_cloud(message: Foreign) -> None:
    """SL-30, AU-24: an airlink has no such messages, so they say nothing there, and are answered so.

    No alarm: what cannot be read names no right that was asked for."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            said = await scene.first.air.request(REMOTE_CLOUD.encode(message))
            assert AIRLINK.decode_untrusted(ChannelId.COMMAND, said, Direction.DOWN) == Answer(Result.INVALID)
            scene.record(flight := flight_of(50))
            await scene.delivered(flight)  # to the true cloud's key
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (AuthorityAction.OFFER, Result.NOT_ALLOWED),
        (AuthorityAction.ACCEPT, Result.NOT_ALLOWED),
        (AuthorityAction.RELEASE, Result.NOT_ALLOWED),
        (AuthorityAction.REQUEST, Result.STARTED),
        (AuthorityAction.OVERRIDE, Result.NOT_ALLOWED),
        (AuthorityAction.REVOKE, Result.NOT_ALLOWED),
    ],
    ids=lambda value: value.name,
)
@virtual
async def test_it_wants_the_right(action: AuthorityAction, result: Result) -> None:
    """AU-6, AU-7: nobody has offered it, and another is the owner. Only who plays the owner raises an alarm (AU-23):
    anybody may wish, and wishes are shown to all (AU-14)."""
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), mobile_owns=True)) as scene:
            hands = scene.first.rc_station.hands
            assert hands is not None
            await scene.take_flight_right(scene.first.hands)
            peer = scene.first.mobile_id if action in {AuthorityAction.OFFER, AuthorityAction.ACCEPT} else NOBODY
            answer = await hands.ask(AuthorityRequest(action, Right.FLIGHT, peer))
            assert answer is not None
            assert answer.result is result
            owners = action in {AuthorityAction.OVERRIDE, AuthorityAction.REVOKE}
            assert len(alarms_of(scene.drone, AlarmKind.AUTHORITY_REFUSED)) == owners
            await trio.sleep(12.0)  # no timeout helps it
            assert scene.station.authority.holder(Right.FLIGHT) == scene.first.mobile_id
            await works(scene, scene.first.hands)


@virtual
async def test_it_is_the_owner_and_takes_the_right() -> None:
    """AU-11: that it may, and then it is the holder; but not in silence: operator and mobile are told."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            hands = scene.first.rc_station.hands
            assert hands is not None
            await scene.take_flight_right(scene.first.hands)
            await until(lambda: scene.first.hands.holds(Right.FLIGHT))
            answer = await hands.ask(AuthorityRequest(AuthorityAction.OVERRIDE, Right.FLIGHT))
            assert answer == Answer(Result.DONE)
            await until(lambda: not scene.first.hands.holds(Right.FLIGHT))
            (line,) = alarms_of(scene.drone, AlarmKind.AUTHORITY_TAKEN)
            assert scene.first.mobile_id.hex() in line
            assert await scene.first.hands.ask(place(1)) == Answer(Result.NOT_ALLOWED)
            assert scene.craft.done == []


@virtual
async def test_it_shows_the_mobile_what_is_not_so() -> None:
    """Who has the right, a mobile takes from its own link to the drone and from nowhere else (AU-1).

    No alarm: what goes hop by hop is its neighbours' word, and shown as such; nothing is decided by it."""
    with trio.fail_after(PATIENCE_S):
        async with chain(HOSTILE) as scene:
            hands, ground = scene.first.hands, scene.first.ground
            mine, rc_id = scene.first.mobile_id, scene.first.rc_id
            lies = (
                AuthorityState(0, 0, 9, mine, NOBODY, mine, NOBODY),
                AuthorityState(0, 0, 9, rc_id, mine, rc_id, mine),
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hands.accept, Right.FLIGHT)  # would take whatever is offered
                for lie in lies * 20:
                    data = GROUNDLINK.encode(lie)
                    ground.send_now(SendState(ChannelId.TELEMETRY, GROUNDLINK.row(lie).id, data))
                    ground.send_now(SendState(ChannelId.TELEMETRY, 1, data))
                    ground.send_now(SendState(ChannelId.TELEMETRY, GROUNDLINK.row(lie).id, data[:-1]))
                    await trio.sleep(0.2)
                    assert not hands.holds(Right.FLIGHT)
                nursery.cancel_scope.cancel()
            assert any(lie in scene.first.mobile_saw for lie in lies)
            said = await ground.request(AIRLINK.encode(Command(CommandCode.LAND)))
            assert GROUNDLINK.decode_untrusted(ChannelId.COMMAND, said, Direction.UP) == Answer(Result.INVALID)
            assert scene.station.authority.holder(Right.FLIGHT) is None
            assert scene.craft.done == []
            await scene.take_flight_right(hands)
            await works(scene, hands)
