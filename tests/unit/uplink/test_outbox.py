"""The outbox, in memory and on disk, by the same tests."""

import sqlite3
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import cast

import pytest
import trio

from nodes.uplink.outbox import PARCEL_OVERHEAD_BYTES, Encode, MemoryOutbox, Outbox, OutboxLimits, ParcelKind, Tally
from nodes.uplink.outboxfile import SqliteOutbox
from protocols.errors import ConfigError, StorageError, UsageError
from specs.cloudlink import OUTBOX_BYTES
from tests.live.kit import one_line
from tests.unit.uplink.outboxes import KINDS, outbox_of

ROOT = Path(__file__).parents[3]
TELEMETRY, ALARM = ParcelKind.TELEMETRY, ParcelKind.ALARM
ROOM_FOR_FOUR = OutboxLimits(max_bytes=4 * (100 + PARCEL_OVERHEAD_BYTES), max_parcel_bytes=200)


def content(number: int, size: int = 100) -> bytes:
    return number.to_bytes(2, "big") * (size // 2)


def body(number: int, size: int = 100) -> Encode:
    return lambda _name, _sequence: content(number, size)


async def sequences(outbox: Outbox, kind: ParcelKind = TELEMETRY) -> list[int]:
    return [parcel.sequence for parcel in await outbox.pending(kind, 1000)]


@pytest.fixture(params=KINDS)
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Outbox]:
    async with outbox_of(cast("str", request.param), tmp_path, ROOM_FOR_FOUR) as each:
        yield each


async def test_what_was_put_waits_in_order_until_it_is_acknowledged(outbox: Outbox) -> None:
    assert [await outbox.put(TELEMETRY, body(number), number) for number in (1, 2, 3)] == [1, 2, 3]
    first, second = await outbox.pending(TELEMETRY, 2)
    assert (first.kind, first.sequence, first.items, first.body) == (TELEMETRY, 1, 1, content(1))
    assert (second.sequence, second.items, second.body) == (2, 2, content(2))
    assert outbox.state.waiting[TELEMETRY] == Tally(3, 6, 3 * (100 + PARCEL_OVERHEAD_BYTES))
    await outbox.acknowledge(TELEMETRY, 2)
    await outbox.acknowledge(TELEMETRY, 1)
    assert await sequences(outbox) == [3]
    assert outbox.state.waiting[TELEMETRY] == Tally(1, 3, 100 + PARCEL_OVERHEAD_BYTES)
    await outbox.acknowledge(TELEMETRY, 3)
    assert outbox.state.waiting[TELEMETRY] == Tally()
    assert await outbox.put(TELEMETRY, body(4)) == 4


async def test_alarms_have_numbers_of_their_own(outbox: Outbox) -> None:
    await outbox.put(TELEMETRY, body(1))
    assert await outbox.put(ALARM, body(2)) == 1
    await outbox.acknowledge(ALARM, 1)
    assert await sequences(outbox) == [1]
    assert await outbox.pending(ALARM) == ()


async def test_the_oldest_telemetry_is_dropped_and_counted(outbox: Outbox) -> None:
    for number in range(1, 8):
        await outbox.put(TELEMETRY, body(number), 10)
    assert await sequences(outbox) == [4, 5, 6, 7]
    assert outbox.state.dropped[TELEMETRY] == Tally(3, 30, 3 * (100 + PARCEL_OVERHEAD_BYTES))
    await outbox.put(TELEMETRY, body(8, 200))  # as large as two
    assert await sequences(outbox) == [6, 7, 8]


async def test_alarms_are_dropped_only_when_there_is_no_telemetry(outbox: Outbox) -> None:
    for number in (1, 2, 3):
        await outbox.put(ALARM, body(number))
    await outbox.put(TELEMETRY, body(1))
    await outbox.put(ALARM, body(4))
    assert await sequences(outbox) == []
    assert await sequences(outbox, ALARM) == [1, 2, 3, 4]
    assert await outbox.put(TELEMETRY, body(2)) == 2  # no room: it goes itself
    assert await sequences(outbox) == []
    assert await sequences(outbox, ALARM) == [1, 2, 3, 4]
    await outbox.put(ALARM, body(5))
    assert await sequences(outbox, ALARM) == [2, 3, 4, 5]
    assert (outbox.state.dropped[TELEMETRY].parcels, outbox.state.dropped[ALARM].parcels) == (2, 1)


async def test_what_cannot_be_kept_is_refused_and_changes_nothing(outbox: Outbox) -> None:
    before = outbox.state
    for size, items in ((202, 1), (10, 0)):
        with pytest.raises(UsageError) as caught:
            await outbox.put(TELEMETRY, body(1, size), items)
        one_line(caught.value)
    with pytest.raises(UsageError):
        await outbox.acknowledge(TELEMETRY, 1)
    assert outbox.state == before


async def test_cl_11_a_parcel_is_encoded_once_with_the_name_and_number_it_keeps(outbox: Outbox) -> None:
    seen: list[tuple[bytes, int]] = []

    def encode(name: bytes, sequence: int) -> bytes:
        seen.append((name, sequence))
        return name + b"%d" % sequence

    for kind in (TELEMETRY, TELEMETRY, ALARM):
        await outbox.put(kind, encode)
    names = outbox.state.names
    assert seen == [(names[TELEMETRY], 1), (names[TELEMETRY], 2), (names[ALARM], 1)]
    assert [len(name) for name in names.values()] == [OUTBOX_BYTES, OUTBOX_BYTES]
    assert names[TELEMETRY] != names[ALARM]
    waiting = [each.body for each in await outbox.pending(TELEMETRY, 2)]
    assert waiting == [names[TELEMETRY] + b"1", names[TELEMETRY] + b"2"]


async def test_what_encode_raises_uses_no_number_up(outbox: Outbox) -> None:
    def encode(_name: bytes, _sequence: int) -> bytes:
        raise UsageError("this does not fit into a batch")

    before = outbox.state
    with pytest.raises(UsageError, match="does not fit"):
        await outbox.put(TELEMETRY, encode)
    assert outbox.state == before
    assert await outbox.put(TELEMETRY, body(1)) == 1


async def test_downlink_only_goes_up(outbox: Outbox) -> None:
    assert outbox.state.downlink_taken == 0
    await outbox.take_downlink(5)
    await outbox.take_downlink(4)
    assert outbox.state.downlink_taken == 5


async def test_many_tasks_at_once_get_numbers_without_a_gap(outbox: Outbox) -> None:
    given: list[int] = []

    async def put(number: int) -> None:
        given.append(await outbox.put(TELEMETRY, body(number)))

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(put, number)
    assert sorted(given) == list(range(1, 13))
    assert await sequences(outbox) == [9, 10, 11, 12]


# --- the file ---------------------------------------------------------------------------------------


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    async with outbox_of("sqlite", tmp_path, ROOM_FOR_FOUR) as outbox:
        for number in range(1, 7):
            await outbox.put(TELEMETRY, body(number), 3)
        await outbox.put(ALARM, body(9))
        await outbox.acknowledge(TELEMETRY, 4)
        await outbox.take_downlink(12)
        before, waiting = outbox.state, await outbox.pending(TELEMETRY, 9)
    async with outbox_of("sqlite", tmp_path, ROOM_FOR_FOUR) as outbox:
        assert outbox.state == replace(before, names=outbox.state.names)
        assert await outbox.pending(TELEMETRY, 9) == waiting
        assert [parcel.body for parcel in await outbox.pending(ALARM)] == [content(9)]
        assert await outbox.put(TELEMETRY, body(7)) == 7
        await outbox.acknowledge(TELEMETRY, 7)
    async with outbox_of("sqlite", tmp_path, ROOM_FOR_FOUR) as outbox:  # numbers outlive the parcels
        assert await outbox.put(TELEMETRY, body(8)) == 8


async def test_what_was_said_to_be_durable_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    command = [sys.executable, "-m", "tests.unit.uplink.outboxes", str(path)]
    said: dict[str, int] = {"put": 0, "acknowledged": 0, "taken": 0}
    for _ in range(3):
        target = said["put"] + 20
        async with trio.open_nursery() as nursery:
            child = await nursery.start(partial(trio.run_process, command, cwd=ROOT, stdout=PIPE, check=False))
            rest = b""
            async for part in child.stdout:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    what, number = line.decode().split()
                    said[what] = int(number)
                if said["put"] >= target:
                    child.kill()
        async with outbox_of("sqlite", tmp_path) as outbox:
            state = outbox.state
            waiting = await outbox.pending(TELEMETRY, 10_000)
        last = state.last[TELEMETRY]
        assert said["put"] <= last <= said["put"] + 1
        assert said["taken"] <= state.downlink_taken <= said["taken"] + 3
        first = waiting[0].sequence
        assert said["acknowledged"] < first <= said["acknowledged"] + 4
        assert [(each.sequence, each.body) for each in waiting] == [(n, b"%d" % n) for n in range(first, last + 1)]
        assert state.waiting[TELEMETRY].items == 2 * len(waiting)


async def test_one_process_has_the_file(tmp_path: Path) -> None:
    async with outbox_of("sqlite", tmp_path):
        with pytest.raises(ConfigError, match="in use by another process") as caught:
            await SqliteOutbox.open(tmp_path / "outbox.db")
        one_line(caught.value)


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with outbox_of("sqlite", tmp_path) as outbox:
        await outbox.put(TELEMETRY, body(1))
        folder = list(tmp_path.iterdir())  # noqa: ASYNC240  # nothing waits for this loop
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder}
    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600}
    (tmp_path / "outbox.db").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        await SqliteOutbox.open(tmp_path / "outbox.db")


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be one" * 20, b"SQLite format 3\x00" * 64]
)
async def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StorageError, match="damaged") as caught:
        await SqliteOutbox.open(path)
    one_line(caught.value)
    assert path.read_bytes() == content


async def test_files_of_others_and_of_other_versions_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with outbox_of("sqlite", tmp_path):
        pass
    for pragma, words in (("user_version = 2", "format version 2"), ("application_id = 5", "no outbox")):
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA {pragma}")
        database.close()
        with pytest.raises(StorageError, match=words) as caught:
            await SqliteOutbox.open(path)
        one_line(caught.value)
    (tmp_path / "link.db").symlink_to(path)
    with pytest.raises(ConfigError, match="no regular file"):
        await SqliteOutbox.open(tmp_path / "link.db")
    with pytest.raises(StorageError, match="cannot be opened"):
        await SqliteOutbox.open(tmp_path / "nowhere" / "outbox.db")


async def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The database refuses half-way, at the last statement of a put: then the parcel is not there either."""
    async with outbox_of("sqlite", tmp_path) as outbox:
        await outbox.put(TELEMETRY, body(1))
    database = sqlite3.connect(tmp_path / "outbox.db")
    database.execute(
        "CREATE TRIGGER failing BEFORE INSERT ON number WHEN NEW.name = 'telemetry_last' AND NEW.value > 2 "
        "BEGIN SELECT RAISE(ABORT, 'private words'); END"
    )
    database.close()
    async with outbox_of("sqlite", tmp_path) as outbox:
        assert await outbox.put(TELEMETRY, body(2)) == 2
        before = outbox.state
        with pytest.raises(StorageError, match="cannot be written") as caught:
            await outbox.put(TELEMETRY, body(3))
        assert "private" not in one_line(caught.value)
        assert outbox.state == before
        assert await sequences(outbox) == [1, 2]
        assert await outbox.put(ALARM, body(4)) == 1  # the next transaction stands alone


async def test_cl_11_an_outbox_that_is_opened_again_gives_other_names(tmp_path: Path) -> None:
    """It may be an older copy: under one name it would give numbers that the cloud has, and lose what is in them."""

    def encode(name: bytes, sequence: int) -> bytes:
        return name + b"%d" % sequence

    async with outbox_of("sqlite", tmp_path) as outbox:
        await outbox.put(TELEMETRY, encode)
        names = outbox.state.names
    async with outbox_of("sqlite", tmp_path) as outbox:
        assert not set(names.values()) & set(outbox.state.names.values())
        await outbox.put(TELEMETRY, encode)
        waiting = [each.body for each in await outbox.pending(TELEMETRY, 2)]
        assert waiting == [names[TELEMETRY] + b"1", outbox.state.names[TELEMETRY] + b"2"]


async def test_another_outbox_has_other_names(tmp_path: Path) -> None:
    async with outbox_of("sqlite", tmp_path) as outbox:
        names = outbox.state.names
    (tmp_path / "outbox.db").unlink()
    async with outbox_of("sqlite", tmp_path) as outbox:
        assert not set(names.values()) & set(outbox.state.names.values())


async def test_after_closing_nothing_is_kept(tmp_path: Path) -> None:
    outbox = await SqliteOutbox.open(tmp_path / "outbox.db")
    await outbox.aclose()
    await outbox.aclose()
    with pytest.raises(UsageError, match="was closed"):
        await outbox.put(TELEMETRY, body(1))
    with pytest.raises(UsageError, match="was closed"):
        await outbox.pending(TELEMETRY)


def test_nothing_of_a_body_shows() -> None:
    async def put() -> str:
        outbox = MemoryOutbox()
        await outbox.put(ALARM, lambda _name, _sequence: b"private words")
        return repr(await outbox.pending(ALARM))

    assert "private" not in trio.run(put)
