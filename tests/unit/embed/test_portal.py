"""The portal for synchronous code: values, errors, contexts, iterations, the background, the end."""

import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import assert_type

import pytest
import trio
import trio.testing

from nodes import Drone, Endpoint
from nodes.embed import BridgeEach, Each, Portal, PortalTask, open_portal
from nodes.embed.host import TrioThread
from nodes.embed.interrupts import interrupts_wait
from nodes.testing import MemoryNetwork
from protocols.errors import NotPairedError, UsageError
from protocols.pairing import LinkingCode
from tests.unit.embed.things import Log, Swallowing, double, refuse, stores


def test_calls_give_values_with_their_types() -> None:
    with open_portal() as portal, portal.enter(Drone(stores(), network=MemoryNetwork())) as drone:
        assert_type(drone, Drone)
        assert assert_type(portal.call(double, 4, plus=1), int) == 9
        where = portal.call(drone.listen, Endpoint("drone", 1))
        assert assert_type(where, Endpoint) == Endpoint("drone", 1)
        assert_type(portal.call(drone.open_pairing, lifetime_s=60), LinkingCode)
        assert portal.call(trio.current_time) > 0
        assert portal.call(threading.current_thread) is not threading.current_thread()


def test_an_error_comes_as_itself_also_out_of_a_nursery() -> None:
    with open_portal() as portal:
        for wrapped in (False, True):
            with pytest.raises(NotPairedError, match="does not know this key"):
                portal.call(refuse, wrapped=wrapped)
        assert portal.call(double, 1) == 2


def test_several_errors_stay_a_group() -> None:
    both = ExceptionGroup("two", [NotPairedError("one"), ValueError("other")])

    async def fail() -> None:
        raise ExceptionGroup("outer", [both])

    with open_portal() as portal, pytest.raises(ExceptionGroup) as caught:
        portal.call(fail)
    assert caught.value is both


def test_what_ends_a_program_goes_through_and_leaves_the_portal_whole() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with open_portal() as portal:
        with pytest.raises(SystemExit, match="3"):
            portal.call(leave)
        assert portal.call(double, 1) == 2


# --- contexts ---------------------------------------------------------------------------------------


def test_a_context_is_entered_and_left_by_one_task_and_inside_out() -> None:
    log = Log()
    with open_portal() as portal, portal.enter(log.manager("a")) as a, portal.enter(log.manager("b")) as b:
        log.lines.append(f"in {a} and {b}")
    assert log.lines == ["enter a", "enter b", "in a and b", "leave b", "leave a"]


def test_the_error_of_a_block_is_seen_by_the_context_and_goes_on_as_it_is() -> None:
    log, mistake = Log(), ValueError("of the block")
    with (
        open_portal() as portal,
        pytest.raises(ValueError, match="of the block") as caught,
        portal.enter(log.manager()),
    ):
        raise mistake
    assert caught.value is mistake
    assert log.lines == ["enter it", "saw ValueError", "leave it"]


def test_a_context_may_swallow_or_exchange_the_error() -> None:
    with open_portal() as portal:
        with portal.enter(Swallowing()):
            raise ValueError("swallowed")
        with pytest.raises(NotPairedError) as caught, portal.enter(Swallowing(NotPairedError("instead"))):
            raise ValueError("exchanged")
    assert isinstance(caught.value.__context__, ValueError)


def test_what_cannot_be_entered_says_why_once() -> None:
    refusing = Swallowing(NotPairedError("no"), entering=True)
    with open_portal() as portal, pytest.raises(NotPairedError), portal.enter(refusing):
        pytest.fail("it was entered")


def test_what_is_still_open_at_the_end_is_left_newest_first() -> None:
    log = Log()
    with open_portal() as portal:
        portal.enter(log.manager("a")).__enter__()
        portal.enter(log.manager("b")).__enter__()
    assert log.lines == ["enter a", "enter b", "leave b", "leave a"]


# --- iterations -------------------------------------------------------------------------------------


def test_items_are_taken_when_they_are_asked_for() -> None:
    log = Log()
    with open_portal() as portal:
        items = portal.each(log.numbers(3))
        assert assert_type(next(items), int) == 0
        assert portal.call(lambda: list(log.lines)) == ["made 0"]
        assert list(items) == [1, 2]
        assert list(items) == []
    assert log.lines == ["made 0", "made 1", "made 2", "no more"]


def test_a_loop_that_is_left_closes_its_generator_and_no_channel() -> None:
    log = Log()
    send, receive = trio.open_memory_channel[int](5)
    with open_portal() as portal:
        for _ in portal.each(log.numbers(3)):
            break
        for number in range(4):
            portal.call(send.send_nowait, number)
        for number in portal.each(receive):
            if number == 1:
                break
        assert next(portal.each(receive)) == 2  # nothing was taken ahead
        portal.call(send.close)
        assert list(portal.each(receive)) == [3]
    assert log.lines == ["made 0", "no more"]


def test_an_iteration_ends_with_its_error() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise NotPairedError("half way")

    with open_portal() as portal:
        items = portal.each(failing())
        assert next(items) == 1
        with pytest.raises(NotPairedError, match="half way"):
            next(items)
        assert list(items) == []


# --- time -------------------------------------------------------------------------------------------


def test_a_timeout_cancels_the_call_and_waits_for_its_end() -> None:
    log = Log()
    with open_portal() as portal:
        with pytest.raises(TimeoutError, match="not done in time"), portal.timeout(0.01):
            portal.call(log.wait)
        assert log.lines == ["begin wait", "end wait"]
        with pytest.raises(TimeoutError), portal.timeout(0), portal.timeout(60):
            portal.call(trio.sleep_forever)
        with portal.timeout(60):
            assert portal.call(double, 2) == 4


# --- the background -----------------------------------------------------------------------------------


def test_what_runs_in_the_background_ends_with_its_block_or_with_the_portal() -> None:
    log = Log()
    with open_portal() as portal:
        with portal.start(log.wait, "inner") as task:
            portal.call(trio.testing.wait_all_tasks_blocked)
            before = task.is_done
        assert [before, task.is_done] == [False, True]
        portal.start(log.wait, "outer")
        portal.call(trio.testing.wait_all_tasks_blocked)
        assert log.lines == ["begin inner", "end inner", "begin outer"]
    assert log.lines[-1] == "end outer"


def test_it_may_be_waited_for_and_cancelled() -> None:
    with open_portal() as portal:
        assert assert_type(portal.start(double, 21).wait(), int) == 42
        endless = portal.start(Log().wait)
        endless.cancel()
        endless.cancel()
        with pytest.raises(UsageError):
            endless.wait()
        with pytest.raises(NotPairedError), portal.start(refuse) as failing:
            failing.wait()


def test_its_error_interrupts_whoever_waits() -> None:
    log = Log()
    with open_portal() as portal:
        with pytest.raises(NotPairedError):
            portal.call(wait_and_fail, portal, log)
        assert log.lines == ["begin wait", "end wait"]
        assert portal.call(double, 1) == 2  # told once, then things can be cleared away


async def wait_and_fail(portal: Portal, log: Log) -> None:
    """Wait, while something that another thread starts fails."""
    starting = trio.to_thread.run_sync(portal.start, refuse)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait)
        await starting
        await trio.sleep_forever()


def fail(portal: Portal, count: int = 1) -> list[PortalTask[None]]:
    """Have something fail in the background, with no call that could be told."""
    tasks = [portal.start(refuse) for _ in range(count)]
    while not all(task.is_done for task in tasks):
        threading.Event().wait(0.001)
    return tasks


def test_its_error_meets_who_calls_next() -> None:
    with open_portal() as portal:
        fail(portal)
        with pytest.raises(NotPairedError):
            portal.call(double, 1)
        assert portal.call(double, 1) == 2


def test_its_error_meets_the_end_of_the_block() -> None:
    with pytest.raises(NotPairedError), open_portal() as portal:
        fail(portal)
    with pytest.raises(NotPairedError), open_portal() as portal, fail(portal)[0]:
        pass


def test_its_error_comes_beside_that_of_the_block() -> None:
    def use(error: BaseException) -> None:
        with open_portal() as portal:
            fail(portal)
            raise error

    with pytest.raises(NotPairedError) as caught:
        use(ValueError("of the block"))
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(KeyboardInterrupt) as ended:
        use(KeyboardInterrupt())
    assert ended.value.__notes__ == ["meanwhile: the drone does not know this key"]


def test_several_errors_of_the_background_are_told_together() -> None:
    with pytest.raises(ExceptionGroup, match="several things failed") as caught, open_portal() as portal:
        fail(portal, 2)
    assert len(caught.value.exceptions) == 2


def test_what_a_context_runs_may_fail_and_the_context_says_it() -> None:
    class Crashing(Drone):
        async def crash(self) -> None:
            self._start_soon(refuse)

    def use(drone: Crashing) -> None:
        portal.call(drone.crash)
        portal.call(trio.sleep_forever)

    with open_portal() as portal:
        crashing = Crashing(stores(), network=MemoryNetwork())
        with pytest.raises(NotPairedError), portal.enter(crashing) as drone:
            use(drone)


# --- misuse, and the end --------------------------------------------------------------------------------


def test_a_closed_portal_says_so_in_one_line() -> None:
    portal = open_portal()
    with pytest.raises(UsageError, match="the portal to trio is closed"):
        portal.call(double, 1)
    with portal:
        items, task, context = (
            portal.each(Log().numbers(1)),
            portal.start(trio.sleep_forever),
            portal.enter(Log().manager()),
        )
    for use in (
        lambda: portal.call(double, 1),
        lambda: next(items),
        context.__enter__,
        lambda: portal.start(refuse),
        lambda: portal.each(Log().numbers(1)),
        task.wait,
    ):
        with pytest.raises(UsageError) as caught:
            use()
        assert "closed" in str(caught.value)
        assert "\n" not in str(caught.value)
    task.cancel()
    items.close()
    portal.__exit__(None, None, None)


def test_a_portal_opens_again() -> None:
    portal = open_portal()
    for _ in range(2):
        with portal:
            assert portal.call(double, 2) == 4


def test_its_own_thread_is_told_to_await() -> None:
    def wrong(portal: Portal) -> None:
        portal.call(double, 1)

    with open_portal() as portal:
        items = portal.each(Log().numbers(1))
        context = portal.enter(Log().manager())
        for use in (
            lambda: wrong(portal),
            lambda: next(items),
            context.__enter__,
            lambda: portal.start(refuse),
        ):
            with pytest.raises(UsageError, match="await the function here"):
                portal.call(use)


def test_several_threads_use_one_portal() -> None:
    with open_portal() as portal, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(portal.call, double), range(200))) == list(range(0, 400, 2))


def test_who_still_calls_when_it_closes_is_told() -> None:
    log = Log()
    with ThreadPoolExecutor(1) as pool:
        with open_portal() as portal:
            calling = pool.submit(portal.call, log.wait)
            while not log.lines:
                portal.call(trio.lowlevel.checkpoint)
        with pytest.raises(UsageError, match="closed"):
            calling.result()
    assert log.lines == ["begin wait", "end wait"]


def test_no_thread_is_left() -> None:
    before = threading.enumerate()
    with open_portal() as portal:
        assert len(threading.enumerate()) == len(before) + 1
        portal.start(trio.sleep_forever)
        portal.enter(Log().manager()).__enter__()
    assert threading.enumerate() == before


# --- halves ---------------------------------------------------------------------------------------


def test_the_loop_ends_by_itself_when_all_has_ended() -> None:
    """Whoever is interrupted while it is asked to end would leave it running, and wait for ever at the next attempt."""
    before = threading.active_count()
    thread = TrioThread()
    thread.host.close()
    for _ in range(1_000):
        if threading.active_count() == before:
            break
        threading.Event().wait(0.01)
    assert threading.active_count() == before
    thread.join()


def test_a_block_that_must_not_be_left_half_way_is_not() -> None:
    done: list[int] = []

    def interrupted() -> None:
        with interrupts_wait():
            for number in range(3):
                signal.raise_signal(signal.SIGINT)
                done.append(number)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_iteration_that_was_interrupted_while_it_was_made_goes_quietly() -> None:
    Each[int].__new__(Each).__del__()
    BridgeEach[int].__new__(BridgeEach).__del__()
