"""An exclusive SQLite file with one worker thread.

Calls run one after the other; a call that has begun is finished even if its task is cancelled, so that what the caller
knows and what the disk has never differ for longer than the call takes.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import trio

from nodes.stores.sqlitefile import Schema, SqliteFile

T = TypeVar("T")
Row = tuple[Any, ...]
Step = tuple[str, Sequence[object]]
"""A statement and its parameters."""


class Database:
    """An open file. Every method may be called by many tasks."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._worker = trio.CapacityLimiter(1)

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Self:
        """Open or make the file; ConfigError where another process has it, StorageError where it is damaged."""
        return cls(await trio.to_thread.run_sync(partial(SqliteFile, path, schema)))

    async def read(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows."""

        def call() -> list[Row]:
            with self._file.errors("read"):
                return self._file.connection.execute(statement, tuple(parameters)).fetchall()

        return await trio.to_thread.run_sync(call, limiter=self._worker)

    async def write(self, *steps: Step) -> int:
        """Do all of it or nothing, durably; return how many rows the first statement changed."""

        def call(connection: sqlite3.Connection) -> int:
            changed = [connection.execute(statement, tuple(parameters)).rowcount for statement, parameters in steps]
            return changed[0]

        return await self.transact(call)

    async def transact(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``call`` in the thread, in a transaction; all of it is durable or nothing is."""

        def whole() -> T:
            with self._file.change() as connection:
                return call(connection)

        return await trio.to_thread.run_sync(whole, limiter=self._worker)

    async def aclose(self) -> None:
        """Close the file; closing twice does nothing."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._file.close, limiter=self._worker)
