"""Port LogStore: sealed logs in store and forward, for the trio loop.

::

    with LogSpool.open(path, SpoolLimits(quota_bytes=10**9)) as store:
        writer = await store.receive(offer.sha256, offer.size_bytes)
        try:
            async with writer.prefix() as prefix:
                chunks = incoming.chunks(prefix)     # accepts, from where it came
            async for chunk in chunks:
                await writer.write(chunk)
            await writer.finish()                    # durable: now it may be confirmed
            incoming.end(BulkStatus.OK)
        finally:
            await writer.aclose()                    # keeps what came
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import trio

from nodes.ports import LogEntry, LogState
from nodes.stores.serial import Serial
from nodes.stores.spool import Spool, SpoolWriter
from nodes.stores.spoolfolder import SpoolFolder
from nodes.stores.spoolrules import SpoolLimits
from protocols.errors import UsageError

T = TypeVar("T")
_BUFFER_BYTES: Final = 262_144
"""Bytes that wait in memory before a thread writes them."""


class Runner(Protocol):
    """Runs blocking calls, one after the other."""

    async def run(self, call: Callable[[], T]) -> T: ...


class SpooledLog:
    """Port LogWriter. One task at a time."""

    def __init__(self, spool: Spool, writer: SpoolWriter, decide: Runner, work: Runner) -> None:
        self._spool = spool
        self._writer = writer
        self._decide = decide
        self._work = work
        self._buffer = bytearray()
        self._done = False

    @property
    def received_bytes(self) -> int:
        """How many bytes are here."""
        return self._writer.written_bytes + len(self._buffer)

    @asynccontextmanager
    async def prefix(self) -> AsyncGenerator[memoryview]:
        """Give what was here when the writer was opened, mapped and not read."""
        async with _held(self._work, partial(self._spool.view_of, self._writer)) as view:
            yield view[: self._writer.prefix_bytes]

    async def write(self, data: bytes) -> None:
        """Take the next bytes; UsageError beyond the announced size, StoreFullError, StorageError."""
        self._check_open()
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            await self._flush()
        else:
            await trio.lowlevel.checkpoint()

    async def finish(self) -> LogEntry:
        """Return when the whole log is durable; errors as of the port."""
        self._check_open()
        await self._flush()
        entry = await self._decide.run(partial(self._spool.finish, self._writer))
        self._done = True
        return entry

    async def discard(self) -> None:
        """Close, and drop what came, even when cancelled."""
        if self._done:
            return
        self._done = True
        with trio.CancelScope(shield=True):
            await self._decide.run(partial(self._spool.abandon, self._writer, keep=False))

    async def aclose(self) -> None:
        """Keep what came of an announced log for the next attempt, even when cancelled; drop it otherwise."""
        if self._done:
            return
        self._done = True
        with trio.CancelScope(shield=True):
            try:
                if self._writer.sha256 is not None and not self._writer.is_broken:
                    await self._flush()
            finally:
                await self._decide.run(partial(self._spool.abandon, self._writer, keep=True))

    async def resume(self) -> None:
        """Hash what was here: once, before anything else."""
        if self._writer.prefix_bytes:
            async with self.prefix() as view:
                await self._work.run(partial(self._writer.resume, view))

    async def _flush(self) -> None:
        data = bytes(self._buffer)
        if data:
            await self._decide.run(partial(self._spool.reserve, self._writer, len(data)))
            await self._work.run(partial(self._writer.write, data))
            self._buffer.clear()  # whoever is cancelled before has lost nothing

    def _check_open(self) -> None:
        if self._done:
            raise UsageError("this log was finished or closed")


class LogSpool:
    """Port LogStore. Opening and closing block; the rest does not."""

    def __init__(
        self, spool: Spool, new_runner: Callable[[], Runner] = Serial, close: Callable[[], None] = lambda: None
    ) -> None:
        self._spool = spool
        self._new_runner = new_runner
        self._decide = new_runner()
        self._close = close

    @classmethod
    def open(cls, path: Path, limits: SpoolLimits, *, create: bool = True) -> Self:
        """Open a folder, and lock it; ConfigError, StorageError."""
        folder = SpoolFolder.open(path, create=create)
        try:
            return cls(Spool(folder, limits), close=folder.close)
        except BaseException:
            folder.close()
            raise

    def close(self) -> None:
        """Give the lock back; nothing can be read or written afterwards."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def create(self) -> SpooledLog:
        """Begin a log that is being made here; what is not finished does not outlive the process."""
        return self._opened(await self._decide.run(self._spool.create))

    async def receive(self, sha256: bytes, size_bytes: int) -> SpooledLog:
        """Begin an announced log, or go on with it; StoreFullError without room, UsageError if it is here."""
        opened = self._opened(await self._decide.run(partial(self._spool.receive, sha256, size_bytes)))
        try:
            await opened.resume()
        except BaseException:
            await opened.aclose()
            raise
        return opened

    async def find(self, sha256: bytes) -> LogEntry | None:
        """Return what is known of a log."""
        return await self._decide.run(partial(self._spool.find, sha256))

    async def all(self) -> Sequence[LogEntry]:
        """Return every log, the oldest first."""
        return await self._decide.run(self._spool.all)

    async def pending(self) -> Sequence[LogEntry]:
        """Return those that nobody took over yet, the oldest first."""
        return [entry for entry in await self.all() if entry.state is LogState.RECEIVED]

    @asynccontextmanager
    async def content(self, sha256: bytes) -> AsyncGenerator[memoryview]:
        """Give the bytes of a log, mapped and not read; UsageError if they are not here."""
        async with _held(self._decide, partial(self._spool.content, sha256)) as view:
            yield view

    async def mark(self, sha256: bytes, state: LogState) -> LogEntry:
        """Change the state, durably; UsageError for an unknown log, and for one that was acknowledged."""
        return await self._decide.run(partial(self._spool.mark, sha256, state))

    def _opened(self, writer: SpoolWriter) -> SpooledLog:
        return SpooledLog(self._spool, writer, self._decide, self._new_runner())


@asynccontextmanager
async def _held(runner: Runner, give: Callable[[], AbstractContextManager[memoryview]]) -> AsyncGenerator[memoryview]:
    """Enter a context in a thread; leaving it does not block."""

    def enter() -> tuple[AbstractContextManager[memoryview], memoryview]:
        context = give()
        return context, context.__enter__()

    context, view = await runner.run(enter)
    try:
        yield view
    finally:
        context.__exit__(None, None, None)
