"""Sealing keys in memory and on disk, by the same tests (specs/8-sealed-logs.md, 8.4)."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from nodes.ports import CloudSealing, DroneSealing
from nodes.stores.directory import PrivateDirectory
from nodes.stores.sealingkeys import (
    CLOUD_NAME,
    OPENING_NAME,
    SIGNING_NAME,
    FileCloudSealing,
    FileDroneSealing,
)
from nodes.stores.sealingmemory import MemoryCloudSealing, MemoryDroneSealing
from nodes.stores.statedir import StateDir
from protocols.crypto.hpke import HpkeKey
from protocols.errors import BadPublicKeyError, StorageError, UsageError
from protocols.sealing import CloudKey, PinRefusedError, VerifyingKeys, cloud_key_id_of
from tests.helpers.sealed import CLOUD, DRONE, cloud, drone

MINE, OTHER = bytes(range(16)), bytes(16)


@pytest.fixture(params=["memory", "files"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[DroneSealing, CloudSealing]]:
    if cast("str", request.param) == "memory":
        yield MemoryDroneSealing(), MemoryCloudSealing()
        return
    with StateDir.open(tmp_path / "state", create=True) as state:
        yield state.drone_sealing, state.cloud_sealing


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[PrivateDirectory]:
    with PrivateDirectory.open(tmp_path / "state", create=True) as opened:
        yield opened


async def test_signing_keys_are_made_once(stores: tuple[DroneSealing, CloudSealing]) -> None:
    keys = await stores[0].signing_keys()
    again = await stores[0].signing_keys()
    assert keys.verifying(MINE) == again.verifying(MINE)


async def test_sl_32_only_the_same_cloud_replaces_its_key(stores: tuple[DroneSealing, CloudSealing]) -> None:
    store = stores[0]
    first, second = CloudKey(MINE, CLOUD.public), CloudKey(MINE, cloud("newer").public)
    assert await store.cloud_key() is None
    for key in (first, first, second):
        await store.pin_cloud_key(key)
        assert await store.cloud_key() == key
    with pytest.raises(PinRefusedError, match="unpin"):
        await store.pin_cloud_key(CloudKey(OTHER, CLOUD.public))
    assert await store.cloud_key() == second
    await store.unpin_cloud_key()
    assert await store.cloud_key() is None
    await store.pin_cloud_key(CloudKey(OTHER, CLOUD.public))
    assert await store.cloud_key() == CloudKey(OTHER, CLOUD.public)


async def test_sl_30_what_is_no_key_is_not_pinned(stores: tuple[DroneSealing, CloudSealing]) -> None:
    with pytest.raises(BadPublicKeyError):
        await stores[0].pin_cloud_key(CloudKey(MINE, CLOUD.public[:-1]))
    with pytest.raises(UsageError):
        await stores[0].pin_cloud_key(CloudKey(MINE[:-1], CLOUD.public))
    assert await stores[0].cloud_key() is None
    for bad in (replace(DRONE.known, ecdsa_public=bytes(65)), replace(DRONE.known, mldsa_public=b"")):
        with pytest.raises(BadPublicKeyError):
            await stores[1].pin_drone(bad)
    with pytest.raises(UsageError):
        await stores[1].pin_drone(replace(DRONE.known, drone_id=b""))
    assert list(await stores[1].verifying_keys(DRONE.drone_id)) == []


async def test_sl_31_older_keys_open_until_they_are_destroyed(stores: tuple[DroneSealing, CloudSealing]) -> None:
    store = stores[1]
    assert list(await store.opening_keys()) == []
    first = await store.newest_key()
    assert (await store.newest_key()).public == first.public
    second = await store.rotate()
    assert (await store.newest_key()).public == second.public
    assert [key.public for key in await store.opening_keys()] == [first.public, second.public]
    with pytest.raises(UsageError):
        await store.destroy_key(cloud_key_id_of(second.public))
    await store.destroy_key(bytes(16))
    await store.destroy_key(cloud_key_id_of(first.public))
    assert [key.public for key in await store.opening_keys()] == [second.public]


async def test_a_cloud_has_so_many_keys(
    stores: tuple[DroneSealing, CloudSealing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.stores.sealingrules.MAX_OPENING_KEYS", 2)
    await stores[1].rotate()
    newest = await stores[1].rotate()
    with pytest.raises(StorageError, match="destroy one"):
        await stores[1].rotate()
    assert (await stores[1].newest_key()).public == newest.public


async def test_sl_33_the_last_four_pairs_of_a_drone_are_kept(stores: tuple[DroneSealing, CloudSealing]) -> None:
    store = stores[1]
    pairs = [replace(drone(f"pair {count}").known, drone_id=DRONE.drone_id) for count in range(5)]
    for pair in pairs:
        await store.pin_drone(pair)
    await store.pin_drone(drone("other").known)
    assert list(await store.verifying_keys(DRONE.drone_id)) == pairs[1:]
    await store.pin_drone(pairs[2])
    assert list(await store.verifying_keys(DRONE.drone_id)) == [pairs[1], pairs[3], pairs[4], pairs[2]]
    await store.unpin_drone(DRONE.drone_id)
    await store.unpin_drone(OTHER)
    assert list(await store.verifying_keys(DRONE.drone_id)) == []
    assert list(await store.verifying_keys(drone("other").drone_id)) == [drone("other").known]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    pinned = CloudKey(MINE, CLOUD.public)
    with StateDir.open(tmp_path / "state", create=True) as state:
        signing = await state.drone_sealing.signing_keys()
        await state.drone_sealing.pin_cloud_key(pinned)
        await state.cloud_sealing.newest_key()
        newest = await state.cloud_sealing.rotate()
        await state.cloud_sealing.pin_drone(DRONE.known)
    for path in (tmp_path / "state").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    with StateDir.open(tmp_path / "state") as state:
        assert (await state.drone_sealing.signing_keys()).verifying(MINE) == signing.verifying(MINE)
        assert await state.drone_sealing.cloud_key() == pinned
        assert len(await state.cloud_sealing.opening_keys()) == 2
        assert (await state.cloud_sealing.newest_key()).private_bytes() == newest.private_bytes()
        assert list(await state.cloud_sealing.verifying_keys(DRONE.drone_id)) == [DRONE.known]


async def _read_signing(directory: PrivateDirectory) -> object:
    return await FileDroneSealing(directory).signing_keys()


async def _read_cloud(directory: PrivateDirectory) -> object:
    return await FileDroneSealing(directory).cloud_key()


async def _read_opening(directory: PrivateDirectory) -> object:
    return await FileCloudSealing(directory).opening_keys()


async def _read_drone(directory: PrivateDirectory) -> object:
    return await FileCloudSealing(directory).verifying_keys(DRONE.drone_id)


DRONE_NAME = f"log-drone-{DRONE.drone_id.hex()}.json"
CHANGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "signing cut": (SIGNING_NAME, lambda raw: raw[:-9]),
    "signing scalar zero": (SIGNING_NAME, lambda raw: _with(raw, b'"ecdsa_p256": "', b"0" * 64)),
    "signing without one": (SIGNING_NAME, lambda raw: raw.replace(b"mldsa_65", b"mldsa_66")),
    "cloud off the curve": (CLOUD_NAME, lambda raw: _with(raw, b'"hpke": "', b"f" * 3_330)),
    "cloud id short": (CLOUD_NAME, lambda raw: _with(raw, b'"cloud_id": "', b"00" * 15 + b'",#')),
    "opening short": (OPENING_NAME, lambda raw: raw.replace(b'   "', b'   "00')),
    "opening no list": (OPENING_NAME, lambda raw: raw.replace(b"[", b"{").replace(b"]", b"}")),
    "drone without a point": (DRONE_NAME, lambda raw: _with(raw, b'"ecdsa_p256": "', b"0" * 130)),
}
READ = {SIGNING_NAME: _read_signing, CLOUD_NAME: _read_cloud, OPENING_NAME: _read_opening, DRONE_NAME: _read_drone}


def _with(raw: bytes, mark: bytes, value: bytes) -> bytes:
    at = raw.index(mark) + len(mark)
    return raw[:at] + value + raw[at + len(value) :]


@pytest.mark.parametrize(("name", "change"), CHANGES.values(), ids=CHANGES)
async def test_damage_is_one_line_and_shows_no_key(
    directory: PrivateDirectory, name: str, change: Callable[[bytes], bytes]
) -> None:
    await FileDroneSealing(directory).signing_keys()
    await FileDroneSealing(directory).pin_cloud_key(CloudKey(MINE, CLOUD.public))
    key = await FileCloudSealing(directory).newest_key()
    await FileCloudSealing(directory).pin_drone(DRONE.known)
    assert await READ[name](directory)
    raw = directory.read(name)
    assert raw is not None
    directory.write(name, change(raw))
    with pytest.raises(StorageError, match="is damaged: restore it from a backup") as caught:
        await READ[name](directory)
    assert str(caught.value).isprintable()
    assert key.private_bytes().hex()[:16] not in str(caught.value)
    assert directory.read(name) == change(raw)  # nothing was mended behind the user's back


async def test_memory_stores_begin_with_what_they_are_given() -> None:
    key: HpkeKey = CLOUD
    assert (await MemoryCloudSealing([key]).newest_key()) is key
    assert (await MemoryDroneSealing(DRONE.signing).signing_keys()) is DRONE.signing
    assert VerifyingKeys(DRONE.drone_id, *(DRONE.known.ecdsa_public, DRONE.known.mldsa_public)) == DRONE.known
