"""Commands of our own to an autopilot (specs/11-mavlink.md, MV-50)."""

import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from nodes.mavlink.orders import AGAIN_S, ATTEMPTS, Orders
from protocols.mavlink.autopilot import LAND, LOITER, RETURN_HOME, AutopilotView, MavCommand
from protocols.mavlink.head import head_untrusted
from tests.helpers.mavlink import by_hand, dialect, heartbeat, link
from tests.live.kit import virtual


@dataclass
class Autopilot:
    """An autopilot that is told something."""

    view: AutopilotView = field(default_factory=AutopilotView)
    told: list[bytes] = field(default_factory=list[bytes])
    lines: list[str] = field(default_factory=list[str])
    orders: Orders = field(init=False)

    def __post_init__(self) -> None:
        self.view.feed_untrusted(head_untrusted(heartbeat(link(7, 1))), 0.0)
        self.orders = Orders(self.view, self.told.append, self.lines.append)

    def answer(self, command: int, result: int) -> None:
        self.orders.take_untrusted(head_untrusted(by_hand(77, struct.pack("<HB", command, result), system=7)))

    def commands(self) -> list[tuple[int, int]]:
        """Command and confirmation of each."""
        found = [dialect().MAVLink(None).parse_char(each) for each in self.told]
        assert {(each.target_system, each.target_component) for each in found} == {(7, 1)}
        assert {(each.get_srcSystem(), each.get_srcComponent()) for each in found} == {(7, 191)}
        return [(each.command, each.confirmation) for each in found]


@asynccontextmanager
async def told() -> AsyncGenerator[Autopilot]:
    autopilot = Autopilot()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(autopilot.orders.run)
        yield autopilot
        nursery.cancel_scope.cancel()


@virtual
async def test_mv_50_a_command_is_repeated_until_it_is_answered() -> None:
    async with told() as autopilot:
        autopilot.orders.give(RETURN_HOME)
        await trio.sleep(2.5 * AGAIN_S)
        autopilot.answer(MavCommand.NAV_LAND, 0)  # of another
        autopilot.answer(MavCommand.NAV_RETURN_TO_LAUNCH, 5)  # in progress
        await trio.sleep(AGAIN_S)
        autopilot.answer(MavCommand.NAV_RETURN_TO_LAUNCH, 0)
        await trio.sleep(20)
        assert autopilot.commands() == [(20, 0), (20, 1), (20, 2), (20, 3)]
        assert autopilot.lines == ["tells the autopilot to return home"]


@virtual
async def test_mv_50_no_answer_is_told() -> None:
    async with told() as autopilot:
        autopilot.orders.give(LAND)
        await trio.sleep(20)
        assert autopilot.commands() == [(21, attempt) for attempt in range(ATTEMPTS)]
        assert "does not answer" in autopilot.lines[-1]
        assert "its own failsafe must act" in autopilot.lines[-1]


@pytest.mark.parametrize(("result", "why"), [(2, "signed"), (3, "does not know"), (99, "result 99")])
def test_mv_50_a_refusal_is_told(result: int, why: str) -> None:
    @virtual
    async def run() -> None:
        async with told() as autopilot:
            autopilot.orders.give(LOITER)
            await trio.testing.wait_all_tasks_blocked()
            autopilot.answer(MavCommand.NAV_LOITER_UNLIM, result)
            await trio.sleep(20)
            assert len(autopilot.told) == 1
            assert "refuses to hold" in autopilot.lines[-1]
            assert why in autopilot.lines[-1]

    run()


@virtual
async def test_mv_50_the_same_command_once_more_is_a_newer_one() -> None:
    async with told() as autopilot:
        for _ in range(ATTEMPTS + 1):
            autopilot.orders.give(RETURN_HOME)
            await trio.testing.wait_all_tasks_blocked()
        assert autopilot.commands() == [(20, 0)] * (ATTEMPTS + 1)
        await trio.sleep(20)
        assert len(autopilot.told) == 2 * ATTEMPTS
        assert sum("does not answer" in line for line in autopilot.lines) == 1


@virtual
async def test_mv_50_what_is_answered_to_others_is_no_answer() -> None:
    """A ground station may have sent the same command just before, and have lost the link."""
    async with told() as autopilot:
        autopilot.orders.give(RETURN_HOME)
        await trio.testing.wait_all_tasks_blocked()
        for system, component in ((255, 190), (7, 190)):
            answer = struct.pack("<HBBiBB", 20, 0, 0, 0, system, component)
            autopilot.orders.take_untrusted(head_untrusted(by_hand(77, answer, system=7)))
        await trio.sleep(1.5 * AGAIN_S)
        answer = struct.pack("<HBBiBB", 20, 0, 0, 0, 7, 191)
        autopilot.orders.take_untrusted(head_untrusted(by_hand(77, answer, system=7)))
        await trio.sleep(20)
        assert autopilot.commands() == [(20, 0), (20, 1)]


@virtual
async def test_mv_50_a_newer_command_ends_an_older_one() -> None:
    async with told() as autopilot:
        autopilot.orders.give(LOITER)
        await trio.sleep(1.5 * AGAIN_S)
        autopilot.orders.give(RETURN_HOME)
        await trio.testing.wait_all_tasks_blocked()
        autopilot.answer(MavCommand.NAV_RETURN_TO_LAUNCH, 0)
        await trio.sleep(20)
        assert autopilot.commands() == [(17, 0), (17, 1), (20, 0)]


def test_without_an_autopilot_nothing_is_sent() -> None:
    @virtual
    async def run() -> None:
        async with told() as autopilot:
            autopilot.view.heartbeat = None
            autopilot.orders.give(LAND)
            await trio.sleep(20)
            assert autopilot.told == []

    run()
