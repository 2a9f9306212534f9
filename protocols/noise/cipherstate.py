"""CipherState (Noise rev 34, section 5.1): a key and the counter of the next nonce."""

from typing import Final, Self

from cryptography.exceptions import InvalidTag

from protocols.crypto.ciphers import KEY_LENGTH, TAG_LENGTH, AeadObject, Cipher
from protocols.errors import (
    DecryptError,
    KeyExhaustedError,
    KeyFormatError,
    MalformedError,
    MessageTooLargeError,
    UsageError,
)

MAX_MESSAGE: Final = 65535
"""Bytes of a Noise message, its tag included (3)."""
MAX_NONCE: Final = 2**64 - 1
"""Reserved: no message is ever encrypted under it, Rekey() is (5.1, 4.2)."""


class CipherState:
    """Encrypts one direction. Two ways, not to be mixed on one object: in order, or at explicit nonces
    (11.4).

    Unlike the specification's, it never passes plaintext through: without a key every call raises UsageError,
    and SymmetricState asks ``has_key`` first. So a mistake cannot send in clear.
    """

    __slots__ = ("_aead", "_cipher", "_key", "_nonce")

    def __init__(self, cipher: Cipher, key: bytes | None = None) -> None:
        if key is not None and len(key) != KEY_LENGTH:
            raise KeyFormatError("a cipher key has 32 bytes")
        self._cipher = cipher
        self._key = key
        self._aead: AeadObject | None = None  # made on first use: many handshake keys encrypt nothing
        self._nonce = 0

    @property
    def has_key(self) -> bool:
        """HasKey()."""
        return self._key is not None

    @property
    def nonce(self) -> int:
        """Counter of the next message; 2^64-1 means that the key is used up."""
        return self._nonce

    def set_nonce(self, nonce: int) -> None:
        """SetNonce(), on a receiver only.

        A sender that goes back repeats a nonce. UsageError out of range.
        """
        if not 0 <= nonce <= MAX_NONCE:
            raise UsageError("a nonce is a number in 0 .. 2^64-1")
        self._nonce = nonce

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        """EncryptWithAd().

        KeyExhaustedError, MessageTooLargeError (65,519 bytes are the most), UsageError.
        """
        ciphertext = self.encrypt_at(self._nonce, ad, plaintext)
        self._nonce += 1
        return ciphertext

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """DecryptWithAd(): DecryptError or MalformedError leave the counter as it was; KeyExhaustedError."""
        if self._nonce == MAX_NONCE:
            raise KeyExhaustedError("all nonces of this key are used")
        plaintext = self.decrypt_at(self._nonce, ad, ciphertext)
        self._nonce += 1
        return plaintext

    def encrypt_at(self, nonce: int, ad: bytes, plaintext: bytes) -> bytes:
        """Encrypt under a nonce of the caller's, who never repeats one; errors as ``encrypt_with_ad``."""
        if not 0 <= nonce < MAX_NONCE:
            raise KeyExhaustedError("a message nonce is a number in 0 .. 2^64-2")
        if len(plaintext) > MAX_MESSAGE - TAG_LENGTH:
            raise MessageTooLargeError(f"a Noise message has at most {MAX_MESSAGE} bytes with its tag")
        return (self._aead or self._keyed()).encrypt(self._cipher.nonce(nonce), plaintext, ad)

    def decrypt_at(self, nonce: int, ad: bytes, ciphertext: bytes) -> bytes:
        """Decrypt under the nonce that came with the message; replays are the caller's to refuse (11.4).

        MalformedError for a length or nonce that no message has, DecryptError if the tag does not verify.
        """
        if not (0 <= nonce < MAX_NONCE and TAG_LENGTH <= len(ciphertext) <= MAX_MESSAGE):
            raise MalformedError("no Noise message has this nonce or length")
        try:
            return (self._aead or self._keyed()).decrypt(self._cipher.nonce(nonce), ciphertext, ad)
        except InvalidTag:
            raise DecryptError("the tag does not verify") from None

    def rekey(self) -> None:
        """Rekey(): replace the key one-way (4.2, 11.3); the counter goes on. UsageError without a key."""
        sealed = self._keyed().encrypt(self._cipher.nonce(MAX_NONCE), bytes(KEY_LENGTH), b"")
        self._key = sealed[:KEY_LENGTH]
        self._aead = None

    def key_bytes(self) -> bytes:
        """Return the raw 32-byte key, for the session layer that seals packets itself; UsageError without
        one.

        It then owns the nonces: this object must not encrypt any more.
        """
        if self._key is None:
            raise UsageError("this CipherState has no key")
        return self._key

    def copy(self) -> Self:
        """Return an independent CipherState with the same key and counter.

        Only one of the two may encrypt.
        """
        twin = type(self)(self._cipher, self._key)
        twin._aead = self._aead
        twin._nonce = self._nonce
        return twin

    def _keyed(self) -> AeadObject:
        if self._aead is None:
            self._aead = self._cipher.new(self.key_bytes())
        return self._aead

    def __repr__(self) -> str:
        return f"<CipherState {self._cipher.name} keyed={self.has_key} nonce={self._nonce}>"
