"""What leaves a node's block: the block's own exception as it was, a crash alone, cancellation as cancellation."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from nodes.service import Service


class Background(Service):
    """Runs one task; notes what happened."""

    def __init__(
        self, task: Callable[[], Awaitable[None]] = trio.sleep_forever, *, begin: Exception | None = None
    ) -> None:
        self._task = task
        self._error = begin
        self.said_goodbye = False

    async def _begin(self) -> None:
        self._start_soon(self._task)
        await trio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error

    async def _goodbye(self) -> None:
        self.said_goodbye = True

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        self._start_soon(task)


async def crash() -> None:
    raise RuntimeError("background")


async def crash_deep() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crash)


async def fail_when_cancelled() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise ValueError("the user's")


async def test_a_quiet_block_ends_its_tasks() -> None:
    async with Background() as service:
        pass
    assert service.said_goodbye


async def test_an_exception_of_the_block_leaves_as_it_was() -> None:
    error = ValueError("the user's")
    service = Background()
    with pytest.raises(ValueError, match="the user's") as caught:
        async with service:
            raise error
    assert caught.value is error
    assert service.said_goodbye


async def test_an_exception_group_of_the_block_leaves_as_it_was() -> None:
    group = ExceptionGroup("the user's", [ValueError("inner")])
    with pytest.raises(ExceptionGroup) as caught:
        async with Background():
            raise group
    assert caught.value is group


@pytest.mark.parametrize("task", [crash, crash_deep], ids=["plain", "in a nursery of its own"])
async def test_a_crash_comes_out_alone(task: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(RuntimeError, match="background"):
        async with Background(task):
            await trio.sleep_forever()


async def test_a_crash_comes_out_of_a_block_with_a_nursery() -> None:
    async def block() -> None:
        async with Background(crash), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(RuntimeError, match="background"):
        await block()


async def test_a_crash_and_an_exception_of_the_block_come_out_together() -> None:
    async def block() -> None:
        async with Background() as service:
            service.start(crash)
            await fail_when_cancelled()

    with pytest.raises(ExceptionGroup) as caught:
        await block()
    assert caught.group_contains(RuntimeError)
    assert caught.group_contains(ValueError)


async def test_two_crashes_come_out_together() -> None:
    async def both() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            nursery.start_soon(crash)

    with pytest.raises(ExceptionGroup) as caught:
        async with Background(both):
            await trio.sleep_forever()
    assert len(caught.value.exceptions) == 2


async def test_cancellation_passes() -> None:
    service = Background()
    with trio.CancelScope() as scope:
        async with service:
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert service.said_goodbye


async def test_an_exception_during_cancellation_is_not_swallowed() -> None:
    async def block() -> None:
        with trio.CancelScope() as scope:
            async with Background():
                scope.cancel()
                await fail_when_cancelled()

    with pytest.raises(ValueError, match="the user's"):
        await block()


async def test_a_failed_begin_ends_what_it_began() -> None:
    with pytest.raises(ValueError, match="no key"):
        async with Background(begin=ValueError("no key")):
            raise AssertionError  # pragma: no cover


async def test_cancellation_during_begin() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with Background():
            raise AssertionError  # pragma: no cover
    assert scope.cancelled_caught


async def test_tasks_need_the_block() -> None:
    service = Background()
    with pytest.raises(RuntimeError, match="async with"):
        service.start(trio.sleep_forever)
    async with service:
        service.start(trio.sleep_forever)
    with pytest.raises(RuntimeError, match="async with"):
        service.start(trio.sleep_forever)


async def test_what_ends_may_still_start_tasks() -> None:
    async with Background() as service:

        async def last_words() -> None:
            try:
                await trio.sleep_forever()
            finally:
                service.start(trio.sleep_forever)

        service.start(last_words)
        await trio.testing.wait_all_tasks_blocked()


async def test_leaving_without_having_entered_does_nothing() -> None:
    service = Background()
    await service.__aexit__(None, None, None)
    assert service.said_goodbye
