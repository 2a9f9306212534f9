"""Whatever comes as a certificate request, a certificate or a token: one of ours, or one error, and nothing else."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from protocols.enrolment import EnrolmentToken
from protocols.errors import CodeFormatError, MalformedError
from protocols.pki import (
    CertificateKey,
    CertificateRefusedError,
    Use,
    check_issued,
    make_csr,
    parse_csr_untrusted,
    read_certificate_untrusted,
)
from tests.helpers.pki import NOW, csr_with, entropy, make_authority

AUTHORITY: Final = make_authority()
KEY: Final = CertificateKey.generate()
REQUESTS: Final = (make_csr(KEY), csr_with(KEY.native()))
DEVICE: Final = AUTHORITY.issue_device(KEY.public, NOW, entropy().randbytes)


@st.composite
def mutations(draw: st.DrawFn, originals: tuple[bytes, ...]) -> bytes:
    """One that was good, with bytes changed, left out, put in, or cut off."""
    der = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(der) - 1, 0)))
        kind = draw(st.sampled_from(("change", "remove", "insert", "cut", "length")))
        if kind == "change" and der:
            der[at] ^= draw(st.integers(1, 255))
        elif kind == "remove":
            del der[at : at + draw(st.integers(1, 8))]
        elif kind == "insert":
            der[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "length" and der:
            der[at] = draw(st.sampled_from((0x80, 0x81, 0x84, 0xFF, 0)))
        else:
            del der[at:]
    return bytes(der)


@given(mutations(REQUESTS))
def test_kl_33_a_changed_request_proves_nothing_or_the_same_key(der: bytes) -> None:
    try:
        public = parse_csr_untrusted(der)
    except MalformedError:
        return
    assert der in REQUESTS  # every byte of it is signed, and ECDSA's signature has one encoding in DER
    assert public == KEY.public


@given(st.binary(max_size=2_000))
def test_kl_33_any_bytes(der: bytes) -> None:
    for parse in (parse_csr_untrusted, read_certificate_untrusted):
        try:
            parse(der)
        except MalformedError:
            continue
        raise AssertionError("random bytes are no certificate")


@given(mutations((DEVICE.der,)))
def test_kl_35_64_a_changed_certificate_is_not_one_that_was_issued(der: bytes) -> None:
    try:
        check_issued(read_certificate_untrusted(der), AUTHORITY.certificate, Use.DEVICE, NOW)
    except (MalformedError, CertificateRefusedError):
        return
    assert der == DEVICE.der


@given(st.text(max_size=80))
def test_kl_30_any_text(text: str) -> None:
    try:
        token = EnrolmentToken.parse(text)
    except CodeFormatError:
        return
    assert EnrolmentToken.parse(token.text()) == token
