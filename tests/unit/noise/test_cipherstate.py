"""CipherState and SymmetricState (Noise rev 34, sections 5.1, 5.2, 11.3, 11.4)."""

import hmac
from typing import Literal

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols.crypto.ciphers import CIPHERS
from protocols.errors import (
    DecryptError,
    KeyExhaustedError,
    KeyFormatError,
    MalformedError,
    MessageTooLargeError,
    UsageError,
)
from protocols.noise import MAX_MESSAGE, MAX_NONCE, CipherState, NoiseProtocol, SymmetricState

KEY = bytes(range(32))


def state(cipher: str = "AESGCM") -> CipherState:
    return CipherState(CIPHERS[cipher], KEY)


@pytest.mark.parametrize("nonce", [0, 1, 255, 2**32, MAX_NONCE - 1])
def test_nonces_are_encoded_as_the_cipher_says(nonce: int) -> None:
    """12.3: little-endian; 12.4: big-endian; both behind four zero bytes."""
    expected = AESGCM(KEY).encrypt(bytes(4) + nonce.to_bytes(8, "big"), b"text", b"ad")
    assert state().encrypt_at(nonce, b"ad", b"text") == expected
    expected = ChaCha20Poly1305(KEY).encrypt(bytes(4) + nonce.to_bytes(8, "little"), b"text", b"ad")
    assert state("ChaChaPoly").encrypt_at(nonce, b"ad", b"text") == expected


@pytest.mark.parametrize("cipher", CIPHERS)
def test_in_order_and_at_explicit_nonces(cipher: str) -> None:
    """11.4: a message in order is the one at that nonce; out of order they still open."""
    sender, explicit, receiver = state(cipher), state(cipher), state(cipher)
    sealed = [sender.encrypt_with_ad(b"ad", bytes([i])) for i in range(5)]
    assert sealed == [explicit.encrypt_at(i, b"ad", bytes([i])) for i in range(5)]
    assert explicit.nonce == 0
    for i in (3, 0, 4, 4):
        assert receiver.decrypt_at(i, b"ad", sealed[i]) == bytes([i])
    assert receiver.nonce == 0
    receiver.set_nonce(2)
    assert receiver.decrypt_with_ad(b"ad", sealed[2]) == b"\x02"
    assert receiver.nonce == 3


def test_a_failed_decryption_keeps_the_nonce() -> None:
    """5.1: n is not incremented."""
    sender, receiver = state(), state()
    sealed = sender.encrypt_with_ad(b"ad", b"text")
    for bad in (sealed[:-1] + bytes([sealed[-1] ^ 1]), bytes(16), sealed + b"\0"):
        with pytest.raises(DecryptError):
            receiver.decrypt_with_ad(b"ad", bad)
    with pytest.raises(DecryptError):
        receiver.decrypt_with_ad(b"da", sealed)
    for bad in (b"", bytes(15), bytes(MAX_MESSAGE + 1)):
        with pytest.raises(MalformedError):
            receiver.decrypt_with_ad(b"ad", bad)
    assert receiver.nonce == 0
    assert receiver.decrypt_with_ad(b"ad", sealed) == b"text"


def test_the_limit_includes_the_tag() -> None:
    """3: a message has at most 65,535 bytes."""
    sender, receiver = state(), state()
    largest = sender.encrypt_with_ad(b"", bytes(65519))
    assert len(largest) == 65535
    assert receiver.decrypt_with_ad(b"", largest) == bytes(65519)
    with pytest.raises(MessageTooLargeError):
        sender.encrypt_with_ad(b"", bytes(65520))
    assert sender.nonce == 1


def test_the_last_nonce_is_reserved() -> None:
    """NH-15; 5.1: 2^64-1 never encrypts a message."""
    sender, receiver = state(), state()
    sender.set_nonce(MAX_NONCE - 1)
    receiver.set_nonce(MAX_NONCE - 1)
    assert receiver.decrypt_with_ad(b"", sender.encrypt_with_ad(b"", b"last")) == b"last"
    assert sender.nonce == receiver.nonce == MAX_NONCE
    with pytest.raises(KeyExhaustedError):
        sender.encrypt_with_ad(b"", b"")
    with pytest.raises(KeyExhaustedError):
        receiver.decrypt_with_ad(b"", bytes(16))
    for nonce in (MAX_NONCE, -1, 2**64):
        with pytest.raises(KeyExhaustedError):
            sender.encrypt_at(nonce, b"", b"")
        with pytest.raises(MalformedError):
            receiver.decrypt_at(nonce, b"", bytes(16))
    for nonce in (-1, 2**64):
        with pytest.raises(UsageError):
            sender.set_nonce(nonce)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_rekey(cipher: str) -> None:
    """4.2, 11.3: the key becomes the first 32 bytes of ENCRYPT(k, 2^64-1, empty, 32 zeros); n stays."""
    sender, receiver = state(cipher), state(cipher)
    receiver.decrypt_with_ad(b"", sender.encrypt_with_ad(b"", b"one"))
    order: Literal["big", "little"] = "big" if cipher == "AESGCM" else "little"
    aead = (AESGCM if cipher == "AESGCM" else ChaCha20Poly1305)(KEY)
    expected = aead.encrypt(bytes(4) + MAX_NONCE.to_bytes(8, order), bytes(32), b"")[:32]
    sender.rekey()
    assert sender.key_bytes() == expected != KEY
    assert sender.nonce == 1
    sealed = sender.encrypt_with_ad(b"", b"two")
    with pytest.raises(DecryptError):
        receiver.decrypt_with_ad(b"", sealed)
    receiver.rekey()
    assert receiver.decrypt_with_ad(b"", sealed) == b"two"


def test_without_a_key_nothing_passes() -> None:
    """NH-13: what split() gives a one-way pattern for the way back."""
    empty = CipherState(CIPHERS["AESGCM"])
    assert not empty.has_key
    for call in (
        lambda: empty.encrypt_with_ad(b"", b"text"),
        lambda: empty.decrypt_with_ad(b"", bytes(16)),
        lambda: empty.encrypt_at(0, b"", b"text"),
        lambda: empty.decrypt_at(0, b"", bytes(16)),
        empty.rekey,
        empty.key_bytes,
    ):
        with pytest.raises(UsageError):
            call()
    assert empty.nonce == 0


def test_a_key_has_32_bytes() -> None:
    for length in (0, 16, 31, 33):
        with pytest.raises(KeyFormatError):
            CipherState(CIPHERS["AESGCM"], bytes(length))


def test_a_copy_goes_its_own_way() -> None:
    one = state()
    one.encrypt_with_ad(b"", b"")
    two = one.copy()
    one.rekey()
    one.encrypt_with_ad(b"", b"")
    assert two.nonce == 1
    assert two.key_bytes() == KEY


def test_no_secret_in_repr() -> None:
    for shown in (repr(state()), str(state()), repr(SymmetricState(NoiseProtocol.parse("Noise_NN_448_AESGCM_SHA512")))):
        assert KEY.hex() not in shown
        assert repr(KEY) not in shown
    assert repr(state()) == "<CipherState AESGCM keyed=True nonce=0>"


def test_a_short_name_is_padded_and_a_long_one_hashed() -> None:
    """5.2, InitializeSymmetric()."""
    short = "Noise_NN_25519_AESGCM_SHA256"
    assert SymmetricState(NoiseProtocol.parse(short)).handshake_hash == short.encode().ljust(32, b"\0")
    fits = "Noise_NNpsk0_25519_AESGCM_SHA256"
    assert len(fits) == 32
    assert SymmetricState(NoiseProtocol.parse(fits)).handshake_hash == fits.encode()
    long = NoiseProtocol.parse("Noise_NNpsk0_25519_AESGCM_BLAKE2s")
    assert SymmetricState(long).handshake_hash == long.hash.digest(long.name.encode())


def test_export_is_hkdf_without_salt() -> None:
    """NH-14: RFC 5869 over the protocol's hash, by hand; different from both keys of Split()."""
    symmetric = SymmetricState(NoiseProtocol.parse("Noise_NN_25519_AESGCM_SHA256"))
    chaining_key = symmetric.handshake_hash  # ck = h at the start
    prk = hmac.digest(bytes(32), chaining_key, "sha256")
    one = hmac.digest(prk, b"info\x01", "sha256")
    two = hmac.digest(prk, one + b"info\x02", "sha256")
    assert symmetric.export(b"info", 48) == (one + two)[:48]
    assert one not in {cipher.key_bytes() for cipher in symmetric.split()}
    for length in (0, -1, 255 * 32 + 1):
        with pytest.raises(UsageError):
            symmetric.export(b"info", length)
