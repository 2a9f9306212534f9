import trio
import trio.testing

from nodes.wakeup import Wakeup
from tests.live.kit import virtual


@virtual
async def test_a_set_before_the_wait_is_remembered_once() -> None:
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    await wakeup.wait()
    with trio.move_on_after(1) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught


async def test_a_set_wakes_who_waits() -> None:
    wakeup = Wakeup()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wakeup.wait)
        await trio.testing.wait_all_tasks_blocked()
        wakeup.set()


async def test_one_set_wakes_one_of_two() -> None:
    wakeup = Wakeup()
    woken: list[int] = []

    async def wait(number: int) -> None:
        await wakeup.wait()
        woken.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 1)
        nursery.start_soon(wait, 2)
        await trio.testing.wait_all_tasks_blocked()
        wakeup.set()
        await trio.testing.wait_all_tasks_blocked()
        assert len(woken) == 1
        wakeup.set()
    assert sorted(woken) == [1, 2]


async def test_a_cancelled_wait_takes_nothing() -> None:
    wakeup = Wakeup()
    wakeup.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await wakeup.wait()
    with trio.fail_after(1):
        await wakeup.wait()
