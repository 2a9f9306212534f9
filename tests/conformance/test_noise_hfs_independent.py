"""A second, straight-line implementation of the product's handshakes, against the state machine.

No public vectors exist for hfs (specs/noise-hfs.md). So here are IKhfs+psk2 and XXhfs+psk0, and their
classical forms, written out token by token on hashlib, hmac and cryptography, with no tables and nothing of
protocols/noise. Each side of each is run against ours; transport keys, handshake hash and exported secret must
agree.
"""

import hashlib
import hmac
from collections.abc import Callable, Generator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto.keys import StaticKey, SystemKeySource
from protocols.crypto.suites import SUITES, Suite
from protocols.noise import HandshakeState, NoiseProtocol

PROLOGUE, PSK = b"prologue", bytes(range(32))
Secrets = tuple[bytes, bytes, bytes, bytes]
"""Transport keys of both directions, handshake hash, exported secret."""
Party = Generator[bytes, bytes, Secrets]


def public_of(key: Any) -> bytes:
    if isinstance(key, x25519.X25519PrivateKey):
        return key.public_key().public_bytes_raw()
    return bytes(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


class Plain:
    """h, ck, k, n and the two primitives that differ between suites."""

    def __init__(self, suite: Suite, pattern: str) -> None:
        self.hybrid, self.p256 = suite.kem is not None, suite.dh == "P256"
        self.hash: Any = hashlib.sha256 if suite.hash == "SHA256" else hashlib.blake2s
        self.aead: Any = AESGCM if suite.cipher == "AESGCM" else ChaCha20Poly1305
        self.order: Any = "big" if suite.cipher == "AESGCM" else "little"
        name = f"Noise_{pattern}_{suite.name}".encode()
        self.h = self.ck = name.ljust(32, b"\0") if len(name) <= 32 else self.hash(name).digest()
        self.k, self.n = b"", 0
        self.mix_hash(PROLOGUE)

    def new(self) -> Any:
        return ec.generate_private_key(ec.SECP256R1()) if self.p256 else x25519.X25519PrivateKey.generate()

    def dh(self, key: Any, public: bytes) -> bytes:
        if self.p256:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
            return bytes(key.exchange(ec.ECDH(), point))
        return bytes(key.exchange(x25519.X25519PublicKey.from_public_bytes(public)))

    def mix_hash(self, data: bytes) -> None:
        self.h = self.hash(self.h + data).digest()

    def hkdf(self, key: bytes, ikm: bytes, info: bytes = b"") -> tuple[bytes, bytes, bytes]:
        temp = hmac.digest(key, ikm, self.hash)
        one = hmac.digest(temp, info + b"\x01", self.hash)
        two = hmac.digest(temp, one + info + b"\x02", self.hash)
        return one, two, hmac.digest(temp, two + info + b"\x03", self.hash)

    def mix_key(self, ikm: bytes) -> None:
        self.ck, self.k, _ = self.hkdf(self.ck, ikm)
        self.n = 0

    def mix_psk(self) -> None:
        self.ck, temp, self.k = self.hkdf(self.ck, PSK)
        self.mix_hash(temp)
        self.n = 0

    def mix_e(self, public: bytes) -> None:  # in a psk handshake
        self.mix_hash(public)
        self.mix_key(public)

    def seal(self, plaintext: bytes) -> bytes:
        nonce = bytes(4) + self.n.to_bytes(8, self.order)
        ciphertext = bytes(self.aead(self.k).encrypt(nonce, plaintext, self.h))
        self.n += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def open(self, ciphertext: bytes) -> bytes:
        nonce = bytes(4) + self.n.to_bytes(8, self.order)
        plaintext = bytes(self.aead(self.k).decrypt(nonce, ciphertext, self.h))
        self.n += 1
        self.mix_hash(ciphertext)
        return plaintext

    def secrets(self) -> Secrets:
        first, second, _ = self.hkdf(self.ck, b"")
        return first, second, self.h, self.hkdf(bytes(32), self.ck, b"info")[0]


class Reader:
    def __init__(self, message: bytes) -> None:
        self.rest = message

    def take(self, length: int) -> bytes:
        field, self.rest = self.rest[:length], self.rest[length:]
        return field


def ik_initiator(x: Plain, s: Any, rs: bytes) -> Party:
    x.mix_hash(rs)
    e, kem = x.new(), mlkem.MLKEM768PrivateKey.generate()
    x.mix_e(public_of(e))
    x.mix_key(x.dh(e, rs))
    e1 = x.seal(kem.public_key().public_bytes_raw()) if x.hybrid else b""
    static = x.seal(public_of(s))
    x.mix_key(x.dh(s, rs))
    message = Reader((yield public_of(e) + e1 + static + x.seal(b"payload 0")))
    re = message.take(len(rs))
    x.mix_e(re)
    x.mix_key(x.dh(e, re))
    if x.hybrid:
        x.mix_key(kem.decapsulate(x.open(message.take(1104))))
    x.mix_key(x.dh(s, re))
    x.mix_psk()
    assert x.open(message.rest) == b"payload 1"
    return x.secrets()


def ik_responder(x: Plain, s: Any, rs: bytes) -> Party:
    x.mix_hash(public_of(s))
    message = Reader((yield b""))
    re = message.take(len(rs))
    x.mix_e(re)
    x.mix_key(x.dh(s, re))
    e1 = x.open(message.take(1200)) if x.hybrid else b""
    assert x.open(message.take(len(rs) + 16)) == rs
    x.mix_key(x.dh(s, rs))
    assert x.open(message.rest) == b"payload 0"
    e, ekem1 = x.new(), b""
    x.mix_e(public_of(e))
    x.mix_key(x.dh(e, re))
    if x.hybrid:
        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(e1).encapsulate()
        ekem1 = x.seal(ciphertext)
        x.mix_key(secret)
    x.mix_key(x.dh(e, rs))
    x.mix_psk()
    yield public_of(e) + ekem1 + x.seal(b"payload 1")
    return x.secrets()


def xx_initiator(x: Plain, s: Any, rs: bytes) -> Party:
    e, kem = x.new(), mlkem.MLKEM768PrivateKey.generate()
    x.mix_psk()
    x.mix_e(public_of(e))
    e1 = x.seal(kem.public_key().public_bytes_raw()) if x.hybrid else b""
    message = Reader((yield public_of(e) + e1 + x.seal(b"payload 0")))
    re = message.take(len(rs))
    x.mix_e(re)
    x.mix_key(x.dh(e, re))
    if x.hybrid:
        x.mix_key(kem.decapsulate(x.open(message.take(1104))))
    assert x.open(message.take(len(rs) + 16)) == rs
    x.mix_key(x.dh(e, rs))
    assert x.open(message.rest) == b"payload 1"
    static = x.seal(public_of(s))
    x.mix_key(x.dh(s, re))
    yield static + x.seal(b"payload 2")
    return x.secrets()


def xx_responder(x: Plain, s: Any, rs: bytes) -> Party:
    message = Reader((yield b""))
    x.mix_psk()
    re = message.take(len(rs))
    x.mix_e(re)
    e1 = x.open(message.take(1200)) if x.hybrid else b""
    assert x.open(message.rest) == b"payload 0"
    e, ekem1 = x.new(), b""
    x.mix_e(public_of(e))
    x.mix_key(x.dh(e, re))
    if x.hybrid:
        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(e1).encapsulate()
        ekem1 = x.seal(ciphertext)
        x.mix_key(secret)
    static = x.seal(public_of(s))
    x.mix_key(x.dh(s, re))
    message = Reader((yield public_of(e) + ekem1 + static + x.seal(b"payload 1")))
    assert x.open(message.take(len(rs) + 16)) == rs
    x.mix_key(x.dh(e, rs))
    assert x.open(message.rest) == b"payload 2"
    return x.secrets()


def converse(ours: HandshakeState, theirs: Party) -> Secrets:
    """Pass messages between the two until the second implementation returns its secrets."""
    out = next(theirs)
    try:
        while True:
            index = ours.message_index
            if ours.next_is_write:
                out = theirs.send(ours.write_message(b"payload %d" % index))
            else:
                assert ours.read_message(out) == b"payload %d" % index
                if ours.is_finished:
                    next(theirs)
    except StopIteration as stop:
        secrets: Secrets = stop.value
        return secrets


CASES: dict[str, tuple[Callable[[Plain, Any, bytes], Party], Callable[[Plain, Any, bytes], Party]]] = {
    "IKpsk2": (ik_initiator, ik_responder),
    "XXpsk0": (xx_initiator, xx_responder),
}


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
@pytest.mark.parametrize("pattern", CASES)
@pytest.mark.parametrize("we_initiate", [True, False], ids=["we-initiate", "they-initiate"])
def test_independent(suite: Suite, pattern: str, we_initiate: bool) -> None:
    """NH-1, NH-2, NH-4, NH-5, NP-3: both implementations end with the same secrets."""
    name = suite.noise_name(pattern)
    plain = Plain(suite, name.split("_")[1])
    their_s, key_source = plain.new(), SystemKeySource()
    our_s: StaticKey = key_source.dh_key(suite.dh)
    ours = HandshakeState(
        NoiseProtocol.parse(name),
        initiator=we_initiate,
        key_source=key_source,
        prologue=PROLOGUE,
        s=our_s,
        rs=public_of(their_s) if we_initiate and pattern == "IKpsk2" else None,
        psks={int(pattern[-1]): PSK},
    )
    theirs = CASES[pattern][we_initiate](plain, their_s, our_s.public)
    secrets = converse(ours, theirs)
    assert ours.is_finished
    assert ours.remote_static == public_of(their_s)
    first, second = ours.split()
    assert secrets == (
        first.key_bytes(),
        second.key_bytes(),
        ours.handshake_hash,
        ours.export_secret(b"info", 32),
    )
