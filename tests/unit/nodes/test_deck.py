"""The flight deck: the one place where messages of all links are admitted or refused (specs/7-authority.md)."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from nodes.deck import GRACE_S, Seat
from nodes.errors import LinkClosedError
from protocols.authority import AuthorityPolicy
from protocols.errors import UnsupportedError, UsageError
from protocols.events import AlarmKind
from protocols.failsafe import FailsafeConfig
from specs.airlink.authority import AuthorityAction, AuthorityState, Right
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
from specs.airlink.control import Buttons, Heartbeat, NodeState, Sticks
from specs.airlink.numbers import NOBODY
from specs.airlink.stream import MavlinkFrame
from specs.airlink.telemetry import Battery
from specs.registry import ChannelId, Role
from specs.remotelink import LogReceipt, RevokePeer, SealingKeys
from tests.helpers.decks import CLOUD, KEYS, MOBILE, OTHER, RC, ROLES, DeckWorld
from tests.live.kit import virtual

HOLD, PLACE = Command(CommandCode.HOLD), GoTo(1, 2, 3)
PHOTO = CameraControl(CameraAction.TAKE_PHOTO, 0, 100)
SETTINGS = ChangeSettings(b"\x80")
STICKS = Sticks(1, 2, 3, 4)
READING = MavlinkFrame(bytes((0xFE, 2, 7, 1, 1, 21)) + bytes(4))
ACTING = MavlinkFrame(bytes((0xFE, 33, 7, 1, 1, 76)) + bytes(35))
STEERING = MavlinkFrame(bytes((0xFE, 11, 7, 1, 1, 69)) + bytes(13))
CONFIG = FailsafeConfig(1.0, 5.0)


async def flown_by(who: bytes, **options: Any) -> DeckWorld:
    """A deck at which this peer has the flight right."""
    world = DeckWorld(config=CONFIG, **options)
    assert await world.want(who, AuthorityAction.REQUEST) is Result.DONE
    return world


async def mavlink(world: DeckWorld, who: bytes, frame: MavlinkFrame) -> None:
    assert await world.deck.take(world.seats[who], ChannelId.MAVLINK, frame) is None


# --- admission ----------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [HOLD, PLACE, SETTINGS], ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("who", [MOBILE, OTHER, CLOUD], ids=["mobile", "other", "cloud"])
@virtual
async def test_au_20_al_11_a_command_of_another_is_refused(who: bytes, message: Any) -> None:
    world = await flown_by(RC)
    assert await world.ask(who, message) is Result.NOT_ALLOWED
    assert world.vehicle.done == []
    assert world.kinds() == [AlarmKind.AUTHORITY_REFUSED]
    assert who.hex() in world.alarms[0].detail
    assert await world.ask(RC, message) is Result.DONE
    assert len(world.vehicle.done) == 1


@virtual
async def test_au_20_without_a_holder_nobody_commands() -> None:
    world = DeckWorld()
    for who in ROLES:
        assert await world.ask(who, HOLD) is Result.NOT_ALLOWED
        await world.control(who, STICKS)
        await mavlink(world, who, ACTING)
    assert world.vehicle.done == []
    assert world.vehicle.sticks == Sticks(0, 0, 0, 0)
    assert world.deck.refused == 12


@virtual
async def test_au_1_the_link_is_the_subject_whatever_it_runs_over() -> None:
    """Two links of one key are one subject; the same role with another key is another."""
    world = await flown_by(MOBILE)
    again = world.deck.attach(MOBILE, Role.MOBILE, lambda _: None)
    answer = await world.deck.take(again, ChannelId.COMMAND, HOLD)
    assert answer == Answer(Result.DONE)
    assert await world.ask(OTHER, HOLD) is Result.NOT_ALLOWED
    forged = Seat(MOBILE, Role.MOBILE, lambda _: None)  # never came through attach
    assert await world.deck.take(forged, ChannelId.COMMAND, HOLD) == Answer(Result.NOT_ALLOWED)
    assert len(world.vehicle.done) == 1


@virtual
async def test_au_20_the_check_is_of_the_moment() -> None:
    world = await flown_by(RC)
    assert await world.want(RC, AuthorityAction.OFFER, MOBILE) is Result.DONE
    assert await world.ask(RC, HOLD) is Result.DONE
    assert await world.want(MOBILE, AuthorityAction.ACCEPT, RC) is Result.DONE
    assert await world.ask(RC, HOLD) is Result.NOT_ALLOWED
    assert await world.ask(MOBILE, HOLD) is Result.DONE
    assert [change.after for change in world.deck.authority.handed_over] == [MOBILE]


@virtual
async def test_au_20_the_payload_right_is_another() -> None:
    world = await flown_by(RC)
    assert await world.ask(RC, PHOTO) is Result.NOT_ALLOWED
    assert await world.want(MOBILE, AuthorityAction.REQUEST, right=Right.PAYLOAD) is Result.DONE
    assert await world.ask(MOBILE, PHOTO) is Result.DONE
    assert await world.ask(MOBILE, HOLD) is Result.NOT_ALLOWED
    assert world.vehicle.done == [PHOTO]


@virtual
async def test_au_20_what_means_nothing_to_a_drone_is_not_done() -> None:
    world = await flown_by(RC)
    assert await world.ask(RC, Answer(Result.DONE)) is Result.UNSUPPORTED
    assert await world.ask(CLOUD, KEYS) is Result.NOT_ALLOWED
    assert await world.deck.take(world.seats[RC], ChannelId.TELEMETRY, Battery(1, 2, 3, 4)) is None
    assert (world.vehicle.done, world.deck.refused) == ([], 2)


@virtual
async def test_au_21_reading_frames_pass_and_others_need_the_right() -> None:
    world = await flown_by(RC)
    await mavlink(world, MOBILE, READING)
    assert world.vehicle.done == [READING.frame]
    await mavlink(world, MOBILE, ACTING)
    assert world.vehicle.done == [READING.frame]
    assert world.kinds() == [AlarmKind.AUTHORITY_REFUSED]
    await mavlink(world, RC, ACTING)
    assert world.vehicle.done == [READING.frame, ACTING.frame]


@virtual
async def test_au_25_who_does_not_fly_reads_with_measure() -> None:
    world = await flown_by(RC)
    for _ in range(1_000):
        await mavlink(world, MOBILE, READING)
    assert len(world.vehicle.done) == 200
    assert world.deck.refused == 800
    for _ in range(1_000):
        await mavlink(world, RC, READING)
    assert len(world.vehicle.done) == 1_200
    await trio.sleep(1)
    for _ in range(100):
        await mavlink(world, MOBILE, READING)
    assert len(world.vehicle.done) == 1_250


@virtual
async def test_au_22_buttons_of_the_payload_need_the_payload() -> None:
    world = await flown_by(RC)
    everything = Sticks(1, 2, 3, 4, Buttons.PHOTO | Buttons.RECORD | Buttons.PAUSE)
    await world.control(RC, everything)
    assert world.vehicle.sticks == Sticks(1, 2, 3, 4, Buttons.PAUSE)
    await world.want(RC, AuthorityAction.REQUEST, right=Right.PAYLOAD)
    await world.control(RC, everything)
    assert world.vehicle.sticks == everything


# --- refusals and alarms ------------------------------------------------------------------------


@virtual
async def test_au_23_alarms_are_rationed_for_each_sender() -> None:
    world = await flown_by(RC)
    for _ in range(50):
        await world.control(MOBILE, STICKS)
    assert len(world.alarms) == 3
    await world.control(OTHER, STICKS)
    assert len(world.alarms) == 4
    assert world.deck.refused == 51
    await trio.sleep(6)
    await world.control(MOBILE, STICKS)
    assert world.alarms[-1].detail.endswith("(47 more since the last)")


@virtual
async def test_au_23_what_was_under_way_raises_no_alarm() -> None:
    world = await flown_by(RC)
    await world.want(RC, AuthorityAction.OFFER, MOBILE)
    await world.want(MOBILE, AuthorityAction.ACCEPT, RC)
    await world.control(RC, STICKS)
    await mavlink(world, RC, ACTING)
    assert (world.alarms, world.vehicle.done, world.deck.refused) == ([], [], 2)
    assert world.vehicle.sticks == Sticks(0, 0, 0, 0)
    await world.control(OTHER, STICKS)
    assert world.kinds() == [AlarmKind.AUTHORITY_REFUSED]
    await trio.sleep(GRACE_S)
    await world.control(RC, STICKS)
    assert len(world.alarms) == 2


@virtual
async def test_au_11_au_23_the_owners_words_of_another_raise_an_alarm() -> None:
    world = await flown_by(MOBILE)
    for action in (AuthorityAction.REVOKE, AuthorityAction.OVERRIDE):
        assert await world.want(OTHER, action) is Result.NOT_ALLOWED
    assert world.kinds() == [AlarmKind.AUTHORITY_REFUSED] * 2
    assert await world.want(RC, AuthorityAction.OVERRIDE) is Result.DONE
    assert world.kinds()[2:] == [AlarmKind.AUTHORITY_TAKEN]


@virtual
async def test_au_9_a_revoked_peer_is_at_no_deck() -> None:
    world = await flown_by(MOBILE)
    world.deck.forget(MOBILE)
    assert await world.ask(MOBILE, HOLD) is Result.NOT_ALLOWED
    assert world.kinds() == [AlarmKind.AUTHORITY_TAKEN, AlarmKind.AUTHORITY_REFUSED]
    assert await world.want(MOBILE, AuthorityAction.REQUEST) is Result.NOT_ALLOWED
    assert world.deck.authority.holder(Right.FLIGHT) is None


@virtual
async def test_a_vehicle_that_fails_is_answered() -> None:
    world = await flown_by(RC)
    world.vehicle.error = UnsupportedError("no such motor")
    assert await world.ask(RC, HOLD) is Result.FAILED


@virtual
async def test_a_caller_that_mixes_up_channels_is_told() -> None:
    world = await flown_by(RC)
    wrong: list[tuple[ChannelId, Any, float | None]] = [
        (ChannelId.CONTROL, HOLD, 1.0), (ChannelId.COMMAND, STICKS, None), (ChannelId.CONTROL, STICKS, None),
        (ChannelId.COMMAND, HOLD, 1.0), (ChannelId.COMMAND, object(), None),
    ]  # fmt: skip
    for channel, message, expires_s in wrong:
        with pytest.raises(UsageError, match="deck"):
            await world.deck.take(world.seats[RC], channel, message, expires_s)
    assert world.vehicle.done == []


# --- control ------------------------------------------------------------------------------------


@virtual
async def test_au_30_control_that_comes_too_late_is_nothing() -> None:
    world = await flown_by(RC)
    await world.control(RC, STICKS, lifetime_s=-0.1)
    await world.control(RC, Heartbeat(NodeState.ACTIVE, 0), lifetime_s=-0.1)
    assert world.vehicle.sticks == Sticks(0, 0, 0, 0)
    assert world.deck.stale == 2


async def test_au_34_sticks_rest_when_their_time_is_over(autojump_clock: MockClock) -> None:  # noqa: ARG001
    world = await flown_by(RC)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        await world.control(RC, STICKS, lifetime_s=0.5)
        await trio.sleep(0.45)
        assert world.vehicle.sticks == STICKS
        await trio.sleep(0.06)
        assert world.vehicle.sticks == Sticks(0, 0, 0, 0)
        await world.control(RC, STICKS, lifetime_s=0.02)
        await trio.sleep(0.025)  # less than the deck looks at a vehicle
        assert world.vehicle.sticks == Sticks(0, 0, 0, 0)
        nursery.cancel_scope.cancel()


@virtual
async def test_au_34_sticks_rest_when_the_holder_changes() -> None:
    world = await flown_by(RC)
    await world.control(RC, STICKS)
    await world.want(RC, AuthorityAction.RELEASE)
    assert world.vehicle.sticks == Sticks(0, 0, 0, 0)


async def test_au_33_mavlink_while_the_failsafe_flies(autojump_clock: MockClock) -> None:  # noqa: ARG001
    world = await flown_by(RC)
    world.vehicle.armed = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        await trio.sleep(1.2)
        assert world.vehicle.done == ["hold"]
        await mavlink(world, RC, ACTING)
        await mavlink(world, RC, READING)
        assert world.vehicle.done == ["hold", READING.frame]
        assert await world.ask(RC, HOLD) is Result.NOT_NOW
        await world.beat(RC)
        await mavlink(world, RC, STEERING)  # heard again, and not commanded yet
        assert world.vehicle.done == ["hold", READING.frame]
        await mavlink(world, RC, ACTING)
        assert await world.ask(RC, HOLD) is Result.DONE
        await mavlink(world, RC, STEERING)
        assert world.vehicle.done[2:] == [ACTING.frame, CommandCode.HOLD, STEERING.frame]
        nursery.cancel_scope.cancel()


# --- what peers are told ------------------------------------------------------------------------


@virtual
async def test_au_14_everybody_is_told_of_every_change() -> None:
    world = DeckWorld()
    assert all(states == [AuthorityState(0, 0, 0, *(NOBODY,) * 4)] * len(states) for states in world.told.values())
    await world.want(RC, AuthorityAction.REQUEST)
    await world.want(RC, AuthorityAction.OFFER, MOBILE)
    await world.want(MOBILE, AuthorityAction.ACCEPT, RC)
    for states in world.told.values():
        assert [(each.flight_holder, each.flight_candidate) for each in states[-3:]] == [
            (RC, NOBODY), (RC, MOBILE), (MOBILE, NOBODY),
        ]  # fmt: skip


async def test_au_14_and_every_second_without_one(autojump_clock: MockClock) -> None:  # noqa: ARG001
    world = await flown_by(RC)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        await trio.sleep(0.01)
        before = len(world.told[MOBILE])
        await trio.sleep(10)
        assert 9 <= len(world.told[MOBILE]) - before <= 11
        late: list[AuthorityState] = []
        world.deck.attach(bytes(16), Role.MOBILE, late.append)
        assert late[0].flight_holder == RC
        nursery.cancel_scope.cancel()


@virtual
async def test_au_15_who_asks_too_often_is_told_to_wait_and_the_others_are_spared() -> None:
    world = DeckWorld()
    before = len(world.told[OTHER])
    took = AuthorityAction.REQUEST, AuthorityAction.RELEASE
    results = [await world.want(MOBILE, action, right=Right.PAYLOAD) for _ in range(500) for action in took]
    assert set(results[:30]) == {Result.DONE}
    assert set(results[30:]) == {Result.NOT_NOW}
    assert len(world.told[OTHER]) - before == 30
    assert await world.want(RC, AuthorityAction.OVERRIDE) is Result.DONE  # buckets are the peers' own
    await trio.sleep(1.0)
    results = [await world.want(MOBILE, action, right=Right.PAYLOAD) for _ in range(5) for action in took]
    assert results.count(Result.DONE) == 5


@virtual
async def test_au_14_a_link_that_is_ending_keeps_nobody_from_being_told() -> None:
    world = DeckWorld()

    def closed(_: AuthorityState) -> None:
        raise LinkClosedError("the link is down")

    world.deck.attach(bytes(range(16)), Role.MOBILE, closed)
    await world.want(RC, AuthorityAction.REQUEST)
    assert world.told[OTHER][-1].flight_holder == RC


@virtual
async def test_au_10_the_last_link_is_what_counts() -> None:
    world = await flown_by(RC)
    await world.want(RC, AuthorityAction.OFFER, MOBILE)
    again = world.deck.attach(MOBILE, Role.MOBILE, lambda _: None)
    world.deck.detach(world.seats[MOBILE])
    world.deck.detach(world.seats[MOBILE])
    assert world.told[RC][-1].flight_candidate == MOBILE
    world.deck.detach(again)
    assert world.told[RC][-1].flight_candidate == NOBODY


async def test_au_8_time_is_the_decks(autojump_clock: MockClock) -> None:  # noqa: ARG001
    world = await flown_by(RC, policy=AuthorityPolicy(holder_timeout_s=3.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        assert await world.want(MOBILE, AuthorityAction.REQUEST) is Result.STARTED
        await trio.sleep(3.01)
        assert world.told[MOBILE][-1].flight_holder == NOBODY
        assert world.kinds() == [AlarmKind.AUTHORITY_TAKEN]
        nursery.cancel_scope.cancel()


# --- the cloud ----------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize(
    "message", [SealingKeys(b"key"), LogReceipt(bytes(16), bytes(32)), RevokePeer(OTHER)],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
async def test_au_24_the_clouds_words_need_its_role(message: Any) -> None:
    world = await flown_by(RC)
    await world.want(RC, AuthorityAction.REQUEST, right=Right.PAYLOAD)
    for who in (RC, MOBILE):
        assert await world.ask(who, message) is Result.NOT_ALLOWED
    assert world.keeper.kept == []
    assert await world.request(CLOUD, message) in {KEYS, Answer(Result.DONE)}
    assert len(world.keeper.kept) == 1
    assert world.vehicle.done == []


@virtual
async def test_gl_11_sealing_keys_are_answered_by_keys_or_by_why_not() -> None:
    world = DeckWorld()
    assert await world.request(CLOUD, SealingKeys(b"key")) == KEYS
    assert world.keeper.kept == [(SealingKeys(b"key"), CLOUD)]
    world.keeper.fails = True
    assert await world.ask(CLOUD, SealingKeys(b"key")) is Result.FAILED


@virtual
async def test_gl_12_done_comes_after_the_effect_and_again() -> None:
    world = DeckWorld()
    receipt = LogReceipt(bytes(16), bytes(32))
    world.keeper.fails = True
    for message in (receipt, RevokePeer(OTHER)):
        assert await world.ask(CLOUD, message) is Result.FAILED
    world.keeper.fails = False
    for message in (receipt, receipt, RevokePeer(OTHER), RevokePeer(OTHER)):
        assert await world.ask(CLOUD, message) is Result.DONE
    assert world.keeper.kept == [receipt, receipt, OTHER, OTHER]


@virtual
async def test_gl_12_a_revocation_holds_before_it_is_durable() -> None:
    world = await flown_by(OTHER)
    world.keeper.fails = True
    assert await world.ask(CLOUD, RevokePeer(OTHER)) is Result.FAILED
    assert world.deck.authority.holder(Right.FLIGHT) is None
    assert await world.ask(OTHER, HOLD) is Result.NOT_ALLOWED


@virtual
async def test_gl_16_a_revocation_that_is_not_this_cloud_s_business_changes_nothing() -> None:
    world = await flown_by(OTHER)
    world.keeper.lets_revoke = False
    assert await world.ask(CLOUD, RevokePeer(OTHER)) is Result.NOT_ALLOWED
    assert world.keeper.kept == []
    assert world.deck.authority.holder(Right.FLIGHT) == OTHER
    assert [alarm.kind for alarm in world.alarms] == [AlarmKind.AUTHORITY_REFUSED]


@virtual
async def test_gl_13_nobody_revokes_itself() -> None:
    world = DeckWorld()
    assert await world.ask(CLOUD, RevokePeer(CLOUD)) is Result.INVALID
    assert world.keeper.kept == []
    assert await world.request(CLOUD, SealingKeys(b"key")) == KEYS
