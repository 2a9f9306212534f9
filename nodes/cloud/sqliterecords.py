"""Port CloudRecords as an SQLite file."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Final, Self

from nodes.cloud.database import Database, Row, Step
from nodes.cloud.ports import (
    FlightRow,
    QueuedMessage,
    QueueState,
    SeenDevice,
    TelemetryRow,
    UploadRow,
    Usage,
)
from nodes.stores.sqlitefile import Schema
from protocols.errors import UsageError
from specs.cloudlink import UploadKind, UploadPhase, UploadReason

_APPLICATION_ID: Final = 0x41454C43  # "AELC"
_BATCH_COLUMNS: Final = (
    "(device TEXT NOT NULL, outbox BLOB NOT NULL, sequence INTEGER NOT NULL, received_ms INTEGER NOT NULL, "
    "items INTEGER NOT NULL, drone BLOB NOT NULL, body BLOB NOT NULL, "
    "number INTEGER PRIMARY KEY, UNIQUE (device, outbox, sequence)) STRICT"
)
SCHEMA: Final = Schema(
    _APPLICATION_ID,
    1,
    (
        (
            "CREATE TABLE device (device TEXT PRIMARY KEY, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, "
            "number INTEGER NOT NULL) STRICT"
        ),
        "CREATE TABLE usage (device TEXT PRIMARY KEY, kept_bytes INTEGER NOT NULL) STRICT",
        f"CREATE TABLE telemetry {_BATCH_COLUMNS}",
        f"CREATE TABLE alarms {_BATCH_COLUMNS}",
        (
            "CREATE TABLE upload (upload TEXT PRIMARY KEY, device TEXT NOT NULL, kind TEXT NOT NULL, "
            "name TEXT NOT NULL, size_bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, offset INTEGER NOT NULL, "
            "phase TEXT NOT NULL, reason TEXT NOT NULL, touched_ms INTEGER NOT NULL, "
            "tries INTEGER NOT NULL, drone BLOB NOT NULL) STRICT"
        ),
        "CREATE UNIQUE INDEX upload_like ON upload (device, kind, name, size_bytes, sha256)",
        (
            "CREATE TABLE flight (drone BLOB NOT NULL, flight BLOB NOT NULL, blob TEXT NOT NULL, "
            "size_bytes INTEGER NOT NULL, messages INTEGER NOT NULL, sha256 BLOB NOT NULL, "
            "sealed_sha256 BLOB NOT NULL, sealed_sha384 BLOB NOT NULL, device TEXT NOT NULL, upload TEXT NOT NULL, "
            "stored_ms INTEGER NOT NULL, receipted INTEGER NOT NULL, "
            "number INTEGER PRIMARY KEY, UNIQUE (drone, flight)) STRICT"
        ),
        "CREATE TABLE queue (device TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT",
        (
            "CREATE TABLE message (device TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL, "
            "PRIMARY KEY (device, sequence)) STRICT"
        ),
    ),
    name="file of a cloud",
    owner="cloud",
)


def _columns(kind: type[Any]) -> str:
    return ", ".join(each.name for each in fields(kind))


def _places(kind: type[Any]) -> str:
    return ", ".join("?" for _ in fields(kind))


_BATCH: Final = _columns(TelemetryRow)
_UPLOAD: Final = _columns(UploadRow)
_FLIGHT: Final = _columns(FlightRow)
_CHANGED: Final = ", ".join(f"{each.name} = excluded.{each.name}" for each in fields(UploadRow))
_PUT_UPLOAD: Final = (
    f"INSERT INTO upload ({_UPLOAD}) VALUES ({_places(UploadRow)}) ON CONFLICT (upload) DO UPDATE SET {_CHANGED}"  # noqa: S608
)
_PUT_FLIGHT: Final = f"INSERT INTO flight ({_FLIGHT}) VALUES ({_places(FlightRow)})"  # noqa: S608
_KEPT: Final = (
    "INSERT INTO usage (device, kept_bytes) VALUES (?, ?) "
    "ON CONFLICT (device) DO UPDATE SET kept_bytes = kept_bytes + excluded.kept_bytes"
)


class SqliteRecords:
    """Every table in one file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or make the file; ConfigError, StorageError."""
        return cls(await Database.open(path, SCHEMA))

    async def aclose(self) -> None:
        """Close the file."""
        await self._database.aclose()

    # --- devices ------------------------------------------------------------------------------

    async def see_device(self, device: str, now_ms: int) -> None:
        """Note that a device is here."""
        statement = (
            "INSERT INTO device (device, first_ms, last_ms, number) "
            "VALUES (?, ?, ?, (SELECT COUNT(*) FROM device)) "
            "ON CONFLICT (device) DO UPDATE SET last_ms = max(last_ms, excluded.last_ms)"
        )
        await self._database.write((statement, (device, now_ms, now_ms)))

    async def devices(self) -> Sequence[SeenDevice]:
        """Return every device, the longest known first."""
        rows = await self._database.read("SELECT device, first_ms, last_ms FROM device ORDER BY number")
        return tuple(SeenDevice(*row) for row in rows)

    async def usage(self, device: str) -> Usage:
        """Return what a device has here."""
        statement = (
            "SELECT COALESCE((SELECT kept_bytes FROM usage WHERE device = ?1), 0), "
            "COALESCE(SUM(size_bytes * (phase != 'refused')), 0), COALESCE(SUM(phase = 'open'), 0), COUNT(*) "
            "FROM upload WHERE device = ?1"
        )
        return Usage(*(await self._database.read(statement, (device,)))[0])

    # --- telemetry and alarms -----------------------------------------------------------------

    async def add_telemetry(self, row: TelemetryRow) -> bool:
        """Add a batch; False if it is there already."""
        return await self._add("telemetry", row)

    async def add_alarms(self, row: TelemetryRow) -> bool:
        """Add a report; False if it is there already."""
        return await self._add("alarms", row)

    async def has_telemetry(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a batch is there."""
        return await self._has("telemetry", device, outbox, sequence)

    async def has_alarms(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a report is there."""
        return await self._has("alarms", device, outbox, sequence)

    async def telemetry(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest batches of a device."""
        return await self._newest("telemetry", device, limit)

    async def alarms(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest reports of a device."""
        return await self._newest("alarms", device, limit)

    async def _add(self, table: str, row: TelemetryRow) -> bool:
        insert = f"INSERT OR IGNORE INTO {table} ({_BATCH}) VALUES ({_places(TelemetryRow)})"  # noqa: S608

        def call(connection: sqlite3.Connection) -> bool:
            is_new = connection.execute(insert, astuple(row)).rowcount == 1
            if is_new:
                connection.execute(_KEPT, (row.device, len(row.body)))
            return is_new

        return await self._database.transact(call)

    async def _has(self, table: str, *key: object) -> bool:
        statement = f"SELECT 1 FROM {table} WHERE device = ? AND outbox = ? AND sequence = ?"  # noqa: S608
        return bool(await self._database.read(statement, key))

    async def _newest(self, table: str, device: str, limit: int) -> Sequence[TelemetryRow]:
        statement = f"SELECT {_BATCH} FROM {table} WHERE device = ? ORDER BY number DESC LIMIT ?"  # noqa: S608
        rows = await self._database.read(statement, (device, limit))
        return tuple(TelemetryRow(*row) for row in reversed(rows))

    # --- uploads ------------------------------------------------------------------------------

    async def put_upload(self, row: UploadRow) -> None:
        """Add or replace an upload."""
        await self._database.write(_put_upload(row))

    async def find_upload(self, device: str, upload: str) -> UploadRow | None:
        """Return an upload of this device."""
        return await self._one_upload("device = ? AND upload = ?", device, upload)

    async def find_like(
        self, device: str, kind: UploadKind, name: str, size_bytes: int, sha256: bytes
    ) -> UploadRow | None:
        """Return the upload that was opened so."""
        where = "device = ? AND kind = ? AND name = ? AND size_bytes = ? AND sha256 = ?"
        return await self._one_upload(where, device, kind.value, name, size_bytes, sha256)

    async def uploads(self) -> Sequence[UploadRow]:
        """Return every upload."""
        rows = await self._database.read(f"SELECT {_UPLOAD} FROM upload ORDER BY upload")  # noqa: S608
        return tuple(_upload(row) for row in rows)

    async def remove_upload(self, upload: str) -> None:
        """Forget an upload."""
        await self._database.write(("DELETE FROM upload WHERE upload = ?", (upload,)))

    async def _one_upload(self, where: str, *parameters: object) -> UploadRow | None:
        rows = await self._database.read(f"SELECT {_UPLOAD} FROM upload WHERE {where}", parameters)  # noqa: S608
        return _upload(rows[0]) if rows else None

    # --- flights ------------------------------------------------------------------------------

    async def store_flight(self, flight: FlightRow, upload: UploadRow) -> None:
        """Add a flight and replace its upload, both or neither."""

        def call(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(_PUT_FLIGHT, astuple(flight))
            except sqlite3.IntegrityError:
                raise UsageError("this flight is stored already") from None
            connection.execute(*_put_upload(upload))

        await self._database.transact(call)

    async def find_flight(self, drone: bytes, flight: bytes) -> FlightRow | None:
        """Return a flight."""
        statement = f"SELECT {_FLIGHT} FROM flight WHERE drone = ? AND flight = ?"  # noqa: S608
        rows = await self._database.read(statement, (drone, flight))
        return _flight(rows[0]) if rows else None

    async def flights(self, *, unreceipted: bool = False) -> Sequence[FlightRow]:
        """Return every flight, or those without a receipt."""
        where = "WHERE receipted = 0" if unreceipted else ""
        rows = await self._database.read(f"SELECT {_FLIGHT} FROM flight {where} ORDER BY number")  # noqa: S608
        return tuple(_flight(row) for row in rows)

    async def mark_receipted(self, drone: bytes, flight: bytes) -> None:
        """Note that the drone knows."""
        await self._database.write(("UPDATE flight SET receipted = 1 WHERE drone = ? AND flight = ?", (drone, flight)))

    # --- downlink -----------------------------------------------------------------------------

    async def queue_state(self, device: str) -> QueueState:
        """Return the state of a downlink queue."""
        statement = (
            "SELECT COALESCE((SELECT last FROM queue WHERE device = ?1), 0), "
            "COUNT(*), COALESCE(SUM(length(body)), 0) FROM message WHERE device = ?1"
        )
        return QueueState(*(await self._database.read(statement, (device,)))[0])

    async def enqueue(self, device: str, body: bytes) -> int:
        """Add a message, and return its number."""
        count = (
            "INSERT INTO queue (device, last) VALUES (?, 1) "
            "ON CONFLICT (device) DO UPDATE SET last = last + 1 RETURNING last"
        )

        def call(connection: sqlite3.Connection) -> int:
            sequence: int = connection.execute(count, (device,)).fetchone()[0]
            insert = "INSERT INTO message (device, sequence, body) VALUES (?, ?, ?)"
            connection.execute(insert, (device, sequence, body))
            return sequence

        return await self._database.transact(call)

    async def queued(self, device: str, after: int, limit: int) -> Sequence[QueuedMessage]:
        """Return messages after a number, in order."""
        statement = "SELECT sequence, body FROM message WHERE device = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return tuple(QueuedMessage(*row) for row in await self._database.read(statement, (device, after, limit)))

    async def acknowledge(self, device: str, sequence: int) -> None:
        """Forget the messages up to a number."""
        await self._database.write(("DELETE FROM message WHERE device = ? AND sequence <= ?", (device, sequence)))


def _put_upload(row: UploadRow) -> Step:
    values = [getattr(row, each.name) for each in fields(UploadRow)]
    return _PUT_UPLOAD, [getattr(value, "value", value) for value in values]


def _upload(row: Row) -> UploadRow:
    values = dict(zip((each.name for each in fields(UploadRow)), row, strict=True))
    values["kind"] = UploadKind(values["kind"])
    values["phase"] = UploadPhase(values["phase"])
    values["reason"] = UploadReason(values["reason"])
    return UploadRow(**values)


def _flight(row: Row) -> FlightRow:
    values: dict[str, Any] = dict(zip((each.name for each in fields(FlightRow)), row, strict=True))
    values["receipted"] = bool(values["receipted"])
    return FlightRow(**values)
