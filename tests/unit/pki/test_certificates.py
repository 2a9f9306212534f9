"""What is issued and what is believed, field by field (specs/10-key-life-cycle.md, KL-20 to KL-33)."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from protocols.crypto.keyfile import private_key_pem
from protocols.crypto.keys import SystemKeySource
from protocols.errors import ConfigError, KeyFormatError, MalformedError
from protocols.pki import (
    Certificate,
    CertificateAuthority,
    CertificateKey,
    CertificateRefusedError,
    CertificateTimeError,
    ClockError,
    Identity,
    Use,
    check_ca,
    check_issued,
    device_id_of,
    hosts_of,
    make_csr,
    parse_csr_untrusted,
    read_certificate_untrusted,
    time_text,
)
from specs.certificates import BACKDATE_S, CA_LIFETIME_S, DEVICE_LIFETIME_S, MAX_CSR_BYTES, SERVER_LIFETIME_S
from tests.helpers.pki import DAY_S, NOW, csr_with, entropy, make_authority, odd_certificate

AUTHORITY = make_authority()
KEY = CertificateKey.generate()
DEVICE = AUTHORITY.issue_device(KEY.public, NOW, entropy().randbytes)
SERVER = AUTHORITY.issue_server(KEY.public, ["127.0.0.1", "Cloud.example", "::1"], NOW, entropy(2).randbytes)


EVEN_CSR = next(each for each in (make_csr(KEY) for _ in range(1_000)) if each[-1] % 2 == 0)
"""Its last bit could be one that is unused."""


def native(certificate: Certificate) -> x509.Certificate:
    return x509.load_der_x509_certificate(certificate.der)


def seconds(at: datetime) -> float:
    return at.timestamp()


ALL = pytest.mark.parametrize("certificate", [AUTHORITY.certificate, DEVICE, SERVER], ids=["ca", "device", "server"])


@ALL
def test_kl_20_21_22_23_what_all_have_in_common(certificate: Certificate) -> None:
    found = native(certificate)
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert found.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.device_id == device_id_of(certificate.der) == hashlib.sha256(spki).hexdigest()[:32]
    assert found.serial_number.bit_length() == 127
    assert certificate.serial == f"{found.serial_number:x}"
    assert seconds(found.not_valid_before_utc) == certificate.not_before_s == NOW - BACKDATE_S
    assert seconds(found.not_valid_after_utc) == certificate.not_after_s
    assert certificate.issued_s == NOW
    assert found.version is x509.Version.v3
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    assert found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value == own
    issuer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert (
        issuer.key_identifier
        == x509.SubjectKeyIdentifier.from_public_key(native(AUTHORITY.certificate).public_key()).digest
    )
    assert found.issuer == native(AUTHORITY.certificate).subject


def extensions(certificate: Certificate) -> dict[x509.ObjectIdentifier, bool]:
    return {each.oid: each.critical for each in native(certificate).extensions}


COMMON = {
    ExtensionOID.BASIC_CONSTRAINTS: True,
    ExtensionOID.KEY_USAGE: True,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
}


def common_name(certificate: Certificate) -> str | bytes:
    (name,) = native(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(list(native(certificate).subject)) == 1
    return name.value


def usage(certificate: Certificate) -> set[str]:
    found = native(certificate).extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return {name for name in (*names, "key_cert_sign", "crl_sign") if getattr(found, name)}


def test_kl_24_the_authority() -> None:
    found = AUTHORITY.certificate
    assert extensions(found) == COMMON
    basic = native(found).extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    assert usage(found) == {"key_cert_sign", "crl_sign"}
    assert common_name(found) == f"Aerolink authority {found.device_id[:8]}"
    assert found.not_after_s == NOW + CA_LIFETIME_S
    check_ca(found)


def test_kl_25_a_server() -> None:
    assert extensions(SERVER) == COMMON | {
        ExtensionOID.EXTENDED_KEY_USAGE: False,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False,
    }
    assert usage(SERVER) == {"digital_signature"}
    assert hosts_of(SERVER) == {"127.0.0.1", "cloud.example", "::1"}
    assert common_name(SERVER) == "Aerolink cloud"
    assert SERVER.not_after_s == NOW + SERVER_LIFETIME_S
    check_issued(SERVER, AUTHORITY.certificate, Use.SERVER, NOW)


def test_kl_26_a_device() -> None:
    assert extensions(DEVICE) == COMMON | {ExtensionOID.EXTENDED_KEY_USAGE: False}
    assert usage(DEVICE) == {"digital_signature"}
    assert common_name(DEVICE) == DEVICE.device_id
    assert DEVICE.not_after_s == NOW + DEVICE_LIFETIME_S
    assert hosts_of(DEVICE) == frozenset()
    check_issued(DEVICE, AUTHORITY.certificate, Use.DEVICE, NOW)


def test_kl_23_nothing_outlives_its_issuer() -> None:
    late = AUTHORITY.certificate.not_after_s - DAY_S
    assert (
        AUTHORITY.issue_device(KEY.public, late, entropy().randbytes).not_after_s == AUTHORITY.certificate.not_after_s
    )
    for wrong in (AUTHORITY.certificate.not_after_s, NOW - BACKDATE_S - 1):
        with pytest.raises(ClockError, match="set the clock"):
            AUTHORITY.issue_device(KEY.public, wrong, entropy().randbytes)


@pytest.mark.parametrize("now", [-1.0, 0.0, 3_500_000_000.0, 1e12, float("inf"), float("nan")])
def test_kl_54_a_clock_that_cannot_be_issues_nothing(now: float) -> None:
    with pytest.raises(ClockError):
        CertificateAuthority.make(KEY, now, entropy().randbytes)
    with pytest.raises(ClockError):
        AUTHORITY.issue_device(KEY.public, now, entropy().randbytes)
    with pytest.raises(ClockError):
        AUTHORITY.revocation_list([], 1, now)


@pytest.mark.parametrize(
    "host", ["", "-a", "a..b", "a b", "*.example", "ü.example", "a" * 64, "a." * 127 + "a", "1.2.3.4/8"]
)
def test_kl_25_hosts_that_are_none(host: str) -> None:
    with pytest.raises(ConfigError, match="neither a DNS name nor an IP address"):
        AUTHORITY.issue_server(KEY.public, [host], NOW, entropy().randbytes)


def test_kl_27_a_list() -> None:
    der = AUTHORITY.revocation_list([(DEVICE.serial, int(NOW) - 5)], 7, NOW)
    crl = x509.load_der_x509_crl(der)
    assert crl.is_signature_valid(native(AUTHORITY.certificate).public_key())  # type: ignore[arg-type]
    assert crl.issuer == native(AUTHORITY.certificate).subject
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier is not None
    assert seconds(crl.last_update_utc) == NOW - BACKDATE_S
    assert crl.next_update_utc is not None
    assert seconds(crl.next_update_utc) == NOW + 7 * DAY_S
    assert [(f"{each.serial_number:x}", seconds(each.revocation_date_utc)) for each in crl] == [
        (DEVICE.serial, NOW - 5)
    ]


# --- believing ----------------------------------------------------------------------------------


def test_validity_has_two_ends() -> None:
    DEVICE.check_time(DEVICE.not_before_s)
    DEVICE.check_time(DEVICE.not_after_s - 1)
    with pytest.raises(CertificateTimeError, match="valid only from"):
        DEVICE.check_time(DEVICE.not_before_s - 1)
    with pytest.raises(CertificateTimeError, match="has expired at"):
        DEVICE.check_time(DEVICE.not_after_s)


def test_kl_40_two_thirds_of_its_life() -> None:
    assert DEVICE.renewal_s() == NOW + 60 * DAY_S


def test_what_was_not_issued_for_this_is_refused() -> None:
    def refused(der: bytes, words: str, ca: Certificate = AUTHORITY.certificate) -> None:
        with pytest.raises(CertificateRefusedError, match=words):
            check_issued(read_certificate_untrusted(der), ca, Use.DEVICE, NOW)

    refused(SERVER.der, "another use")
    refused(AUTHORITY.certificate.der, "not of the form")
    refused(DEVICE.der, "not issued by this authority", make_authority(seed=2).certificate)
    twin = replace(make_authority(), certificate=AUTHORITY.certificate)  # another key under the same name
    refused(twin.issue_device(KEY.public, NOW, entropy().randbytes).der, "not issued by this authority")
    refused(odd_certificate(AUTHORITY, KEY, ca=True), "another use")
    refused(odd_certificate(AUTHORITY, KEY, use=ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), "another use")
    refused(odd_certificate(AUTHORITY, KEY, end_s=NOW - 1), "has expired")
    refused(odd_certificate(AUTHORITY, KEY, begin_s=NOW + 1), "valid only from")
    for kind in ("300aa508a1060c0441424344", "3004a3023000"):  # ediPartyName, x400Address: the library has an error
        names = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex(kind))  # of its own
        odd = odd_certificate(AUTHORITY, KEY, names=names)
        refused(odd, "not of the form")
        assert hosts_of(read_certificate_untrusted(odd)) == frozenset()


def test_an_authority_is_one_that_signs_itself() -> None:
    with pytest.raises(CertificateRefusedError, match="not signed by itself"):
        check_ca(DEVICE)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    builder = builder.not_valid_before(datetime.fromtimestamp(NOW, UTC)).not_valid_after(
        datetime.fromtimestamp(NOW + 1, UTC)
    )
    plain = builder.public_key(KEY.native().public_key()).sign(KEY.native(), SHA256())
    with pytest.raises(CertificateRefusedError, match="not the certificate of an authority"):
        check_ca(read_certificate_untrusted(plain.public_bytes(Encoding.DER)))


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()], ids=["P-384", "Ed25519"]
)
def test_kl_20_another_kind_of_key_is_refused(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1).public_key(key.public_key())
    )
    builder = builder.not_valid_before(datetime.fromtimestamp(NOW, UTC)).not_valid_after(
        datetime.fromtimestamp(NOW + 1, UTC)
    )
    hash_ = SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    with pytest.raises(MalformedError, match="not a P-256 key"):
        read_certificate_untrusted(builder.sign(key, hash_).public_bytes(Encoding.DER))
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hash_)
    with pytest.raises(MalformedError, match="not a P-256 key"):
        parse_csr_untrusted(csr.public_bytes(Encoding.DER))


# --- requests -----------------------------------------------------------------------------------


def test_kl_33_a_request_gives_its_key_and_nothing_else() -> None:
    assert parse_csr_untrusted(make_csr(KEY)) == KEY.public
    assert len(make_csr(KEY)) < MAX_CSR_BYTES
    greedy = parse_csr_untrusted(csr_with(KEY.native()))
    assert greedy == KEY.public
    issued = AUTHORITY.issue_device(greedy, NOW, entropy().randbytes)
    assert extensions(issued) == extensions(DEVICE)
    assert common_name(issued) == DEVICE.device_id


def test_kl_33_requests_that_prove_nothing() -> None:
    good = make_csr(KEY)
    name = x509.Name([])
    sha384 = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY.native(), SHA384())
    large = csr_with(KEY.native(), name="x" * 60)
    rsa_csr = (
        x509.CertificateSigningRequestBuilder().subject_name(name).sign(rsa.generate_private_key(65537, 2048), SHA256())
    )
    other = CertificateKey.generate().public
    for der, words in (
        (b"", "no certificate request"),
        (good[:-1], "no certificate request"),
        (good + b"\0", "no certificate request"),
        (DEVICE.der, "no certificate request"),
        (good.replace(KEY.public, other), "not signed by its key"),
        (sha384.public_bytes(Encoding.DER), "ECDSA and SHA-256"),
        (rsa_csr.public_bytes(Encoding.DER), "not a P-256 key"),
        (large + bytes(MAX_CSR_BYTES), "too large"),
    ):
        with pytest.raises(MalformedError, match=words):
            parse_csr_untrusted(der)


def test_kl_33_a_point_that_is_not_in_its_one_encoding() -> None:
    """OpenSSL takes a compressed point; then one key had two encodings (KL-21)."""
    import tests.unit.pki.der as forge

    csr = forge.request(KEY.native(), compressed=True)
    assert x509.load_der_x509_csr(csr).is_signature_valid
    with pytest.raises(MalformedError, match="one encoding"):
        parse_csr_untrusted(csr)
    assert parse_csr_untrusted(forge.request(KEY.native(), compressed=False)) == KEY.public


def test_kl_20_33_forms_that_the_library_takes_and_we_do_not() -> None:
    csr = make_csr(KEY)
    version = csr.replace(bytes.fromhex("0201003000"), bytes.fromhex("0201013000"))
    assert version != csr
    with pytest.raises(MalformedError, match="no certificate request"):
        parse_csr_untrusted(version)
    for serial in (bytes([0x80]), bytes([0])):
        bad = DEVICE.der.replace(bytes.fromhex(DEVICE.serial), serial + bytes(15), 1)
        assert bad != DEVICE.der
        with pytest.raises(MalformedError, match=r"no certificate|not positive"):
            read_certificate_untrusted(bad)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_kl_22_a_serial_number_that_is_not_positive() -> None:
    """Where the library only warns."""
    bad = DEVICE.der.replace(bytes.fromhex(DEVICE.serial), bytes([0x80]) + bytes(15), 1)
    with pytest.raises(MalformedError, match="not positive"):
        read_certificate_untrusted(bad)


def test_kl_20_33_a_signature_with_unused_bits_is_another_encoding() -> None:
    """The library ignores their number, so that one certificate had several forms."""
    for der, signature, read in (
        (DEVICE.der, native(DEVICE).signature, read_certificate_untrusted),
        (EVEN_CSR, x509.load_der_x509_csr(EVEN_CSR).signature, parse_csr_untrusted),
    ):
        assert der.endswith(b"\0" + signature)
        changed = der[: -len(signature) - 1] + b"\1" + signature
        with pytest.raises(MalformedError):
            read(changed)
        read(der)


# --- files --------------------------------------------------------------------------------------


def test_an_identity_is_one_file() -> None:
    identity = Identity(KEY, (DEVICE, AUTHORITY.certificate))
    again = Identity.parse(identity.pem(), 2)
    assert again.certificates == identity.certificates
    assert again.key.public == KEY.public
    assert CertificateAuthority.parse(AUTHORITY.pem()).certificate == AUTHORITY.certificate


def test_kl_3_damaged_files_are_named_and_not_repeated() -> None:
    pem = Identity(KEY, (DEVICE, AUTHORITY.certificate)).pem()
    other = CertificateKey.generate()
    secret = KEY.pem().splitlines()[1].decode()
    for broken, count in (
        (pem, 1),
        (b"", 2),
        (pem[: len(pem) // 2], 2),
        (other.pem() + pem.partition(b"-----END PRIVATE KEY-----\n")[2], 2),
        (KEY.pem(), 1),
    ):
        with pytest.raises(KeyFormatError) as caught:
            Identity.parse(broken, count)
        assert secret not in str(caught.value)
    with pytest.raises(KeyFormatError, match="not signed by itself"):
        CertificateAuthority.parse(Identity(KEY, (DEVICE,)).pem())
    with pytest.raises(KeyFormatError, match="is a P256 key"):
        CertificateKey.from_pem(private_key_pem(SystemKeySource().dh_key("25519")))
    assert secret not in repr(KEY)
    assert secret not in repr(Identity(KEY, (DEVICE,)))


def test_times_for_people() -> None:
    assert time_text(NOW) == "2027-01-15 08:00 UTC"
    assert time_text(-5) == "1970-01-01 00:00 UTC"
    assert time_text(1e18) == "2100-01-01 00:00 UTC"
