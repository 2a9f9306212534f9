"""A private SQLite file, for callers that may block: write-ahead log, ``synchronous=FULL``; errors in one line.

What a change has done outlives kill -9 and, as far as the disk keeps its word, a power cut. An *exclusive* file belongs
to one process while it is open; another may be used by several, each of whose changes has the write lock from its
beginning. Not for two threads at a time.
"""

import contextlib
import os
import sqlite3
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocols.errors import ConfigError, StorageError, UsageError

_BUSY_S: Final = 10.0
"""How long a change waits for another process's, which take milliseconds."""
_JOURNAL_BYTES: Final = 4_194_304


class StorageFullError(StorageError):
    """There is no room on the disk, or in a quota; nothing has changed."""

    advice = (
        "Make room on the disk that the line names. At a cloud each device has a quota, 16 GiB unless its program "
        "says otherwise. What was refused is offered again."
    )


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file of one kind holds."""

    application_id: int
    """Marks the file as one of ours."""
    version: int
    """Of the tables."""
    statements: tuple[str, ...]
    """That make them."""
    name: str = "file of this kind"
    """What such a file is called, in errors."""
    when_damaged: str = "restore it from a backup"
    """What to do then."""
    owner: str = "process"
    """Who may have an exclusive file open, in errors."""


class SqliteFile:
    """An open file."""

    def __init__(self, path: Path, schema: Schema, *, exclusive: bool = True) -> None:
        """Open or make the file; ConfigError where it is another's, StorageError where it is damaged."""
        self.path: Final = path
        """Where it is."""
        self._schema = schema
        self._exclusive = exclusive
        self._connection: sqlite3.Connection | None = None
        with self.errors("opened"):
            is_new = _make_private(path)
            timeout_s = 0.0 if exclusive else _BUSY_S
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=timeout_s)
        try:
            with self.errors("opened"):
                self._prepare()
                if is_new:
                    sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """For reading, inside of :meth:`errors`; UsageError when it was closed."""
        if self._connection is None:
            raise UsageError(f"{self.path} was closed")
        return self._connection

    @contextlib.contextmanager
    def change(self) -> Generator[sqlite3.Connection]:
        """All of the block or nothing of it, durable when it ends; StorageError."""
        connection = self.connection
        with self.errors("written"), _transaction(connection):
            yield connection

    @contextlib.contextmanager
    def errors(self, what: str) -> Generator[None]:
        """Map what the system and SQLite say to one line; StorageError, StorageFullError."""
        try:
            yield
        except OSError as error:
            raise StorageError(f"{self.path} cannot be {what}: {os.strerror(error.errno or 0)}") from None
        except sqlite3.Error as error:
            code = _code(error)
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            damaged = f"it is damaged; {self._schema.when_damaged}"
            reason = damaged if code in _DAMAGED else _REASONS.get(code, f"SQLite error {name}")
            kind = StorageFullError if code == sqlite3.SQLITE_FULL else StorageError
            raise kind(f"{self.path} cannot be {what}: {reason}") from None

    # --- opening --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        connection = self.connection
        if self._exclusive:
            self._take()
        else:
            connection.execute("PRAGMA journal_mode = WAL")
        for setting in ("synchronous = FULL", "foreign_keys = ON", f"journal_size_limit = {_JOURNAL_BYTES}"):
            connection.execute(f"PRAGMA {setting}")
        with _transaction(connection):  # two processes may be the first one
            self._check_or_make(connection)

    def _take(self) -> None:
        """Take the lock of an exclusive file, and keep it."""
        connection = self.connection
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_BUSY:
                advice = f"stop that {self._schema.owner} first"
                raise ConfigError(f"{self.path} is in use by another process: {advice}") from None
            raise
        connection.execute("ROLLBACK")

    def _check_or_make(self, connection: sqlite3.Connection) -> None:
        schema = self._schema
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if (version, application) == (0, 0):
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
        elif application != schema.application_id:
            raise StorageError(f"{self.path} is no {schema.name}: name another place")
        elif version != schema.version:
            advice = f"this Aerolink reads {schema.version}: use the Aerolink that wrote it"
            raise StorageError(f"{self.path} has format version {version}; {advice}")


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
    """Make what was made or renamed in a folder durable: a power cut could take a whole file otherwise."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_REASONS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; run as its owner, on a writable disk",
    sqlite3.SQLITE_CANTOPEN: "no such folder, or no right to it",
    sqlite3.SQLITE_BUSY: "another process has it; try again",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


def _code(error: sqlite3.Error) -> int:
    """The primary result code, https://www.sqlite.org/rescode.html; 0 where Python gives none."""
    code: Any = getattr(error, "sqlite_errorcode", 0)
    return int(code) & 0xFF
