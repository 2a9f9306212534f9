"""What is done in the trio thread for others: calls, contexts that are held open, iterations.

Each job is one trio task with one cancel scope, for trio wants what a task opens to be closed by that task. Other
threads make jobs and wait for their ``outcome``, which is set when the task has ended, and not when somebody no longer
wants it: whoever gives up waits until nothing of it runs any more.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from typing import Any, Final, Generic, TypeVar

import trio

from nodes.embed.errors import alone, closed_error
from nodes.embed.outcome import Outcome

T = TypeVar("T")


class End(Enum):
    """What an iteration gives at its end."""

    END = auto()


class Job(ABC, Generic[T]):
    """Base of the three. The host runs it."""

    kept = False
    """Whether it lives until somebody ends it, so that an error of its own must be told to somebody."""
    is_waited_for = True
    """Whether a thread waits for it, to whom an error of another can be told."""

    def __init__(self, timeout_s: float = math.inf) -> None:
        self.outcome: Final[Outcome[T]] = Outcome()
        """Set when the task has ended."""
        self.ended: Final = trio.Event()
        """The same, for the trio thread."""
        self.why: BaseException | None = None
        """Why it was stopped, for whoever waits."""
        self._timeout_s = timeout_s
        self._scope = trio.CancelScope()

    def stop(self, why: BaseException) -> None:
        """Cancel the task; the first reason is the one that counts."""
        if self.why is None:
            self.why = why
        self._scope.cancel()

    def refuse(self, why: BaseException) -> None:
        """End it before it began."""
        self.why = why
        self.outcome.fail(why)
        self.ended.set()

    def finish(self) -> None:
        """End it in order, at the end of the portal."""
        self.stop(closed_error())

    @property
    def failure(self) -> BaseException | None:
        """What a kept job has ended with by itself."""
        error = self.outcome.error
        return None if error is self.why or not self.kept else error

    async def run(self) -> None:
        """Do it; nothing but trio's own cancellation is raised."""
        try:
            value = await self._within_scope()
        except trio.Cancelled:  # not by our scope: the loop ends under us
            self.outcome.fail(closed_error())
            raise
        except BaseException as error:  # noqa: BLE001  # goes to whoever waits, in another thread
            self.outcome.fail(alone(error))
        else:
            self.outcome.succeed(value)
        finally:
            self.ended.set()

    async def _within_scope(self) -> T:
        self._scope.deadline = trio.current_time() + self._timeout_s
        with self._scope:
            await trio.lowlevel.checkpoint_if_cancelled()  # stopped before it began
            return await self._work()
        raise TimeoutError("not done in time") if self.why is None else self.why

    @abstractmethod
    async def _work(self) -> T:
        """Do what this job is for."""


class Call(Job[T]):
    """One call of a function."""

    def __init__(
        self, function: Callable[[], Awaitable[T]], timeout_s: float = math.inf, *, kept: bool = False
    ) -> None:
        super().__init__(timeout_s)
        self.kept = kept
        self.is_waited_for = not kept
        self._function = function

    async def _work(self) -> T:
        return await self._function()


async def invoke(function: Callable[[], Any]) -> Any:  # noqa: ANN401  # a portal's overloads say what it is
    """Call a function, asynchronous or not."""
    result = function()
    return await result if inspect.isawaitable(result) else result


class Stay(Job[bool], Generic[T]):
    """An asynchronous context manager, entered and left by one task; its outcome: whether it swallowed the error."""

    def __init__(self, manager: AbstractAsyncContextManager[T, bool | None], timeout_s: float = math.inf) -> None:
        super().__init__(timeout_s)
        self.entered: Final[Outcome[T]] = Outcome()
        """Its value, once it is entered."""
        self._manager = manager
        self._leave = trio.Event()
        self._error: BaseException | None = None

    def leave(self, error: BaseException | None) -> None:
        """End it, with the error that its block has ended with."""
        self._error = error
        self._leave.set()

    def finish(self) -> None:
        """End it in order, at the end of the portal."""
        self.leave(None)

    def refuse(self, why: BaseException) -> None:
        """End it before it began."""
        super().refuse(why)
        self.entered.fail(why)

    @property
    def failure(self) -> BaseException | None:
        """What it ended with, unless that is the error of its block."""
        error = super().failure
        return None if error is self._error else error

    async def run(self) -> None:
        """Enter, wait, leave."""
        await super().run()
        if not self.entered.is_set and self.outcome.error is not None:
            self.entered.fail(self.outcome.error)

    async def _work(self) -> bool:
        async with self._manager as value:
            self._scope.deadline = math.inf  # the time was that of entering
            self.kept, self.is_waited_for = True, False
            self.entered.succeed(value)
            await self._leave.wait()
            if self._error is not None:
                raise self._error
        return self._error is not None


class Walk(Job[None], Generic[T]):
    """An iteration. It takes an item when one is wanted, so that none is lost with a loop that is left."""

    is_waited_for = False

    def __init__(self, items: AsyncIterable[T]) -> None:
        super().__init__()
        self._items = items
        self._wish, self._wishes = trio.open_memory_channel[None](1)
        self._give, self._given = trio.open_memory_channel[T](1)
        self._is_wanted = False

    async def next(self) -> T | End:
        """Return the next item. When this is cancelled, the item goes to the next call."""
        if not self._is_wanted:
            self._is_wanted = True
            self._wish.send_nowait(None)
        try:
            item = await self._given.receive()
        except trio.EndOfChannel:
            error = self.outcome.error
            if error is not None:
                raise error from None
            return End.END
        self._is_wanted = False
        return item

    async def run(self) -> None:
        """Iterate until the end."""
        with self._give:  # closed when the outcome is known
            await super().run()

    async def _work(self) -> None:
        iterator = aiter(self._items)
        try:
            async for _ in self._wishes:
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
                self._give.send_nowait(item)
        finally:
            if isinstance(iterator, AsyncGenerator):  # others may be shared: a channel is closed by whoever owns it
                await iterator.aclose()
