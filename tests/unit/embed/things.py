"""What the tests of portal and bridge call in the trio thread."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from nodes import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory, Stores
from protocols.crypto.keys import SystemKeySource
from protocols.errors import NotPairedError


def stores() -> Stores:
    return Stores(MemoryKeyStore([SystemKeySource().dh_key("P256")]), MemoryPeerDirectory(), MemoryCounterStore())


@dataclass
class Log:
    """What happened, in order."""

    lines: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def manager(self, name: str = "it") -> AsyncGenerator[str]:
        """Hold a nursery open, which trio lets nobody close but the task that opened it."""
        task = trio.lowlevel.current_task()
        self.lines.append(f"enter {name}")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    yield name
                except BaseException as error:
                    self.lines.append(f"saw {type(error).__name__}")
                    raise
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            assert trio.lowlevel.current_task() is task
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.lines.append(f"leave {name}")

    async def wait(self, name: str = "wait") -> None:
        """Wait for ever, and take a moment for going."""
        self.lines.append(f"begin {name}")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.lines.append(f"end {name}")

    async def numbers(self, count: int) -> AsyncIterator[int]:
        """Count, with a nursery open over the yields."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                for number in range(count):
                    self.lines.append(f"made {number}")
                    yield number
        finally:
            self.lines.append("no more")


async def double(number: int, *, plus: int = 0) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number + plus


async def refuse(*, wrapped: bool = False) -> None:
    await trio.lowlevel.checkpoint()
    if not wrapped:
        raise NotPairedError("the drone does not know this key")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)


class Swallowing:
    """Swallows, or raises another."""

    def __init__(self, error: Exception | None = None, *, entering: bool = False) -> None:
        self.error, self.entering = error, entering

    async def __aenter__(self) -> None:
        if self.entering and self.error is not None:
            raise self.error

    async def __aexit__(self, *_: object) -> bool:
        if self.error is not None:
            raise self.error
        return True
