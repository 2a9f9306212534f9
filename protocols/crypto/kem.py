"""Key encapsulation (FIPS 203; Noise HFS revision 1, section 3), as rows of a table.

An encapsulation key is checked in one message and used in the next: the last ``_PARSED`` are kept as they were parsed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Final, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from protocols.crypto.dh import describe
from protocols.errors import AerolinkError, BadPublicKeyError, KeyFormatError, UnsupportedError

_PARSED: Final = 32


class KemKey(Protocol):
    """A key pair of a KEM."""

    @property
    def kem(self) -> str:
        """Name of the KEM: ``MLKEM768``."""
        ...

    @property
    def public(self) -> bytes:
        """The encapsulation key as it stands on the wire (1,184 bytes)."""
        ...

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte shared secret; BadPublicKeyError if the ciphertext has the wrong length."""
        ...


class _RefusedAs:
    """``with`` one of these ``cryptography``'s errors become ours."""

    __slots__ = ("_error", "_message")

    def __init__(self, error: type[AerolinkError], message: str) -> None:
        self._error = error
        self._message = message

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(value, ValueError):
            raise self._error(self._message) from None
        if isinstance(value, UnsupportedAlgorithm):
            raise UnsupportedError("ML-KEM is not offered by this build of cryptography") from None


_NOT_MADE: Final = _RefusedAs(UnsupportedError, "ML-KEM-768 key generation failed")
_NO_SEED: Final = _RefusedAs(KeyFormatError, "an ML-KEM-768 seed has 64 bytes")
_NO_CIPHERTEXT: Final = _RefusedAs(BadPublicKeyError, "ML-KEM-768: a ciphertext has 1,088 bytes")
_NO_KEY: Final = _RefusedAs(BadPublicKeyError, "ML-KEM-768: not an encapsulation key (FIPS 203, 7.2)")


class MlKem768Key:
    """ML-KEM-768 (FIPS 203): public 1,184, ciphertext 1,088, shared secret 32 bytes."""

    __slots__ = ("_key", "public")
    kem: str = "MLKEM768"

    def __init__(self, key: MLKEM768PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh key pair (FIPS 203, algorithm 19); UnsupportedError without OpenSSL's ML-KEM."""
        with _NOT_MADE:
            return cls(MLKEM768PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key pair of the 64-byte seed d || z (FIPS 203, section 7.1); KeyFormatError."""
        with _NO_SEED:
            return cls(MLKEM768PrivateKey.from_seed_bytes(seed))

    def decapsulate(self, ciphertext: bytes) -> bytes:
        # A wrong ciphertext of the right length gives a secret that nobody else has (FIPS 203, implicit
        # rejection): the next tag fails, not this call.
        with _NO_CIPHERTEXT:
            return self._key.decapsulate(ciphertext)

    def seed_bytes(self) -> bytes:
        """Return the 64-byte seed d || z, for a key store or a vector, and for nothing else."""
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return describe("MlKem768Key", self.public)


@lru_cache(_PARSED)
def _parse(public: bytes) -> MLKEM768PublicKey:
    # FIPS 203, section 7.2: length, and every coefficient below q (modulus check).
    with _NO_KEY:
        return MLKEM768PublicKey.from_public_bytes(public)


def _encapsulate(public: bytes) -> tuple[bytes, bytes]:
    return _parse(public).encapsulate()


@dataclass(frozen=True, slots=True)
class Kem:
    """One row: the KEM functions of Noise HFS, section 3."""

    name: str
    """The name inside a Noise protocol name, after ``+``."""
    public_length: int
    """KEMPUBLICKEYLEN."""
    ciphertext_length: int
    """KEMCIPHERTEXTLEN."""
    secret_length: int
    """KEMOUTPUTLEN."""
    generate: Callable[[], KemKey]
    """A fresh key pair from the system's generator."""
    from_seed: Callable[[bytes], KemKey]
    """The key pair of a seed; KeyFormatError."""
    check_public: Callable[[bytes], object]
    """Refuse what is not an encapsulation key with BadPublicKeyError."""
    encapsulate: Callable[[bytes], tuple[bytes, bytes]]
    """(shared secret, ciphertext) to a public key, with the system's randomness; BadPublicKeyError."""


KEMS: Final[Mapping[str, Kem]] = MappingProxyType(
    {
        row.name: row
        for row in (Kem("MLKEM768", 1184, 1088, 32, MlKem768Key.generate, MlKem768Key.from_seed, _parse, _encapsulate),)
    }
)
