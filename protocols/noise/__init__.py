"""The Noise Protocol Framework, revision 34, with P-256 and hybrid forward secrecy; usable on its own.

>>> from protocols.crypto.keys import SystemKeySource
>>> from protocols.noise import HandshakeState, NoiseProtocol
>>> protocol = NoiseProtocol.parse("Noise_NN_25519_ChaChaPoly_BLAKE2s")
>>> a = HandshakeState(protocol, initiator=True, key_source=SystemKeySource())
>>> b = HandshakeState(protocol, initiator=False, key_source=SystemKeySource())
>>> b.read_message(a.write_message(b"hello"))
b'hello'
"""

from protocols.noise.cipherstate import MAX_MESSAGE, MAX_NONCE, CipherState
from protocols.noise.handshakestate import PSK_LENGTH, HandshakeState
from protocols.noise.patterns import PATTERNS, Pattern, Token
from protocols.noise.protocol_name import DEFAULT, NoiseProtocol, Tables
from protocols.noise.symmetricstate import SymmetricState

__all__ = [
    "DEFAULT",
    "MAX_MESSAGE",
    "MAX_NONCE",
    "PATTERNS",
    "PSK_LENGTH",
    "CipherState",
    "HandshakeState",
    "NoiseProtocol",
    "Pattern",
    "SymmetricState",
    "Tables",
    "Token",
]
