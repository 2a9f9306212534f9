"""The three ports, in memory and on disk, by the same tests."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import trio

from nodes.ports import CounterStore, KeyStore, PeerDirectory
from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
from nodes.stores.peerfiles import PeerFiles
from nodes.stores.statedir import StateDir
from protocols.crypto.dh import X25519Key
from protocols.errors import ConfigError, CounterLostError, KeyExhaustedError, RevokedError, UsageError
from protocols.link.peers import PeerState
from tests.unit.stores.records import make_record


@dataclass
class Stores:
    keys: KeyStore
    peers: PeerDirectory
    counters: CounterStore


@pytest.fixture(params=["memory", "files"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    if cast("str", request.param) == "memory":
        key = X25519Key.generate()
        yield Stores(MemoryKeyStore([key]), MemoryPeerDirectory(), MemoryCounterStore())
        return
    with StateDir.open(tmp_path / "state", create=True) as state:
        state.key_files.generate("25519")
        yield Stores(state.keys, state.peers, state.counters)


async def test_keys(stores: Stores) -> None:
    key = await stores.keys.static_key("25519")
    assert key.dh == "25519"
    assert await stores.keys.static_key("25519") is key
    with pytest.raises(ConfigError):
        await stores.keys.static_key("P256")


async def test_peers(stores: Stores) -> None:
    one, two = make_record(1, counter=5), make_record(2)
    await stores.peers.put(one)
    await stores.peers.put(two)
    assert await stores.peers.find(one.key_id) == one
    assert await stores.peers.find(bytes(16)) is None
    await stores.peers.confirm_counters({one.key_id: 9, two.key_id: 0, bytes(16): 3})
    await stores.peers.put(replace(one, state=PeerState.REVOKED))
    revoked = replace(one, state=PeerState.REVOKED, initiation_counter=9)
    assert list(await stores.peers.all()) == [revoked, two]
    again = make_record(1, secret=2, counter=1)
    for undone in (again, one, replace(one, state=PeerState.PENDING)):
        with pytest.raises(RevokedError):
            await stores.peers.put(undone)
    assert await stores.peers.find(one.key_id) == revoked
    await stores.peers.remove(one.key_id)
    await stores.peers.remove(bytes(16))
    assert list(await stores.peers.all()) == [two]
    await stores.peers.put(again)
    assert await stores.peers.find(one.key_id) == again
    with pytest.raises(UsageError):
        await stores.peers.put(replace(one, key_id=bytes(16)))
    with pytest.raises(UsageError):
        await stores.peers.confirm_counters({one.key_id: 2, two.key_id: 2**64})
    assert await stores.peers.find(one.key_id) == again


async def test_counters(stores: Stores) -> None:
    with pytest.raises(CounterLostError):
        await stores.counters.reserve("P256", 1)
    with pytest.raises(UsageError):
        await stores.counters.reserve("P256", 0, create=True)
    first = await stores.counters.reserve("P256", 64, create=True)
    assert (first.first, first.count, len(first.epoch)) == (1, 64, 16)
    rest = await stores.counters.reserve("P256", 2**64 - 1 - 64)
    assert (rest.first, rest.epoch) == (65, first.epoch)
    with pytest.raises(KeyExhaustedError):
        await stores.counters.reserve("P256", 1)


async def test_counters_reserved_at_the_same_time_are_different(stores: Stores) -> None:
    await stores.counters.reserve("P256", 1, create=True)
    seen: list[int] = []

    async def reserve() -> None:
        block = await stores.counters.reserve("P256", 3)
        seen.extend(range(block.first, block.first + block.count))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(reserve)
    assert sorted(seen) == list(range(2, 62))


async def test_peers_put_at_the_same_time_are_all_there(stores: Stores) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(1, 21):
            nursery.start_soon(stores.peers.put, make_record(number))
    assert {record.key_id for record in await stores.peers.all()} == {
        make_record(number).key_id for number in range(1, 21)
    }


async def test_a_cancelled_write_leaves_memory_and_disk_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = threading.Event(), threading.Event()
    with StateDir.open(tmp_path / "state", create=True) as state:
        await state.peers.put(make_record(1))
        real = PeerFiles.put

        def slow(files: PeerFiles, record: object) -> None:
            writing.set()
            go_on.wait()
            real(files, record)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(PeerFiles, "put", slow)
        finished = False

        async def put() -> None:
            nonlocal finished
            await state.peers.put(make_record(2))
            finished = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(put)
            await trio.to_thread.run_sync(writing.wait)
            nursery.cancel_scope.cancel()
            go_on.set()
        assert finished
        assert len(await state.peers.all()) == 2
        with StateDir.open(tmp_path / "state", read_only=True) as beside:
            assert len(await beside.peers.all()) == 2


async def test_a_task_cancelled_before_its_turn_writes_nothing(tmp_path: Path) -> None:
    with StateDir.open(tmp_path / "state", create=True) as state:
        with trio.CancelScope() as scope:
            scope.cancel()
            await state.peers.put(make_record(1))
        assert scope.cancelled_caught
        assert await state.peers.all() == ()


async def test_closing_waits_for_nobody_and_says_so(tmp_path: Path) -> None:
    state = StateDir.open(tmp_path / "state", create=True)
    assert state.path == tmp_path / "state"
    state.close()
    with pytest.raises(UsageError, match="was closed"):
        await state.counters.reserve("P256", 1, create=True)


def test_memory_refuses_bad_records() -> None:
    with pytest.raises(UsageError):
        MemoryPeerDirectory([replace(make_record(1), pair_secret=b"")])
