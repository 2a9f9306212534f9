"""Enrolment tokens (specs/10-key-life-cycle.md, KL-30, KL-31)."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.enrolment import EnrolmentToken, ca_fingerprint
from protocols.errors import CodeFormatError
from protocols.pairing import LinkingCode

CA = b"the authority's certificate"
TOKEN = EnrolmentToken(bytes(range(16)), ca_fingerprint(CA))
CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_kl_30_text_is_content_and_checksum_in_base32() -> None:
    content = TOKEN.secret + TOKEN.fingerprint
    check = hashlib.sha256(b"Aerolink enrolment token v1" + content).digest()[:3]
    letters = base64.b32encode(content + check).decode().translate(CROCKFORD)
    assert TOKEN.text() == "-".join(letters[i : i + 4] for i in range(0, 56, 4))
    assert TOKEN.text().count("-") == 13
    assert ca_fingerprint(CA) == hashlib.sha256(CA).digest()[:16]


@given(st.binary(min_size=32, max_size=32))
def test_kl_30_what_was_typed_is_read(content: bytes) -> None:
    token = EnrolmentToken(content[:16], content[16:])
    typed = token.text().lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert EnrolmentToken.parse(typed) == token


@given(st.integers(0, 55), st.integers(1, 31))
def test_kl_30_every_wrong_character_is_noticed_and_not_repeated(place: int, step: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = list(TOKEN.text().replace("-", ""))
    text[place] = alphabet[(alphabet.index(text[place]) + step) % 32]
    with pytest.raises(CodeFormatError, match="typing mistake") as caught:
        EnrolmentToken.parse("".join(text))
    assert "".join(text) not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "words"),
    [("", "this has 0"), ("U" * 56, "digits and letters"), (LinkingCode(bytes(16)).text(), "has 28")],
)
def test_kl_30_what_is_no_token_is_named(typed: str, words: str) -> None:
    with pytest.raises(CodeFormatError, match=f"an enrolment token .*{words}"):
        EnrolmentToken.parse(typed)


def test_kl_31_the_stored_hash_tells_nothing_and_kl_3_no_repr_does() -> None:
    assert TOKEN.stored() == hashlib.sha256(b"Aerolink enrolment token stored v1" + TOKEN.secret).digest()
    other = EnrolmentToken(TOKEN.secret[::-1], TOKEN.fingerprint)
    assert other.stored() != TOKEN.stored()
    assert TOKEN.secret.hex() not in repr(TOKEN)
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert repr(other) == repr(TOKEN)


def test_kl_34_a_token_pins_one_authority() -> None:
    assert TOKEN.pins(CA)
    assert not TOKEN.pins(CA + b"\0")
    assert not TOKEN.pins(b"")


def test_a_new_token_is_random() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return bytes([7]) * count

    assert EnrolmentToken.generate(entropy, CA) == EnrolmentToken(bytes([7]) * 16, ca_fingerprint(CA))
    assert asked == [16]
