"""AEAD ciphers.

The cipher functions of Noise (rev 34, sections 4.2 and 12), and AES-256-GCM with a plain nonce.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct
from types import MappingProxyType
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols.errors import DecryptError, KeyFormatError, MessageTooLargeError

KEY_LENGTH: Final = 32
"""Bytes of every cipher key (Noise 4.2)."""
TAG_LENGTH: Final = 16
"""Bytes that a ciphertext is longer than its plaintext (Noise 4.2)."""
NONCE_LENGTH: Final = 12
"""Bytes of a nonce of AES-256-GCM and ChaCha20-Poly1305."""
MAX_PLAINTEXT: Final = 2**31 - 1 - TAG_LENGTH
"""Bytes that ``cryptography`` seals in one call."""


_Buffer = bytes | bytearray | memoryview


class AeadObject(Protocol):
    """An AEAD with its key inside, shaped as ``cryptography``'s; ``decrypt`` raises InvalidTag."""

    def encrypt(self, nonce: _Buffer, data: _Buffer, associated_data: _Buffer | None, /) -> bytes: ...

    def encrypt_into(self, nonce: _Buffer, data: _Buffer, associated_data: _Buffer | None, buf: _Buffer, /) -> int: ...

    def decrypt(self, nonce: _Buffer, data: _Buffer, associated_data: _Buffer | None, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Cipher:
    """One row: a cipher of a Noise protocol name. The 12-byte nonce is made from a 64-bit counter."""

    name: str
    """The name inside a Noise protocol name."""
    new: Callable[[bytes], AeadObject]
    """An AEAD object from a 32-byte key.

    Made once per key, then reused (making one costs more than a packet).
    """
    nonce: Callable[[int], bytes]
    """The nonce of a counter 0 .. 2^64-1."""


CIPHERS: Final[Mapping[str, Cipher]] = MappingProxyType(
    {
        row.name: row
        for row in (
            Cipher("AESGCM", AESGCM, Struct(">4xQ").pack),  # 12.4: four zero bytes, big-endian counter
            Cipher("ChaChaPoly", ChaCha20Poly1305, Struct("<4xQ").pack),  # 12.3: little-endian counter
        )
    }
)


class Aead:
    """AES-256-GCM (SP 800-38D) with 12-byte nonces that the caller must never repeat under one key."""

    __slots__ = ("_aead",)
    _algorithm: Callable[[bytes], AeadObject] = AESGCM

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise KeyFormatError("an AEAD key has 32 bytes")
        self._aead = type(self)._algorithm(key)

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes = b"") -> bytes:
        """Return ciphertext and 16-byte tag; KeyFormatError for a wrong nonce, MessageTooLargeError."""
        _check_nonce(nonce)
        if len(plaintext) > MAX_PLAINTEXT:
            raise MessageTooLargeError("more than 2 GiB in one AEAD message")
        return self._aead.encrypt(nonce, plaintext, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
        """Return the plaintext; DecryptError if the tag does not verify, KeyFormatError for a wrong nonce."""
        _check_nonce(nonce)
        try:
            return self._aead.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag:
            raise DecryptError("the tag does not verify") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class ChaChaAead(Aead):
    """ChaCha20-Poly1305 (RFC 8439), otherwise as :class:`Aead`."""

    __slots__ = ()
    _algorithm: Callable[[bytes], AeadObject] = ChaCha20Poly1305


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_LENGTH:
        raise KeyFormatError("a nonce has 12 bytes")
