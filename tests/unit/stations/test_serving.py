"""Keeping a link: what runs on it, how its end is told, and when the next wait is short again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio

from nodes.errors import LinkClosedError
from nodes.link import Link
from nodes.stations.keep import FIRST_WAIT_S, STEADY_S, Keeper, until_down
from protocols.errors import LinkTimeoutError
from protocols.events import DownReason, LinkDown
from tests.live.kit import virtual


@dataclass(eq=False)
class Lived:
    """A link that lives for some time."""

    lives_s: float
    down: LinkDown | None = None

    async def wait_down(self) -> LinkDown:
        await trio.sleep(self.lives_s)
        self.down = LinkDown(DownReason.PEER_CLOSED)
        return self.down


@dataclass
class Path:
    """Gives links that live so long, and then none."""

    lives_s: list[float]
    made_s: list[float] = field(default_factory=list[float])
    told: list[str] = field(default_factory=list[str])

    async def connect(self) -> Link:
        await trio.lowlevel.checkpoint()
        self.made_s.append(trio.current_time())
        if not self.lives_s:
            raise LinkTimeoutError("nobody answers")
        return cast("Link", Lived(self.lives_s.pop(0)))


async def keep(path: Path, serve: Callable[[Link], object], for_s: float) -> None:
    async def served(link: Link) -> None:
        await trio.lowlevel.checkpoint()
        serve(link)
        await trio.sleep_forever()

    with trio.move_on_after(for_s):
        await Keeper(path.connect, served, path.told.append, "drone-rc").run()


@virtual
async def test_a_link_that_ends_is_told_and_made_anew() -> None:
    path, served = Path([20.0, 20.0]), list[Link]()
    await keep(path, served.append, 60.0)
    assert len(served) == 2
    assert path.told == [
        "drone-rc: the link is down (closed by the peer)",
        "drone-rc: the link is down (closed by the peer)",
        "drone-rc: nobody answers; trying again",
    ]


@virtual
async def test_the_same_failure_is_told_again_after_a_link() -> None:
    path = Path([20.0])
    path.lives_s, later = [], path.lives_s

    async def come_back() -> None:
        await trio.sleep(30)
        path.lives_s = later

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_back)
        await keep(path, bool, 120.0)
    assert path.told.count("drone-rc: nobody answers; trying again") == 2
    assert len(path.made_s) > 4  # and was tried more often than told


@pytest.mark.parametrize(("lives_s", "short"), [(STEADY_S + 1, True), (STEADY_S - 1, False)], ids=["steady", "brief"])
@virtual
async def test_only_a_good_link_makes_the_next_wait_short_again(lives_s: float, short: bool) -> None:
    path = Path([lives_s] * 8)
    await keep(path, bool, 12 * lives_s)
    waits_s = [after - before - lives_s for before, after in zip(path.made_s[:8], path.made_s[1:8], strict=False)]
    assert (max(waits_s) <= FIRST_WAIT_S) is short


@virtual
async def test_what_runs_on_a_link_is_cancelled_with_it() -> None:
    path, cancelled = Path([10.0]), list[float]()

    async def serve(_: Link) -> None:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(trio.current_time())

    with trio.move_on_after(15.0):
        await Keeper(path.connect, serve, path.told.append, "x").run()
    assert cancelled == [10.0]


@virtual
async def test_the_end_of_a_link_is_told_by_the_link_and_not_by_what_noticed_it_first() -> None:
    async def fails(_: Link) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise LinkClosedError("the link is down")

    with trio.move_on_after(5.0) as waited:
        await until_down(fails, cast("Link", Lived(1.0)))
    assert waited.cancelled_caught


@virtual
async def test_a_bug_is_not_taken_for_the_end_of_a_link() -> None:
    async def fails(_: Link) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("ours")

    path = Path([10.0])
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        await Keeper(path.connect, fails, path.told.append, "x").run()
