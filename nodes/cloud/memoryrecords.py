"""Port CloudRecords in memory, for tests and embedding: nothing survives the process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import trio

from nodes.cloud.ports import (
    FlightRow,
    QueuedMessage,
    QueueState,
    SeenDevice,
    TelemetryRow,
    UploadRow,
    Usage,
)
from protocols.errors import UsageError
from specs.cloudlink import UploadKind, UploadPhase

_Batches = dict[tuple[str, bytes, int], TelemetryRow]


@dataclass(slots=True)
class _Queue:
    last: int = 0
    messages: list[QueuedMessage] = field(default_factory=list[QueuedMessage])


class MemoryRecords:
    """Dictionaries."""

    def __init__(self) -> None:
        self._open = True
        self._devices: dict[str, SeenDevice] = {}
        self._telemetry: _Batches = {}
        self._alarms: _Batches = {}
        self._uploads: dict[str, UploadRow] = {}
        self._flights: dict[tuple[bytes, bytes], FlightRow] = {}
        self._queues: dict[str, _Queue] = {}

    async def aclose(self) -> None:
        """Close."""
        await trio.lowlevel.checkpoint()
        self._open = False

    async def _enter(self) -> None:
        await trio.lowlevel.checkpoint()  # as every other store may wait here, so does this one
        if not self._open:
            raise UsageError("the records were closed")

    async def see_device(self, device: str, now_ms: int) -> None:
        """Note that a device is here."""
        await self._enter()
        known = self._devices.setdefault(device, SeenDevice(device, now_ms, now_ms))
        self._devices[device] = replace(known, last_ms=max(known.last_ms, now_ms))

    async def devices(self) -> Sequence[SeenDevice]:
        """Return every device, the longest known first."""
        await self._enter()
        return tuple(self._devices.values())

    async def usage(self, device: str) -> Usage:
        """Return what a device has here."""
        await self._enter()
        batches = (*self._telemetry.values(), *self._alarms.values())
        own = [row for row in self._uploads.values() if row.device == device]
        return Usage(
            sum(len(row.body) for row in batches if row.device == device),
            sum(row.size_bytes for row in own if row.phase is not UploadPhase.REFUSED),
            sum(row.phase is UploadPhase.OPEN for row in own),
            len(own),
        )

    async def add_telemetry(self, row: TelemetryRow) -> bool:
        """Add a batch; False if it is there already."""
        return await self._add(self._telemetry, row)

    async def add_alarms(self, row: TelemetryRow) -> bool:
        """Add a report; False if it is there already."""
        return await self._add(self._alarms, row)

    async def _add(self, rows: _Batches, row: TelemetryRow) -> bool:
        await self._enter()
        key = (row.device, row.outbox, row.sequence)
        is_new = key not in rows
        rows.setdefault(key, row)
        return is_new

    async def has_telemetry(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a batch is there."""
        await self._enter()
        return (device, outbox, sequence) in self._telemetry

    async def has_alarms(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a report is there."""
        await self._enter()
        return (device, outbox, sequence) in self._alarms

    async def telemetry(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest batches of a device."""
        return await self._newest(self._telemetry, device, limit)

    async def alarms(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest reports of a device."""
        return await self._newest(self._alarms, device, limit)

    async def _newest(self, rows: _Batches, device: str, limit: int) -> Sequence[TelemetryRow]:
        await self._enter()
        return tuple([row for row in rows.values() if row.device == device][-limit:])

    async def put_upload(self, row: UploadRow) -> None:
        """Add or replace an upload."""
        await self._enter()
        self._uploads[row.upload] = row

    async def find_upload(self, device: str, upload: str) -> UploadRow | None:
        """Return an upload of this device."""
        await self._enter()
        row = self._uploads.get(upload)
        return row if row is not None and row.device == device else None

    async def find_like(
        self, device: str, kind: UploadKind, name: str, size_bytes: int, sha256: bytes
    ) -> UploadRow | None:
        """Return the upload that was opened so."""
        await self._enter()
        wanted = (device, kind, name, size_bytes, sha256)
        for row in self._uploads.values():
            if (row.device, row.kind, row.name, row.size_bytes, row.sha256) == wanted:
                return row
        return None

    async def uploads(self) -> Sequence[UploadRow]:
        """Return every upload."""
        await self._enter()
        return tuple(self._uploads[name] for name in sorted(self._uploads))

    async def remove_upload(self, upload: str) -> None:
        """Forget an upload."""
        await self._enter()
        self._uploads.pop(upload, None)

    async def store_flight(self, flight: FlightRow, upload: UploadRow) -> None:
        """Add a flight and replace its upload, both or neither."""
        await self._enter()
        if (flight.drone, flight.flight) in self._flights:
            raise UsageError("this flight is stored already")
        self._flights[flight.drone, flight.flight] = flight
        self._uploads[upload.upload] = upload

    async def find_flight(self, drone: bytes, flight: bytes) -> FlightRow | None:
        """Return a flight."""
        await self._enter()
        return self._flights.get((drone, flight))

    async def flights(self, *, unreceipted: bool = False) -> Sequence[FlightRow]:
        """Return every flight, or those without a receipt."""
        await self._enter()
        return tuple(row for row in self._flights.values() if not (unreceipted and row.receipted))

    async def mark_receipted(self, drone: bytes, flight: bytes) -> None:
        """Note that the drone knows."""
        await self._enter()
        row = self._flights.get((drone, flight))
        if row is not None:
            self._flights[drone, flight] = replace(row, receipted=True)

    async def queue_state(self, device: str) -> QueueState:
        """Return the state of a downlink queue."""
        await self._enter()
        queue = self._queues.get(device, _Queue())
        return QueueState(queue.last, len(queue.messages), sum(len(each.body) for each in queue.messages))

    async def enqueue(self, device: str, body: bytes) -> int:
        """Add a message, and return its number."""
        await self._enter()
        queue = self._queues.setdefault(device, _Queue())
        queue.last += 1
        queue.messages.append(QueuedMessage(queue.last, body))
        return queue.last

    async def queued(self, device: str, after: int, limit: int) -> Sequence[QueuedMessage]:
        """Return messages after a number, in order."""
        await self._enter()
        messages = self._queues.get(device, _Queue()).messages
        return tuple([each for each in messages if each.sequence > after][:limit])

    async def acknowledge(self, device: str, sequence: int) -> None:
        """Forget the messages up to a number."""
        await self._enter()
        if device in self._queues:
            queue = self._queues[device]
            queue.messages = [each for each in queue.messages if each.sequence > sequence]
