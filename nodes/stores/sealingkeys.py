"""Sealing keys as files of the state folder (specs/8-sealed-logs.md, 8.4)::

    log-signing.json  of a drone: its two private signing keys, as scalar and seed
    log-cloud.json    of a drone: the pinned public key of its cloud
    log-opening.json  of a cloud: its HPKE private keys, the newest last
    log-drone-*.json  of a cloud: the pinned verifying keys of one drone, by its id

No standard file format holds an HPKE key of two halves, so all private keys stand here as the bytes from which
``cryptography`` makes them again. Who loses ``log-signing.json`` gets new keys, which the cloud learns of over the
drone's own link; who loses ``log-opening.json`` cannot read what was sealed to it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from nodes.stores.directory import PrivateDirectory
from nodes.stores.document import Document, hex_bytes
from nodes.stores.sealingrules import (
    check_cloud_key,
    check_id,
    check_verifying,
    new_signing_keys,
    pinned,
    with_key,
    with_pair,
    without_key,
)
from nodes.stores.serial import Serial
from protocols.crypto.hpke import HpkeKey
from protocols.crypto.signatures import EcdsaP256Key, MlDsa65Key
from protocols.errors import BadPublicKeyError, KeyFormatError
from protocols.sealing import CloudKey, SigningKeys, VerifyingKeys

T = TypeVar("T")
SIGNING_NAME: Final = "log-signing.json"
CLOUD_NAME: Final = "log-cloud.json"
OPENING_NAME: Final = "log-opening.json"
_BACKUP: Final = "restore it from a backup"


class FileDroneSealing:
    """Port DroneSealing."""

    def __init__(self, directory: PrivateDirectory) -> None:
        self._signing = Document(directory, SIGNING_NAME, f"{_BACKUP}, or remove it: new keys are made")
        self._cloud = Document(directory, CLOUD_NAME, f"{_BACKUP}, or remove it: the cloud gives its key again")
        self._serial = Serial()
        self._keys: SigningKeys | None = None

    async def signing_keys(self) -> SigningKeys:
        """Return both signing keys; they are made, durably, when there are none. ConfigError, StorageError."""
        if self._keys is None:
            self._keys = await self._serial.run(self._load_or_make)
        return self._keys

    async def cloud_key(self) -> CloudKey | None:
        """Return the pinned key."""
        return await self._serial.run(self._read_cloud)

    async def pin_cloud_key(self, key: CloudKey) -> None:
        """Pin a key, durably; PinRefusedError if another cloud gave the one before, BadPublicKeyError."""
        await self._serial.run(partial(self._pin, key))

    async def unpin_cloud_key(self) -> None:
        """Forget it, durably."""
        await self._serial.run(partial(self._cloud.write, {}))

    def _load_or_make(self) -> SigningKeys:
        keys = self._signing.read(_guarded(_decode_signing))
        if keys is None:
            keys = new_signing_keys()
            self._signing.write(
                {"ecdsa_p256": keys.ecdsa.private_bytes().hex(), "mldsa_65": keys.mldsa.seed_bytes().hex()}
            )
        return keys

    def _read_cloud(self) -> CloudKey | None:
        return self._cloud.read(_guarded(_decode_cloud))

    def _pin(self, key: CloudKey) -> None:
        old = self._read_cloud()
        if old != key:
            new = pinned(old, key)
            self._cloud.write({"cloud_id": new.cloud_id.hex(), "hpke": new.public.hex()})


class FileCloudSealing:
    """Port CloudSealing. Its own keys, once read, stay in memory; those of drones, which may be many, do not."""

    def __init__(self, directory: PrivateDirectory) -> None:
        self._opening = Document(directory, OPENING_NAME, _BACKUP)
        self._directory = directory
        self._serial = Serial()
        self._keys: tuple[HpkeKey, ...] | None = None

    async def newest_key(self) -> HpkeKey:
        """Return the key that drones are to pin, made at first use; ConfigError, StorageError."""
        return await self._serial.run(self._newest)

    async def opening_keys(self) -> Sequence[HpkeKey]:
        """Return every key that opens logs, the newest last."""
        return await self._serial.run(self._read_keys)

    async def rotate(self) -> HpkeKey:
        """Make a new newest key, durably; StorageError when there are 16 already."""
        return await self._serial.run(self._rotate)

    async def destroy_key(self, key_id: bytes) -> None:
        """Forget an older key, durably; UsageError for the newest."""
        await self._serial.run(partial(self._destroy, key_id))

    async def verifying_keys(self, drone_id: bytes) -> Sequence[VerifyingKeys]:
        """Return the pairs of keys of one drone, the newest last."""
        return await self._serial.run(partial(self._read_pairs, drone_id))

    async def pin_drone(self, keys: VerifyingKeys) -> None:
        """Pin what a drone gave, durably; BadPublicKeyError."""
        await self._serial.run(partial(self._pin, keys))

    async def unpin_drone(self, drone_id: bytes) -> None:
        """Forget a drone's keys, durably."""
        await self._serial.run(partial(self._unpin, drone_id))

    def _read_keys(self) -> tuple[HpkeKey, ...]:
        if self._keys is None:
            self._keys = self._opening.read(_guarded(_decode_opening)) or ()
        return self._keys

    def _write_keys(self, keys: tuple[HpkeKey, ...]) -> None:
        self._opening.write({"keys": [key.private_bytes().hex() for key in keys]})
        self._keys = keys

    def _newest(self) -> HpkeKey:
        keys = self._read_keys()
        return keys[-1] if keys else self._rotate()

    def _rotate(self) -> HpkeKey:
        self._write_keys(with_key(self._read_keys(), key := HpkeKey.generate()))
        return key

    def _destroy(self, key_id: bytes) -> None:
        keys = self._read_keys()
        if (left := without_key(keys, key_id)) != keys:
            self._write_keys(left)

    def _document(self, drone_id: bytes) -> Document:
        remedy = f"{_BACKUP}, or remove it: the drone gives its keys again"
        return Document(self._directory, f"log-drone-{check_id(drone_id).hex()}.json", remedy)

    def _read_pairs(self, drone_id: bytes) -> tuple[VerifyingKeys, ...]:
        return self._document(drone_id).read(_guarded(partial(_decode_pairs, drone_id))) or ()

    def _write_pairs(self, drone_id: bytes, pairs: tuple[VerifyingKeys, ...]) -> None:
        rows = [{"ecdsa_p256": each.ecdsa_public.hex(), "mldsa_65": each.mldsa_public.hex()} for each in pairs]
        self._document(drone_id).write({"pairs": rows})

    def _pin(self, keys: VerifyingKeys) -> None:
        old = self._read_pairs(keys.drone_id)
        if (new := with_pair(old, keys)) != old:
            self._write_pairs(keys.drone_id, new)

    def _unpin(self, drone_id: bytes) -> None:
        if self._read_pairs(drone_id):
            self._write_pairs(drone_id, ())


def _guarded(decode: Callable[..., T]) -> Callable[[dict[str, Any]], T]:
    """A decoder of a document's fields; keys that are none are damage like any other."""

    def read(content: dict[str, Any]) -> T:
        try:
            return decode(**content)
        except (KeyFormatError, BadPublicKeyError):
            raise ValueError from None

    return read


def _decode_signing(*, ecdsa_p256: object, mldsa_65: object) -> SigningKeys:
    ecdsa = EcdsaP256Key.from_private_bytes(hex_bytes(ecdsa_p256))
    return SigningKeys(ecdsa, MlDsa65Key.from_seed(hex_bytes(mldsa_65)))


def _decode_cloud(**fields: object) -> CloudKey | None:
    return _decode_pinned(**fields) if fields else None


def _decode_pinned(*, cloud_id: object, hpke: object) -> CloudKey:
    return check_cloud_key(CloudKey(hex_bytes(cloud_id), hex_bytes(hpke)))


def _decode_opening(*, keys: object) -> tuple[HpkeKey, ...]:
    return tuple(HpkeKey.from_private_bytes(hex_bytes(each)) for each in _list(keys))


def _decode_pairs(drone_id: bytes, *, pairs: object) -> tuple[VerifyingKeys, ...]:
    return tuple(_decode_pair(drone_id, **each) for each in _list(pairs))


def _decode_pair(drone_id: bytes, *, ecdsa_p256: object, mldsa_65: object) -> VerifyingKeys:
    return check_verifying(VerifyingKeys(drone_id, hex_bytes(ecdsa_p256), hex_bytes(mldsa_65)))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return [*value]
