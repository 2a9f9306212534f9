"""Running a trio program under a terminal: Ctrl-C, SIGTERM and SIGHUP end it in order."""

import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from nodes.cli_errors import SignalledError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run_async(program: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run a program; SignalledError when a signal ended it, after everything in it was closed."""
    return trio.run(_supervise, program, *args)


async def _supervise(program: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    caught: list[int] = []
    results: list[T] = []
    with trio.open_signal_receiver(*_SIGNALS) as signals:

        async def watch() -> None:
            async for number in signals:
                caught.append(number)
                nursery.cancel_scope.cancel()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch)
                results.append(await program(*args))
                nursery.cancel_scope.cancel()
        except BaseException:
            if not caught:
                raise
    if caught:
        raise SignalledError(caught[0])
    return results[0]
