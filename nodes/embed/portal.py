"""Aerolink from synchronous code: a portal to a thread in which trio runs.

Everything that a portal starts ends with its block. Ctrl-C in a call cancels that call inside of trio and waits for its
end; then KeyboardInterrupt goes its way through the `with` blocks, nodes say goodbye, and the thread ends. A second
Ctrl-C waits for that call no longer, and each one more gives up one more wait.
"""

import math
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, cast, overload

from nodes.embed.errors import closed_error
from nodes.embed.host import Host, TrioThread
from nodes.embed.interrupts import interrupts_wait
from nodes.embed.jobs import Call, End, Job, Stay, Walk, invoke
from nodes.embed.outcome import Outcome
from nodes.errors import told

P = ParamSpec("P")
T = TypeVar("T")
X = TypeVar("X", bound=bool | None)

_ends_s: Final[ContextVar[float]] = ContextVar("ends_s", default=math.inf)
"""When the calls of this context must be done."""


def open_portal() -> "Portal":
    """Return a portal, closed as yet: use it as ``with``."""
    return Portal()


class Portal:
    """Use as ``with``. It may be used by several threads, but not by the trio thread behind it."""

    def __init__(self) -> None:
        self._thread: TrioThread | None = None

    def __enter__(self) -> Self:
        try:
            with interrupts_wait():
                self._thread = TrioThread()
        except KeyboardInterrupt:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread = self._thread
        if thread is None:
            return
        try:
            with interrupts_wait(thread.host.hurry):
                self._thread = None
                thread.host.close()
                if isinstance(error, KeyboardInterrupt):
                    thread.host.hurry()
                try:
                    _wait(thread.host.ended, thread.host.hurry)
                finally:
                    thread.join()
        except KeyboardInterrupt as interrupt:
            _tell_beside(thread.host.untold(), interrupt)
            raise
        _tell_beside(thread.host.untold(), error)

    @property
    def host(self) -> Host:
        """The host in the trio thread; UsageError when the portal is closed, or from that thread."""
        if self._thread is None:
            raise closed_error()
        self._thread.host.check_thread()
        return self._thread.host

    @overload
    def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function in the trio thread, asynchronous or not; its result, or its error as it is.

        TimeoutError within :meth:`timeout`. When something in the background has failed, that is raised instead, once.
        """
        return _call(self.host, partial(invoke, partial(function, *args, **kwargs)))

    def enter(self, manager: AbstractAsyncContextManager[T, X]) -> AbstractContextManager[T, X]:
        """Return a synchronous context manager that enters and leaves an asynchronous one: a node, ``open_kept``."""
        entered = _Entered(self.host, manager)  # it swallows what the manager swallows, and nothing else
        return cast("AbstractContextManager[T, X]", entered)

    def each(self, items: AsyncIterable[T]) -> "Each[T]":
        """Iterate over what is asynchronous: a link, ``drone.each_link()``. An item is taken when it is asked for."""
        return Each(self.host, items)

    def start(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> "PortalTask[T]":
        """Run a function in the background, such as ``station.run``, until the end of its own block, or of the portal.

        When it fails, whoever waits in a call is told, or else who calls next, or the `with` block at its end.
        """
        return PortalTask(self.host, partial(function, *args, **kwargs))

    @contextmanager
    def timeout(self, seconds: float) -> Generator[None]:
        """Cancel calls of this block that are not done after so long: TimeoutError.

        What was entered takes for leaving the time that it takes.
        """
        before = _ends_s.set(min(_ends_s.get(), time.monotonic() + seconds))
        try:
            yield
        finally:
            _ends_s.reset(before)


class PortalTask(Generic[T]):
    """Something that runs in the background; as ``with`` it ends with its block."""

    def __init__(self, host: Host, function: Callable[[], Awaitable[T]]) -> None:
        self._host = host
        self._job: Call[T] = Call(function, kept=True)
        host.submit(self._job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
        failure = self._job.failure
        if failure is not None and failure is not error:
            self._host.told(failure)
            _tell_beside(failure, error)

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._job.outcome.is_set

    def cancel(self) -> None:
        """Cancel it, and wait for its end; it is no error if it has ended."""
        stop = partial(self._host.stop, self._job, closed_error())
        stop()
        _wait(self._job.outcome, stop)

    def wait(self) -> T:
        """Wait for its end; its result or its error. Ctrl-C ends the wait, not the task."""
        _call(self._host, self._job.ended.wait)
        return _result(self._host, self._job)


class _Entered(AbstractContextManager[T, bool | None]):
    """What :meth:`Portal.enter` returns."""

    def __init__(self, host: Host, manager: AbstractAsyncContextManager[T, bool | None]) -> None:
        self._host = host
        self._manager = manager
        self._stay: Stay[T] | None = None

    def __enter__(self) -> T:
        stay = self._stay = Stay(self._manager, _timeout_s())
        _submit(self._host, stay, stay.entered)
        error = stay.entered.error
        if error is not None:
            self._host.told(error)
        return stay.entered.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        stay = self._stay
        if stay is None:
            return False
        self._host.post(stay.leave, error)
        _wait(stay.outcome, partial(self._host.stop, stay, closed_error()))
        if error is not None:
            error.__traceback__ = trace  # without its way through the trio thread
        failure = stay.failure
        if failure is None:
            return stay.outcome.error is None and stay.outcome.result()
        if failure is not error:
            self._host.told(failure)
            _tell_beside(failure, error)
        return False


class Each(Iterator[T]):
    """What :meth:`Portal.each` returns; a loop that is left gives it up."""

    def __init__(self, host: Host, items: AsyncIterable[T]) -> None:
        self._host = host
        self._walk: Walk[T] = Walk(items)
        host.submit(self._walk)
        self._is_over = False

    def __next__(self) -> T:
        if self._is_over:
            raise StopIteration
        self._is_over = True  # unless there is an item
        item = _call(self._host, self._walk.next)
        if item is End.END:
            raise StopIteration
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


def _timeout_s() -> float:
    return _ends_s.get() - time.monotonic()


def _call(host: Host, function: Callable[[], Awaitable[T]]) -> T:
    job: Call[T] = Call(function, _timeout_s())
    _submit(host, job, job.outcome)
    return _result(host, job)


def _submit(host: Host, job: Job[Any], outcome: Outcome[Any]) -> None:
    """Begin a job and wait for an outcome of it; Ctrl-C, at whatever moment, ends the job first."""
    host.check_thread()
    try:
        host.submit(job)
        outcome.wait()
    except BaseException:  # KeyboardInterrupt, what the handler of another signal raised, or the loop is over
        host.stop(job, closed_error())
        job.outcome.wait()
        raise


def _result(host: Host, job: Job[T]) -> T:
    error = job.outcome.error
    if error is not None:
        host.told(error)
    return job.outcome.result()


def _wait(outcome: Outcome[Any], stop: Callable[[], object]) -> None:
    """Wait; Ctrl-C stops it, and waits on."""
    try:
        outcome.wait()
    except BaseException:  # KeyboardInterrupt, or what the handler of another signal raised
        stop()
        outcome.wait()
        raise


def _tell_beside(failure: BaseException | None, error: BaseException | None) -> None:
    """Raise what has failed in the background, if something did; what ends the program goes on, and tells of it."""
    if failure is None:
        return
    if isinstance(error, KeyboardInterrupt | SystemExit):
        error.add_note(f"meanwhile: {told(failure)}")
    else:
        raise failure
