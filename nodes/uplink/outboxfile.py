"""The outbox as an SQLite file: write-ahead log, ``synchronous=FULL``, so what a call has done outlives kill -9.

One process at a time has the file, exclusively; its calls run one after the other in threads of their own, off the trio
loop. A call that has begun is finished even if its task is cancelled: memory and disk never say different things.
"""

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import trio

from nodes.stores.sqlitefile import Schema, SqliteFile
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
)
_WHEN_DAMAGED: Final = "move it away, what waits for the cloud is lost"
_OUTBOX: Final = Schema(_APPLICATION_ID, SCHEMA_VERSION, _SCHEMA, "outbox", _WHEN_DAMAGED, "node")
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
        self._limits = limits
        self._file = SqliteFile(path, _OUTBOX)
        try:
            with self._file.errors("opened"):
                self.state = self._load(entropy)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def put(self, kind: ParcelKind, encode: Encode, items: int) -> int:
        sequence = self.state.last[kind] + 1
        body = encode(self.state.names[kind], sequence)
        check_parcel(self._limits, body, items)
        state = self.state.with_parcel(kind, items, len(body))
        with self._file.change() as database:
            row = (kind.value, sequence, items, len(body), body)
            database.execute("INSERT INTO parcel (kind, sequence, items, size, body) VALUES (?, ?, ?, ?, ?)", row)
            for victims in ParcelKind:  # telemetry first
                state = self._make_room(database, state, victims)
            self._store_numbers(database, state)
        self.state = state
        return sequence

    def pending(self, kind: ParcelKind, limit: int) -> Sequence[Parcel]:
        query = "SELECT sequence, items, body FROM parcel WHERE kind = ? ORDER BY sequence LIMIT ?"
        with self._file.errors("read"):
            rows = self._file.connection.execute(query, (kind.value, limit)).fetchall()
        return tuple(Parcel(kind, sequence, items, body) for sequence, items, body in rows)

    def acknowledge(self, kind: ParcelKind, sequence: int) -> None:
        check_acknowledged(self.state, kind, sequence)
        with self._file.change() as database:
            state = self._remove(database, self.state, kind, sequence, dropped=False)
        self.state = state

    def take_downlink(self, sequence: int) -> None:
        if sequence > self.state.downlink_taken:
            self._set_downlink(sequence)

    def forget_downlink(self) -> None:
        self._set_downlink(0)

    def _set_downlink(self, sequence: int) -> None:
        state = replace(self.state, downlink_taken=sequence)
        with self._file.change() as database:
            self._store_numbers(database, state)
        self.state = state

    # --- inside -----------------------------------------------------------------------------------

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

    def _load(self, entropy: Callable[[int], bytes]) -> OutboxState:
        database = self._file.connection
        numbers = dict[str, int](database.execute("SELECT name, value FROM number").fetchall())
        query = f"SELECT {_TALLY} FROM parcel WHERE kind = ?"  # noqa: S608
        return OutboxState(
            names=new_names(entropy),
            waiting={kind: Tally(*database.execute(query, (kind.value,)).fetchone()) for kind in ParcelKind},
            dropped={kind: Tally(*(numbers.get(name, 0) for name in _dropped_names(kind))) for kind in ParcelKind},
            last={kind: numbers.get(_last_name(kind), 0) for kind in ParcelKind},
            downlink_taken=numbers.get("downlink_taken", 0),
        )

    def _store_numbers(self, database: sqlite3.Connection, state: OutboxState) -> None:
        before, after = _numbers(self.state), _numbers(state)
        changed = [(name, value) for name, value in after.items() if before[name] != value]
        database.executemany("INSERT OR REPLACE INTO number (name, value) VALUES (?, ?)", changed)


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
