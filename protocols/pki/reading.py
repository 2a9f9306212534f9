"""Certificates and requests of others: what they say, and whether to believe it (KL-20 to KL-33)."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import SignatureAlgorithmOID

from protocols.crypto.spki import p256_to_spki
from protocols.errors import AerolinkError, KeyFormatError, MalformedError
from protocols.pki.errors import CertificateRefusedError
from protocols.pki.times import unix
from protocols.pki.types import Certificate, CertificateKey, Use
from specs.certificates import DEVICE_ID_BYTES, MAX_CERTIFICATE_BYTES, MAX_CSR_BYTES

T = TypeVar("T")
# What `cryptography` raises for hostile bytes; the warning (a serial number that is not positive) where it is an error.
_NOT_PARSED: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    CryptographyDeprecationWarning,
)
# ... and for extensions, all of which are read with the first one: none of these is a ValueError.
_NO_EXTENSION: Final = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
_END_OF_KEY: Final = b"-----END PRIVATE KEY-----\n"


def read_certificate_untrusted(der: bytes) -> Certificate:
    """Read a certificate; MalformedError for anything but a certificate of a P-256 key. It proves nothing yet."""
    native = load_untrusted(der)
    public = _point_untrusted(native.public_key)
    times = _parsed(lambda: (native.not_valid_before_utc, native.not_valid_after_utc), "certificate")
    return Certificate(
        der=der,
        serial=f"{native.serial_number:032x}",
        public=public,
        device_id=device_id_of_key(public),
        not_before_s=unix(times[0]),
        not_after_s=unix(times[1]),
    )


def device_id_of_key(public: bytes) -> str:
    """Return the device id of a 65-byte point: 32 hexadecimal digits (KL-21)."""
    return hashlib.sha256(p256_to_spki(public)).digest()[:DEVICE_ID_BYTES].hex()


def device_id_of(certificate_der: bytes) -> str:
    """Return the device id of a certificate; MalformedError."""
    return read_certificate_untrusted(certificate_der).device_id


def parse_csr_untrusted(der: bytes) -> bytes:
    """Return the 65-byte point that a PKCS#10 request (RFC 2986) proves to have the key of; MalformedError.

    Nothing else of a request is believed or taken over: neither subject nor attributes, among them extensions (KL-33).
    """
    if len(der) > MAX_CSR_BYTES:
        raise MalformedError("the certificate request is too large")
    csr = _parsed(lambda: x509.load_der_x509_csr(der), "certificate request")
    _check_end_untrusted(der, csr.signature)
    public = _point_untrusted(csr.public_key)
    if csr.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise MalformedError("the certificate request is not signed with ECDSA and SHA-256")
    if p256_to_spki(public) not in csr.tbs_certrequest_bytes:
        raise MalformedError("the key of the certificate request is not in its one encoding")
    if not _parsed(lambda: csr.is_signature_valid, "certificate request"):
        raise MalformedError("the certificate request is not signed by its key")
    return public


def hosts_of(certificate: Certificate) -> frozenset[str]:
    """Return the DNS names and IP addresses that a server certificate is for."""
    try:
        names = load_untrusted(certificate.der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (*_NO_EXTENSION, ValueError):
        return frozenset()
    return frozenset(str(each.value) for each in names)


def check_issued(certificate: Certificate, ca: Certificate, use: Use, now: float) -> None:
    """CertificateRefusedError unless ``ca`` issued this certificate for ``use``, and it is valid at ``now``."""
    native, issuer = load_untrusted(certificate.der), load_untrusted(ca.der)
    try:
        native.verify_directly_issued_by(issuer)
        wanted = native.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        basic = native.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificateRefusedError("the certificate was not issued by this authority") from None
    except _NO_EXTENSION:
        raise CertificateRefusedError("the certificate is not of the form that is issued here") from None
    if list(wanted) != [use.value] or basic.ca:
        raise CertificateRefusedError("the certificate is for another use")
    certificate.check_time(now)


def check_ca(ca: Certificate) -> None:
    """CertificateRefusedError unless this is the certificate of an authority, signed by itself."""
    native = load_untrusted(ca.der)
    try:
        native.verify_directly_issued_by(native)
        basic = native.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificateRefusedError("the certificate of the authority is not signed by itself") from None
    except _NO_EXTENSION:
        raise CertificateRefusedError("this is not the certificate of an authority") from None
    if not basic.ca:
        raise CertificateRefusedError("this is not the certificate of an authority")


@dataclass(frozen=True, slots=True)
class Identity:
    """A key with its certificate, as one PEM file, which is replaced whole or not at all."""

    key: CertificateKey
    """The private key."""
    certificates: tuple[Certificate, ...]
    """That of the key, then that of its issuer, if it stands in the same file."""

    def pem(self) -> bytes:
        """Return the file, which must be private."""
        return self.key.pem() + b"".join(certificate_pem(each.der) for each in self.certificates)

    @classmethod
    def parse(cls, pem: bytes, certificates: int) -> Self:
        """Read a file with as many certificates; KeyFormatError, and no byte of it in the error."""
        head, end, rest = pem.partition(_END_OF_KEY)
        key = CertificateKey.from_pem(head + end)
        try:
            found = tuple(
                read_certificate_untrusted(each.public_bytes(Encoding.DER))
                for each in x509.load_pem_x509_certificates(rest)
            )
        except (ValueError, MalformedError):
            raise KeyFormatError("the certificate is damaged") from None
        if len(found) != certificates or found[0].public != key.public:
            raise KeyFormatError("the certificate does not belong to the key")
        return cls(key, found)


def certificate_pem(der: bytes) -> bytes:
    """Return a certificate as PEM; MalformedError."""
    return load_untrusted(der).public_bytes(Encoding.PEM)


def revocation_list_pem(der: bytes) -> bytes:
    """Return a revocation list as PEM; MalformedError."""
    return _parsed(lambda: x509.load_der_x509_crl(der), "revocation list").public_bytes(Encoding.PEM)


def load_untrusted(der: bytes) -> x509.Certificate:
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise MalformedError("the certificate is too large")
    native = _parsed(lambda: x509.load_der_x509_certificate(der), "certificate")
    _check_end_untrusted(der, native.signature)
    if native.serial_number <= 0:
        raise MalformedError("the serial number of the certificate is not positive")
    return native


def _check_end_untrusted(der: bytes, signature: bytes) -> None:
    """The signature stands at the end, as a BIT STRING with no unused bits; the library takes it with some, too."""
    if not der.endswith(b"\0" + signature):
        raise MalformedError("the signature is not in its one encoding")


def _point_untrusted(public_key: Callable[[], object]) -> bytes:
    key = _parsed(public_key, "public key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MalformedError("the key is not a P-256 key")
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _parsed(parse: Callable[[], T], what: str) -> T:
    try:
        return parse()
    except AerolinkError:
        raise
    except _NOT_PARSED:
        raise MalformedError(f"this is no {what}") from None
