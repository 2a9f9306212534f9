"""The trio thread: opened and closed through anyio's portal, and the host in it that runs jobs for other threads.

Theory of operation. anyio gives the thread, the loop and their end. Jobs come by trio's ``run_sync_soon``, which keeps
their order, never blocks and may be interrupted anywhere: so a Ctrl-C at whatever moment leaves either no job, or one
that a stop behind it reaches. What is kept open ends newest first.
"""

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

import trio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from nodes.embed.errors import closed_error, own_thread_error
from nodes.embed.jobs import Job
from nodes.embed.outcome import Outcome


class Host:
    """Made and run in the trio thread; its public methods are for the others."""

    def __init__(self, end: Callable[[], Awaitable[object]]) -> None:
        """``end`` lets the loop end, once all has ended that runs here."""
        self.ended: Final[Outcome[None]] = Outcome()
        """Set when all has ended, after :meth:`close`."""
        self._end = end
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self._running: dict[Job[Any], None] = {}
        self._closing = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._failures: list[BaseException] = []
        self._lock = threading.Lock()

    # --- for other threads ----------------------------------------------------------------------

    def check_thread(self) -> None:
        """Refuse to be waited for by the trio thread itself: UsageError."""
        if threading.get_ident() == self._thread:
            raise own_thread_error()

    def submit(self, job: Job[Any]) -> None:
        """Begin a job soon; UsageError when the loop is over."""
        if not self.post(self._begin, job):
            raise closed_error()

    def stop(self, job: Job[Any], why: BaseException) -> None:
        """Stop a job soon, whether it has begun or not."""
        if not self.post(self._stop, job, why) and not job.outcome.is_set:
            job.refuse(why)

    def close(self) -> None:
        """Begin to end everything, in order."""
        self.post(self._closing.set)

    def hurry(self) -> None:
        """Cancel what :meth:`close` waits for."""
        self.post(self._cancel_all)

    def told(self, error: BaseException) -> None:
        """Note that somebody is given this error now."""
        with self._lock:
            self._failures = [each for each in self._failures if each is not error]

    def untold(self) -> BaseException | None:
        """Return what went wrong in the background and was told to nobody."""
        with self._lock:
            failures, self._failures = self._failures, []
        if len(failures) > 1:
            return BaseExceptionGroup("several things failed in the background", failures)
        return failures[0] if failures else None

    def post(self, function: Callable[..., object], *arguments: object) -> bool:
        """Call a function that does not raise, in the trio thread, in order; False when the loop is over."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *arguments)
            return True
        return False

    # --- in the trio thread ---------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run jobs until :meth:`close`, then end them."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._closing.wait()
                await self._wind_up()
        finally:
            self._nursery = None  # it goes here: a Ctrl-C while the main thread tidies it away would be lost
            await self._end()  # the others need not ask for it: a Ctrl-C while they do would leave the loop running
            self.ended.succeed(None)

    async def _wind_up(self) -> None:
        """End what runs: what others wait for at once, then what is kept, newest first."""
        for job in tuple(self._running):
            if not job.kept:
                job.stop(closed_error())
        while self._running:
            newest = next(reversed(self._running))
            newest.finish()
            await newest.ended.wait()
            await trio.lowlevel.checkpoint()

    def _begin(self, job: Job[Any]) -> None:
        if self._closing.is_set() or self._nursery is None:
            job.refuse(closed_error())
        elif self._failures and job.is_waited_for:
            job.refuse(self._failures[0])
        else:
            self._running[job] = None
            self._nursery.start_soon(self._run, job)

    def _stop(self, job: Job[Any], why: BaseException) -> None:
        if job in self._running:
            job.stop(why)
        elif not job.outcome.is_set:  # the interrupt came before it was posted
            job.refuse(why)

    async def _run(self, job: Job[Any]) -> None:
        try:
            await job.run()
        finally:
            del self._running[job]
        error = job.failure
        if error is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Something that was to live on has failed: whoever waits is told, or else who calls next."""
        with self._lock:
            self._failures.append(error)
        for job in self._running:
            if job.is_waited_for:
                job.stop(error)

    def _cancel_all(self) -> None:
        for job in self._running:
            job.stop(closed_error())


class TrioThread:
    """Opens and closes the thread; the same for all facades."""

    def __init__(self) -> None:
        self._manager: AbstractContextManager[BlockingPortal] = start_blocking_portal("trio")
        portal = self._manager.__enter__()
        self.host: Final = portal.call(Host, portal.stop)
        """Runs jobs there."""
        portal.start_task(self.host.run)

    def join(self) -> None:
        """Wait for the end of the thread, when ``host.ended`` is set."""
        self._manager.__exit__(None, None, None)
