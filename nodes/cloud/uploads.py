"""Uploads: opened once, continued where they stand, finished by their hash (specs/9-cloudlink.md, CL-20 to CL-29).

The bytes are durable before the row says so, and the row is durable before the device is told. So a crash at any
moment leaves a row that is true, and at most bytes behind its offset, which the next chunk writes over.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

import trio

from nodes.cloud.events import CloudAlarm, CloudAlarmKind, FlightStored, LogHeld, OnAlarm, OnEvent, UploadProgressed
from nodes.cloud.limits import CloudLimits
from nodes.cloud.logs import LogDesk, sha256_of
from nodes.cloud.ports import CloudBlobs, CloudRecords, UploadRow
from nodes.stores.sqlitefile import StorageFullError
from protocols.errors import MalformedError, PolicyError
from specs.cloudlink import UploadKind, UploadOpen, UploadPhase, UploadReason, UploadState

_HASH_TRIES = 3


class NoSuchUploadError(PolicyError):
    """The device has no such upload."""

    advice = "Nothing: the device begins the upload again."


class UploadConflictError(PolicyError):
    """The upload does not stand where the request supposes."""

    advice = "Nothing: the device asks where the upload stands, and goes on there."

    def __init__(self, state: UploadState) -> None:
        super().__init__("the upload stands elsewhere")
        self.state = state
        """Where it stands."""


class ChunkHashError(PolicyError):
    """The bytes of a chunk are not those of its hash."""

    advice = "Nothing: the piece is sent again. If it stays so, memory or disk of the device is failing."


class UploadTooLargeError(PolicyError):
    """The cloud takes no upload of this size."""

    advice = "Record shorter flights: the cloud takes 256 MiB for a log."


class TooManyUploadsError(PolicyError):
    """The device has too many open uploads."""

    advice = "Nothing: the device finishes those that it has begun first."


class Uploads:
    """All uploads of all devices."""

    def __init__(
        self,
        records: CloudRecords,
        blobs: CloudBlobs,
        desk: LogDesk,
        limits: CloudLimits,
        *,
        clock_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        on_event: OnEvent,
        on_alarm: OnAlarm,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._desk = desk
        self._limits = limits
        self._clock_ms = clock_ms
        self._entropy = entropy
        self._on_event = on_event
        self._on_alarm = on_alarm
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    # --- requests -----------------------------------------------------------------------------

    async def open(self, device: str, ask: UploadOpen) -> UploadState:
        """Find or make an upload; UploadTooLargeError, TooManyUploadsError, StorageFullError (quota)."""
        async with self._lock(device):
            row = await self._records.find_like(device, ask.kind, ask.name, ask.size_bytes, ask.sha256)
            if row is not None and not _may_begin_anew(row):
                return state_of(row)
            await self._check_room(device, ask, is_new=row is None)
            if row is None:
                row = UploadRow(
                    upload=self._entropy(16).hex(),
                    device=device,
                    kind=ask.kind,
                    name=ask.name,
                    size_bytes=ask.size_bytes,
                    sha256=ask.sha256,
                    offset=0,
                    phase=UploadPhase.OPEN,
                    reason=UploadReason.NONE,
                    touched_ms=0,
                )
            return await self._put(replace(row, phase=UploadPhase.OPEN, reason=UploadReason.NONE, offset=0))

    async def state(self, device: str, upload: str) -> UploadState:
        """Return how far an upload is; NoSuchUploadError."""
        return state_of(await self._find(device, upload))

    async def append(self, device: str, upload: str, offset: int, data: bytes, sha256: bytes) -> UploadState:
        """Add a chunk, durably.

        MalformedError, NoSuchUploadError, ChunkHashError, UploadConflictError, StorageError.
        """
        if not data:
            raise MalformedError("a chunk has at least one byte")
        if hashlib.sha256(data).digest() != sha256:
            raise ChunkHashError("the bytes of a chunk are not those of its hash")
        async with self._lock(upload):
            row = await self._find(device, upload)
            end = offset + len(data)
            if end <= row.offset:
                return state_of(row)
            if row.phase is not UploadPhase.OPEN or offset != row.offset or end > row.size_bytes:
                raise UploadConflictError(state_of(row))
            await self._blobs.append(upload, offset, data)
            state = await self._put(replace(row, offset=end))
        self._on_event(UploadProgressed(device, upload, end, row.size_bytes))
        return state

    async def finish(self, device: str, upload: str) -> UploadState:
        """Judge a whole upload; NoSuchUploadError, UploadConflictError if bytes are missing, StorageError."""
        async with self._lock(upload):
            row = await self._find(device, upload)
            if row.phase is not UploadPhase.OPEN:
                return state_of(row)
            if row.offset < row.size_bytes:
                raise UploadConflictError(state_of(row))
            if await self._desk.read(row, partial(sha256_of, size_bytes=row.size_bytes)) != row.sha256:
                return await self._refuse_hash(row)
            if row.kind is UploadKind.FILE:
                return await self._put(replace(row, phase=UploadPhase.STORED))
            return await self._judge(row)

    # --- what happens by itself -----------------------------------------------------------------

    async def drone_pinned(self, drone: bytes) -> None:
        """Look again at the logs of a drone whose verifying keys have become known, or new; StorageError."""
        for each in await self._records.uploads():
            if each.drone != drone:
                continue
            async with self._lock(each.upload):
                row = await self._records.find_upload(each.device, each.upload)
                if row is not None and row.phase is UploadPhase.HELD:
                    await self._judge(row)
                elif row is not None and row.reason is UploadReason.SIGNER:
                    await self._records.remove_upload(row.upload)

    async def sweep(self) -> None:
        """Remove what was abandoned, and blobs that no row names: at the start, then now and then. StorageError."""
        now_ms = self._clock_ms()

        def is_old(row: UploadRow | None) -> bool:
            # Never a held one: its device was told that it is durable here, and may have let it go (CL-26).
            age_ms = now_ms - row.touched_ms if row is not None and row.phase is UploadPhase.OPEN else 0
            return age_ms > self._limits.abandoned_s * 1_000

        for each in await self._records.uploads():
            if not is_old(each):
                continue
            async with self._lock(each.upload):
                if is_old(await self._records.find_upload(each.device, each.upload)):
                    await self._records.remove_upload(each.upload)
                    await self._blobs.remove(each.upload)
        await self._remove_orphans()
        await self._desk.sweep()

    async def _remove_orphans(self) -> None:
        """Blobs first, and then rows: what is opened meanwhile has a name that is not among those blobs."""
        blobs = [name for name in await self._blobs.names() if "-" not in name]  # no flights
        rows = {row.upload: row for row in await self._records.uploads() if row.phase is not UploadPhase.REFUSED}
        for name in blobs:
            if name not in rows:
                async with self._lock(name):
                    if not await self._is_wanted(name):
                        await self._blobs.remove(name)

    async def _is_wanted(self, name: str) -> bool:
        """Whether a blob has a row by now: one whose upload was refused may have been opened anew."""
        return any(row.upload == name and row.phase is not UploadPhase.REFUSED for row in await self._records.uploads())

    # --- inside -----------------------------------------------------------------------------------

    def _lock(self, name: str) -> trio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = trio.Lock()
        return lock

    async def _find(self, device: str, upload: str) -> UploadRow:
        row = await self._records.find_upload(device, upload)
        if row is None:
            raise NoSuchUploadError("this device has no such upload")
        return row

    async def _put(self, row: UploadRow) -> UploadState:
        await self._records.put_upload(replace(row, touched_ms=self._clock_ms()))
        return state_of(row)

    async def _check_room(self, device: str, ask: UploadOpen, *, is_new: bool) -> None:
        limits = self._limits
        most = limits.max_log_bytes if ask.kind is UploadKind.SEALED_LOG else limits.max_file_bytes
        if ask.size_bytes > most:
            raise UploadTooLargeError(f"an upload of this kind has at most {most} bytes")
        usage = await self._records.usage(device)
        if usage.open_uploads >= limits.open_uploads:
            raise TooManyUploadsError(f"a device has at most {limits.open_uploads} open uploads")
        if usage.size_bytes + ask.size_bytes > limits.quota_bytes or (is_new and usage.uploads >= limits.uploads):
            raise StorageFullError("the quota of this device is used up")

    async def _refuse_hash(self, row: UploadRow) -> UploadState:
        refused = replace(row, phase=UploadPhase.REFUSED, reason=UploadReason.HASH, offset=0, tries=row.tries + 1)
        state = await self._put(refused)
        await self._blobs.remove(row.upload)
        self._tell_refused(refused)
        return state

    async def _judge(self, row: UploadRow) -> UploadState:
        verdict = await self._desk.judge(row)
        decided = verdict.row
        if decided.phase is UploadPhase.REFUSED:
            await self._blobs.remove(row.upload)
            self._tell_refused(decided)
        elif decided.phase is UploadPhase.HELD:
            self._on_event(LogHeld(row.device, decided.drone))
        if verdict.flight is not None:
            self._on_event(FlightStored(verdict.flight))
        return state_of(decided)

    def _tell_refused(self, row: UploadRow) -> None:
        detail = f"upload {row.upload}: {row.reason.value}"
        self._on_alarm(CloudAlarm(CloudAlarmKind.LOG_REFUSED, row.device, detail, row.reason))


def _may_begin_anew(row: UploadRow) -> bool:
    return row.phase is UploadPhase.REFUSED and row.reason is UploadReason.HASH and row.tries < _HASH_TRIES


def state_of(row: UploadRow) -> UploadState:
    """Return what a device is told of an upload."""
    return UploadState(row.upload, row.phase, row.offset, row.reason)
