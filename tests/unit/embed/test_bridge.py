"""The bridge for asyncio: what differs from the portal, which is how asyncio waits and is cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, assert_type

import pytest
import trio

from nodes import Drone, Endpoint
from nodes.embed import Bridge, BridgeTask, open_bridge
from nodes.testing import MemoryNetwork
from protocols.errors import NotPairedError, UsageError
from tests.unit.embed.things import Log, Swallowing, double, refuse, stores

P = ParamSpec("P")


def in_asyncio(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in asyncio, and not in trio as the others."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs), debug=True)

    del run.__wrapped__  # pytest would see a coroutine
    return run


async def begun(bridge: Bridge, log: Log) -> None:
    while not log.lines:
        await bridge.call(trio.lowlevel.checkpoint)


@in_asyncio
async def test_calls_give_values_with_their_types() -> None:
    async with open_bridge() as bridge, bridge.enter(Drone(stores(), network=MemoryNetwork())) as drone:
        assert_type(drone, Drone)
        assert assert_type(await bridge.call(double, 4, plus=1), int) == 9
        assert assert_type(await bridge.call(drone.listen, Endpoint("drone", 1)), Endpoint) == Endpoint("drone", 1)
        assert await bridge.call(threading.current_thread) is not threading.current_thread()
        with pytest.raises(NotPairedError):
            await bridge.call(refuse, wrapped=True)


@in_asyncio
async def test_asyncio_goes_on_meanwhile() -> None:
    async with open_bridge() as bridge:
        event = asyncio.Event()
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(event.wait())
        await bridge.call(loop.call_soon_threadsafe, event.set)
        assert await waiting


@in_asyncio
async def test_who_is_cancelled_waits_for_the_end_over_there() -> None:
    log = Log()
    async with open_bridge() as bridge:
        task = asyncio.create_task(bridge.call(log.wait))
        await begun(bridge, log)
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log.lines == ["begin wait", "end wait"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bridge.call(trio.sleep_forever)
        assert await bridge.call(double, 1) == 2


@in_asyncio
async def test_what_goes_wrong_while_it_is_cancelled_is_told() -> None:
    log = Log()

    async def stumble() -> None:
        try:
            await log.wait()
        finally:
            raise NotPairedError("on the way out")

    async with open_bridge() as bridge:
        task = asyncio.create_task(bridge.call(stumble))
        await begun(bridge, log)
        task.cancel()
        with pytest.raises(NotPairedError, match="on the way out"):
            await task


@in_asyncio
async def test_contexts_are_entered_and_left_by_one_task() -> None:
    log, mistake = Log(), ValueError("of the block")
    async with open_bridge() as bridge:
        with pytest.raises(ValueError, match="of the block") as caught:
            async with bridge.enter(log.manager("a")), bridge.enter(log.manager("b")):
                raise mistake
    assert caught.value is mistake
    assert log.lines == ["enter a", "enter b", "saw ValueError", "leave b", "saw ValueError", "leave a"]


@in_asyncio
async def test_a_context_may_swallow_exchange_or_refuse() -> None:
    async with open_bridge() as bridge:
        async with bridge.enter(Swallowing()):
            raise ValueError("swallowed")
        with pytest.raises(NotPairedError) as caught:
            async with bridge.enter(Swallowing(NotPairedError("instead"))):
                raise ValueError("exchanged")
        assert isinstance(caught.value.__context__, ValueError)
        with pytest.raises(NotPairedError):
            async with bridge.enter(Swallowing(NotPairedError("no"), entering=True)):
                pytest.fail("it was entered")


@in_asyncio
async def test_what_is_entered_while_its_task_is_cancelled_is_left_again() -> None:
    """The value was there already when the task, which had not run since, was cancelled."""
    log = Log()
    async with open_bridge() as bridge:

        async def enter() -> None:
            async with bridge.enter(log.manager()):
                log.lines.append("never inside")

        task = asyncio.create_task(enter())
        await asyncio.sleep(0)  # it waits
        while not log.lines:
            threading.Event().wait(0.001)  # asyncio stands still meanwhile, and trio enters
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert log.lines[0] == "enter it"
    assert log.lines[-1] == "leave it"
    assert "never inside" not in log.lines


@in_asyncio
async def test_a_context_that_is_entered_by_a_cancelled_task_is_left() -> None:
    log = Log()

    class Slow:
        async def __aenter__(self) -> None:
            await log.wait("entering")

        async def __aexit__(self, *_: object) -> None:
            log.lines.append("never entered")

    async with open_bridge() as bridge:

        async def enter() -> None:
            async with bridge.enter(Slow()):
                log.lines.append("never inside")

        task = asyncio.create_task(enter())
        await begun(bridge, log)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert log.lines == ["begin entering", "end entering"]


@in_asyncio
async def test_an_item_that_comes_too_late_for_one_is_the_next_one_s() -> None:
    send, receive = trio.open_memory_channel[int](5)
    async with open_bridge() as bridge:
        items = bridge.each(receive)
        for number in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(items), 0.001)
            await bridge.call(send.send_nowait, number)
            assert assert_type(await anext(items), int) == number
        await bridge.call(send.close)
        assert [item async for item in items] == []
        with pytest.raises(StopAsyncIteration):
            await anext(items)


@in_asyncio
async def test_an_iteration_ends_with_its_error_and_is_given_up_by_who_leaves() -> None:
    log = Log()

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise NotPairedError("half way")

    async with open_bridge() as bridge:
        with pytest.raises(NotPairedError, match="half way"):
            assert [item async for item in bridge.each(failing())] == []
        async for _ in bridge.each(log.numbers(3)):
            break
        items = bridge.each(log.numbers(3))
        items.close()
        assert [item async for item in items] == []
    assert log.lines == ["made 0", "no more"]


@in_asyncio
async def test_the_background_ends_with_its_block() -> None:
    log = Log()
    async with open_bridge() as bridge:
        async with bridge.start(log.wait) as task:
            await begun(bridge, log)
            before = task.is_done
        assert [before, task.is_done] == [False, True]
        assert log.lines == ["begin wait", "end wait"]
        assert assert_type(await bridge.start(double, 21).wait(), int) == 42


async def failed(bridge: Bridge) -> BridgeTask[None]:
    """Have something fail in the background, with no call that could be told."""
    task = bridge.start(refuse)
    while not task.is_done:  # noqa: ASYNC110  # nobody would tell an event
        await asyncio.sleep(0)
    return task


@in_asyncio
async def test_the_errors_of_the_background_are_told() -> None:
    async def until_the_end() -> None:
        async with open_bridge() as bridge:
            await failed(bridge)

    async def until_its_own_end() -> None:
        async with open_bridge() as bridge, await failed(bridge):
            pass

    async def in_a_call() -> None:
        async with open_bridge() as bridge:
            bridge.start(refuse)
            await bridge.call(trio.sleep_forever)

    async def when_it_is_waited_for() -> None:
        async with open_bridge() as bridge, bridge.start(refuse) as failing:
            await failing.wait()

    for told in (until_the_end, until_its_own_end, in_a_call, when_it_is_waited_for):
        with pytest.raises(NotPairedError):
            await told()


@in_asyncio
async def test_what_a_context_runs_may_fail_and_the_context_says_it() -> None:
    class Crashing(Drone):
        async def crash(self) -> None:
            self._start_soon(refuse)

    async def use(bridge: Bridge) -> None:
        async with bridge.enter(Crashing(stores(), network=MemoryNetwork())) as drone:
            await bridge.call(drone.crash)
            await bridge.call(trio.sleep_forever)

    async with open_bridge() as bridge:
        with pytest.raises(NotPairedError):
            await use(bridge)


@in_asyncio
async def test_misuse_is_told_in_one_line() -> None:
    bridge = open_bridge()
    with pytest.raises(UsageError, match="the portal to trio is closed"):
        await bridge.call(double, 1)

    async with bridge:
        context = bridge.enter(Log().manager())
        items = bridge.each(Log().numbers(1))

        async def wrong() -> None:
            await bridge.call(double, 1)

        uses: list[Callable[[], Awaitable[object]]] = [wrong, context.__aenter__, lambda: anext(items)]
        for use in uses:
            with pytest.raises(UsageError, match="await the function here"):
                await bridge.call(use)
    with pytest.raises(UsageError, match="closed"):
        await anext(items)


@in_asyncio
async def test_whoever_is_cancelled_at_the_end_hurries_it() -> None:
    log = Log()
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            loop.call_soon_threadsafe(leaving.set)
            await log.wait("leaving")

    async def use() -> None:
        async with open_bridge() as bridge:
            await bridge.enter(Slow()).__aenter__()

    task = asyncio.create_task(use())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.lines == ["begin leaving", "end leaving"]


def test_no_thread_is_left() -> None:
    before = threading.enumerate()

    async def use() -> None:
        async with open_bridge() as bridge:
            bridge.start(trio.sleep_forever)
            assert len(threading.enumerate()) == len(before) + 1

    asyncio.run(use())
    assert threading.enumerate() == before
