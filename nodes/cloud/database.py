"""An SQLite file with one worker thread: write-ahead log, ``synchronous=FULL``; what a call has done outlives kill -9.

One process has the file, exclusively. Calls run one after the other; a call that has begun is finished even if its
task is cancelled, so that what the caller knows and what the disk has never differ for longer than the call takes.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import trio

from nodes.cloud.ports import StorageFullError
from protocols.errors import ConfigError, StorageError, UsageError

T = TypeVar("T")
Row = tuple[Any, ...]
Step = tuple[str, Sequence[object]]
"""A statement and its parameters."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file of this kind holds."""

    application_id: int
    """Marks the file as one of ours."""
    version: int
    """Of the tables."""
    statements: tuple[str, ...]
    """That make them."""


class Database:
    """An open file. Every method may be called by many tasks."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = connection
        self._worker = trio.CapacityLimiter(1)

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Self:
        """Open or make the file; ConfigError where another process has it, StorageError where it is damaged."""
        return cls(path, await trio.to_thread.run_sync(partial(_open, path, schema)))

    async def read(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Return all rows."""

        def call(connection: sqlite3.Connection) -> list[Row]:
            return connection.execute(statement, tuple(parameters)).fetchall()

        return await self._run(call, "read")

    async def write(self, *steps: Step) -> int:
        """Do all of it or nothing, durably; return how many rows the first statement changed."""

        def call(connection: sqlite3.Connection) -> int:
            changed = [connection.execute(statement, tuple(parameters)).rowcount for statement, parameters in steps]
            return changed[0]

        return await self.transact(call)

    async def transact(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``call`` in the thread, in a transaction; all of it is durable or nothing is."""

        def whole(connection: sqlite3.Connection) -> T:
            with _transaction(connection):
                return call(connection)

        return await self._run(whole, "written")

    async def aclose(self) -> None:
        """Close the file; closing twice does nothing."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._close, limiter=self._worker)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _run(self, call: Callable[[sqlite3.Connection], T], what: str) -> T:
        def checked() -> T:
            if self._connection is None:
                raise UsageError(f"{self._path} was closed")
            with _errors(self._path, what):
                return call(self._connection)

        return await trio.to_thread.run_sync(checked, limiter=self._worker)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


# --- opening ------------------------------------------------------------------------------------


def _open(path: Path, schema: Schema) -> sqlite3.Connection:
    with _errors(path, "opened"):
        is_new = _make_private(path)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            _prepare(connection, path, schema)
            if is_new:
                sync_folder(path.parent)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")  # takes the lock, and keeps it
    except sqlite3.OperationalError as error:
        if _code(error) == sqlite3.SQLITE_BUSY:
            raise ConfigError(f"{path} is in use by another process: stop that cloud first") from None
        raise
    connection.execute("ROLLBACK")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if (version, application) == (0, 0):
        with _transaction(connection):
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
    elif application != schema.application_id:
        raise StorageError(f"{path} is not this database: name another file")
    elif version != schema.version:
        advice = f"this Aerolink reads {schema.version}: use the Aerolink that wrote it"
        raise StorageError(f"{path} has format version {version}; {advice}")


def _make_private(path: Path) -> bool:
    """Make the file for its owner only, or check that it is; return whether it is new. SQLite's own take its mode."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        info = path.lstat()
        if path.is_symlink() or not path.is_file():
            raise ConfigError(f"{path} is no regular file: put the file itself there") from None
        if info.st_mode & 0o077 or info.st_uid != os.geteuid():
            raise ConfigError(f"{path} is open to other users: chmod 600 it, as its owner") from None
        return info.st_size == 0
    os.close(fd)
    return True


def sync_folder(folder: Path) -> None:
    """Make what was made or renamed in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- errors -------------------------------------------------------------------------------------

_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; run as its owner, on a writable disk",
    sqlite3.SQLITE_CANTOPEN: "no such folder, or no right to it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "it is damaged; restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


@contextlib.contextmanager
def _errors(path: Path, what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} cannot be {what}: {os.strerror(error.errno or 0)}") from None
    except sqlite3.Error as error:
        code = _code(error)
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        kind = StorageFullError if code == sqlite3.SQLITE_FULL else StorageError
        raise kind(f"{path} cannot be {what}: {_REASONS.get(code, f'SQLite error {name}')}") from None


def _code(error: sqlite3.Error) -> int:
    """The primary result code, https://www.sqlite.org/rescode.html; 0 where Python gives none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
