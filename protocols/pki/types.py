"""Certificates and their keys, as the rest of us sees them."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocols.crypto.dh import P256Key, describe
from protocols.crypto.keyfile import parse_private_key_pem, private_key_pem
from protocols.errors import KeyFormatError
from protocols.pki.errors import CertificateTimeError
from protocols.pki.times import time_text
from specs.certificates import BACKDATE_S, RENEW_DENOMINATOR, RENEW_NUMERATOR


class Use(Enum):
    """What a certificate is for: one purpose each (RFC 5280, 4.2.1.12)."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    DEVICE = ExtendedKeyUsageOID.CLIENT_AUTH


class CertificateKey:
    """A P-256 key of a certificate. It signs TLS handshakes and, at the authority, certificates."""

    __slots__ = ("_key", "public")

    def __init__(self, key: P256Key) -> None:
        self._key = key
        self.public: Final = key.public

    @classmethod
    def generate(cls) -> Self:
        return cls(P256Key.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read a PKCS#8 file; KeyFormatError."""
        key = parse_private_key_pem(pem)
        if not isinstance(key, P256Key):
            raise KeyFormatError("the key of a certificate is a P256 key")
        return cls(key)

    def pem(self) -> bytes:
        """Return it for the key store, and for nothing else."""
        return private_key_pem(self._key)

    def native(self) -> ec.EllipticCurvePrivateKey:
        """Return what the X.509 builders sign with."""
        return ec.derive_private_key(int.from_bytes(self._key.private_bytes(), "big"), ec.SECP256R1())

    def __repr__(self) -> str:
        return describe("CertificateKey", self.public)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What we read in a certificate."""

    der: bytes
    """All of it."""
    serial: str
    """32 hexadecimal digits, or more if it is none of ours."""
    public: bytes
    """65-byte point."""
    device_id: str
    """32 hexadecimal digits (KL-21)."""
    not_before_s: int
    """Unix time from which it is valid."""
    not_after_s: int
    """Unix time from which it is not valid any more."""

    @property
    def issued_s(self) -> int:
        """Unix time at which it was issued (KL-23)."""
        return self.not_before_s + BACKDATE_S

    def renewal_s(self) -> int:
        """Return the Unix time from which it is to be renewed: two thirds of its life (KL-40)."""
        life_s = self.not_after_s - self.issued_s
        return self.issued_s + life_s * RENEW_NUMERATOR // RENEW_DENOMINATOR

    def check_time(self, now: float) -> None:
        """CertificateTimeError unless it is valid at ``now``."""
        if now < self.not_before_s:
            raise CertificateTimeError(f"the certificate is valid only from {time_text(self.not_before_s)}")
        if now >= self.not_after_s:
            raise CertificateTimeError(f"the certificate has expired at {time_text(self.not_after_s)}")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device gets from an authority."""

    certificate_der: bytes
    """Its own certificate."""
    ca_der: bytes
    """The certificate of the authority that issued it."""
