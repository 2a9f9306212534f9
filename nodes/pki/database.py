"""The SQLite file of an authority, for callers that may block.

Write-ahead log with ``synchronous=FULL``: what a call has done outlives kill -9 and a power cut. The running cloud and
``aerolink cloud`` use the same file at the same time: every change is one transaction that has the write lock from its
beginning, so of two that race for one token one wins, whichever process they are in.
"""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from nodes.stores.sqlitefile import Schema, SqliteFile

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x41455041  # "AEPA"
_TABLES: Final = """
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


SCHEMA: Final = Schema(
    _APPLICATION_ID,
    SCHEMA_VERSION,
    tuple(_TABLES.strip().removesuffix(";").split(";")),
    "file of an authority",
    "restore the folder from a backup",
)


class Database:
    """The file. Not for two threads at a time; any number of them may have one each."""

    def __init__(self, path: Path) -> None:
        """Open a file, and make it if there is none; ConfigError, StorageError."""
        self._file = SqliteFile(path, SCHEMA, exclusive=False)

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds, or do what it says; StorageError."""
        with self._file.errors("used"):
            return self._file.connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> Any:  # noqa: ANN401  # what a column holds, the schema says
        """Return the first row that a query finds, or None; StorageError."""
        with self._file.errors("used"):
            return self._file.connection.execute(query, values).fetchone()

    @contextlib.contextmanager
    def change(self) -> Generator[None]:
        """All of the block or nothing of it, durable when it ends; StorageError."""
        with self._file.change():
            yield
