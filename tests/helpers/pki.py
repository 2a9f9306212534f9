"""Authorities, devices and requests for tests, and certificates that nobody should issue."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodes.pki.authority import DeviceAuthority
from nodes.pki.credentials import DeviceCredentials
from protocols.pki import CertificateAuthority, CertificateKey, Identity, read_certificate_untrusted

NOW: Final = 1_800_000_000.0
DAY_S: Final = 86_400
HOSTS: Final = ("127.0.0.1", "localhost")


def entropy(seed: int = 1) -> random.Random:
    return random.Random(seed)


def make_authority(now: float = NOW, seed: int = 1) -> CertificateAuthority:
    return CertificateAuthority.make(CertificateKey.generate(), now, entropy(seed).randbytes)


@dataclass
class Clock:
    """A wall clock that a test sets."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def authority_in(folder: Path, now: float = NOW) -> AsyncGenerator[DeviceAuthority]:
    authority = await DeviceAuthority.open(folder / "cloud" / "pki", HOSTS, now)
    try:
        yield authority
    finally:
        await authority.aclose()


@asynccontextmanager
async def device_in(folder: Path, clock: Clock, name: str = "device") -> AsyncGenerator[DeviceCredentials]:
    credentials = await DeviceCredentials.open(folder / name / "pki", clock)
    try:
        yield credentials
    finally:
        await credentials.aclose()


async def enrol(
    authority: DeviceAuthority, device: DeviceCredentials, now: float = NOW, *, new_key: bool = False
) -> bytes:
    """Let a device in, as the two connections of an enrolment do; return its certificate."""
    token = await authority.make_token(now, name="a device")
    enrolled = await authority.enrol(token.text(), await device.request(new_key=new_key), now)
    await device.accept(enrolled.certificate_der, enrolled.ca_der, token)
    return enrolled.certificate_der


def odd_certificate(
    issuer: CertificateAuthority,
    key: CertificateKey,
    *,
    use: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ca: bool = False,
    begin_s: float = NOW - DAY_S,
    end_s: float = NOW + DAY_S,
    names: x509.ExtensionType | None = None,
) -> bytes:
    """A certificate that the authority's key has signed, whatever the authority would say to it; DER."""
    native = key.native()
    own = x509.load_der_x509_certificate(issuer.certificate.der)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")]))
        .issuer_name(own.subject)
        .public_key(native.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(begin_s), UTC))
        .not_valid_after(datetime.fromtimestamp(int(end_s), UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(names or x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(native.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), critical=False)  # type: ignore[arg-type]
    )
    return builder.sign(issuer.key.native(), SHA256()).public_bytes(Encoding.DER)


def identity_file(path: Path, key: CertificateKey, der: bytes) -> Path:
    """Write key and certificate where OpenSSL reads them."""
    path.write_bytes(Identity(key, (read_certificate_untrusted(der),)).pem())
    return path


def csr_with(key: ec.EllipticCurvePrivateKey, *, name: str = "root", extensions: bool = True, ca: bool = True) -> bytes:
    """A request that wants a lot; DER."""
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    if extensions:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("cloud")]), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)
