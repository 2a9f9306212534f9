"""Certificates for the peers that need them: P-256, self-signed, made when they are asked for."""

import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certified:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def certified(name: str = "localhost") -> Certified:
    """Make a key and a certificate for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certified(key, certificate)


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of client and server: TLS 1.3 only, each with a P-256 certificate that the other one demands."""
    made: list[ssl.SSLContext] = []
    both = [certified(), certified()]
    with tempfile.TemporaryDirectory() as folder:  # ssl reads certificates from files only
        for protocol, own, other in zip(
            (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER), both, reversed(both), strict=True
        ):
            context = ssl.SSLContext(protocol)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_mode = ssl.CERT_REQUIRED
            path = Path(folder) / "own.pem"
            path.write_bytes(own.certificate_pem + own.key_pem)
            context.load_cert_chain(path)
            context.load_verify_locations(cadata=other.certificate_pem.decode())
            made.append(context)
    return made[0], made[1]
