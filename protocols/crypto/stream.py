"""STREAM over AES-256-GCM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): a long content in chunks.

The nonce of a chunk is prefix (7 bytes), its number (u32) and 1 in the last one, otherwise 0: chunks cannot be left
out, put elsewhere or added, nor can the content end early. Key and prefix come from one secret, which seals one
content only.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA384, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.crypto.ciphers import Aead
from protocols.errors import KeyExhaustedError, KeyFormatError

_SECRET: Final = 32
_KEY: Final = 32
_PREFIX: Final = 7
_MAX_COUNTER: Final = 2**32 - 1


class StreamCipher:
    """Seals or opens the chunks of one content."""

    __slots__ = ("_aead", "_prefix")

    def __init__(self, secret: bytes, info: bytes) -> None:
        """Derive key || prefix = HKDF-SHA384(secret, no salt, info); KeyFormatError unless the secret has 32 bytes."""
        if len(secret) != _SECRET:
            raise KeyFormatError("the secret of a stream has 32 bytes")
        derived = HKDF(SHA384(), _KEY + _PREFIX, None, info).derive(secret)
        self._aead = Aead(derived[:_KEY])
        self._prefix = derived[_KEY:]

    def seal(self, counter: int, chunk: bytes, *, final: bool) -> bytes:
        """Return ciphertext and 16-byte tag; KeyExhaustedError beyond 2^32 chunks."""
        return self._aead.seal(self._nonce(counter, final=final), chunk)

    def open_untrusted(self, counter: int, sealed: bytes, *, final: bool) -> bytes:
        """Return the chunk; DecryptError."""
        return self._aead.open(self._nonce(counter, final=final), sealed)

    def _nonce(self, counter: int, *, final: bool) -> bytes:
        if counter > _MAX_COUNTER:
            raise KeyExhaustedError("a stream has at most 2^32 chunks")
        return self._prefix + counter.to_bytes(4, "big") + bytes((final,))

    def __repr__(self) -> str:
        return "<StreamCipher>"


class Sha384:
    """SHA-384 (FIPS 180-4) of what comes in pieces."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = Hash(SHA384())

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take more."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """Return the 48 bytes over all that was taken so far."""
        return self._hash.copy().finalize()
