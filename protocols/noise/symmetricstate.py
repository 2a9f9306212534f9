"""SymmetricState (Noise rev 34, section 5.2).

Chaining key, transcript hash, and the handshake's CipherState.
"""

from typing import Self

from protocols.crypto.ciphers import KEY_LENGTH
from protocols.noise.cipherstate import CipherState
from protocols.noise.protocol_name import NoiseProtocol


class SymmetricState:
    """All symmetric cryptography of a handshake."""

    __slots__ = ("_cipher", "_ck", "_h", "_protocol")

    def __init__(self, protocol: NoiseProtocol) -> None:
        """InitializeSymmetric()."""
        name, size = protocol.name.encode("ascii"), protocol.hash.length
        self._protocol = protocol
        self._h = name.ljust(size, b"\0") if len(name) <= size else protocol.hash.digest(name)
        self._ck = self._h
        self._cipher = CipherState(protocol.cipher)

    @property
    def has_key(self) -> bool:
        """True once a key was mixed in: from here on everything but ``e`` is encrypted."""
        return self._cipher.has_key

    @property
    def handshake_hash(self) -> bytes:
        """GetHandshakeHash(): public, for channel binding (11.2), never a source of keys."""
        return self._h

    def mix_key(self, input_key_material: bytes) -> None:
        """MixKey()."""
        self._ck, key = self._protocol.hash.mix(self._ck, input_key_material, 2)
        self._cipher = CipherState(self._protocol.cipher, key[:KEY_LENGTH])

    def mix_hash(self, data: bytes) -> None:
        """MixHash()."""
        self._h = self._protocol.hash.digest(self._h, data)

    def mix_key_and_hash(self, input_key_material: bytes) -> None:
        """MixKeyAndHash(), for pre-shared keys (9.1)."""
        self._ck, temp_h, key = self._protocol.hash.mix(self._ck, input_key_material, 3)
        self.mix_hash(temp_h)
        self._cipher = CipherState(self._protocol.cipher, key[:KEY_LENGTH])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """EncryptAndHash(): the plaintext itself as long as there is no key."""
        text = self._cipher.encrypt_with_ad(self._h, plaintext) if self.has_key else plaintext
        self.mix_hash(text)
        return text

    def decrypt_and_hash(self, text: bytes) -> bytes:
        """DecryptAndHash(); DecryptError."""
        plaintext = self._cipher.decrypt_with_ad(self._h, text) if self.has_key else text
        self.mix_hash(text)
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
        twin._protocol, twin._ck, twin._h = self._protocol, self._ck, self._h
        twin._cipher = self._cipher.copy()
        return twin

    def __repr__(self) -> str:
        return f"<SymmetricState {self._protocol.name}>"
