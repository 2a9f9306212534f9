"""Logs in store and forward, in memory and on disk, by the same tests (specs/8-sealed-logs.md, 8.5)."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import trio

from nodes.ports import LogEntry, LogState, LogStore
from nodes.stores.logspool import LogSpool
from nodes.stores.spoolmemory import MemoryShelf, memory_log_store
from nodes.stores.spoolrules import DamagedLogError, SpoolLimits, StoreFullError
from protocols.errors import ConfigError, MalformedError, PeerError, StorageError, UsageError
from tests.helpers.sealed import DRONE, random, sealed

LIMITS = SpoolLimits(quota_bytes=1_000_000)
Opened = Callable[[SpoolLimits], LogSpool]


@pytest.fixture(params=["memory", "files"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Open the same store, again and again."""
    shelf = MemoryShelf()

    def opened(limits: SpoolLimits = LIMITS) -> LogSpool:
        if cast("str", request.param) == "memory":
            return memory_log_store(limits, shelf)
        return LogSpool.open(tmp_path / "logs", limits)

    return opened


@pytest.fixture
def store(place: Opened) -> Iterator[LogStore]:
    with place(LIMITS) as opened:
        yield opened


def log(name: str, size: int = 300) -> bytes:
    """A sealed log, and another for another name."""
    return sealed(size, name)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def put(store: LogStore, data: bytes) -> LogEntry:
    """Receive a whole log."""
    writer = await store.receive(sha(data), len(data))
    await writer.write(data)
    entry = await writer.finish()
    await writer.aclose()
    return entry


async def put_part(store: LogStore, data: bytes, size: int) -> None:
    """Receive the beginning of a log."""
    writer = await store.receive(sha(data), len(data))
    await writer.write(data[:size])
    await writer.aclose()


async def names(store: LogStore) -> list[bytes]:
    return [entry.sha256 for entry in await store.all()]


# --- receiving --------------------------------------------------------------------------------------


async def test_a_log_is_received_and_read_again(store: LogStore) -> None:
    data = log("one", 700_000)
    entry = await put(store, data)
    assert (entry.sha256, entry.size_bytes, entry.state, entry.stored) == (
        sha(data),
        len(data),
        LogState.RECEIVED,
        True,
    )
    assert (entry.drone_id, entry.flight_id) == (DRONE.drone_id, random("one", 16))
    assert await store.find(sha(data)) == entry
    assert await store.find(bytes(32)) is None
    assert list(await store.all()) == list(await store.pending()) == [entry]
    async with store.content(sha(data)) as view:
        assert view == data


async def test_sl_41_what_was_received_is_there_after_a_restart(place: Opened) -> None:
    with place(LIMITS) as store:
        entries = [await put(store, log(name)) for name in ("c", "a", "b")]
    with place(LIMITS) as store:
        assert list(await store.all()) == entries
        async with store.content(entries[1].sha256) as view:
            assert view == log("a")


async def test_sl_42_a_log_goes_on_from_where_it_came(place: Opened) -> None:
    data = log("one", 700_000)
    received = 0
    for end in (0, 5, 300_000, 300_001, len(data)):
        with place(LIMITS) as store:
            writer = await store.receive(sha(data), len(data))
            assert writer.received_bytes == received
            async with writer.prefix() as prefix:
                assert prefix == data[:received]
            await writer.write(data[received:end])
            received = end
            await writer.aclose()
            await writer.aclose()
            assert list(await store.all()) == []
    with place(LIMITS) as store:
        writer = await store.receive(sha(data), len(data))
        assert writer.received_bytes == len(data)  # all is here, nobody said so yet
        assert (await writer.finish()).size_bytes == len(data)


async def test_sl_42_a_cancelled_task_keeps_what_came(store: LogStore) -> None:
    data = log("one")
    with trio.CancelScope() as scope:
        writer = await store.receive(sha(data), len(data))
        try:
            await writer.write(data[:100])
            scope.cancel()
            await writer.write(data[100:200])
        finally:
            await writer.aclose()
    assert scope.cancelled_caught
    again = await store.receive(sha(data), len(data))
    async with again.prefix() as prefix:
        assert bytes(prefix) in {data[:100], data[:200]}
    await again.aclose()


async def test_sl_43_another_log_than_the_announced_is_refused(place: Opened) -> None:
    data, other = log("one"), log("two")
    with place(LIMITS) as store:
        for wrong, announced in ((other, data), (data[:-1] + b"\0", data)):
            writer = await store.receive(sha(announced), len(announced))
            await writer.write(wrong)
            with pytest.raises(DamagedLogError):
                await writer.finish()
            await writer.aclose()
            again = await store.receive(sha(announced), len(announced))
            assert again.received_bytes == 0  # nothing of it stayed
            await again.aclose()
    with place(LIMITS) as store:
        assert list(await store.all()) == []
        assert (await put(store, data)).stored


async def test_sl_43_a_part_that_nothing_can_mend_is_dropped(store: LogStore) -> None:
    """All bytes came, not the right ones, and the link noticed before the store did."""
    data = log("one")
    await put_part(store, data, 50)
    writer = await store.receive(sha(data), len(data))
    await writer.write(bytes(len(data) - 50))
    await writer.aclose()
    writer = await store.receive(sha(data), len(data))
    assert writer.received_bytes == 0
    await writer.aclose()


@pytest.mark.parametrize("data", [b"no log", bytes(6_000), sealed(300)[:-1], sealed(300) + b"\0"])
async def test_sl_43_what_is_no_sealed_log_is_refused(store: LogStore, data: bytes) -> None:
    with pytest.raises(PeerError):
        await put(store, data)
    assert list(await store.all()) == []
    writer = await store.create()
    await writer.write(data)
    with pytest.raises(PeerError):
        await writer.finish()
    assert list(await store.all()) == []


async def test_more_than_was_announced_is_refused(store: LogStore) -> None:
    data = log("one")
    writer = await store.receive(sha(data), len(data))
    await writer.write(data + b"x")
    with pytest.raises(UsageError, match="announced"):
        await writer.finish()
    with pytest.raises(UsageError):
        await writer.aclose()
    assert list(await store.all()) == []
    assert (await put(store, data)).stored


async def test_a_log_that_is_not_complete_is_not_finished(store: LogStore) -> None:
    data = log("one")
    writer = await store.receive(sha(data), len(data))
    await writer.write(data[:-1])
    with pytest.raises(UsageError, match="1 bytes of the log are missing"):
        await writer.finish()
    await writer.write(data[-1:])
    assert (await writer.finish()).stored
    for call in (lambda: writer.write(b""), writer.finish):
        with pytest.raises(UsageError):
            await call()


async def test_a_log_is_received_once(store: LogStore) -> None:
    data = log("one")
    writer = await store.receive(sha(data), len(data))
    with pytest.raises(UsageError, match="on its way"):
        await store.receive(sha(data), len(data))
    await writer.aclose()
    await put(store, data)
    with pytest.raises(UsageError, match="here already: received"):
        await store.receive(sha(data), len(data))


@pytest.mark.parametrize(("digest", "size"), [(bytes(31), 10), (bytes(32), 0), (bytes(32), -1)])
async def test_what_no_log_has_cannot_be_announced(store: LogStore, digest: bytes, size: int) -> None:
    with pytest.raises(UsageError):
        await store.receive(digest, size)


async def test_another_size_of_the_same_hash_begins_anew(place: Opened) -> None:
    data = log("one")
    with place(LIMITS) as store:
        await put_part(store, data, 100)
        writer = await store.receive(sha(data), len(data) + 1)
        assert writer.received_bytes == 0
        await writer.aclose()
    with place(LIMITS) as store:
        assert (await put(store, data)).stored


# --- making -----------------------------------------------------------------------------------------


async def test_a_log_in_the_making_is_there_when_it_is_finished(place: Opened) -> None:
    data = log("one", 700_000)
    with place(SpoolLimits(quota_bytes=2_000_000)) as store:
        unfinished = await store.create()
        await unfinished.write(data)
        writer = await store.create()
        for at in range(0, len(data), 100_000):
            await writer.write(data[at : at + 100_000])
        assert writer.received_bytes == len(data)
        entry = await writer.finish()
        assert entry.sha256 == sha(data)
        await unfinished.aclose()
    with place(SpoolLimits(quota_bytes=2_000_000)) as store:
        assert list(await store.all()) == [entry]
        async with store.content(entry.sha256) as view:
            assert view == data


async def test_the_same_log_made_twice_is_one(store: LogStore) -> None:
    data = log("one")
    await put_part(store, data, 10)
    entries = list[LogEntry]()
    for _ in range(2):
        writer = await store.create()
        await writer.write(data)
        entries.append(await writer.finish())
    assert entries[0] == entries[1]
    assert list(await store.all()) == entries[:1]


# --- states -----------------------------------------------------------------------------------------


async def test_states_go_forward_and_a_lost_log_is_offered_again(place: Opened) -> None:
    with place(LIMITS) as store:
        one = await put(store, log("one"))
        for state in (LogState.HANDED_OVER, LogState.RECEIVED, LogState.HANDED_OVER):
            assert (await store.mark(one.sha256, state)).state is state
        assert list(await store.pending()) == []
    with place(LIMITS) as store:
        entry = await store.find(one.sha256)
        assert entry is not None
        assert (entry.state, entry.stored) == (LogState.HANDED_OVER, True)
        with pytest.raises(UsageError, match="not known"):
            await store.mark(bytes(32), LogState.HANDED_OVER)


async def test_sl_45_an_acknowledged_log_leaves_and_is_not_taken_again(place: Opened) -> None:
    data = log("one")
    with place(LIMITS) as store:
        await put(store, data)
        async with store.content(sha(data)) as view:
            entry = await store.mark(sha(data), LogState.ACKNOWLEDGED)
            assert view == data  # whoever reads it still does
        assert (entry.state, entry.stored) == (LogState.ACKNOWLEDGED, False)
        assert await store.mark(sha(data), LogState.ACKNOWLEDGED) == entry
    with place(LIMITS) as store:
        assert await store.find(sha(data)) == entry
        for state in (LogState.RECEIVED, LogState.HANDED_OVER):
            with pytest.raises(UsageError):
                await store.mark(sha(data), state)
        with pytest.raises(UsageError, match="acknowledged"):
            await store.receive(sha(data), len(data))
        with pytest.raises(UsageError, match="gone"):
            async with store.content(sha(data)):
                pass


async def test_so_many_are_remembered(place: Opened) -> None:
    limits = SpoolLimits(quota_bytes=1_000_000, max_remembered=2)
    with place(limits) as store:
        for name in ("one", "two", "three"):
            entry = await put(store, log(name))
            await store.mark(entry.sha256, LogState.ACKNOWLEDGED)
        assert await names(store) == [sha(log("two")), sha(log("three"))]
    with place(limits) as store:
        assert await names(store) == [sha(log("two")), sha(log("three"))]


# --- room -------------------------------------------------------------------------------------------

SIZE = len(sealed(300))


async def test_sl_44_a_log_that_nobody_else_has_is_never_given_up(place: Opened) -> None:
    with place(SpoolLimits(quota_bytes=2 * SIZE + 10)) as store:
        first, second = await put(store, log("one")), await put(store, log("two"))
        with pytest.raises(StoreFullError, match="no room"):
            await store.receive(sha(log("three")), SIZE)
        assert list(await store.all()) == [first, second]
        await store.mark(second.sha256, LogState.ACKNOWLEDGED)
        assert (await put(store, log("three"))).stored


async def test_sl_44_parts_go_first_then_what_the_next_hop_has(place: Opened) -> None:
    with place(SpoolLimits(quota_bytes=3 * SIZE)) as store:
        for name in ("one", "two"):
            await store.mark((await put(store, log(name))).sha256, LogState.HANDED_OVER)
        await put_part(store, log("part"), 50)
        await put(store, log("three"))  # the part made room
        writer = await store.receive(sha(log("part")), SIZE)
        assert writer.received_bytes == 0
        await writer.aclose()
        one = await store.find(sha(log("one")))
        assert one is not None
        assert not one.stored
        with pytest.raises(UsageError, match="gone"):
            await store.mark(one.sha256, LogState.RECEIVED)
    with place(SpoolLimits(quota_bytes=3 * SIZE)) as store:
        assert [entry.stored for entry in await store.all()] == [False, True, True]
        assert (await put(store, log("one"))).stored  # offered again by who still has it: taken again
        assert await names(store) == [sha(log(name)) for name in ("two", "three", "one")]


async def test_sl_44_a_drone_keeps_what_the_next_hop_has(place: Opened) -> None:
    with place(SpoolLimits(quota_bytes=SIZE, keep_handed_over=True)) as store:
        await store.mark((await put(store, log("one"))).sha256, LogState.HANDED_OVER)
        with pytest.raises(StoreFullError):
            await store.receive(sha(log("two")), SIZE)
        writer = await store.create()
        await writer.write(log("two"))
        with pytest.raises(StoreFullError):
            await writer.finish()
        await writer.aclose()
        assert await names(store) == [sha(log("one"))]


async def test_an_announcement_takes_its_room_at_once(place: Opened) -> None:
    with place(SpoolLimits(quota_bytes=2 * SIZE)) as store:
        with pytest.raises(StoreFullError):
            await store.receive(bytes(32), 2**40)
        writer = await store.receive(sha(log("one")), SIZE)
        with pytest.raises(StoreFullError):
            await store.receive(sha(log("two")), SIZE + 1)
        await writer.aclose()
        assert (await put(store, log("two"))).stored


async def test_so_many_parts_are_kept(place: Opened) -> None:
    with place(SpoolLimits(quota_bytes=1_000_000, max_partials=2)) as store:
        for name in ("one", "two", "three"):
            await put_part(store, log(name), 50)
        two = await store.receive(sha(log("two")), SIZE)
        three = await store.receive(sha(log("three")), SIZE)
        assert two.received_bytes == three.received_bytes == 50
        with pytest.raises(StoreFullError, match="on their way"):
            await store.receive(sha(log("one")), SIZE)
        await two.aclose()
        one = await store.receive(sha(log("one")), SIZE)  # the oldest that nobody writes gave way
        assert one.received_bytes == 0
        await one.aclose()
        await three.aclose()


# --- disks ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs"


def modes(folder: Path) -> set[int]:
    """Of the folder, and of what is in it."""
    return {path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}


def beginnings(folder: Path) -> set[str]:
    """Of the names in a folder."""
    return {path.name[:2] for path in folder.iterdir()}


async def test_a_full_disk_is_one_line_and_the_part_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = log("one", 700_000)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "")

    with LogSpool.open(folder, LIMITS) as store:
        await put_part(store, data, 100)
        writer = await store.receive(sha(data), len(data))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fail)
            with pytest.raises(StorageError, match="No space left on device; free some space"):
                await writer.write(data[100:])
        with pytest.raises(UsageError, match="earlier write"):
            await writer.finish()
        await writer.aclose()
        writer = await store.receive(sha(data), len(data))
        assert writer.received_bytes == 100
        await writer.write(data[100:])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(StorageError, match="No space left"):
                await writer.finish()
        await writer.aclose()
        assert list(await store.all()) == []
    with LogSpool.open(folder, LIMITS) as store:
        writer = await store.receive(sha(data), len(data))
        assert (await writer.finish()).stored


async def test_the_folder_is_private_and_has_one_writer(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store:
        await put(store, log("one"))
        await put_part(store, log("two"), 5)
        assert modes(folder) == {0o700, 0o600}
        with pytest.raises(ConfigError, match="in use"):
            LogSpool.open(folder, LIMITS)
    with pytest.raises(UsageError, match="closed"):
        await put(store, log("three"))


async def test_a_log_without_a_state_is_taken_up(folder: Path) -> None:
    """A crash came between the name and the state; or somebody removed a damaged state."""
    with LogSpool.open(folder, LIMITS) as store:
        entry = await put(store, log("one"))
    (folder / f"{entry.sha256.hex()}.json").unlink()
    with LogSpool.open(folder, LIMITS) as store:
        assert list(await store.pending()) == [entry]
    with LogSpool.open(folder, LIMITS) as store:
        assert list(await store.pending()) == [entry]


async def test_a_state_without_a_log_is_forgotten(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store:
        entry = await put(store, log("one"))
    (folder / f"{entry.sha256.hex()}.log").unlink()
    with LogSpool.open(folder, LIMITS) as store:
        assert list(await store.all()) == []
        assert await put(store, log("one")) == entry


async def test_damage_is_told_and_not_mended(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store:
        entry = await put(store, log("one"))
    path, state = (folder / f"{entry.sha256.hex()}.{end}" for end in ("log", "json"))
    good = path.read_bytes(), state.read_bytes()
    for damaged, content in ((path, good[0][:-1]), (state, good[1][:-5]), (state, good[1].replace(b"received", b"?"))):
        path.write_bytes(good[0])
        state.write_bytes(good[1])
        damaged.write_bytes(content)
        with pytest.raises(StorageError, match="is damaged"):
            LogSpool.open(folder, LIMITS)
    state.unlink()
    path.write_bytes(bytes(6_000))
    with pytest.raises(StorageError, match="is damaged"):
        LogSpool.open(folder, LIMITS)
    path.write_bytes(good[0])
    with LogSpool.open(folder, LIMITS) as store:
        assert list(await store.all()) == [entry]


async def test_strange_names_are_left_alone(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store:
        await put_part(store, log("one"), 50)
    (folder / "notes.txt").write_text("mine")
    (folder / ("0" * 64 + ".0.part")).write_text("mine")
    (folder / ("1" * 64 + ".9.part")).write_bytes(bytes(10))  # more than announced
    (folder / ".abc.new.tmp").write_bytes(b"in the making when the process ended")
    with LogSpool.open(folder, LIMITS) as store:
        assert list(await store.all()) == []
    assert beginnings(folder) == {"no", "00", "lo", sha(log("one")).hex()[:2]}


async def test_malformed_is_the_error_of_a_log_that_is_none(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store, pytest.raises(MalformedError):
        await put(store, b"\0" * SIZE)


def remove(folder: Path, ending: str) -> None:
    """Behind the store's back."""
    for path in folder.glob(f"*{ending}"):
        path.unlink()


async def test_a_log_that_is_removed_behind_the_stores_back_is_one_line(folder: Path) -> None:
    with LogSpool.open(folder, LIMITS) as store:
        entry = await put(store, log("one"))
        remove(folder, ".log")
        with pytest.raises(StorageError, match=r"\.log cannot be read: No such file"):
            async with store.content(entry.sha256):
                pass


async def test_a_part_that_cannot_be_read_is_not_on_its_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = log("one")

    def fail(*_: object, **__: object) -> object:
        raise OSError(errno.EIO, "")

    with LogSpool.open(folder, LIMITS) as store:
        await put_part(store, data, 50)
        with monkeypatch.context() as patch:
            patch.setattr("mmap.mmap", fail)
            with pytest.raises(StorageError, match="cannot be read"):
                await store.receive(sha(data), len(data))
        assert (await put_rest(store, data)).stored


async def put_rest(store: LogStore, data: bytes) -> LogEntry:
    """Receive what is missing of a log."""
    writer = await store.receive(sha(data), len(data))
    assert writer.received_bytes == 50
    await writer.write(data[50:])
    return await writer.finish()
