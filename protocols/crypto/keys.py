"""Where private keys come from: the one parameter through which randomness enters a handshake.

``SystemKeySource`` is production; ``FixedKeySource`` gives known keys in order, for vectors and tests.
"""

from collections.abc import Iterable
from typing import Protocol

from protocols.crypto.dh import DH_FUNCTIONS, DhFunction, P256Key, SoftwareKey, StaticKey, X448Key, X25519Key
from protocols.crypto.kem import KEMS, Kem, KemKey, MlKem768Key
from protocols.errors import UnsupportedError, UsageError

__all__ = [
    "FixedKeySource",
    "KemKey",
    "KeySource",
    "MlKem768Key",
    "P256Key",
    "SoftwareKey",
    "StaticKey",
    "SystemKeySource",
    "X448Key",
    "X25519Key",
    "load_static_key",
]


class KeySource(Protocol):
    """Everything in a handshake that is random."""

    def dh_key(self, dh_name: str) -> StaticKey:
        """Return a new key pair for one handshake; UnsupportedError for an unknown name."""
        ...

    def kem_key(self, kem_name: str) -> KemKey:
        """Return a new KEM key pair for one handshake; UnsupportedError for an unknown name."""
        ...

    def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
        """Return (shared secret, ciphertext) for a public key; BadPublicKeyError if it is not one."""
        ...


def _dh(name: str) -> DhFunction:
    if name not in DH_FUNCTIONS:
        raise UnsupportedError(f"DH function {name!r} is not offered")
    return DH_FUNCTIONS[name]


def _kem(name: str) -> Kem:
    if name not in KEMS:
        raise UnsupportedError(f"KEM {name!r} is not offered")
    return KEMS[name]


def load_static_key(dh_name: str, private: bytes) -> SoftwareKey:
    """Return the software key of stored private bytes; UnsupportedError, KeyFormatError."""
    return _dh(dh_name).from_private_bytes(private)


class SystemKeySource:
    """``cryptography``'s generators. Without state: any number of threads may share one."""

    __slots__ = ()

    def dh_key(self, dh_name: str) -> SoftwareKey:
        return _dh(dh_name).generate()

    def kem_key(self, kem_name: str) -> KemKey:
        return _kem(kem_name).generate()

    def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
        return _kem(kem_name).encapsulate(public)


class FixedKeySource:
    """Known keys, each handed out once, in order; UsageError when there is none left.

    ``dh`` holds private keys, ``kem`` 64-byte seeds, ``encapsulations`` pairs (shared secret, ciphertext).
    For vectors and tests: whoever knows the keys reads the session.
    """

    __slots__ = ("_dh", "_encapsulations", "_kem")

    def __init__(
        self,
        dh: Iterable[bytes] = (),
        kem: Iterable[bytes] = (),
        encapsulations: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._dh = iter(dh)
        self._kem = iter(kem)
        self._encapsulations = iter(encapsulations)

    def dh_key(self, dh_name: str) -> SoftwareKey:
        for private in self._dh:
            return load_static_key(dh_name, private)
        raise UsageError("no fixed DH key is left")

    def kem_key(self, kem_name: str) -> KemKey:
        for seed in self._kem:
            return _kem(kem_name).from_seed(seed)
        raise UsageError("no fixed KEM key is left")

    def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
        _kem(kem_name).check_public(public)
        for pair in self._encapsulations:
            return pair
        raise UsageError("no fixed encapsulation is left")
