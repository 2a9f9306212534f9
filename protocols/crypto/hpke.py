"""HPKE (RFC 9180, draft-ietf-hpke-pq) in the one suite of sealed logs.

KEM MLKEM1024-P384, KDF HKDF-SHA384, AEAD AES-256-GCM, base mode: one message per encapsulation. It takes ``info`` and
no associated data, and the randomness of the encapsulation is the system's: a seal cannot be made again.
"""

from functools import lru_cache
from typing import Final, Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM1024P384PrivateKey,
    MLKEM1024P384PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto.dh import describe
from protocols.errors import BadPublicKeyError, DecryptError, KeyFormatError, UnsupportedError

_MLKEM_PUBLIC: Final = 1_568
_MLKEM_SEED: Final = 64
_POINT: Final = 97
_SCALAR: Final = 48
_UNCOMPRESSED: Final = 4
_PARSED: Final = 8
_P384: Final = ec.SECP384R1()


class HpkeKey:
    """A key pair: private 112 bytes (ML-KEM seed d || z, P-384 scalar), public 1,665 (ML-KEM key, P-384 point)."""

    __slots__ = ("_key", "_mlkem", "_p384", "public")

    def __init__(self, mlkem: MLKEM1024PrivateKey, p384: ec.EllipticCurvePrivateKey) -> None:
        self._mlkem = mlkem
        self._p384 = p384
        self._key = MLKEM1024P384PrivateKey(mlkem, p384)
        point = p384.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = mlkem.public_key().public_bytes_raw() + point

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh key pair; UnsupportedError where ``cryptography`` has no ML-KEM."""
        try:
            return cls(MLKEM1024PrivateKey.generate(), ec.generate_private_key(_P384))
        except UnsupportedAlgorithm:
            raise UnsupportedError("ML-KEM-1024 is not offered by this build of cryptography") from None

    @classmethod
    def from_private_bytes(cls, private: bytes) -> Self:
        """Return the key pair of 112 stored bytes; KeyFormatError, UnsupportedError."""
        if len(private) != _MLKEM_SEED + _SCALAR:
            raise KeyFormatError("an HPKE private key has 112 bytes")
        scalar = int.from_bytes(private[_MLKEM_SEED:], "big")
        try:
            return cls(MLKEM1024PrivateKey.from_seed_bytes(private[:_MLKEM_SEED]), ec.derive_private_key(scalar, _P384))
        except ValueError:
            raise KeyFormatError("a P-384 private key is a scalar in 1 .. n-1") from None
        except UnsupportedAlgorithm:
            raise UnsupportedError("ML-KEM-1024 is not offered by this build of cryptography") from None

    def open_untrusted(self, sealed: bytes, info: bytes) -> bytes:
        """Return what was sealed to this key under ``info``; DecryptError for anything else."""
        try:
            return _suite().decrypt(sealed, self._key, info)
        except InvalidTag:
            raise DecryptError("HPKE: not sealed to this key, or under another info") from None

    def private_bytes(self) -> bytes:
        """Return the 112 bytes for the key store, and for nothing else."""
        scalar = self._p384.private_numbers().private_value.to_bytes(_SCALAR, "big")
        return self._mlkem.private_bytes_raw() + scalar

    def __repr__(self) -> str:
        return describe("HpkeKey", self.public)


def check_hpke_public(public: bytes) -> None:
    """Refuse what is no public key of 1,665 bytes: BadPublicKeyError (FIPS 203, 7.2; SP 800-56A, 5.6.2.3)."""
    _parse(public)


def hpke_seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Return enc (1,665 bytes), ciphertext and tag (16), with the system's randomness; BadPublicKeyError."""
    return _suite().encrypt(plaintext, _parse(public), info)


@lru_cache(1)
def _suite() -> Suite:
    try:
        return Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
    except UnsupportedAlgorithm:
        raise UnsupportedError("HPKE with MLKEM1024-P384 is not offered by this build of cryptography") from None


@lru_cache(_PARSED)
def _parse(public: bytes) -> MLKEM1024P384PublicKey:
    if len(public) != _MLKEM_PUBLIC + _POINT or public[_MLKEM_PUBLIC] != _UNCOMPRESSED:
        raise BadPublicKeyError("an HPKE public key has 1,665 bytes, the last 97 an uncompressed point")
    try:
        return MLKEM1024P384PublicKey(
            MLKEM1024PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            ec.EllipticCurvePublicKey.from_encoded_point(_P384, public[_MLKEM_PUBLIC:]),
        )
    except ValueError:
        raise BadPublicKeyError("HPKE: not an ML-KEM-1024 key and a point of P-384") from None
    except UnsupportedAlgorithm:
        raise UnsupportedError("ML-KEM-1024 is not offered by this build of cryptography") from None
