"""Signatures: ECDSA over P-256 with SHA-256 (FIPS 186-5), and ML-DSA-65 (FIPS 204)."""

from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto.dh import P256Key, describe, parse_p256_point
from protocols.errors import AuthenticationError, BadPublicKeyError, KeyFormatError, UsageError

ECDSA_SIGNATURE_LENGTH: Final = 64
"""Bytes of r || s."""
MLDSA65_PUBLIC_LENGTH: Final = 1952
MLDSA65_SIGNATURE_LENGTH: Final = 3309
MLDSA_MAX_CONTEXT: Final = 255
"""Bytes of a context string (FIPS 204, section 5.2)."""
_COORDINATE: Final = 32
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (SP 800-186, 3.2.1.3)."""
_ECDSA: Final = ec.ECDSA(SHA256())


class BadSignatureError(AuthenticationError):
    """A signature does not verify."""

    advice = "Do not use what was signed. A sealed log: fetch it from the drone again, and find out who carried it."


class EcdsaP256Key:
    """A signing key: private 32-byte scalar, public 65-byte point."""

    __slots__ = ("_key", "public")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_private_bytes(cls, private: bytes) -> Self:
        """Return the key of a 32-byte scalar; KeyFormatError."""
        P256Key.from_private_bytes(private)  # the same checks, the same error
        return cls(ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1()))

    def sign(self, message: bytes) -> bytes:
        """Return r || s, 64 bytes, s at most half of the group's order: what :func:`check_low_s` takes."""
        r, s = decode_dss_signature(self._key.sign(message, _ECDSA))
        s = min(s, _ORDER - s)
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")

    def private_bytes(self) -> bytes:
        """Return the scalar for the key store, and for nothing else."""
        return self._key.private_numbers().private_value.to_bytes(_COORDINATE, "big")

    def __repr__(self) -> str:
        return describe("EcdsaP256Key", self.public)


def verify_ecdsa_p256(public: bytes, signature: bytes, message: bytes) -> None:
    """Verify r || s (64 bytes) by a 65-byte point; BadSignatureError, BadPublicKeyError."""
    if len(signature) != ECDSA_SIGNATURE_LENGTH:
        raise BadSignatureError("an ECDSA signature has 64 bytes")
    r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
    verify_ecdsa_p256_der(public, encode_dss_signature(r, s), message)


def check_low_s(signature: bytes) -> None:
    """Refuse r || s whose s is above half of the group's order: BadSignatureError.

    With (r, s) also (r, n - s) verifies, and anybody can make it. Where the bytes that carry a signature must not have
    a twin, this is asked as well.
    """
    if int.from_bytes(signature[_COORDINATE:], "big") > _ORDER // 2:
        raise BadSignatureError("the ECDSA signature is the twin of one that was made")


def verify_ecdsa_p256_der(public: bytes, signature: bytes, message: bytes) -> None:
    """Verify a DER signature by a 65-byte point; BadSignatureError (also for BER), BadPublicKeyError."""
    key = parse_p256_point(public)
    try:
        key.verify(signature, message, _ECDSA)
    except InvalidSignature:
        raise BadSignatureError("the ECDSA signature does not verify") from None


class MlDsa65Key:
    """A signing key: private 32-byte seed, public 1,952 bytes, signatures 3,309 bytes."""

    __slots__ = ("_key", "public")

    def __init__(self, key: MLDSA65PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        return cls(MLDSA65PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the key of the 32-byte seed (FIPS 204, algorithm 6); KeyFormatError."""
        try:
            return cls(MLDSA65PrivateKey.from_seed_bytes(seed))
        except ValueError:
            raise KeyFormatError("an ML-DSA-65 seed has 32 bytes") from None

    def sign(self, message: bytes, context: bytes = b"") -> bytes:
        """Return the hedged signature (FIPS 204, algorithm 2), 3,309 bytes; UsageError for a long context."""
        _check_context(context)
        return self._key.sign(message, context)

    def seed_bytes(self) -> bytes:
        """Return the seed for the key store, and for nothing else."""
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return describe("MlDsa65Key", self.public)


def verify_mldsa65(public: bytes, signature: bytes, message: bytes, context: bytes = b"") -> None:
    """Verify an ML-DSA-65 signature (FIPS 204, algorithm 3); BadSignatureError, BadPublicKeyError.

    UsageError for a context of more than 255 bytes: it is the caller's, not the signer's.
    """
    _check_context(context)
    key = _parse_mldsa65(public)
    try:
        key.verify(signature, message, context)
    except InvalidSignature:
        raise BadSignatureError("the ML-DSA-65 signature does not verify") from None


def check_mldsa65_public(public: bytes) -> None:
    """Refuse what has not the length of an ML-DSA-65 public key: BadPublicKeyError. Every string that has it is one."""
    _parse_mldsa65(public)


def _parse_mldsa65(public: bytes) -> MLDSA65PublicKey:
    try:
        return MLDSA65PublicKey.from_public_bytes(public)
    except ValueError:
        raise BadPublicKeyError("an ML-DSA-65 public key has 1,952 bytes") from None


def _check_context(context: bytes) -> None:
    if len(context) > MLDSA_MAX_CONTEXT:
        raise UsageError("an ML-DSA context has at most 255 bytes")
