"""Rows and blobs, in memory and on disk, by the same tests."""

import errno
import os
import sqlite3
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, cast

import pytest

from nodes.cloud.blobs import FileBlobs, MemoryBlobs
from nodes.cloud.ports import (
    CloudBlobs,
    CloudRecords,
    FlightRow,
    QueuedMessage,
    QueueState,
    SeenDevice,
    TelemetryRow,
    UploadRow,
    Usage,
    Write,
)
from nodes.cloud.sqliterecords import SqliteRecords
from nodes.stores.sqlitefile import StorageFullError
from protocols.errors import ConfigError, StorageError, UsageError
from specs.cloudlink import UploadKind, UploadPhase, UploadReason
from tests.unit.cloud.kit import KINDS, ONE, OTHER, blobs_of, records_of

SHA: Final = bytes(32)
BATCH: Final = TelemetryRow(ONE, b"outbox-1", 1, 5, 2, b"", b"body")
UPLOAD: Final = UploadRow("aa" * 16, ONE, UploadKind.FILE, "name", 10, SHA, 0, UploadPhase.OPEN, UploadReason.NONE, 5)
FLIGHT: Final = FlightRow(
    b"d" * 16, b"f" * 16, "64-66", 10, 3, SHA, SHA, bytes(48), ONE, UPLOAD.upload, 9, receipted=False
)


@pytest.fixture(params=KINDS)
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[CloudRecords]:
    async with records_of(cast("str", request.param), tmp_path) as each:
        yield each


@pytest.fixture(params=KINDS)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> CloudBlobs:
    return await blobs_of(cast("str", request.param), tmp_path)


# --- rows ---------------------------------------------------------------------------------------


async def test_devices_are_seen(records: CloudRecords) -> None:
    assert await records.devices() == ()
    for device, now_ms in ((OTHER, 1), (ONE, 2), (OTHER, 9), (OTHER, 3)):
        await records.see_device(device, now_ms)
    assert await records.devices() == (SeenDevice(OTHER, 1, 9), SeenDevice(ONE, 2, 2))


async def test_cl_11_a_sequence_of_an_outbox_counts_once(records: CloudRecords) -> None:
    again = replace(BATCH, body=b"another")
    others = (replace(BATCH, sequence=2**63 - 1), replace(BATCH, outbox=b"outbox-2"))
    assert await records.add_telemetry(BATCH)
    assert not await records.add_telemetry(again)
    assert [await records.add_telemetry(each) for each in others] == [True, True]
    assert await records.add_telemetry(replace(BATCH, device=OTHER))
    assert await records.telemetry(ONE) == (BATCH, *others)
    assert await records.telemetry(ONE, limit=2) == others
    assert await records.telemetry("33" * 16) == ()


async def test_alarms_count_apart_from_telemetry(records: CloudRecords) -> None:
    assert await records.add_telemetry(BATCH)
    assert await records.add_alarms(BATCH)
    assert not await records.add_alarms(BATCH)
    assert await records.alarms(ONE) == await records.telemetry(ONE) == (BATCH,)


async def test_usage_is_of_one_device(records: CloudRecords) -> None:
    assert await records.usage(ONE) == Usage()
    await records.add_telemetry(BATCH)
    await records.add_telemetry(BATCH)
    await records.add_alarms(BATCH)
    phases = list(UploadPhase)
    for number, phase in enumerate(phases):
        await records.put_upload(replace(UPLOAD, upload=f"{number:032x}", name=str(number), phase=phase))
    assert await records.usage(ONE) == Usage(2 * len(BATCH.body), 10 * (len(phases) - 1), 1, len(phases))
    assert (await records.usage(ONE)).size_bytes == 8 + 30
    assert await records.usage(OTHER) == Usage()


async def test_uploads_are_found_by_name_and_by_likeness(records: CloudRecords) -> None:
    await records.put_upload(UPLOAD)
    second = replace(UPLOAD, upload="00" * 16, device=OTHER, drone=b"d", tries=2, reason=UploadReason.HASH)
    await records.put_upload(second)
    assert await records.find_upload(ONE, UPLOAD.upload) == UPLOAD
    assert await records.find_upload(OTHER, UPLOAD.upload) is None
    like = (UPLOAD.kind, UPLOAD.name, UPLOAD.size_bytes, UPLOAD.sha256)
    assert await records.find_like(ONE, *like) == UPLOAD
    assert await records.find_like(OTHER, *like) == second
    assert await records.find_like(ONE, UploadKind.SEALED_LOG, *like[1:]) is None
    assert await records.find_like(ONE, like[0], "other", *like[2:]) is None
    assert await records.find_like(ONE, *like[:2], 11, SHA) is None
    assert await records.find_like(ONE, *like[:3], b"x" * 32) is None
    assert await records.uploads() == (second, UPLOAD)


async def test_uploads_are_replaced_and_removed(records: CloudRecords) -> None:
    await records.put_upload(UPLOAD)
    changed = replace(UPLOAD, offset=10, phase=UploadPhase.REFUSED, reason=UploadReason.SIGNER, touched_ms=7)
    await records.put_upload(changed)
    assert await records.uploads() == (changed,)
    await records.remove_upload(UPLOAD.upload)
    await records.remove_upload(UPLOAD.upload)
    assert await records.uploads() == ()


async def test_a_flight_and_its_upload_are_stored_together(records: CloudRecords) -> None:
    stored = replace(UPLOAD, phase=UploadPhase.STORED)
    await records.put_upload(UPLOAD)
    await records.store_flight(FLIGHT, stored)
    assert await records.find_flight(FLIGHT.drone, FLIGHT.flight) == FLIGHT
    assert await records.find_flight(FLIGHT.drone, b"x" * 16) is None
    assert await records.uploads() == (stored,)
    with pytest.raises(UsageError):
        await records.store_flight(replace(FLIGHT, messages=4), replace(stored, offset=9))
    assert await records.flights() == (FLIGHT,)
    assert await records.uploads() == (stored,)


async def test_flights_wait_for_their_receipt(records: CloudRecords) -> None:
    second = replace(FLIGHT, drone=b"c" * 16)
    for flight in (FLIGHT, second):
        await records.store_flight(flight, UPLOAD)
    await records.mark_receipted(FLIGHT.drone, FLIGHT.flight)
    await records.mark_receipted(b"x" * 16, FLIGHT.flight)
    assert await records.flights(unreceipted=True) == (second,)
    assert await records.flights() == (replace(FLIGHT, receipted=True), second)


async def test_cl_30_messages_are_counted_per_device(records: CloudRecords) -> None:
    assert await records.queue_state(ONE) == QueueState()
    assert [await records.enqueue(ONE, body) for body in (b"a", b"bb", b"ccc")] == [1, 2, 3]
    assert await records.enqueue(OTHER, b"x") == 1
    assert await records.queue_state(ONE) == QueueState(3, 3, 6)
    assert await records.queued(ONE, 1, 9) == (QueuedMessage(2, b"bb"), QueuedMessage(3, b"ccc"))
    assert await records.queued(ONE, 0, 2) == (QueuedMessage(1, b"a"), QueuedMessage(2, b"bb"))
    await records.acknowledge(ONE, 2)
    await records.acknowledge("33" * 16, 2)
    assert await records.queued(ONE, 0, 9) == (QueuedMessage(3, b"ccc"),)
    await records.acknowledge(ONE, 3)
    assert await records.enqueue(ONE, b"d") == 4
    assert await records.queue_state(ONE) == QueueState(4, 1, 1)
    assert await records.queue_state(OTHER) == QueueState(1, 1, 1)


async def test_closed_records_are_of_no_use(records: CloudRecords) -> None:
    await records.aclose()
    await records.aclose()
    with pytest.raises(UsageError):
        await records.devices()


async def test_rows_outlive_the_process(tmp_path: Path) -> None:
    async with records_of("files", tmp_path) as records:
        await records.see_device(ONE, 1)
        await records.add_telemetry(BATCH)
        await records.enqueue(ONE, b"a")
        await records.acknowledge(ONE, 1)
        await records.store_flight(FLIGHT, UPLOAD)
    async with records_of("files", tmp_path) as records:
        assert await records.telemetry(ONE) == (BATCH,)
        assert await records.enqueue(ONE, b"b") == 2
        assert await records.flights() == (FLIGHT,)
        assert (await records.usage(ONE)).kept_bytes == len(BATCH.body)


# --- the file -----------------------------------------------------------------------------------


def modes(folder: Path) -> set[int]:
    return {each.stat().st_mode & 0o777 for each in folder.iterdir()}


async def test_the_file_is_private_and_of_one_process(tmp_path: Path) -> None:
    path = tmp_path / "cloud.sqlite"
    async with records_of("files", tmp_path):
        assert modes(tmp_path) == {0o600}
        with pytest.raises(ConfigError, match="in use"):
            await SqliteRecords.open(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        await SqliteRecords.open(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="no regular file"):
        await SqliteRecords.open(link)
    with pytest.raises(StorageError, match="cannot be opened"):
        await SqliteRecords.open(tmp_path / "nowhere" / "file")


@pytest.mark.parametrize(
    ("statement", "line"),
    [("PRAGMA user_version = 2", "format version 2"), ("PRAGMA application_id = 7", "is no file of a cloud")],
)
async def test_another_file_is_not_touched(tmp_path: Path, statement: str, line: str) -> None:
    async with records_of("files", tmp_path):
        pass
    path = tmp_path / "cloud.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=line):
        await SqliteRecords.open(path)
    assert path.read_bytes() == before


async def test_a_damaged_file_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "cloud.sqlite"
    path.write_bytes(b"no database at all" * 100)
    path.chmod(0o600)
    with pytest.raises(StorageError, match="damaged"):
        await SqliteRecords.open(path)


async def test_cl_9_a_full_disk_changes_no_row(tmp_path: Path) -> None:
    from nodes.cloud.database import Database
    from nodes.cloud.sqliterecords import SCHEMA

    database = await Database.open(tmp_path / "file", SCHEMA)
    records = SqliteRecords(database)
    await records.add_telemetry(BATCH)
    pages = (await database.read("PRAGMA page_count"))[0][0]
    await database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError, match="disk is full"):
        await records.add_telemetry(replace(BATCH, sequence=2, body=bytes(100_000)))
    with pytest.raises(StorageFullError):
        await records.enqueue(ONE, bytes(100_000))
    assert await records.telemetry(ONE) == (BATCH,)
    assert (await records.usage(ONE)).kept_bytes == len(BATCH.body)
    assert await records.queue_state(ONE) == QueueState()
    await database.read("PRAGMA max_page_count = 1000000")
    assert await records.add_telemetry(replace(BATCH, sequence=2, body=bytes(100_000)))
    await records.aclose()


def give_up_after(write: Write) -> NoReturn:
    write(b"three")
    raise RuntimeError("after the first bytes")


# --- blobs --------------------------------------------------------------------------------------


async def test_blobs_grow_and_are_read(blobs: CloudBlobs) -> None:
    await blobs.append("ab", 0, b"hello")
    await blobs.append("ab", 5, b" world")
    with blobs.reader("ab") as read:
        assert (read(0, 100), read(6, 2), read(11, 1)) == (b"hello world", b"wo", b"")
    await blobs.append("ab", 0, b"J")
    with blobs.reader("ab") as read:
        assert read(0, 100) == b"Jello world"
    assert await blobs.names() == ("ab",)
    await blobs.remove("ab")
    await blobs.remove("ab")
    assert await blobs.names() == ()
    with pytest.raises(StorageError), blobs.reader("ab"):
        pass


async def test_blobs_are_made_whole_or_not_at_all(blobs: CloudBlobs) -> None:
    with blobs.writer("cd-ef") as write:
        write(b"one ")
        write(b"two")
        assert await blobs.names() == ()
    with blobs.reader("cd-ef") as read:
        assert read(0, 100) == b"one two"
    with pytest.raises(RuntimeError), blobs.writer("cd-ef") as write:
        give_up_after(write)
    with blobs.reader("cd-ef") as read:
        assert read(0, 100) == b"one two"
    with blobs.writer("cd-ef") as write:
        write(b"3")
    with blobs.reader("cd-ef") as read:
        assert read(0, 100) == b"3"
    assert await blobs.names() == ("cd-ef",)


@pytest.mark.parametrize("name", ["", "..", "../a", "/etc/passwd", "a/b", "A", "-a", ".a", "a" * 200, "a\0"])
async def test_blobs_have_harmless_names(blobs: CloudBlobs, name: str) -> None:
    for call in (blobs.append(name, 0, b"x"), blobs.remove(name)):
        with pytest.raises(UsageError):
            await call
    with pytest.raises(UsageError), blobs.reader(name):
        pass
    with pytest.raises(UsageError), blobs.writer(name):
        pass


async def test_files_are_private_and_leftovers_go(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    blobs = await FileBlobs.open(folder)
    await blobs.append("ab", 0, b"x")
    assert (folder.stat().st_mode & 0o777, (folder / "ab").stat().st_mode & 0o777) == (0o700, 0o600)
    (folder / ".cd.0123.tmp").write_bytes(b"half")
    assert await (await FileBlobs.open(folder)).names() == ("ab",)
    assert [path.name for path in folder.iterdir()] == ["ab"]
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        await FileBlobs.open(folder)
    with pytest.raises(StorageError):
        await FileBlobs.open(folder / "ab")


def full(*_args: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_cl_9_a_full_disk_leaves_blobs_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = await FileBlobs.open(tmp_path / "blobs")
    await blobs.append("ab", 0, b"acknowledged")
    real = os.pwrite

    def half(fd: int, data: memoryview, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", full)
        return real(fd, bytes(data)[:3], offset)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(StorageFullError, match="No space left"):
        await blobs.append("ab", 12, b" and lost")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFullError), blobs.writer("cd") as write:
        write(b"x")
    monkeypatch.undo()
    with blobs.reader("ab") as read:
        assert read(0, 12) == b"acknowledged"
    assert await blobs.names() == ("ab",)
    await blobs.append("ab", 12, b" and found")
    with blobs.reader("ab") as read:
        assert read(0, 100) == b"acknowledged and found"


async def test_what_is_not_synchronised_is_not_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CL-8: the file, its folder when it is new, and only then the answer."""
    synchronised: list[str] = []
    real = os.fsync

    def noting(fd: int) -> None:
        synchronised.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        real(fd)

    blobs = await FileBlobs.open(tmp_path / "blobs")
    monkeypatch.setattr(os, "fsync", noting)
    await blobs.append("ab", 0, b"x")
    assert synchronised == ["ab", "blobs"]
    await blobs.append("ab", 1, b"y")
    assert synchronised == ["ab", "blobs", "ab"]
    synchronised.clear()
    (tmp_path / "blobs" / "ef").write_bytes(b"x")  # of a cloud that was killed before it synchronised the folder
    await blobs.append("ef", 0, b"x")
    assert synchronised == ["ef", "blobs"]
    synchronised.clear()
    with blobs.writer("cd") as write:
        write(b"x")
    assert len(synchronised) == 2
    assert synchronised[-1] == "blobs"


async def test_memory_is_bounded_when_asked() -> None:
    blobs = MemoryBlobs(max_bytes=4)
    await blobs.append("ab", 0, b"1234")
    with pytest.raises(StorageFullError):
        await blobs.append("ab", 4, b"5")
    with pytest.raises(UsageError):
        await blobs.append("cd", 1, b"5")
    blobs.max_bytes = 5
    await blobs.append("ab", 4, b"5")
