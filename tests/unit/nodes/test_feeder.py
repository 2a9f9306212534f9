"""Who reads a carrier: the pump's task or a borrower, never both, and never nobody for long."""

from collections import deque
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from nodes.feeder import Feeder
from nodes.ports import Interrupted
from nodes.wakeup import Wakeup
from protocols.link.train import Train, one
from tests.live.kit import virtual


class Wire:
    """A carrier whose input the test gives; it notes in which task it was read."""

    datagram = True

    def __init__(self) -> None:
        self.readers: list[str] = []
        self.waiting: list[str] = []
        self.error: Exception | None = None
        self._input: deque[bytes] = deque()
        self._wakeup = Wakeup()
        self._interrupted = False

    def give(self, data: bytes) -> None:
        self._input.append(data)
        self._wakeup.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._wakeup.set()

    async def receive(self) -> Sequence[Train]:
        me = trio.lowlevel.current_task().name
        assert not self.waiting, "two tasks read one carrier"
        self.waiting.append(me)
        try:
            while not self._input:
                if self.error is not None:
                    raise self.error
                if self._interrupted:
                    self._interrupted = False
                    raise Interrupted
                await self._wakeup.wait()
        finally:
            self.waiting.remove(me)
        self.readers.append(me)
        data = self._input.popleft()
        return (one(data, None),) if data else ()

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        raise NotImplementedError

    async def send(self, trains: Sequence[Train]) -> None:
        raise NotImplementedError

    def interrupt(self) -> None:
        self._interrupted = True
        self._wakeup.set()

    async def aclose(self) -> None:
        raise NotImplementedError


class Bench:
    """A feeder whose input goes to whoever waits for it."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.ready = Wakeup()
        self.inbox: deque[bytes] = deque()
        self.feeder = Feeder(self.wire, self._take)
        self.ended = False
        self.failure: Exception | None = None

    def _take(self, trains: Sequence[Train]) -> None:
        if self.failure is not None:
            raise self.failure
        self.ended = not trains
        self.inbox += [bytes(train.data) for train in trains]
        self.ready.set()

    async def run(self) -> None:
        await self.feeder.run()

    async def message(self) -> bytes:
        while not self.inbox:
            self.ready.is_set = False
            await self.feeder.wait(self.ready)
        return self.inbox.popleft()


async def reader(bench: Bench, taken: list[bytes]) -> None:
    while True:
        taken.append(await bench.message())


async def reader_in(scope: trio.CancelScope, bench: Bench, taken: list[bytes]) -> None:
    with scope:
        await reader(bench, taken)


def started(nursery: trio.Nursery, bench: Bench) -> None:
    nursery.start_soon(bench.run, name="pump")


@virtual
async def test_without_borrowers_the_pump_reads() -> None:
    bench = Bench()
    async with trio.open_nursery() as nursery:
        started(nursery, bench)
        for data in (b"1", b"2"):
            bench.wire.give(data)
            await trio.testing.wait_all_tasks_blocked()
        assert list(bench.inbox) == [b"1", b"2"]
        assert bench.wire.readers == ["pump", "pump"]
        nursery.cancel_scope.cancel()


@virtual
async def test_who_waits_reads_himself_after_the_first_message() -> None:
    bench, taken = Bench(), list[bytes]()
    async with trio.open_nursery() as nursery:
        started(nursery, bench)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(reader, bench, taken, name="user")
        for number in range(4):
            await trio.testing.wait_all_tasks_blocked()
            bench.wire.give(b"%d" % number)
        await trio.sleep(1)
        assert taken == [b"0", b"1", b"2", b"3"]
        assert bench.wire.readers == ["pump", "user", "user", "user"]
        assert bench.wire.waiting == ["user"]
        nursery.cancel_scope.cancel()


@virtual
async def test_a_borrower_that_leaves_is_replaced() -> None:
    """Soon after he came and went, and at once after he sat there for long."""
    for pause_s in (0.0, 5.0):
        bench, taken = Bench(), list[bytes]()
        async with trio.open_nursery() as nursery:
            started(nursery, bench)
            await trio.testing.wait_all_tasks_blocked()

            scope = trio.CancelScope()
            nursery.start_soon(reader_in, scope, bench, taken, name="user")
            for number in range(3):
                await trio.testing.wait_all_tasks_blocked()
                bench.wire.give(b"%d" % number)
            await trio.sleep(pause_s)
            scope.cancel()
            await trio.sleep(0.0041)
            assert bench.wire.waiting == ["pump"]
            bench.wire.give(b"late")
            await trio.testing.wait_all_tasks_blocked()
            assert list(bench.inbox) == [b"late"]
            nursery.cancel_scope.cancel()


@virtual
async def test_a_signal_without_input_ends_the_reading() -> None:
    bench = Bench()
    woken: list[float] = []

    async def user() -> None:
        await bench.message()
        bench.ready.is_set = False
        await bench.feeder.wait(bench.ready)  # borrows
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        started(nursery, bench)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(user, name="user")
        await trio.testing.wait_all_tasks_blocked()
        bench.wire.give(b"first")
        await trio.sleep(1.0)
        assert bench.wire.waiting == ["user"]
        bench.ready.set()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [trio.current_time()]
        await trio.sleep(0.01)
        assert bench.wire.waiting == ["pump"]
        nursery.cancel_scope.cancel()


@virtual
async def test_the_end_of_the_stream_ends_the_pump_whoever_saw_it() -> None:
    for borrowed in (False, True):
        bench, taken = Bench(), list[bytes]()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                if borrowed:
                    nursery.start_soon(reader, bench, taken, name="user")
                    bench.wire.give(b"first")
                    await trio.testing.wait_all_tasks_blocked()
                bench.wire.give(b"")
                await bench.run()
                assert bench.ended
                nursery.cancel_scope.cancel()
        assert bench.wire.readers[-1] == ("user" if borrowed else bench.wire.readers[-1])


@virtual
async def test_a_carrier_that_fails_fails_in_the_pump() -> None:
    """Not in the task of a user: his link ends, and tells him."""
    for error in (OSError(5, "it broke"), trio.ClosedResourceError()):
        bench, taken, seen = Bench(), list[bytes](), list[BaseException]()

        async def pump(bench: Bench = bench, seen: list[BaseException] = seen) -> None:
            try:
                await bench.run()
            except (OSError, trio.ClosedResourceError) as caught:
                seen.append(caught)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, name="pump")
            nursery.start_soon(reader, bench, taken, name="user")
            await trio.testing.wait_all_tasks_blocked()
            bench.wire.give(b"first")
            await trio.sleep(1.0)
            assert bench.wire.waiting == ["user"]
            bench.wire.fail(error)
            await trio.sleep(1.0)
            assert seen == [error]
            nursery.cancel_scope.cancel()


@virtual
async def test_a_machine_that_fails_fails_in_the_pump() -> None:
    """Whoever read for it: a user who catches errors would keep it going; nobody reads on, and he is not told twice."""
    for failure in (KeyError("a machine's"), OSError(5, "a machine's")):
        bench, taken, seen = Bench(), list[bytes](), list[BaseException]()

        async def pump(bench: Bench = bench, seen: list[BaseException] = seen) -> None:
            try:
                await bench.run()
            except (KeyError, OSError) as caught:
                seen.append(caught)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, name="pump")
            nursery.start_soon(reader, bench, taken, name="user")
            await trio.testing.wait_all_tasks_blocked()
            bench.wire.give(b"first")
            await trio.sleep(1.0)
            assert bench.wire.waiting == ["user"]
            bench.failure = failure
            bench.wire.give(b"second")
            await trio.sleep(0.0041)
            assert seen == [failure]
            assert taken == [b"first"]
            nursery.start_soon(reader, bench, taken, name="another")
            await trio.testing.wait_all_tasks_blocked()
            assert bench.wire.waiting == []
            nursery.cancel_scope.cancel()


@virtual
async def test_two_who_wait_are_both_woken() -> None:
    bench = Bench()
    taken: list[bytes] = []
    async with trio.open_nursery() as nursery:
        started(nursery, bench)
        nursery.start_soon(reader, bench, taken, name="one")
        nursery.start_soon(reader, bench, taken, name="two")
        for number in range(10):
            await trio.sleep(0.01)
            bench.wire.give(b"%d" % number)
        await trio.sleep(0.01)
        assert sorted(taken) == [b"%d" % number for number in range(10)]
        nursery.cancel_scope.cancel()


async def test_waiting_is_a_checkpoint() -> None:
    bench = Bench()
    bench.ready.set()
    with trio.testing.assert_checkpoints():
        await bench.feeder.wait(bench.ready)
    with trio.CancelScope() as scope:
        scope.cancel()
        await bench.feeder.wait(bench.ready)
        pytest.fail("not cancelled")
