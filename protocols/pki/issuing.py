"""What is issued: authorities, server and device certificates, revocation lists, requests (KL-22 to KL-27, KL-33)."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocols.crypto.dh import parse_p256_point
from protocols.errors import ConfigError, KeyFormatError
from protocols.pki.errors import CertificateRefusedError, CertificateTimeError, ClockError
from protocols.pki.reading import Identity, check_ca, device_id_of_key, load_untrusted, read_certificate_untrusted
from protocols.pki.times import sound, time_text, utc
from protocols.pki.types import Certificate, CertificateKey, Use
from specs.certificates import (
    BACKDATE_S,
    CA_LIFETIME_S,
    CRL_LIFETIME_S,
    DEVICE_LIFETIME_S,
    SERIAL_BYTES,
    SERVER_LIFETIME_S,
)

Entropy = Callable[[int], bytes]
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_MAX_HOST_CHARS: Final = 253


def make_csr(key: CertificateKey) -> bytes:
    """Return the DER of a request that says nothing but the key, and proves it (KL-33)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key.native(), SHA256()).public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The key that issues, with its own certificate."""

    key: CertificateKey
    """Its private key."""
    certificate: Certificate
    """Its certificate, signed by itself."""

    @classmethod
    def make(cls, key: CertificateKey, now: float, entropy: Entropy) -> Self:
        """Make an authority (KL-24); ClockError."""
        name = _name(f"Aerolink authority {device_id_of_key(key.public)[:8]}")
        builder = _builder(name, name, key.public, now, int(sound(now)) + CA_LIFETIME_S, entropy)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(issues=True), critical=True)
        return cls(key, _signed(_linked(builder, key.public, key.public), key))

    @classmethod
    def parse(cls, pem: bytes) -> Self:
        """Read the file that :meth:`pem` wrote; KeyFormatError."""
        identity = Identity.parse(pem, 1)
        try:
            check_ca(identity.certificates[0])
        except CertificateRefusedError as error:
            raise KeyFormatError(str(error)) from None
        return cls(identity.key, identity.certificates[0])

    def pem(self) -> bytes:
        """Return key and certificate as one file, which must be private."""
        return Identity(self.key, (self.certificate,)).pem()

    def issue_server(self, public: bytes, hosts: Sequence[str], now: float, entropy: Entropy) -> Certificate:
        """Issue a server certificate for DNS names and IP addresses (KL-25); ConfigError, ClockError."""
        names = x509.SubjectAlternativeName([_host(each) for each in hosts])
        builder = self._builder("Aerolink cloud", public, now, SERVER_LIFETIME_S, entropy)
        builder = builder.add_extension(x509.ExtendedKeyUsage([Use.SERVER.value]), critical=False)
        return self._signed(builder.add_extension(names, critical=False), public)

    def issue_device(self, public: bytes, now: float, entropy: Entropy) -> Certificate:
        """Issue a device certificate (KL-26); ClockError."""
        builder = self._builder(device_id_of_key(public), public, now, DEVICE_LIFETIME_S, entropy)
        builder = builder.add_extension(x509.ExtendedKeyUsage([Use.DEVICE.value]), critical=False)
        return self._signed(builder, public)

    def revocation_list(self, revoked: Sequence[tuple[str, int]], number: int, now: float) -> bytes:
        """Return the DER of a revocation list (KL-27) of (serial, Unix time of its revocation)."""
        at = int(sound(now))
        builder = x509.CertificateRevocationListBuilder().issuer_name(load_untrusted(self.certificate.der).subject)
        builder = builder.last_update(utc(at - BACKDATE_S)).next_update(utc(at + CRL_LIFETIME_S))
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        builder = builder.add_extension(_issued_by(self.key.public), critical=False)
        for serial, revoked_s in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(utc(revoked_s))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key.native(), SHA256()).public_bytes(Encoding.DER)

    def _builder(
        self, subject: str, public: bytes, now: float, life_s: int, entropy: Entropy
    ) -> x509.CertificateBuilder:
        self._check_time(now)
        end_s = min(int(now) + life_s, self.certificate.not_after_s)  # nothing outlives its issuer
        issuer = load_untrusted(self.certificate.der).subject
        builder = _builder(_name(subject), issuer, public, now, end_s, entropy)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        return builder.add_extension(_key_usage(issues=False), critical=True)

    def _check_time(self, now: float) -> None:
        try:
            self.certificate.check_time(sound(now))
        except CertificateTimeError:
            raise ClockError(
                f"the authority is valid from {time_text(self.certificate.not_before_s)} to "
                f"{time_text(self.certificate.not_after_s)}, and it is {time_text(now)} here: set the clock"
            ) from None

    def _signed(self, builder: x509.CertificateBuilder, public: bytes) -> Certificate:
        return _signed(_linked(builder, public, self.key.public), self.key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: bytes, now: float, end_s: int, entropy: Entropy
) -> x509.CertificateBuilder:
    serial = bytearray(entropy(SERIAL_BYTES))
    serial[0] = serial[0] & 0x7F | 0x40  # positive, and never shorter (KL-22)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(parse_p256_point(public)).serial_number(int.from_bytes(serial, "big"))
    return builder.not_valid_before(utc(int(sound(now)) - BACKDATE_S)).not_valid_after(utc(end_s))


def _linked(builder: x509.CertificateBuilder, public: bytes, issuer: bytes) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(parse_p256_point(public))
    return builder.add_extension(own, critical=False).add_extension(_issued_by(issuer), critical=False)


def _issued_by(issuer: bytes) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(parse_p256_point(issuer))


def _signed(builder: x509.CertificateBuilder, key: CertificateKey) -> Certificate:
    return read_certificate_untrusted(builder.sign(key.native(), SHA256()).public_bytes(Encoding.DER))


def _key_usage(*, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issues,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if len(host) > _MAX_HOST_CHARS or not _HOST.fullmatch(host.lower()):
        raise ConfigError(f"{host!r} is neither a DNS name nor an IP address")
    return x509.DNSName(host.lower())
