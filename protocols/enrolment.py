"""Enrolment tokens: how an operator lets one device in, once (specs/10-key-life-cycle.md, KL-30 to KL-32)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.typed import TypedFormat
from specs.certificates import (
    CA_FINGERPRINT_BYTES,
    TOKEN_CHECK_BITS,
    TOKEN_LABEL,
    TOKEN_SECRET_BYTES,
    TOKEN_STORED_LABEL,
)

_TEXT: Final = TypedFormat(
    "an", "enrolment token", TOKEN_LABEL, TOKEN_SECRET_BYTES + CA_FINGERPRINT_BYTES, TOKEN_CHECK_BITS, "fourteen"
)


def ca_fingerprint(ca_der: bytes) -> bytes:
    """Return the first 16 bytes of SHA-256 over the DER of an authority's certificate (KL-30)."""
    return hashlib.sha256(ca_der).digest()[:CA_FINGERPRINT_BYTES]


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A secret that is good for one enrolment, and the authority that it is good at."""

    secret: bytes = field(repr=False)
    """16 bytes: told to the authority over a connection that its certificate has proven, and to nobody else."""
    fingerprint: bytes
    """16 bytes that pin the authority's certificate (:func:`ca_fingerprint`); public."""

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes], ca_der: bytes) -> "EnrolmentToken":
        """Make a new token from the operating system's randomness."""
        return cls(entropy(TOKEN_SECRET_BYTES), ca_fingerprint(ca_der))

    @classmethod
    def parse(cls, typed: str) -> "EnrolmentToken":
        """Read what a person typed; CodeFormatError names the kind of mistake, never the text."""
        content = _TEXT.parse(typed)
        return cls(content[:TOKEN_SECRET_BYTES], content[TOKEN_SECRET_BYTES:])

    def text(self) -> str:
        """Fourteen groups of four characters: show it to the operator, nowhere else."""
        return _TEXT.text(self.secret + self.fingerprint)

    def stored(self) -> bytes:
        """Return the only thing that the authority keeps of a token: a hash of its secret, 32 bytes (KL-31)."""
        return hashlib.sha256(TOKEN_STORED_LABEL + self.secret).digest()

    def pins(self, ca_der: bytes) -> bool:
        """Whether this token is for the authority with this certificate. What is compared is public."""
        return ca_fingerprint(ca_der) == self.fingerprint
