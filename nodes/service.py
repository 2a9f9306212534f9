"""Background tasks of an object that is an async context manager: they live and die with its block.

trio wraps whatever leaves a nursery in an ExceptionGroup. A user of ``async with Drone(...)`` should get his own
exception as it was, so the block's exception passes outside of the nursery, and a background crash comes out alone
when it is alone. Cancelling the block does not reach the tasks before they have said goodbye.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeVarTuple, cast

import trio

Ts = TypeVarTuple("Ts")


class Service:
    """Subclasses start tasks with :meth:`_start_soon` and say goodbye in :meth:`_goodbye`."""

    _manager: AbstractAsyncContextManager[trio.Nursery] | None = None
    _scope: trio.CancelScope | None = None
    _nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        self._scope = trio.CancelScope()
        try:
            await nursery.start(self._host, self._scope)
            self._scope.shield = True  # not before: a start that is cancelled must not wait for us
            await self._begin()
        except BaseException as error:
            await self._leave(type(error), error, error.__traceback__)
            raise
        return self

    async def _host(self, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._goodbye()
        finally:
            await self._leave(kind, error, trace)

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        manager, scope = self._manager, self._scope
        if manager is None or scope is None:
            return
        self._manager = self._scope = None
        scope.cancel()
        own = error if error is not None and _without_cancellation(error) is not None else None
        try:
            if own is None:
                await manager.__aexit__(kind, error, trace)
            else:  # passes outside of the nursery
                await manager.__aexit__(None, None, None)
        except BaseException as caught:  # noqa: BLE001  # all of it leaves again, one way or another
            crash = _without_cancellation(caught)
            if own is None:
                raise _alone(caught) from None
            if crash is not None:
                raise BaseExceptionGroup("the block failed, and what it ran", [own, _alone(crash)]) from None
        finally:
            self._nursery = None  # not before: what ends may still start what will be cancelled at once

    async def _begin(self) -> None:
        """Start what runs in the background."""

    async def _goodbye(self) -> None:
        """Close politely; bounded in time."""

    def _start_soon(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        if self._nursery is None:
            raise RuntimeError(f"use {type(self).__name__} as `async with`")
        self._nursery.start_soon(function, *args)


def _without_cancellation(error: BaseException) -> BaseException | None:
    """Return what is left of an exception, or of a group, without trio.Cancelled."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)[1]
    return None if isinstance(error, trio.Cancelled) else error


def _alone(error: BaseException) -> BaseException:
    """Return the one exception in a group, or in groups of one (a task may have nurseries of its own)."""
    inside: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _alone(inside[0]) if len(inside) == 1 else error
