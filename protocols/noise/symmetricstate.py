"""SymmetricState (Noise rev 34, section 5.2).

Chaining key, transcript hash, and the key of the handshake with the counter of its next nonce. The two are the
specification's CipherState; unfolded, because a handshake makes nine keys for five messages, and is copied often.
"""

from typing import Self

from cryptography.exceptions import InvalidTag

from protocols.crypto.ciphers import KEY_LENGTH, AeadObject
from protocols.errors import DecryptError
from protocols.noise.cipherstate import CipherState
from protocols.noise.protocol_name import NoiseProtocol


class SymmetricState:
    """All symmetric cryptography of a handshake."""

    __slots__ = ("_aead", "_ck", "_h", "_key", "_nonce", "_protocol")

    def __init__(self, protocol: NoiseProtocol) -> None:
        """InitializeSymmetric()."""
        self._protocol = protocol
        self._h = self._ck = protocol.initial_hash
        self._key: bytes | None = None
        self._aead: AeadObject | None = None  # made on first use: half of the keys encrypt nothing
        self._nonce = 0

    @property
    def has_key(self) -> bool:
        """True once a key was mixed in: from here on everything but ``e`` is encrypted."""
        return self._key is not None

    @property
    def handshake_hash(self) -> bytes:
        """GetHandshakeHash(): public, for channel binding (11.2), never a source of keys."""
        return self._h

    def mix_key(self, input_key_material: bytes) -> None:
        """MixKey()."""
        self._ck, key = self._protocol.hash.mix(self._ck, input_key_material, 2)
        self._key = key[:KEY_LENGTH]
        self._aead = None
        self._nonce = 0

    def mix_hash(self, data: bytes) -> None:
        """MixHash()."""
        self._h = self._protocol.hash.digest(self._h + data)

    def mix_key_and_hash(self, input_key_material: bytes) -> None:
        """MixKeyAndHash(), for pre-shared keys (9.1)."""
        self._ck, temp_h, key = self._protocol.hash.mix(self._ck, input_key_material, 3)
        self.mix_hash(temp_h)
        self._key = key[:KEY_LENGTH]
        self._aead = None
        self._nonce = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """EncryptAndHash(): the plaintext itself as long as there is no key."""
        text = plaintext
        if self._key is not None:
            aead = self._aead or self._keyed(self._key)
            text = aead.encrypt(self._protocol.cipher.nonce(self._nonce), plaintext, self._h)
            self._nonce += 1
        self._h = self._protocol.hash.digest(self._h + text)
        return text

    def decrypt_and_hash(self, text: bytes) -> bytes:
        """DecryptAndHash(); DecryptError."""
        plaintext = text
        if self._key is not None:
            aead = self._aead or self._keyed(self._key)
            try:
                plaintext = aead.decrypt(self._protocol.cipher.nonce(self._nonce), text, self._h)
            except InvalidTag:
                raise DecryptError("the tag does not verify") from None
            self._nonce += 1
        self._h = self._protocol.hash.digest(self._h + text)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Split(): initiator to responder first. One-way patterns get a second one without a key (7.4)."""
        first, second = (key[:KEY_LENGTH] for key in self._protocol.hash.mix(self._ck, b"", 2))
        cipher, one_way = self._protocol.cipher, self._protocol.pattern.is_one_way
        return CipherState(cipher, first), CipherState(cipher, None if one_way else second)

    def export(self, info: bytes, length: int) -> bytes:
        """Return HKDF (RFC 5869) of the chaining key: no salt, this info. UsageError for an impossible
        length.

        It stands beside Split(), whose HKDF has the chaining key as salt: the two never share an HMAC key.
        """
        return self._protocol.hash.hkdf(self._ck, b"", info, length)

    def copy(self) -> Self:
        """Return an independent state with the same values."""
        twin = type(self).__new__(type(self))
        twin._protocol = self._protocol
        twin._ck = self._ck
        twin._h = self._h
        twin._key = self._key
        twin._aead = self._aead
        twin._nonce = self._nonce
        return twin

    def _keyed(self, key: bytes) -> AeadObject:
        self._aead = aead = self._protocol.cipher.new(key)
        return aead

    def __repr__(self) -> str:
        return f"<SymmetricState {self._protocol.name}>"
