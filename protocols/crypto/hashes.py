"""Hash functions of Noise (rev 34, sections 4.3 and 12), HMAC and HKDF over them.

All of it is ``cryptography``'s (docs/adr/0006). A handshake makes some 20 hashes and 18 HKDFs, both ends together.
Most of a short hash is the making of its context, so each row has one that is never fed, and copies it: as fast as
``hashlib``, whose BLAKE2 is not OpenSSL's. HKDF is one call for two or three HMACs; ``hmac.digest`` is no faster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives import hashes as _hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.errors import UsageError


@dataclass(frozen=True, slots=True)
class Hash:
    """One row: a hash function, and HMAC and HKDF over it."""

    name: str
    """The name inside a Noise protocol name."""
    length: int
    """HASHLEN, bytes of a digest: 32 or 64."""
    block_length: int
    """BLOCKLEN, bytes of an internal block (used inside HMAC)."""
    _algorithm: _hashes.HashAlgorithm = field(repr=False)
    _empty: _hashes.Hash = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_empty", _hashes.Hash(self._algorithm))

    def digest(self, first: bytes = b"", *others: bytes) -> bytes:
        """Return HASH over the concatenation of the parts, ``length`` bytes."""
        context = self._empty.copy()
        context.update(first)
        for part in others:
            context.update(part)
        return context.finalize()

    def hmac(self, key: bytes, data: bytes) -> bytes:
        """Return HMAC-HASH (RFC 2104), ``length`` bytes; the key may have any length."""
        context = HMAC(key, self._algorithm)
        context.update(data)
        return context.finalize()

    def hkdf(self, ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
        """Return HKDF (RFC 5869), ``length`` bytes; UsageError unless it is in 1 .. 255 * HASHLEN."""
        if not 0 < length <= 255 * self.length:
            raise UsageError(f"HKDF-{self.name} gives 1 to {255 * self.length} bytes")
        return HKDF(self._algorithm, length, salt, info).derive(ikm)

    def mix(self, chaining_key: bytes, ikm: bytes, outputs: int) -> tuple[bytes, ...]:
        """Return Noise's HKDF(chaining_key, ikm, outputs): two or three strings of ``length`` bytes.

        Noise 4.3 is RFC 5869 with the chaining key as salt and no info: T(1) || T(2) [|| T(3)].
        """
        size = self.length
        stream = HKDF(self._algorithm, outputs * size, chaining_key, None).derive(ikm)
        if outputs == 2:
            return stream[:size], stream[size:]
        return stream[:size], stream[size : 2 * size], stream[2 * size :]


HASHES: Final[Mapping[str, Hash]] = MappingProxyType(
    {
        row.name: row
        for row in (
            Hash("SHA256", 32, 64, _hashes.SHA256()),
            Hash("SHA512", 64, 128, _hashes.SHA512()),
            Hash("BLAKE2s", 32, 64, _hashes.BLAKE2s(32)),
            Hash("BLAKE2b", 64, 128, _hashes.BLAKE2b(64)),
        )
    }
)
