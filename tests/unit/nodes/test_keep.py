"""Keeping a link: how long a station waits before it tries again, and what cuts that short."""

from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from nodes.link import Link
from nodes.stations.keep import FIRST_WAIT_S, LONGEST_WAIT_S, Keeper
from protocols.errors import FlowRefusedError


class NoWay:
    """Somebody who is not there, and when that was found out."""

    def __init__(self) -> None:
        self.tried_s: list[float] = []
        self.told: list[str] = []

    async def connect(self) -> Link:
        await trio.lowlevel.checkpoint()
        self.tried_s.append(trio.current_time())
        raise FlowRefusedError("no way")

    @property
    def waits_s(self) -> list[float]:
        return [after - before for before, after in zip(self.tried_s, self.tried_s[1:], strict=False)]


async def _nothing(link: Link) -> None:
    pytest.fail(f"there is no link: {link}")


@pytest.fixture
def nobody() -> NoWay:
    return NoWay()


@pytest.fixture
def keeper(nobody: NoWay) -> Keeper:
    return Keeper(nobody.connect, _nothing, nobody.told.append, "a link")


async def meanwhile(keeper: Keeper, *steps: Callable[[], object], each_s: float) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        for step in steps:
            await trio.sleep(each_s)
            step()
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_waits_grow_up_to_a_limit_and_it_is_told_once(
    keeper: Keeper,
    nobody: NoWay,
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    await meanwhile(keeper, partial(int), each_s=60.0)
    longest_s = FIRST_WAIT_S
    for wait_s in nobody.waits_s:
        assert longest_s / 2 <= wait_s <= longest_s
        longest_s = min(2 * longest_s, LONGEST_WAIT_S)
    assert longest_s == LONGEST_WAIT_S
    assert nobody.told == ["a link: no way; trying again"]


async def test_a_way_that_has_come_is_tried_at_once_and_waits_are_short_again(
    keeper: Keeper,
    nobody: NoWay,
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    await meanwhile(keeper, keeper.way.set, partial(int), each_s=60.0)
    came_s = trio.current_time() - 60.0
    before = [tried_s for tried_s in nobody.tried_s if tried_s < came_s]
    first, second, *_ = nobody.tried_s[len(before) :]
    assert came_s <= first <= came_s + FIRST_WAIT_S
    assert second - first <= FIRST_WAIT_S
    assert before[-1] - before[-2] > FIRST_WAIT_S


async def test_a_relay_that_tells_of_a_way_all_the_time_brings_about_no_storm(
    keeper: Keeper,
    nobody: NoWay,
    autojump_clock: MockClock,  # noqa: ARG001
) -> None:
    await meanwhile(keeper, *[keeper.way.set] * 1_000, each_s=0.01)
    assert len(nobody.tried_s) <= 1 + 10.0 / (FIRST_WAIT_S / 2)
