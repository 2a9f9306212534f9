"""Diffie-Hellman functions (Noise rev 34, section 12; specs/noise-p256.md), as rows of a table.

A key is an object with a public half and an ``exchange``: software keys stand here, a key in a TPM is any
other object of the same shape. Private values leave a software key only through
:meth:`SoftwareKey.private_bytes`.

A public key travels as bytes. What it means is parsed once, not once per agreement: ``_PARSED`` of the last
parsed ones are kept per function. They are public, so nothing is lost by keeping them; strangers can push the
others out of there, which costs those a parse (3-8 us) and nothing else. What is no key is not kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.errors import BadPublicKeyError, KeyFormatError

_P256: Final = ec.SECP256R1()
_ECDH: Final = ec.ECDH()
_PARSED: Final = 128
_UNCOMPRESSED: Final = 0x04  # SEC 1, section 2.3.3


class StaticKey(Protocol):
    """A key pair of a DH function; the private half may live in a TPM or an HSM."""

    @property
    def dh(self) -> str:
        """Name of the DH function: ``25519``, ``448`` or ``P256``."""
        ...

    @property
    def public(self) -> bytes:
        """The public key as it stands on the wire (32, 56 or 65 bytes)."""
        ...

    def exchange(self, peer_public: bytes) -> bytes:
        """Return the shared secret (32 or 56 bytes).

        BadPublicKeyError if the peer's key is not a valid one.
        """
        ...


class SoftwareKey(StaticKey, Protocol):
    """A key pair held in memory."""

    def private_bytes(self) -> bytes:
        """Return the private key for the key store, and for nothing else."""
        ...


def describe(kind: str, public: bytes) -> str:
    """Return the repr of a key: its kind and the start of its public half, never the private one."""
    return f"<{kind} public={public[-4:].hex()}…>"


@lru_cache(_PARSED)
def _x25519(public: bytes) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(public)


@lru_cache(_PARSED)
def _x448(public: bytes) -> X448PublicKey:
    return X448PublicKey.from_public_bytes(public)


class X25519Key:
    """Curve25519 (RFC 7748, section 5): 32-byte private, public and shared values."""

    __slots__ = ("_key", "public")
    dh: str = "25519"

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        return cls(X25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, private: bytes) -> Self:
        if len(private) != 32:
            raise KeyFormatError("an X25519 private key has 32 bytes")
        return cls(X25519PrivateKey.from_private_bytes(private))

    def exchange(self, peer_public: bytes) -> bytes:
        try:
            # OpenSSL refuses the all-zero result (RFC 7748, section 6.1; Noise 12.1 allows it).
            return self._key.exchange(_x25519(peer_public))
        except ValueError:
            raise BadPublicKeyError("X25519: wrong length or low order") from None

    def private_bytes(self) -> bytes:
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return describe("X25519Key", self.public)


class X448Key:
    """Curve448 (RFC 7748, section 5): 56-byte private, public and shared values."""

    __slots__ = ("_key", "public")
    dh: str = "448"

    def __init__(self, key: X448PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        return cls(X448PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, private: bytes) -> Self:
        if len(private) != 56:
            raise KeyFormatError("an X448 private key has 56 bytes")
        return cls(X448PrivateKey.from_private_bytes(private))

    def exchange(self, peer_public: bytes) -> bytes:
        try:
            return self._key.exchange(_x448(peer_public))  # as X25519
        except ValueError:
            raise BadPublicKeyError("X448: wrong length or low order") from None

    def private_bytes(self) -> bytes:
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return describe("X448Key", self.public)


class P256Key:
    """NIST P-256 (specs/noise-p256.md).

    Private 32-byte big-endian scalar, public 65 bytes, shared 32-byte x.
    """

    __slots__ = ("_key", "public")
    dh: str = "P256"

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(_P256))

    @classmethod
    def from_private_bytes(cls, private: bytes) -> Self:
        """Return the key of a scalar; KeyFormatError unless it has 32 bytes and is in 1 .. n-1."""
        if len(private) != 32:
            raise KeyFormatError("a P-256 private key has 32 bytes")
        try:
            return cls(ec.derive_private_key(int.from_bytes(private, "big"), _P256))
        except ValueError:
            raise KeyFormatError("a P-256 private key is a scalar in 1 .. n-1") from None

    def exchange(self, peer_public: bytes) -> bytes:
        peer = parse_p256_point(peer_public)
        # SP 800-56A rev 3, 5.7.1.2: the x-coordinate. The cofactor is 1, so a valid point never gives
        # infinity.
        return self._key.exchange(_ECDH, peer)

    def private_bytes(self) -> bytes:
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def __repr__(self) -> str:
        return describe("P256Key", self.public)


@lru_cache(_PARSED)
def parse_p256_point(public: bytes) -> ec.EllipticCurvePublicKey:
    """Return the point of 65 uncompressed bytes.

    BadPublicKeyError unless SP 800-56A rev 3, 5.6.2.3.4 holds.
    """
    # Compressed (02, 03), hybrid (06, 07) and infinity (00) are other spellings: one key, one encoding.
    if len(public) != 65 or public[0] != _UNCOMPRESSED:
        raise BadPublicKeyError("P-256: not a 65-byte uncompressed point")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_P256, public)
    except ValueError:
        raise BadPublicKeyError("P-256: not a point of the curve") from None


def _check_length(length: int) -> Callable[[bytes], None]:
    # Every string of the right length is an X25519 or X448 public key (RFC 7748, section 5); low order shows
    # in the exchange.
    def check(public: bytes) -> None:
        if len(public) != length:
            raise BadPublicKeyError(f"public key: {length} bytes expected")

    return check


@dataclass(frozen=True, slots=True)
class DhFunction:
    """One row: a DH function of Noise, section 4.1."""

    name: str
    """The name inside a Noise protocol name."""
    private_length: int
    """Bytes of a private key."""
    public_length: int
    """Bytes of a public key: Noise's DHLEN as far as messages are concerned."""
    secret_length: int
    """Bytes of the shared secret (differs from ``public_length`` for P-256)."""
    generate: Callable[[], SoftwareKey]
    """A fresh key pair from the system's generator."""
    from_private_bytes: Callable[[bytes], SoftwareKey]
    """A key pair from its private half; KeyFormatError."""
    check_public: Callable[[bytes], object]
    """Refuse what is not a public key with BadPublicKeyError, before any private key touches it."""


DH_FUNCTIONS: Final[Mapping[str, DhFunction]] = MappingProxyType(
    {
        row.name: row
        for row in (
            DhFunction("25519", 32, 32, 32, X25519Key.generate, X25519Key.from_private_bytes, _check_length(32)),
            DhFunction("448", 56, 56, 56, X448Key.generate, X448Key.from_private_bytes, _check_length(56)),
            DhFunction("P256", 32, 65, 32, P256Key.generate, P256Key.from_private_bytes, parse_p256_point),
        )
    }
)
