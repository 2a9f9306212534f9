"""AEAD, hashes, KDF, signatures and SPKI: lengths, errors, and the few values that no vector file holds."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto import ciphers
from protocols.crypto.ciphers import Aead, ChaChaAead
from protocols.crypto.hashes import HASHES
from protocols.crypto.kdf import constant_time_equal, hkdf_sha256, hmac_sha256, sha256
from protocols.crypto.signatures import (
    BadSignatureError,
    EcdsaP256Key,
    MlDsa65Key,
    verify_ecdsa_p256,
    verify_ecdsa_p256_der,
    verify_mldsa65,
)
from protocols.crypto.spki import p256_from_spki, p256_to_spki
from protocols.errors import (
    AuthenticationError,
    BadPublicKeyError,
    DecryptError,
    KeyFormatError,
    MessageTooLargeError,
    UsageError,
)

boxes = pytest.mark.parametrize("box", [Aead(bytes(32)), ChaChaAead(bytes(32))], ids=["aes", "chacha"])


@boxes
def test_aead(box: Aead) -> None:
    sealed = box.seal(bytes(12), b"text", b"ad")
    assert len(sealed) == 4 + 16
    assert box.open(bytes(12), sealed, b"ad") == b"text"
    assert box.open(bytes(12), box.seal(bytes(12), b"")) == b""
    for nonce, text, ad in (
        (bytes(11) + b"\1", sealed, b"ad"),
        (bytes(12), sealed[:-1], b"ad"),
        (bytes(12), sealed, b""),
        (bytes(12), b"", b""),
    ):
        with pytest.raises(DecryptError):
            box.open(nonce, text, ad)
    for length in (0, 8, 11, 13, 16):
        with pytest.raises(KeyFormatError):
            box.seal(bytes(length), b"")
        with pytest.raises(KeyFormatError):
            box.open(bytes(length), sealed)
    for length in (0, 16, 24, 33):
        with pytest.raises(KeyFormatError):
            type(box)(bytes(length))


def test_aead_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "MAX_PLAINTEXT", 10)
    Aead(bytes(32)).seal(bytes(12), bytes(10))
    with pytest.raises(MessageTooLargeError):
        Aead(bytes(32)).seal(bytes(12), bytes(11))


def test_aead_repr() -> None:
    assert repr(Aead(b"\xa5" * 32)) == "<Aead>"
    assert repr(ChaChaAead(b"\xa5" * 32)) == "<ChaChaAead>"


@pytest.mark.parametrize("name", HASHES)
def test_hashes_against_hashlib(name: str) -> None:
    """Noise 12.5 to 12.8, 4.3: HASH, HMAC-HASH, HKDF, in the standard library's words."""
    row, plain = HASHES[name], getattr(hashlib, name.lower())
    assert row.digest(b"one", b"two") == plain(b"onetwo").digest()
    assert row.digest() == plain().digest()
    assert (plain().digest_size, plain().block_size) == (row.length, row.block_length)
    for key in (b"", b"k", b"k" * 200):
        assert row.hmac(key, b"data") == hmac.digest(key, b"data", plain)
    temp = hmac.digest(b"ck", b"ikm", plain)
    one = hmac.digest(temp, b"\x01", plain)
    two = hmac.digest(temp, one + b"\x02", plain)
    three = hmac.digest(temp, two + b"\x03", plain)
    assert row.mix(b"ck", b"ikm", 2) == (one, two)
    assert row.mix(b"ck", b"ikm", 3) == (one, two, three)
    assert row.hkdf(b"ikm", b"ck", b"", row.length) == one
    for length in (0, -1, 255 * row.length + 1):
        with pytest.raises(UsageError):
            row.hkdf(b"", b"", b"", length)


def test_kdf() -> None:
    assert sha256(b"a", b"b") == hashlib.sha256(b"ab").digest()
    assert hkdf_sha256(b"ikm", b"", b"info", 40) == hkdf_sha256(b"ikm", bytes(32), b"info", 40)  # RFC 5869, 2.2
    full = hmac.digest(b"key", b"data", "sha256")
    assert hmac_sha256(b"key", b"data") == full
    assert hmac_sha256(b"key", b"data", 16) == full[:16]
    for length in (0, 15, 33, -1):
        with pytest.raises(UsageError):
            hmac_sha256(b"key", b"data", length)
    assert constant_time_equal(full, bytes(full))
    assert not constant_time_equal(full, full[:-1])
    assert not constant_time_equal(full, full[:-1] + bytes([full[-1] ^ 1]))


def test_ecdsa() -> None:
    key = EcdsaP256Key.generate()
    signature = key.sign(b"message")
    assert len(signature) == 64
    verify_ecdsa_p256(key.public, signature, b"message")
    assert EcdsaP256Key.from_private_bytes(key.private_bytes()).public == key.public
    bad = [b"", signature[:-1], signature + b"\0", bytes(64), b"\xff" * 64, signature[32:] + signature[:32]]
    for text in bad:
        with pytest.raises(BadSignatureError):
            verify_ecdsa_p256(key.public, text, b"message")
        with pytest.raises(BadSignatureError):
            verify_ecdsa_p256_der(key.public, text, b"message")
    with pytest.raises(AuthenticationError):
        verify_ecdsa_p256(key.public, signature, b"massage")
    with pytest.raises(BadPublicKeyError):
        verify_ecdsa_p256(key.public[:-1], signature, b"message")
    for private in (b"", bytes(32), b"\xff" * 32, bytes(33)):
        with pytest.raises(KeyFormatError):
            EcdsaP256Key.from_private_bytes(private)


def test_mldsa65() -> None:
    key = MlDsa65Key.from_seed(bytes(range(32)))
    assert key.seed_bytes() == bytes(range(32))
    assert (len(key.public), len(key.sign(b""))) == (1952, 3309)
    signature = key.sign(b"message", b"context")
    assert signature != key.sign(b"message", b"context")  # hedged
    verify_mldsa65(key.public, signature, b"message", b"context")
    verify_mldsa65(key.public, key.sign(b"message", b"c" * 255), b"message", b"c" * 255)
    for text, message, context in (
        (signature, b"massage", b"context"),
        (signature, b"message", b""),
        (signature[:-1], b"message", b"context"),
        (b"", b"message", b"context"),
    ):
        with pytest.raises(BadSignatureError):
            verify_mldsa65(key.public, text, message, context)
    with pytest.raises(BadPublicKeyError):
        verify_mldsa65(key.public[:-1], signature, b"message", b"context")
    for call in (lambda: key.sign(b"", bytes(256)), lambda: verify_mldsa65(key.public, b"", b"", bytes(256))):
        with pytest.raises(UsageError):
            call()
    for length in (0, 31, 33, 64):
        with pytest.raises(KeyFormatError):
            MlDsa65Key.from_seed(bytes(length))
    assert MlDsa65Key.generate().public != MlDsa65Key.generate().public


def test_spki() -> None:
    """One key, one encoding: what is written is what is read, and nothing else is."""
    native = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = p256_from_spki(der)
    assert p256_to_spki(public) == der
    assert len(der) == 91
    compressed = p256_to_spki(public)[:-65] + bytes([2 + public[-1] % 2]) + public[1:33]
    other = x25519.X25519PrivateKey.generate().public_key()
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    for bad in (
        b"",
        der[:-1],
        der + b"\0",
        bytes(91),
        compressed.ljust(91, b"\0"),
        der[:-1] + bytes([der[-1] ^ 1]),
        der[:26] + b"\x00" * 65,
        der[:26] + bytes([6 + public[-1] % 2]) + der[27:],
        other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        p384.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        with pytest.raises(BadPublicKeyError):
            p256_from_spki(bad)
    for at in range(26):
        changed = bytearray(der)
        changed[at] ^= 1
        with pytest.raises(BadPublicKeyError):
            p256_from_spki(bytes(changed))
    with pytest.raises(BadPublicKeyError):
        p256_to_spki(public[:-1])
