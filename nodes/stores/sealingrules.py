"""What every store of sealing keys must hold, whether in memory or on disk (specs/8-sealed-logs.md, 8.4)."""

from collections.abc import Sequence

from protocols.crypto.dh import DH_FUNCTIONS
from protocols.crypto.hpke import HpkeKey, check_hpke_public
from protocols.crypto.signatures import EcdsaP256Key, MlDsa65Key, check_mldsa65_public
from protocols.errors import StorageError, UsageError
from protocols.sealing import CloudKey, PinRefusedError, SigningKeys, VerifyingKeys, cloud_key_id_of
from specs.registry import KEY_ID_BYTES
from specs.sealed_log import MAX_DRONE_KEYS, MAX_OPENING_KEYS


def new_signing_keys() -> SigningKeys:
    """Return a fresh pair."""
    return SigningKeys(EcdsaP256Key.generate(), MlDsa65Key.generate())


def check_cloud_key(key: CloudKey) -> CloudKey:
    """Return a key that may be pinned; BadPublicKeyError, UsageError."""
    check_id(key.cloud_id)
    check_hpke_public(key.public)
    return key


def pinned(old: CloudKey | None, new: CloudKey) -> CloudKey:
    """Return what replaces a pinned cloud key; PinRefusedError (SL-32), BadPublicKeyError, UsageError."""
    if old is not None and old.cloud_id != new.cloud_id:
        raise PinRefusedError("another cloud's key is pinned for logs: the drone's owner must unpin it first")
    return check_cloud_key(new)


def check_verifying(keys: VerifyingKeys) -> VerifyingKeys:
    """Return keys that may be pinned; BadPublicKeyError, UsageError."""
    check_id(keys.drone_id)
    DH_FUNCTIONS["P256"].check_public(keys.ecdsa_public)
    check_mldsa65_public(keys.mldsa_public)
    return keys


def with_pair(old: Sequence[VerifyingKeys], new: VerifyingKeys) -> tuple[VerifyingKeys, ...]:
    """Return the pairs of one drone after it gave ``new``: the newest last, no more than 4 (SL-33)."""
    others = [keys for keys in old if keys != new]
    return (*others, check_verifying(new))[-MAX_DRONE_KEYS:]


def with_key(old: Sequence[HpkeKey], new: HpkeKey) -> tuple[HpkeKey, ...]:
    """Return a cloud's keys after a rotation (SL-31); StorageError when there are as many as may be."""
    if len(old) >= MAX_OPENING_KEYS:
        raise StorageError(f"there are {len(old)} keys for logs: destroy one that no log on its way is sealed to")
    return (*old, new)


def without_key(old: Sequence[HpkeKey], key_id: bytes) -> tuple[HpkeKey, ...]:
    """Return a cloud's keys without one; UsageError for the newest."""
    if old and cloud_key_id_of(old[-1].public) == key_id:
        raise UsageError("this is the key that drones seal their logs to: make a new one before it is destroyed")
    return tuple(key for key in old if cloud_key_id_of(key.public) != key_id)


def check_id(key_id: bytes) -> bytes:
    """Return a key id of 16 bytes; UsageError."""
    if len(key_id) != KEY_ID_BYTES:
        raise UsageError(f"a key id has {KEY_ID_BYTES} bytes, not {len(key_id)}")
    return key_id
