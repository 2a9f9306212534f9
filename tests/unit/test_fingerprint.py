import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.fingerprint import fingerprint_text, key_id_of, match_fingerprint, parse_fingerprint, parse_key_id
from protocols.errors import KeyFormatError, UsageError


def test_key_id_is_the_specified_hash() -> None:
    public = bytes(range(32))
    expected = hashlib.sha256(b"Aerolink key id v1\x0525519" + public).digest()[:16]
    assert key_id_of("25519", public) == expected
    assert key_id_of("P256", public) != expected


def test_text_of_known_ids() -> None:
    assert fingerprint_text(bytes(16)) == "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aa"
    assert fingerprint_text(b"\xff" * 16) == "7777-7777-7777-7777-7777-7777-74"


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(min_size=16, max_size=16))
def test_there_and_back_however_it_is_typed(key_id: bytes) -> None:
    text = fingerprint_text(key_id)
    assert len(text.replace("-", "")) == 26
    for typed in (text, text.upper(), text.replace("-", ""), text.replace("-", " "), f"\t{text}\n"):
        assert parse_fingerprint(typed) == key_id
    assert match_fingerprint(text[:8], [key_id]) == key_id
    for typed in (text, key_id.hex(), key_id.hex().upper()):  # as alarms and linking codes write it
        assert parse_key_id(typed) == match_fingerprint(typed, [key_id]) == key_id


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_any_text_is_a_fingerprint_or_an_error(text: str) -> None:
    try:
        key_id = parse_fingerprint(text)
    except KeyFormatError:
        return
    assert fingerprint_text(key_id).replace("-", "") == "".join(text.replace("-", "").split()).lower()


@pytest.mark.parametrize(
    "typed", ["", "aaaa", "a" * 25, "a" * 27, "a" * 25 + "b", "1" * 26, "a" * 25 + "=", "ä" * 26, "K" * 26]
)
def test_typing_mistakes(typed: str) -> None:
    with pytest.raises(KeyFormatError):
        parse_fingerprint(typed)
    with pytest.raises(KeyFormatError):
        parse_key_id(typed)


@pytest.mark.parametrize("typed", ["0" * 31, "0" * 33, "0" * 31 + "g", "0" * 30 + "\N{FULLWIDTH DIGIT ONE}1"])
def test_no_key_id(typed: str) -> None:
    with pytest.raises(KeyFormatError):
        parse_key_id(typed)


def test_wrong_length_has_no_text() -> None:
    with pytest.raises(KeyFormatError):
        fingerprint_text(bytes(15))


def test_a_prefix_names_one_device_or_none() -> None:
    one, two = bytes(16), bytes(15) + b"\x08"
    assert match_fingerprint("AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-A", [one, bytes([255] * 16)]) == one
    assert match_fingerprint("aaaa", [one, one]) == one
    with pytest.raises(UsageError, match="2 devices"):
        match_fingerprint("aaaa", [one, two])
    with pytest.raises(UsageError, match="no known device"):
        match_fingerprint("7777", [one, two])
    with pytest.raises(UsageError, match="at least the first 4"):
        match_fingerprint("a-aa", [one])
    with pytest.raises(KeyFormatError):
        match_fingerprint("aaa!", [one])
