"""Uploads: opened once, continued, finished, refused, swept (specs/9-cloudlink.md, CL-20 to CL-29)."""

import hashlib
import random
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import pytest
import trio

from nodes.cloud.events import CloudAlarmKind, FlightStored, LogHeld, UploadProgressed
from nodes.cloud.limits import CloudLimits
from nodes.cloud.ports import FlightRow, UploadRow, Usage
from nodes.stores.sqlitefile import StorageFullError
from protocols.cloud_api import RouteId
from protocols.crypto.hpke import HpkeKey
from protocols.sealing import HEADER_BYTES, TRAILER_BYTES
from specs.cloudlink import MAX_CHUNK_BYTES, UploadKind, UploadPhase, UploadReason, UploadState
from tests.unit.cloud.kit import (
    FLIGHT,
    FRAMES_SHA256,
    KINDS,
    ONE,
    OTHER,
    CloudKit,
    SealingDrone,
    answer,
    cloud_of,
)

DATA: Final = random.Random(9).randbytes(1_000)
LOG: Final = UploadKind.SEALED_LOG
DAY_S: Final = 86_400


@pytest.fixture(params=KINDS)
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[CloudKit]:
    async with cloud_of(cast("str", request.param), tmp_path) as kit:
        yield kit


async def opened(cloud: CloudKit, data: bytes = DATA) -> UploadState:
    return answer(await cloud.open(data), UploadState)


async def state(cloud: CloudKit, upload: str) -> UploadState:
    return answer(await cloud.ask(RouteId.UPLOAD_STATE, parts={"upload": upload}), UploadState)


# --- bytes --------------------------------------------------------------------------------------


async def test_cl_20_opening_is_idempotent(cloud: CloudKit) -> None:
    first = await opened(cloud)
    assert (first.phase, first.offset) == (UploadPhase.OPEN, 0)
    assert await opened(cloud) == first
    progressed = answer(await cloud.put(first.upload, 0, DATA[:10]), UploadState)
    assert await opened(cloud) == progressed == UploadState(first.upload, UploadPhase.OPEN, 10)
    others = [
        await cloud.open(DATA, device=OTHER),
        await cloud.open(DATA, name="other"),
        await cloud.open(DATA, LOG),
        await cloud.open(DATA[1:]),
    ]
    assert len({first.upload, *[answer(each, UploadState).upload for each in others]}) == 5


async def test_cl_21_a_chunk_starts_where_the_upload_stands(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    for offset in (1, 500, 999, 2_000):
        where = answer(await cloud.put(upload, offset, DATA[:10]), UploadState, 409)
        assert where == UploadState(upload, UploadPhase.OPEN, 0)
    assert answer(await cloud.put(upload, 0, DATA[:400]), UploadState).offset == 400
    assert answer(await cloud.put(upload, 399, DATA[399:500]), UploadState, 409).offset == 400
    assert (await cloud.put(upload, 400, b"")).status == 400
    assert answer(await cloud.put(upload, 400, DATA[400:]), UploadState).offset == 1_000
    assert cloud.content(upload, 2_000) == DATA
    steps = [(each.offset, each.size_bytes) for each in cloud.told(UploadProgressed)]
    assert steps == [(400, 1_000), (1_000, 1_000)]


async def test_cl_21_a_chunk_has_a_mebibyte_at_most(cloud: CloudKit) -> None:
    data = bytes(MAX_CHUNK_BYTES + 1)
    upload = (await opened(cloud, data)).upload
    assert (await cloud.put(upload, 0, data)).status == 413
    assert answer(await cloud.put(upload, 0, data[:-1]), UploadState).offset == MAX_CHUNK_BYTES


async def test_cl_22_a_chunk_that_is_there_is_answered_and_changes_nothing(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    await cloud.put(upload, 0, DATA[:400])
    for start, end in ((0, 400), (0, 10), (390, 400)):
        assert answer(await cloud.put(upload, start, DATA[start:end]), UploadState).offset == 400
    assert answer(await cloud.put(upload, 0, bytes(400)), UploadState).offset == 400
    assert cloud.content(upload, 2_000) == DATA[:400]


async def test_cl_23_the_hash_of_a_chunk(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    right = hashlib.sha256(DATA[:10]).hexdigest()
    assert (await cloud.put(upload, 0, DATA[:10], sha256="00" * 32)).status == 422
    for wrong in ("", right.upper(), right[1:], right + "0", "x" * 64):
        headers = {"aerolink-sha256": wrong} if wrong else {}
        parts: dict[str, str | int] = {"upload": upload, "offset": 0}
        assert (await cloud.ask(RouteId.UPLOAD_CHUNK, DATA[:10], headers=headers, parts=parts)).status == 400
    assert (await state(cloud, upload)).offset == 0
    assert await cloud.blobs.names() == ()


async def test_cl_24_no_byte_beyond_the_end_or_after_it(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    await cloud.put(upload, 0, DATA[:400])
    assert answer(await cloud.put(upload, 400, DATA[400:] + b"x"), UploadState, 409).offset == 400
    await cloud.put(upload, 400, DATA[400:])
    assert answer(await cloud.put(upload, 1_000, b"x"), UploadState, 409).offset == 1_000
    assert answer(await cloud.finish(upload), UploadState).phase is UploadPhase.STORED
    assert answer(await cloud.put(upload, 1_000, b"x"), UploadState, 409).phase is UploadPhase.STORED
    assert cloud.content(upload, 2_000) == DATA


async def test_cl_28_finish_is_idempotent(cloud: CloudKit) -> None:
    stored = await cloud.upload(DATA)
    assert stored == UploadState(stored.upload, UploadPhase.STORED, 1_000)
    assert answer(await cloud.finish(stored.upload), UploadState) == stored
    assert await cloud.upload(DATA) == stored
    assert await state(cloud, stored.upload) == stored


async def test_cl_25_finish_waits_for_all_bytes(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    assert answer(await cloud.finish(upload), UploadState, 409).offset == 0
    await cloud.put(upload, 0, DATA[:999])
    assert answer(await cloud.finish(upload), UploadState, 409) == UploadState(upload, UploadPhase.OPEN, 999)


async def refused_for_its_hash(cloud: CloudKit) -> UploadState:
    upload = await opened(cloud)
    assert (upload.phase, upload.offset) == (UploadPhase.OPEN, 0)
    await cloud.put(upload.upload, 0, bytes(1_000))
    state = answer(await cloud.finish(upload.upload), UploadState)
    assert state == UploadState(upload.upload, UploadPhase.REFUSED, 0, UploadReason.HASH)
    assert await cloud.blobs.names() == ()
    return state


async def test_cl_25_another_hash_is_sent_again_twice(cloud: CloudKit) -> None:
    states = [await refused_for_its_hash(cloud) for _ in range(3)]
    assert states == [await opened(cloud)] * 3
    assert answer(await cloud.put(states[0].upload, 0, DATA), UploadState, 409) == states[0]
    assert [alarm.reason for alarm in cloud.alarms] == [UploadReason.HASH] * 3


async def test_cl_25_a_second_try_that_is_right_is_stored(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    await cloud.put(upload, 0, bytes(1_000))
    await cloud.finish(upload)
    assert (await cloud.upload(DATA)).phase is UploadPhase.STORED
    assert cloud.content(upload, 2_000) == DATA


async def test_uploads_that_are_read_whole_take_no_threads_of_others(cloud: CloudKit) -> None:
    default = trio.to_thread.current_default_thread_limiter()
    before, default.total_tokens = default.total_tokens, 1
    try:
        async with default:
            assert (await cloud.upload(DATA)).phase is UploadPhase.STORED
            assert (await cloud.upload(DATA, LOG)).phase is UploadPhase.REFUSED
    finally:
        default.total_tokens = before


async def test_reading_an_upload_whole_ends_when_the_cloud_does(
    cloud: CloudKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(3 * 2**20)
    upload = answer(await cloud.open(data), UploadState).upload
    for start in range(0, len(data), 2**20):
        await cloud.put(upload, start, data[start : start + 2**20])
    reads = 0
    real = cloud.blobs.reader
    scope = trio.CancelScope()

    @contextmanager
    def reader(name: str) -> Generator[Callable[[int, int], bytes]]:
        with real(name) as read:

            def counted(offset: int, length: int) -> bytes:
                nonlocal reads
                reads += 1
                trio.from_thread.run_sync(scope.cancel)
                return read(offset, length)

            yield counted

    with monkeypatch.context() as patch:
        patch.setattr(cloud.blobs, "reader", reader)
        with scope:
            await cloud.finish(upload)
    assert scope.cancelled_caught
    assert reads == 1
    assert answer(await cloud.finish(upload), UploadState).phase is UploadPhase.STORED


async def test_chunks_that_come_at_once_are_taken_one_after_the_other(cloud: CloudKit) -> None:
    upload = (await opened(cloud)).upload
    statuses: list[int] = []

    async def put() -> None:
        statuses.append((await cloud.put(upload, 0, DATA)).status)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(put)
    assert statuses == [200] * 8
    assert len(cloud.told(UploadProgressed)) == 1
    finished: list[UploadState] = []

    async def finish() -> None:
        finished.append(answer(await cloud.finish(upload), UploadState))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(finish)
    assert {each.phase for each in finished} == {UploadPhase.STORED}


# --- limits -------------------------------------------------------------------------------------


async def test_quotas_are_per_device_and_count_what_is_open(tmp_path: Path) -> None:
    limits = CloudLimits(quota_bytes=2_500, max_file_bytes=2_000, max_log_bytes=1_500, open_uploads=2)
    async with cloud_of("memory", tmp_path, limits) as cloud:
        assert (await cloud.open(bytes(2_001))).status == 413
        assert (await cloud.open(bytes(1_501), LOG)).status == 413
        assert (await cloud.open(bytes(2_000))).status == 200
        assert (await cloud.open(bytes(501))).status == 507
        assert (await cloud.open(bytes(500))).status == 200
        assert (await cloud.open(b"x", name="third")).status == 429
        assert (await cloud.open(bytes(2_000))).status == 200  # it is there already
        assert (await cloud.open(bytes(2_000), device=OTHER)).status == 200
        await cloud.upload(bytes(500))
        assert await cloud.records.usage(ONE) == Usage(0, 2_500, 1, 2)
        assert (await cloud.open(b"x", name="third")).status == 507


async def test_what_was_refused_costs_no_quota(tmp_path: Path) -> None:
    async with cloud_of("memory", tmp_path, CloudLimits(quota_bytes=1_000)) as cloud:
        assert (await cloud.upload(DATA, LOG)).phase is UploadPhase.REFUSED
        assert (await cloud.upload(DATA)).phase is UploadPhase.STORED


async def test_uploads_of_a_device_are_counted_however_small_or_refused_they_are(tmp_path: Path) -> None:
    """Bytes alone do not bound rows and files: one device could fill the disk, and slow all others down."""
    async with cloud_of("memory", tmp_path, CloudLimits(uploads=3)) as cloud:
        assert (await cloud.upload(b"1", LOG)).phase is UploadPhase.REFUSED
        assert (await cloud.upload(b"2", LOG)).phase is UploadPhase.REFUSED
        assert (await cloud.upload(b"3")).phase is UploadPhase.STORED
        assert (await cloud.open(b"4")).status == 507
        assert (await cloud.open(b"3")).status == 200  # it is there already
        assert (await cloud.open(b"4", device=OTHER)).status == 200


async def test_a_sweep_reads_all_uploads_as_often_however_many_there_are(
    cloud: CloudKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        await cloud.upload(b"%d" % number)
    read = cloud.records.uploads
    reads = 0

    async def counted() -> object:
        nonlocal reads
        reads += 1
        return await read()

    monkeypatch.setattr(cloud.records, "uploads", counted)
    await cloud.api.uploads.sweep()
    assert reads == 2
    assert len(await cloud.blobs.names()) == 10


async def test_cl_9_a_full_disk_loses_nothing(cloud: CloudKit, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = (await opened(cloud)).upload
    await cloud.put(upload, 0, DATA[:400])

    async def full(*_args: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StorageFullError("no room")

    for place, name in ((cloud.blobs, "append"), (cloud.records, "put_upload")):
        monkeypatch.setattr(place, name, full)
        assert (await cloud.put(upload, 400, DATA[400:])).status == 507
        monkeypatch.undo()
        assert (await state(cloud, upload)).offset == 400
        assert cloud.content(upload, 400) == DATA[:400]
    await cloud.put(upload, 400, DATA[400:])
    monkeypatch.setattr(cloud.records, "put_upload", full)
    assert (await cloud.finish(upload)).status == 507
    monkeypatch.undo()
    assert answer(await cloud.finish(upload), UploadState).phase is UploadPhase.STORED
    assert [alarm.kind for alarm in cloud.alarms] == [CloudAlarmKind.STORAGE_FULL] * 3


async def test_cl_29_what_is_abandoned_goes(cloud: CloudKit) -> None:
    abandoned = (await opened(cloud)).upload
    await cloud.put(abandoned, 0, DATA[:400])
    stored = (await cloud.upload(DATA, name="stored")).upload
    cloud.clock.now_s += 6 * DAY_S
    alive = answer(await cloud.open(DATA, name="alive"), UploadState).upload
    await cloud.put(alive, 0, DATA[:400])
    await cloud.api.uploads.sweep()
    assert (await state(cloud, abandoned)).offset == 400
    cloud.clock.now_s += DAY_S + 1
    await cloud.api.uploads.sweep()
    assert (await cloud.ask(RouteId.UPLOAD_STATE, parts={"upload": abandoned})).status == 404
    assert (await cloud.put(abandoned, 400, DATA[400:])).status == 404
    assert (await cloud.finish(abandoned)).status == 404
    assert set(await cloud.blobs.names()) == {stored, alive}
    again = await opened(cloud)
    assert (again.offset, again.upload != abandoned) == (0, True)


async def test_blobs_that_nobody_names_go(cloud: CloudKit) -> None:
    stored = (await cloud.upload(DATA)).upload
    await cloud.blobs.append("cc" * 16, 0, b"of a crash")
    await cloud.api.uploads.sweep()
    assert await cloud.blobs.names() == (stored,)


# --- sealed logs --------------------------------------------------------------------------------


async def key_of(cloud: CloudKit) -> HpkeKey:
    return await cloud.sealing.newest_key()


async def refused(cloud: CloudKit, sealed: bytes, reason: UploadReason) -> None:
    state = await cloud.upload(sealed, LOG)
    assert (state.phase, state.reason) == (UploadPhase.REFUSED, reason)
    assert [alarm.reason for alarm in cloud.alarms] == [reason]
    assert (await cloud.records.flights(), await cloud.blobs.names(), cloud.told(FlightStored)) == ((), (), [])
    assert await cloud.upload(sealed, LOG) == state  # and stays refused, without being sent
    assert (len(cloud.alarms), len(cloud.told(UploadProgressed))) == (1, 1)


async def test_cl_26_a_sealed_log_is_verified_unsealed_and_counted(cloud: CloudKit) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = drone.seal(await key_of(cloud))
    state = await cloud.upload(sealed, LOG)
    assert (state.phase, state.reason) == (UploadPhase.STORED, UploadReason.NONE)
    (flight,) = await cloud.records.flights(unreceipted=True)
    assert cloud.told(FlightStored) == [FlightStored(flight)]
    assert (flight.drone, flight.flight, flight.device) == (drone.id, b"flight-number-01", ONE)
    assert (flight.messages, flight.sha256, flight.size_bytes) == (9, FRAMES_SHA256, len(FLIGHT))
    assert flight.sealed_sha256 == hashlib.sha256(sealed).digest()
    assert cloud.content(flight.blob, 10_000) == FLIGHT
    assert cloud.content(flight.upload, len(sealed) + 1) == sealed
    assert cloud.alarms == []


async def test_cl_26_a_log_is_held_until_its_drone_is_known(cloud: CloudKit) -> None:
    drone = SealingDrone()
    sealed = drone.seal(await key_of(cloud))
    held = await cloud.upload(sealed, LOG)
    assert held.phase is UploadPhase.HELD
    assert cloud.told(LogHeld) == [LogHeld(ONE, drone.id)]
    assert answer(await cloud.finish(held.upload), UploadState) == held
    await cloud.api.uploads.drone_pinned(b"x" * 16)
    await cloud.api.uploads.sweep()
    assert await cloud.upload(sealed, LOG) == held
    await drone.known_to(cloud)
    await cloud.api.uploads.drone_pinned(drone.id)
    assert (await cloud.upload(sealed, LOG)).phase is UploadPhase.STORED
    assert len(cloud.told(FlightStored)) == 1


async def test_cl_26_a_held_log_waits_for_its_drone_whatever_the_clock_says(cloud: CloudKit) -> None:
    """Its device was told that it is durable, and may have given its room away; a clock may be wrong for a moment."""
    drone = SealingDrone()
    sealed = drone.seal(await key_of(cloud))
    held = await cloud.upload(sealed, LOG)
    assert held.phase is UploadPhase.HELD
    cloud.clock.now_s += 100 * 365 * DAY_S
    await cloud.api.uploads.sweep()
    assert await state(cloud, held.upload) == held
    assert cloud.content(held.upload, len(sealed) + 1) == sealed
    assert (await cloud.records.usage(ONE)).upload_bytes == len(sealed)
    await drone.known_to(cloud)
    await cloud.api.uploads.drone_pinned(drone.id)
    assert (await state(cloud, held.upload)).phase is UploadPhase.STORED


async def test_cl_26_a_log_that_another_sealed_again_is_refused(cloud: CloudKit) -> None:
    drone, mobile = SealingDrone(), SealingDrone()
    await drone.known_to(cloud)
    await refused(cloud, mobile.seal(await key_of(cloud)), UploadReason.SIGNER)


async def test_cl_26_new_keys_of_a_drone_lift_signer(cloud: CloudKit) -> None:
    before, after = SealingDrone(), SealingDrone()
    await before.known_to(cloud)
    sealed = after.seal(await key_of(cloud))
    assert (await cloud.upload(sealed, LOG)).reason is UploadReason.SIGNER
    await after.known_to(cloud)
    await cloud.api.uploads.drone_pinned(after.id)
    assert (await cloud.upload(sealed, LOG)).phase is UploadPhase.STORED


async def test_cl_26_a_log_for_another_cloud_is_refused(cloud: CloudKit) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    await key_of(cloud)
    await refused(cloud, drone.seal(HpkeKey.generate()), UploadReason.KEY)


@pytest.mark.parametrize("place", [HEADER_BYTES, -TRAILER_BYTES - 1, -1])
async def test_cl_26_a_changed_log_is_refused(cloud: CloudKit, place: int) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = bytearray(drone.seal(await key_of(cloud)))
    sealed[place] ^= 1
    await refused(cloud, bytes(sealed), UploadReason.SIGNATURE)


@pytest.mark.parametrize("cut", ["short", "start", "middle", "nothing of one"])
async def test_cl_26_what_is_no_sealed_log_is_refused(cloud: CloudKit, cut: str) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = drone.seal(await key_of(cloud))
    cuts = {"short": sealed[:100], "start": sealed[1:], "middle": sealed[:2_000] + sealed[2_001:]}
    await refused(cloud, cuts.get(cut, DATA), UploadReason.MALFORMED)


async def test_cl_26_what_is_no_flight_is_refused(cloud: CloudKit) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    await refused(cloud, drone.seal(await key_of(cloud), FLIGHT[:-1]), UploadReason.CONTENT)


async def test_cl_27_the_same_flight_of_two_devices_is_stored_once(cloud: CloudKit) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = drone.seal(await key_of(cloud))
    states = [await cloud.upload(sealed, LOG, device=device) for device in (ONE, OTHER)]
    states.append(await cloud.upload(sealed, LOG, "under another name"))
    assert {state.phase for state in states} == {UploadPhase.STORED}
    assert (len(await cloud.records.flights()), len(cloud.told(FlightStored))) == (1, 1)


async def test_cl_27_another_log_under_the_same_flight_is_refused(cloud: CloudKit) -> None:
    drone = SealingDrone()
    await drone.known_to(cloud)
    key = await key_of(cloud)
    await cloud.upload(drone.seal(key), LOG)
    state = await cloud.upload(drone.seal(key, FLIGHT[:12].replace(b"\x09", b"\x00")), LOG, "second")
    assert (state.phase, state.reason) == (UploadPhase.REFUSED, UploadReason.CONFLICT)
    (flight,) = await cloud.records.flights()
    assert cloud.content(flight.blob, 10_000) == FLIGHT


async def test_a_flight_whose_row_was_not_written_is_judged_again(
    cloud: CloudKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash, or a full disk, between the unsealed file and its row: `finish` again."""
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = drone.seal(await key_of(cloud))

    async def full(*_args: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StorageFullError("no room")

    upload = answer(await cloud.open(sealed, LOG), UploadState).upload
    await cloud.put(upload, 0, sealed)
    monkeypatch.setattr(cloud.records, "store_flight", full)
    assert (await cloud.finish(upload)).status == 507
    monkeypatch.undo()
    assert (await state(cloud, upload)).phase is UploadPhase.OPEN
    assert len(await cloud.blobs.names()) == 2
    await cloud.api.uploads.sweep()
    assert await cloud.blobs.names() == (upload,)  # nothing unsealed stays without its row
    assert answer(await cloud.finish(upload), UploadState).phase is UploadPhase.STORED
    assert len(cloud.told(FlightStored)) == 1


async def test_a_flight_that_is_just_being_written_is_not_swept(
    cloud: CloudKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is there, and its row is on its way."""
    drone = SealingDrone()
    await drone.known_to(cloud)
    sealed = drone.seal(await key_of(cloud))
    real, written, go_on = cloud.records.store_flight, trio.Event(), trio.Event()

    async def slow(flight: FlightRow, upload: UploadRow) -> None:
        written.set()
        await go_on.wait()
        await real(flight, upload)

    monkeypatch.setattr(cloud.records, "store_flight", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cloud.upload, sealed, LOG)
        await written.wait()
        nursery.start_soon(cloud.api.uploads.sweep)
        for _ in range(50):
            await cloud.blobs.names()
        go_on.set()
    (flight,) = await cloud.records.flights()
    await cloud.api.uploads.sweep()
    assert cloud.content(flight.blob, 10_000) == FLIGHT
