"""mac1, mac2 and cookies, each against an independent computation and every way to fail."""

import hashlib
import hmac
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import UsageError
from protocols.guards import cookie as guard
from protocols.guards.address import encode_address, ip_address
from protocols.guards.cookie import CookieJar, SealedCookie, SpentInitiations

KEY = guard.mac1_key(b"responder static public key")
MAC1 = bytes(range(16))
SALT = bytes(range(32))
HOME = ip_address("192.0.2.1", 14550)
MESSAGE = b"an initiation with its mac1"


def counting_entropy() -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield number.to_bytes(32, "big")


def jar() -> CookieJar:
    source = counting_entropy()
    return CookieJar(lambda size: next(source)[-size:])


def hkdf(salt: bytes, material: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output, by hand."""
    extracted = hmac.new(salt, material, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


# --- MACs ---------------------------------------------------------------------------------------


def test_mac1_key_is_hkdf() -> None:
    assert guard.mac1_key(b"code") == hkdf(b"", b"code", b"mac1")


@settings(deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=2_000))
def test_macs_are_hmac_sha256_truncated(key: bytes, message: bytes) -> None:
    expected = hmac.new(key, message, hashlib.sha256).digest()[:16]
    assert guard.mac1(key, message) == guard.mac2(key, memoryview(message)) == expected


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 127))
def test_mac1_verifies_and_any_flipped_bit_does_not(message: bytes, bit: int) -> None:
    good = guard.mac1(KEY, message)
    flipped = (int.from_bytes(good, "big") ^ 1 << bit).to_bytes(16, "big")
    assert guard.verify_mac1(KEY, message, good)
    assert not guard.verify_mac1(KEY, message, flipped)
    assert not guard.verify_mac1(KEY, message + b"x", good)
    assert not guard.verify_mac1(KEY, message, good[:15])


# --- the reply ----------------------------------------------------------------------------------


def test_reply_is_aes_gcm_bound_to_mac1() -> None:
    reply = guard.make_reply(KEY, MAC1, b"c" * 16, SALT)
    plain = AESGCM(hkdf(SALT, KEY, b"cookie")).decrypt(bytes(12), reply.sealed, MAC1)
    assert (plain, len(reply.sealed), reply.salt) == (b"c" * 16, 32, SALT)


def test_reply_opens_only_for_its_initiation_and_key() -> None:
    reply = guard.make_reply(KEY, MAC1, b"c" * 16, SALT)
    assert guard.open_reply(KEY, MAC1, reply) == b"c" * 16
    assert guard.open_reply(KEY, bytes(16), reply) is None
    assert guard.open_reply(guard.mac1_key(b"other"), MAC1, reply) is None
    assert guard.open_reply(KEY, MAC1, SealedCookie(bytes(32), reply.sealed)) is None
    assert guard.open_reply(KEY, MAC1, SealedCookie(SALT, reply.sealed[:10])) is None


def test_reply_of_another_size_is_ignored() -> None:
    sealed = AESGCM(hkdf(SALT, KEY, b"cookie")).encrypt(bytes(12), b"c" * 17, MAC1)
    assert guard.open_reply(KEY, MAC1, SealedCookie(SALT, sealed)) is None


@pytest.mark.parametrize(("cookie", "salt"), [(bytes(15), SALT), (bytes(16), bytes(31))])
def test_reply_refuses_other_sizes(cookie: bytes, salt: bytes) -> None:
    with pytest.raises(UsageError):
        guard.make_reply(KEY, MAC1, cookie, salt)


# --- the jar ------------------------------------------------------------------------------------


def test_cookie_proves_the_address() -> None:
    responder = jar()
    received = guard.mac2(responder.cookie(HOME, 0.0), MESSAGE)
    assert responder.verify_mac2(MESSAGE, received, HOME, 1.0)
    assert not responder.verify_mac2(MESSAGE, received, ip_address("192.0.2.1", 14551), 1.0)
    assert not responder.verify_mac2(MESSAGE, received, ip_address("192.0.2.2", 14550), 1.0)
    assert not responder.verify_mac2(MESSAGE + b"x", received, HOME, 1.0)
    assert not responder.verify_mac2(MESSAGE, bytes(16), HOME, 1.0)


@pytest.mark.parametrize(
    ("steps_s", "good"),
    [
        ((119.9,), True),
        ((120.0,), True),
        ((120.0, 239.9), True),
        ((120.0, 240.0), False),
        ((239.9,), True),
        ((240.0,), False),  # nobody asked for two lifetimes: the old secret is no "previous" one
        ((1e6,), False),
    ],
)
def test_cookie_lives_for_its_secret_and_the_next(steps_s: tuple[float, ...], good: bool) -> None:
    responder = jar()
    received = guard.mac2(responder.cookie(HOME, 0.0), MESSAGE)
    assert [responder.verify_mac2(MESSAGE, received, HOME, now) for now in steps_s][-1] is good


def test_cookies_change_with_the_secret() -> None:
    responder = jar()
    assert responder.cookie(HOME, 0.0) == responder.cookie(HOME, 119.0) != responder.cookie(HOME, 120.0)


def test_an_empty_previous_secret_is_no_key() -> None:
    responder = jar()
    forged = guard.mac2(guard.mac2(b"", encode_address(HOME)), MESSAGE)
    assert not responder.verify_mac2(MESSAGE, forged, HOME, 0.0)


# --- initiations that were let in ---------------------------------------------------------------


def test_lk_26_spent_initiations_of_a_source_for_as_long_as_a_cookie_is_good() -> None:
    """LK-26: of this source only; the table is bounded, and forgets the oldest."""
    spent = SpentInitiations(lifetime_s=240.0, max_entries=3)
    assert not spent.holds(b"a", b"1", 0.0)
    spent.add(b"a", b"1", 0.0)
    assert spent.holds(b"a", b"1", 239.9)
    assert not spent.holds(b"b", b"1", 1.0)
    assert not spent.holds(b"a", b"2", 1.0)
    assert not spent.holds(b"a", b"1", 240.0)
    for number in range(4):
        spent.add(b"b", bytes((number,)), 250.0)
    assert len(spent) == 3
    assert not spent.holds(b"b", b"\0", 250.0)
    assert spent.holds(b"b", b"\3", 250.0)
