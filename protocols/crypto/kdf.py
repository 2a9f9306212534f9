"""SHA-256 and what is made of it.

The functions that the suite uses outside of Noise, in every suite alike.
"""

from typing import Final

from cryptography.hazmat.primitives import constant_time

from protocols.crypto.hashes import HASHES
from protocols.errors import UsageError

_SHA256: Final = HASHES["SHA256"]
_MIN_MAC: Final = 16  # RFC 2104, section 5: not less than half of the digest


def sha256(*parts: bytes) -> bytes:
    """Return SHA-256 (FIPS 180-4) over the concatenation of the parts, 32 bytes."""
    return _SHA256.digest(*parts)


def hkdf_sha256(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-SHA256 (RFC 5869), ``length`` bytes; UsageError unless it is in 1 .. 8160."""
    return _SHA256.hkdf(ikm, salt, info, length)


def hmac_sha256(key: bytes, data: bytes, length: int = 32) -> bytes:
    """Return the first ``length`` bytes of HMAC-SHA256 (RFC 2104); UsageError unless it is in 16 .. 32.

    Compare the result with :func:`constant_time_equal`, never with ``==``.
    """
    if not _MIN_MAC <= length <= _SHA256.length:
        raise UsageError("HMAC-SHA256 gives 16 to 32 bytes")
    return _SHA256.hmac(key, data)[:length]


def constant_time_equal(a: bytes, b: bytes) -> bool:
    """Compare secrets in a time that depends on their lengths only."""
    return constant_time.bytes_eq(a, b)
