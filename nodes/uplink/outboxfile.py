"""The outbox as an SQLite file: write-ahead log, ``synchronous=FULL``, so what a call has done outlives kill -9.

One process at a time has the file, exclusively; its calls run one after the other in threads of their own, off the trio
loop. A call that has begun is finished even if its task is cancelled: memory and disk never say different things.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import trio

from nodes.uplink.outbox import (
    PARCEL_OVERHEAD_BYTES,
    Encode,
    OutboxLimits,
    OutboxState,
    Parcel,
    ParcelKind,
    Tally,
    check_acknowledged,
    check_parcel,
    new_names,
)
from protocols.errors import ConfigError, StorageError, UsageError

T = TypeVar("T")
SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x41454F42  # "AEOB"
_PARCELS: Final = """CREATE TABLE parcel (
    kind INTEGER NOT NULL, sequence INTEGER NOT NULL, items INTEGER NOT NULL, size INTEGER NOT NULL,
    body BLOB NOT NULL, UNIQUE (kind, sequence)
) STRICT"""
_SCHEMA: Final = (
    _PARCELS,
    "CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    "CREATE TABLE name (kind INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT",
)
_MARKS: Final = (f"PRAGMA application_id = {_APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION}")
_DROP_AT_ONCE: Final = 256
_TALLY: Final = f"COUNT(*), COALESCE(SUM(items), 0), COALESCE(SUM(size + {PARCEL_OVERHEAD_BYTES}), 0)"


class SqliteOutbox:
    """Port Outbox on a file of its own. The folder must be the node's own (mode 0700)."""

    def __init__(self, file: "_File") -> None:
        self._file = file
        self._worker = trio.CapacityLimiter(1)

    @classmethod
    async def open(
        cls,
        path: Path,
        limits: OutboxLimits | None = None,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Self:
        """Open or make the file; ConfigError where another process has it, StorageError where it is damaged."""
        return cls(await trio.to_thread.run_sync(partial(_File, path, limits or OutboxLimits(), entropy)))

    @property
    def state(self) -> OutboxState:
        """What it holds now."""
        return self._file.state

    async def put(self, kind: ParcelKind, encode: Encode, items: int = 1) -> int:
        """Keep a parcel, durably, and return its number."""
        return await self._run(partial(self._file.put, kind, encode, items))

    async def pending(self, kind: ParcelKind, limit: int = 1) -> Sequence[Parcel]:
        """Return the oldest parcels that wait."""
        return await self._run(partial(self._file.pending, kind, limit))

    async def acknowledge(self, kind: ParcelKind, sequence: int) -> None:
        """Forget everything up to a number."""
        await self._run(partial(self._file.acknowledge, kind, sequence))

    async def take_downlink(self, sequence: int) -> None:
        """Note the highest message of the cloud that was taken, durably."""
        await self._run(partial(self._file.take_downlink, sequence))

    async def forget_downlink(self) -> None:
        """Begin with the cloud's messages anew, durably."""
        await self._run(self._file.forget_downlink)

    async def aclose(self) -> None:
        """Close the file; closing twice does nothing."""
        with trio.CancelScope(shield=True):
            await self._run(self._file.close)

    async def _run(self, call: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(call, limiter=self._worker)


class _File:
    """The file, for callers that may block. Not for two threads at a time."""

    def __init__(self, path: Path, limits: OutboxLimits, entropy: Callable[[int], bytes]) -> None:
        self._path = path
        self._limits = limits
        self._database: sqlite3.Connection | None = None
        with self._errors("opened"):
            is_new = _make_private(path)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            with self._errors("opened"):
                self._prepare(entropy)
                if is_new:
                    _sync_folder(path.parent)
                self.state = self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def put(self, kind: ParcelKind, encode: Encode, items: int) -> int:
        sequence = self.state.last[kind] + 1
        body = encode(self.state.names[kind], sequence)
        check_parcel(self._limits, body, items)
        state = self.state.with_parcel(kind, items, len(body))
        with self._transaction() as database:
            row = (kind.value, sequence, items, len(body), body)
            database.execute("INSERT INTO parcel (kind, sequence, items, size, body) VALUES (?, ?, ?, ?, ?)", row)
            for victims in ParcelKind:  # telemetry first
                state = self._make_room(database, state, victims)
            self._store_numbers(database, state)
        self.state = state
        return sequence

    def pending(self, kind: ParcelKind, limit: int) -> Sequence[Parcel]:
        query = "SELECT sequence, items, body FROM parcel WHERE kind = ? ORDER BY sequence LIMIT ?"
        with self._errors("read"):
            rows = self._open.execute(query, (kind.value, limit)).fetchall()
        return tuple(Parcel(kind, sequence, items, body) for sequence, items, body in rows)

    def acknowledge(self, kind: ParcelKind, sequence: int) -> None:
        check_acknowledged(self.state, kind, sequence)
        with self._transaction() as database:
            state = self._remove(database, self.state, kind, sequence, dropped=False)
        self.state = state

    def take_downlink(self, sequence: int) -> None:
        if sequence > self.state.downlink_taken:
            self._set_downlink(sequence)

    def forget_downlink(self) -> None:
        self._set_downlink(0)

    def _set_downlink(self, sequence: int) -> None:
        state = replace(self.state, downlink_taken=sequence)
        with self._transaction() as database:
            self._store_numbers(database, state)
        self.state = state

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise UsageError(f"{self._path} was closed")
        return self._database

    @contextlib.contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """All of the block or nothing of it, durable when it ends."""
        database = self._open
        with self._errors("written"):
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def _make_room(self, database: sqlite3.Connection, state: OutboxState, kind: ParcelKind) -> OutboxState:
        query = "SELECT sequence, size FROM parcel WHERE kind = ? ORDER BY sequence LIMIT ?"
        while (excess := state.size_bytes - self._limits.max_bytes) > 0 and state.waiting[kind].parcels:
            last = 0
            for sequence, size in database.execute(query, (kind.value, _DROP_AT_ONCE)).fetchall():
                last = sequence
                excess -= size + PARCEL_OVERHEAD_BYTES
                if excess <= 0:
                    break
            state = self._remove(database, state, kind, last, dropped=True)
        return state

    @staticmethod
    def _remove(
        database: sqlite3.Connection, state: OutboxState, kind: ParcelKind, sequence: int, *, dropped: bool
    ) -> OutboxState:
        those = (kind.value, sequence)
        gone = database.execute(f"SELECT {_TALLY} FROM parcel WHERE kind = ? AND sequence <= ?", those).fetchone()  # noqa: S608
        database.execute("DELETE FROM parcel WHERE kind = ? AND sequence <= ?", those)
        return state.without(kind, Tally(*gone), dropped=dropped)

    def _prepare(self, entropy: Callable[[int], bytes]) -> None:
        database = self._open
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")  # takes the lock, and keeps it
        except sqlite3.OperationalError as error:
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise ConfigError(f"{self._path} is in use by another process: stop that node first") from None
            raise
        database.execute("ROLLBACK")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA journal_size_limit = 4194304")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        if (version, application) == (0, 0):
            database.execute("BEGIN IMMEDIATE")  # executescript would commit in between
            for statement in (*_SCHEMA, *_MARKS):
                database.execute(statement)
            names = [(kind.value, name) for kind, name in new_names(entropy).items()]
            database.executemany("INSERT INTO name (kind, value) VALUES (?, ?)", names)
            database.execute("COMMIT")
        elif application != _APPLICATION_ID:
            raise StorageError(f"{self._path} is no outbox: name another file")
        elif version != SCHEMA_VERSION:
            advice = f"this Aerolink reads {SCHEMA_VERSION}: use the Aerolink that wrote it"
            raise StorageError(f"{self._path} has format version {version}; {advice}")

    def _load(self) -> OutboxState:
        database = self._open
        numbers = dict[str, int](database.execute("SELECT name, value FROM number").fetchall())
        query = f"SELECT {_TALLY} FROM parcel WHERE kind = ?"  # noqa: S608
        names = dict[int, bytes](database.execute("SELECT kind, value FROM name").fetchall())
        return OutboxState(
            names={kind: names[kind.value] for kind in ParcelKind},
            waiting={kind: Tally(*database.execute(query, (kind.value,)).fetchone()) for kind in ParcelKind},
            dropped={kind: Tally(*(numbers.get(name, 0) for name in _dropped_names(kind))) for kind in ParcelKind},
            last={kind: numbers.get(_last_name(kind), 0) for kind in ParcelKind},
            downlink_taken=numbers.get("downlink_taken", 0),
        )

    def _store_numbers(self, database: sqlite3.Connection, state: OutboxState) -> None:
        before, after = _numbers(self.state), _numbers(state)
        changed = [(name, value) for name, value in after.items() if before[name] != value]
        database.executemany("INSERT OR REPLACE INTO number (name, value) VALUES (?, ?)", changed)

    @contextlib.contextmanager
    def _errors(self, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"{self._path} cannot be {what}: {os.strerror(error.errno or 0)}") from None
        except sqlite3.Error as error:
            raise StorageError(f"{self._path} cannot be {what}: {_reason(error)}") from None


_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only; run as its owner, on a writable disk",
    sqlite3.SQLITE_CANTOPEN: "no such folder, or no right to it",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away, what waits for the cloud is lost",
    sqlite3.SQLITE_NOTADB: "it is damaged; move it away, what waits for the cloud is lost",
    sqlite3.SQLITE_IOERR: "the disk failed",
}


def _code(error: sqlite3.Error) -> int:
    """The primary result code, https://www.sqlite.org/rescode.html; 0 where Python gives none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _reason(error: sqlite3.Error) -> str:
    return _REASONS.get(_code(error), f"SQLite error {getattr(error, 'sqlite_errorname', type(error).__name__)}")


def _last_name(kind: ParcelKind) -> str:
    return f"{kind.name.lower()}_last"


def _dropped_names(kind: ParcelKind) -> tuple[str, str, str]:
    name = kind.name.lower()
    return f"{name}_dropped_parcels", f"{name}_dropped_items", f"{name}_dropped_bytes"


def _numbers(state: OutboxState) -> dict[str, int]:
    numbers = {"downlink_taken": state.downlink_taken}
    for kind in ParcelKind:
        dropped = state.dropped[kind]
        values = (dropped.parcels, dropped.items, dropped.size_bytes)
        numbers |= {_last_name(kind): state.last[kind], **dict(zip(_dropped_names(kind), values, strict=True))}
    return numbers


def _make_private(path: Path) -> bool:
    """Make the file for its owner only, or check that it is; return whether it is new. SQLite's own take its mode."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        info = path.lstat()
        if not path.is_file() or path.is_symlink():
            raise ConfigError(f"{path} is no regular file: put the file itself there") from None
        if info.st_mode & 0o077 or info.st_uid != os.geteuid():
            raise ConfigError(f"{path} is open to other users: chmod 600 it, as its owner") from None
        return info.st_size == 0
    except OSError as error:
        raise StorageError(f"{path} cannot be made: {os.strerror(error.errno or 0)}") from None
    os.close(fd)
    return True


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)  # or a power cut could take the whole file
    finally:
        os.close(fd)
