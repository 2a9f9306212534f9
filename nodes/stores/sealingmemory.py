"""Sealing keys in memory, for tests, embedding and the demo: nothing survives the process."""

from collections.abc import Sequence

from nodes.stores.sealingrules import new_signing_keys, pinned, with_key, with_pair, without_key
from protocols.crypto.hpke import HpkeKey
from protocols.sealing import CloudKey, SigningKeys, VerifyingKeys


class MemoryDroneSealing:
    """Port DroneSealing."""

    def __init__(self, signing: SigningKeys | None = None) -> None:
        self._signing = signing
        self._cloud: CloudKey | None = None

    async def signing_keys(self) -> SigningKeys:
        """Return both signing keys, made at first use."""
        self._signing = self._signing or new_signing_keys()
        return self._signing

    async def cloud_key(self) -> CloudKey | None:
        """Return the pinned key."""
        return self._cloud

    async def pin_cloud_key(self, key: CloudKey) -> None:
        """Pin a key; PinRefusedError, BadPublicKeyError."""
        self._cloud = pinned(self._cloud, key)

    async def unpin_cloud_key(self) -> None:
        """Forget it."""
        self._cloud = None


class MemoryCloudSealing:
    """Port CloudSealing."""

    def __init__(self, keys: Sequence[HpkeKey] = ()) -> None:
        self._keys = tuple(keys)
        self._drones: dict[bytes, tuple[VerifyingKeys, ...]] = {}

    async def newest_key(self) -> HpkeKey:
        """Return the newest key, made at first use."""
        return self._keys[-1] if self._keys else await self.rotate()

    async def opening_keys(self) -> Sequence[HpkeKey]:
        """Return all, the newest last."""
        return self._keys

    async def rotate(self) -> HpkeKey:
        """Make a new newest key."""
        self._keys = with_key(self._keys, HpkeKey.generate())
        return self._keys[-1]

    async def destroy_key(self, key_id: bytes) -> None:
        """Forget an older key."""
        self._keys = without_key(self._keys, key_id)

    async def verifying_keys(self, drone_id: bytes) -> Sequence[VerifyingKeys]:
        """Return the pairs of one drone, the newest last."""
        return self._drones.get(drone_id, ())

    async def pin_drone(self, keys: VerifyingKeys) -> None:
        """Pin a drone's keys."""
        self._drones[keys.drone_id] = with_pair(self._drones.get(keys.drone_id, ()), keys)

    async def unpin_drone(self, drone_id: bytes) -> None:
        """Forget a drone's keys."""
        self._drones.pop(drone_id, None)
