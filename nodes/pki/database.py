"""The SQLite file of an authority, for callers that may block.

Write-ahead log with ``synchronous=FULL``: what a call has done outlives kill -9 and a power cut. The running cloud and
``aerolink cloud`` use the same file at the same time: every change is one transaction that has the write lock from its
beginning, so of two that race for one token one wins, whichever process they are in.
"""

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from protocols.errors import StorageError

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x41455041  # "AEPA"
_BUSY_S: Final = 10.0
"""How long a call waits for another process's transaction, which take milliseconds."""
_SCHEMA: Final = """
CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE device (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, enrolled_s INTEGER NOT NULL, revoked_s INTEGER
);
CREATE TABLE certificate (
    serial TEXT PRIMARY KEY, device TEXT NOT NULL REFERENCES device (id), der BLOB NOT NULL,
    issued_s INTEGER NOT NULL, not_after_s INTEGER NOT NULL
);
CREATE INDEX certificate_of ON certificate (device, not_after_s);
CREATE TABLE token (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL, expires_s INTEGER NOT NULL,
    used_s INTEGER, serial TEXT REFERENCES certificate (serial)
);
CREATE TABLE notice (
    drone BLOB NOT NULL, peer BLOB NOT NULL, asked_s INTEGER NOT NULL, delivered_s INTEGER, PRIMARY KEY (drone, peer)
);
"""


class Database:
    """The file. Not for two threads at a time; any number of them may have one each."""

    def __init__(self, path: Path) -> None:
        """Open a file, which must exist and be private (an empty one is filled); StorageError."""
        self.path: Final = path
        with self.errors("opened"):
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        try:
            with self.errors("opened"):
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._connection.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds, or do what it says; StorageError."""
        with self.errors("used"):
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> Any:  # noqa: ANN401  # what a column holds, the schema says
        """Return the first row that a query finds, or None; StorageError."""
        with self.errors("used"):
            return self._connection.execute(query, values).fetchone()

    @contextlib.contextmanager
    def change(self) -> Generator[None]:
        """All of the block or nothing of it, durable when it ends; StorageError."""
        with self.errors("written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def errors(self, what: str) -> Generator[None]:
        """Map what SQLite says to a StorageError with one line."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one, https://www.sqlite.org/rescode.html
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            reason = _REASONS.get(code, f"SQLite error {name}")
            raise StorageError(f"{self.path} cannot be {what}: {reason}") from None

    def _prepare(self) -> None:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self.rows(f"PRAGMA {setting}")
        with self.change():  # two processes may be the first one
            (version,) = self.row("PRAGMA user_version")
            (application,) = self.row("PRAGMA application_id")
            if (version, application) == (0, 0):
                for statement in (*_SCHEMA.strip().removesuffix(";").split(";"), *_NUMBERS):
                    self.rows(statement)
            elif application != _APPLICATION_ID:
                raise StorageError(f"{self.path} is no file of an authority: name another folder")
            elif version != SCHEMA_VERSION:
                advice = f"this Aerolink reads {SCHEMA_VERSION}: use the Aerolink that wrote it"
                raise StorageError(f"{self.path} has format version {version}; {advice}")


_NUMBERS: Final = (f"PRAGMA application_id = {_APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION}")
_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; run as its owner, on a writable disk",
    sqlite3.SQLITE_CANTOPEN: "no such folder, or no right to it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore the folder from a backup",
    sqlite3.SQLITE_NOTADB: "it is damaged; restore the folder from a backup",
    sqlite3.SQLITE_BUSY: "another process has it; try again",
    sqlite3.SQLITE_IOERR: "the disk failed",
}
