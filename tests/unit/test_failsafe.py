"""The failsafe: its table, and what it makes of the real flight model (specs/7-authority.md, 7.4)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from nodes.flight import Phase
from protocols.errors import UsageError
from protocols.events import AlarmKind
from protocols.failsafe import FAILSAFE, Effect, Failsafe, FailsafeConfig, FailsafeEvent, FailsafeState
from specs.airlink.authority import AuthorityAction
from specs.airlink.command import Command, CommandCode, Result
from specs.airlink.control import Sticks
from tests.helpers.decks import MOBILE, RC, DeckWorld, ModelCraft

CONFIG = FailsafeConfig(hold_after_s=1.0, act_after_s=5.0)
TAKE_OFF, FLY_ROUTE, LAND = (Command(code) for code in (CommandCode.TAKE_OFF, CommandCode.FLY_ROUTE, CommandCode.LAND))
AHEAD = Sticks(0, 1_000, 0, 0)


def effects(failsafe: Failsafe) -> list[Effect]:
    found: list[Effect] = []
    while (effect := failsafe.next_effect()) is not None:
        found.append(effect)
    return found


def guarding(config: FailsafeConfig = CONFIG) -> Failsafe:
    """In the air since 100 s, flown by RC."""
    failsafe = Failsafe(config)
    failsafe.set_holder(RC, 100.0)
    failsafe.observe(off_the_ground=True, now=100.0)
    return failsafe


# --- the machine --------------------------------------------------------------------------------


def test_every_state_and_event_of_the_table_is_used() -> None:
    assert {state for state, _ in FAILSAFE} == set(FailsafeState) == set(FAILSAFE.values())
    assert {event for _, event in FAILSAFE} == set(FailsafeEvent)


@pytest.mark.parametrize(
    "wrong", [{"hold_after_s": 0.0}, {"hold_after_s": 9.0, "act_after_s": 9.0}, {"action": Effect.HOLD}]
)
def test_a_configuration_makes_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="failsafe"):
        FailsafeConfig(**wrong)


@pytest.mark.parametrize("action", [Effect.RETURN_HOME, Effect.LAND])
def test_au_31_first_it_holds_and_then_it_acts(action: Effect) -> None:
    failsafe = guarding(FailsafeConfig(1.0, 5.0, action))
    assert failsafe.next_deadline() == 101.0
    failsafe.handle_deadline(100.9)
    assert effects(failsafe) == []
    failsafe.handle_deadline(101.0)
    assert effects(failsafe) == [Effect.HOLD]
    assert failsafe.next_deadline() == 105.0
    failsafe.handle_deadline(105.0)
    assert effects(failsafe) == [action]
    assert failsafe.next_deadline() is None


def test_au_31_a_timer_that_was_late_leaves_nothing_out() -> None:
    failsafe = guarding()
    failsafe.handle_deadline(200.0)
    assert effects(failsafe) == [Effect.HOLD, Effect.RETURN_HOME]


def test_au_30_only_the_holder_counts() -> None:
    failsafe = guarding()
    failsafe.heard(RC, 100.9)
    failsafe.heard(MOBILE, 101.8)
    assert failsafe.next_deadline() == 101.9
    failsafe.handle_deadline(101.9)
    assert effects(failsafe) == [Effect.HOLD]
    failsafe.heard(MOBILE, 102.0)
    assert failsafe.state is FailsafeState.HOLDING


def test_au_32_nobody_is_like_a_loss() -> None:
    failsafe = guarding()
    failsafe.set_holder(None, 100.5)
    failsafe.heard(RC, 101.0)
    failsafe.handle_deadline(101.5)
    assert effects(failsafe) == [Effect.HOLD]
    failsafe.set_holder(MOBILE, 102.0)
    assert failsafe.next_deadline() == 107.0
    failsafe.heard(MOBILE, 102.2)
    assert failsafe.state is FailsafeState.RECOVERED


def test_au_32_a_new_holder_counts_as_heard() -> None:
    failsafe = guarding()
    failsafe.set_holder(MOBILE, 100.9)
    assert failsafe.next_deadline() == 101.9
    assert effects(failsafe) == []


def test_au_32_no_loss_begins_on_the_ground() -> None:
    failsafe = Failsafe(CONFIG)
    failsafe.handle_deadline(1_000.0)
    assert failsafe.next_deadline() is None
    failsafe.observe(off_the_ground=True, now=1_000.0)
    assert effects(failsafe) == []
    assert failsafe.next_deadline() == 1_001.0


def test_au_33_who_is_heard_again_must_command() -> None:
    failsafe = guarding()
    failsafe.handle_deadline(101.0)
    effects(failsafe)
    failsafe.commanded(RC, 101.5)
    assert (failsafe.state, failsafe.obeys_commands) == (FailsafeState.HOLDING, False)  # a command is no heartbeat
    steps = ((failsafe.heard, RC, False), (failsafe.commanded, MOBILE, False), (failsafe.commanded, RC, True))
    for event, who, obeys in steps:
        event(who, 102.0)
        assert (failsafe.obeys_commands, failsafe.obeys_sticks) == (True, obeys)
    assert effects(failsafe) == []


def test_au_33_who_is_lost_once_more_begins_anew() -> None:
    failsafe = guarding()
    failsafe.handle_deadline(101.0)
    failsafe.heard(RC, 102.0)
    failsafe.handle_deadline(103.0)
    assert effects(failsafe) == [Effect.HOLD, Effect.HOLD]
    failsafe.handle_deadline(107.0)
    assert effects(failsafe) == [Effect.RETURN_HOME]


def test_on_the_ground_it_rests() -> None:
    failsafe = guarding()
    failsafe.handle_deadline(105.0)
    failsafe.observe(off_the_ground=False, now=120.0)
    assert failsafe.state is FailsafeState.RESTING
    assert failsafe.obeys_commands


# --- with the flight model ----------------------------------------------------------------------


@asynccontextmanager
async def flight(config: FailsafeConfig = CONFIG) -> AsyncGenerator[tuple[DeckWorld, ModelCraft, trio.Nursery]]:
    """A deck with the model behind it, on its ground; RC holds the flight right."""
    craft = ModelCraft()
    world = DeckWorld(vehicle=craft, config=config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.deck.run)
        nursery.start_soon(craft.fly)
        assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
        yield world, craft, nursery
        nursery.cancel_scope.cancel()


async def take_off(world: DeckWorld, craft: ModelCraft, until: Phase = Phase.HOLDING) -> None:
    assert await world.ask(RC, TAKE_OFF) is Result.STARTED
    while craft.phase() is not until:
        await world.beat(RC)
        await trio.sleep(0.1)


async def test_au_31_a_lost_link_holds_then_returns_and_lands(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, _):
        await take_off(world, craft)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await world.control(RC, AHEAD)
        await trio.sleep(0.95)
        assert craft.phase() is Phase.FLYING
        await trio.sleep(0.1)
        assert craft.phase() is Phase.HOLDING
        await trio.sleep(3.9)
        assert craft.phase() is Phase.HOLDING
        await trio.sleep(0.1)
        assert craft.phase() is Phase.RETURNING
        await trio.sleep(60)
        assert craft.phase() is Phase.LANDED
        assert craft.model.state.position_m.up == 0
        assert world.deck.failsafe.state is FailsafeState.RESTING
        assert world.kinds() == [AlarmKind.FLIGHT_HOLDER_LOST] * 2


async def test_au_31_or_it_lands_where_it_is(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight(FailsafeConfig(1.0, 5.0, Effect.LAND)) as (world, craft, _):
        await take_off(world, craft)
        await trio.sleep(4.8)
        assert craft.phase() is Phase.HOLDING
        await trio.sleep(0.25)
        assert craft.phase() is Phase.LANDING
        await trio.sleep(30)
        assert craft.phase() is Phase.LANDED


async def test_au_30_heartbeats_of_the_holder_keep_it_flying(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, nursery):
        await take_off(world, craft)
        nursery.start_soon(world.beat_on, RC)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await trio.sleep(8)
        assert craft.phase() is Phase.FLYING
        assert world.alarms == []


async def test_au_30_al_6_heartbeats_of_others_do_not(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, nursery):
        await take_off(world, craft)
        nursery.start_soon(world.beat_on, MOBILE)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await trio.sleep(1.2)
        assert craft.phase() is Phase.HOLDING
        await trio.sleep(5)
        assert craft.phase() is not Phase.HOLDING


async def test_au_30_nor_does_what_comes_too_late(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, _):
        await take_off(world, craft)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        for _ in range(12):
            await world.control(RC, AHEAD, lifetime_s=-0.01)
            await trio.sleep(0.1)
        assert craft.phase() is Phase.HOLDING
        assert world.deck.stale == 12


async def test_au_33_recovered_it_holds_until_commanded(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, nursery):
        await take_off(world, craft)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await trio.sleep(2)
        assert await world.ask(RC, FLY_ROUTE) is Result.NOT_NOW
        nursery.start_soon(world.beat_on, RC)
        await trio.sleep(20)
        assert craft.phase() is Phase.HOLDING
        before = craft.model.state.position_m
        await world.control(RC, AHEAD, lifetime_s=5)
        await trio.sleep(3)
        assert abs(craft.model.state.position_m.north - before.north) < 0.1
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await trio.sleep(1)
        assert craft.phase() is Phase.FLYING


async def test_au_33_landing_is_obeyed_without_a_heartbeat(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, _):
        await take_off(world, craft)
        await trio.sleep(2)
        assert await world.ask(RC, LAND) is Result.STARTED
        assert craft.phase() is Phase.LANDING


async def test_au_32_a_right_that_nobody_holds_in_the_air(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, nursery):
        await take_off(world, craft)
        nursery.start_soon(world.beat_on, RC)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        await trio.sleep(1)
        assert await world.want(RC, AuthorityAction.RELEASE) is Result.DONE
        await trio.sleep(1.1)
        assert craft.phase() is Phase.HOLDING
        await trio.sleep(4)
        assert craft.phase() is Phase.RETURNING


async def test_au_34_sticks_come_to_rest(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight(FailsafeConfig(100, 200)) as (world, craft, _):
        await take_off(world, craft)
        await world.control(RC, AHEAD, lifetime_s=0.5)
        await trio.sleep(0.4)
        assert craft.model.state.ground_speed_mps > 0.5
        await trio.sleep(5)
        assert craft.model.state.ground_speed_mps < 0.05


async def test_au_35_motors_on_the_ground_stop(autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight() as (world, craft, _):
        assert await world.ask(RC, TAKE_OFF) is Result.STARTED
        await trio.sleep(0.9)
        assert craft.phase() is Phase.ARMED
        await trio.sleep(0.3)
        assert craft.phase() is Phase.LANDED
        await trio.sleep(20)
        assert craft.phase() is Phase.LANDED


@pytest.mark.parametrize("code", [CommandCode.LAND, CommandCode.RETURN_HOME])
async def test_au_35_a_landing_and_a_return_go_on(code: CommandCode, autojump_clock: MockClock) -> None:  # noqa: ARG001
    async with flight(FailsafeConfig(0.5, 1.0, Effect.LAND)) as (world, craft, _):
        await take_off(world, craft)
        assert await world.ask(RC, FLY_ROUTE) is Result.STARTED
        for _ in range(20):
            await world.beat(RC)
            await trio.sleep(0.2)
        assert await world.ask(RC, Command(code)) is Result.STARTED
        phase = craft.phase()
        await trio.sleep(1.5)
        assert craft.phase() is phase
        await trio.sleep(60)
        assert craft.phase() is Phase.LANDED
