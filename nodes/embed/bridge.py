"""Aerolink from asyncio: a bridge to a thread in which trio runs.

Everything that a bridge starts ends with its block. A task that is cancelled while it waits cancels what it waits for
inside of trio, and waits for its end; so ``asyncio.timeout`` and task groups work as ever, and so does the Ctrl-C of
``asyncio.run``.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from nodes.embed.errors import closed_error
from nodes.embed.host import Host, TrioThread
from nodes.embed.jobs import Call, End, Job, Stay, Walk, invoke
from nodes.embed.outcome import Outcome

P = ParamSpec("P")
T = TypeVar("T")
X = TypeVar("X", bound=bool | None)


def open_bridge() -> "Bridge":
    """Return a bridge, closed as yet: use it as ``async with``."""
    return Bridge()


class Bridge:
    """Use as ``async with``, from asyncio. Its thread starts and ends within milliseconds, in which asyncio waits."""

    def __init__(self) -> None:
        self._thread: TrioThread | None = None

    async def __aenter__(self) -> Self:
        self._thread = TrioThread()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        thread.host.close()
        try:
            await _until(thread.host.ended, thread.host.hurry)
        finally:
            thread.join()
        failure = thread.host.untold()
        if failure is not None:
            raise failure

    @property
    def host(self) -> Host:
        """The host in the trio thread; UsageError when the bridge is closed, or from that thread."""
        if self._thread is None:
            raise closed_error()
        self._thread.host.check_thread()
        return self._thread.host

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the trio thread, asynchronous or not; its result, or its error as it is.

        When something in the background has failed, that is raised instead, once.
        """
        return await _call(self.host, partial(invoke, partial(function, *args, **kwargs)))

    def enter(self, manager: AbstractAsyncContextManager[T, X]) -> AbstractAsyncContextManager[T, X]:
        """Return a context manager of asyncio that enters and leaves one of trio: a node, ``open_kept``."""
        entered = _Entered(self.host, manager)  # it swallows what the manager swallows, and nothing else
        return cast("AbstractAsyncContextManager[T, X]", entered)

    def each(self, items: AsyncIterable[T]) -> "BridgeEach[T]":
        """Iterate over what is trio's: a link, ``drone.each_link()``. An item is taken when it is asked for."""
        return BridgeEach(self.host, items)

    def start(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> "BridgeTask[T]":
        """Run a function in the background, such as ``station.run``, until the end of its own block, or of the bridge.

        When it fails, whoever waits in a call is told, or else who calls next, or the `with` block at its end.
        """
        return BridgeTask(self.host, partial(function, *args, **kwargs))


class BridgeTask(Generic[T]):
    """Something that runs in the background; as ``async with`` it ends with its block."""

    def __init__(self, host: Host, function: Callable[[], Awaitable[T]]) -> None:
        self._host = host
        self._job: Call[T] = Call(function, kept=True)
        host.submit(self._job)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cancel()
        failure = self._job.failure
        if failure is not None and failure is not error:
            self._host.told(failure)
            raise failure

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._job.outcome.is_set

    async def cancel(self) -> None:
        """Cancel it, and wait for its end; it is no error if it has ended."""
        stop = partial(self._host.stop, self._job, closed_error())
        stop()
        await _until(self._job.outcome, stop)

    async def wait(self) -> T:
        """Wait for its end; its result or its error. Whoever is cancelled here ends the wait, not the task."""
        await _call(self._host, self._job.ended.wait)
        return _result(self._host, self._job)


class _Entered(AbstractAsyncContextManager[T, bool | None]):
    """What :meth:`Bridge.enter` returns."""

    def __init__(self, host: Host, manager: AbstractAsyncContextManager[T, bool | None]) -> None:
        self._host = host
        self._manager = manager
        self._stay: Stay[T] | None = None

    async def __aenter__(self) -> T:
        stay = self._stay = Stay(self._manager)
        await _submit(self._host, stay, stay.entered)
        error = stay.entered.error
        if error is not None:
            self._host.told(error)
        return stay.entered.result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        stay = self._stay
        if stay is None:
            return False
        self._host.post(stay.leave, error)
        await _until(stay.outcome, partial(self._host.stop, stay, closed_error()))
        if error is not None:
            error.__traceback__ = trace  # without its way through the trio thread
        failure = stay.failure
        if failure is None:
            return stay.outcome.error is None and stay.outcome.result()
        if failure is not error:
            self._host.told(failure)
            raise failure
        return False


class BridgeEach(AsyncIterator[T]):
    """What :meth:`Bridge.each` returns; a loop that is left gives it up."""

    def __init__(self, host: Host, items: AsyncIterable[T]) -> None:
        self._host = host
        self._walk: Walk[T] = Walk(items)
        self._kept: list[T] = []
        self._is_over = False
        host.submit(self._walk)

    async def __anext__(self) -> T:
        """Return the next item; one that came for a task that was cancelled goes to the next."""
        if self._kept:
            return self._kept.pop()
        if self._is_over:
            raise StopAsyncIteration
        job: Call[T | End] = Call(self._walk.next)
        try:
            await _submit(self._host, job, job.outcome)
        except asyncio.CancelledError:
            if job.outcome.error is None and (item := job.outcome.result()) is not End.END:
                self._kept.append(item)
            raise
        self._is_over = True  # unless there is an item
        item = _result(self._host, job)
        if item is End.END:
            raise StopAsyncIteration
        self._is_over = False
        return item

    def close(self) -> None:
        """Give it up."""
        self._is_over = True
        self._host.stop(self._walk, closed_error())

    def __del__(self) -> None:
        """Give up a loop that was left. A Ctrl-C in here is lost, so what has ended, or never began, passes quickly."""
        walk: Walk[T] | None = getattr(self, "_walk", None)
        if walk is not None and not walk.outcome.is_set:
            self.close()


async def _call(host: Host, function: Callable[[], Awaitable[T]]) -> T:
    job: Call[T] = Call(function)
    await _submit(host, job, job.outcome)
    return _result(host, job)


async def _submit(host: Host, job: Job[Any], outcome: Outcome[Any]) -> None:
    """Begin a job and wait for an outcome of it; whoever is cancelled meanwhile ends the job first."""
    host.check_thread()
    host.submit(job)
    try:
        await _until(outcome, partial(host.stop, job, closed_error()))
    except asyncio.CancelledError:
        if not job.outcome.is_set:  # entered, and nobody is there to leave
            await _until(job.outcome, partial(host.stop, job, closed_error()))
        error = job.outcome.error
        if error is not None and error is not job.why:  # what went wrong counts more, as in a task group
            host.told(error)
            raise error from None
        raise


def _result(host: Host, job: Job[T]) -> T:
    error = job.outcome.error
    if error is not None:
        host.told(error)
    return job.outcome.result()


async def _until(outcome: Outcome[Any], stop: Callable[[], object]) -> None:
    """Wait for an outcome of the trio thread; whoever is cancelled stops it, and waits on."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # asyncio's loop is closed: nobody waits
            loop.call_soon_threadsafe(done.set)

    outcome.watch(tell)
    try:
        await done.wait()
    except BaseException:
        stop()
        while not done.is_set():
            with suppress(asyncio.CancelledError):
                await done.wait()
        raise
