"""XXpsk0 and IKpsk2, with and without hfs, straight-line (specs/noise-hfs.md, noise-p256.md, 1-link.md).

One party plays both sides: it knows all secrets. ``forged`` replaces what is sent, still properly encrypted: so
vectors are made that only a correct check refuses.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.tools.make_vectors.base import hkdf
from tests.tools.make_vectors.mlkem import encapsulate


@dataclass(frozen=True, slots=True)
class Suite:
    """A row of the table of LK-2."""

    id: int
    name: str
    p256: bool
    hybrid: bool

    @property
    def digest(self) -> Any:
        return hashlib.sha256 if self.p256 else hashlib.blake2s

    @property
    def dh_bytes(self) -> int:
        return 65 if self.p256 else 32

    def aead(self, key: bytes) -> Any:
        return AESGCM(key) if self.p256 else ChaCha20Poly1305(key)


SUITES: Final = (
    Suite(1, "P256+MLKEM768_AESGCM_SHA256", p256=True, hybrid=True),
    Suite(2, "25519+MLKEM768_ChaChaPoly_BLAKE2s", p256=False, hybrid=True),
    Suite(3, "P256_AESGCM_SHA256", p256=True, hybrid=False),
    Suite(4, "25519_ChaChaPoly_BLAKE2s", p256=False, hybrid=False),
)


def public_of(suite: Suite, private: bytes) -> bytes:
    """Return the public key of a private one."""
    if suite.p256:
        key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return x25519.X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def kem_public_of(seed: bytes) -> bytes:
    """Return the encapsulation key of a seed d || z."""
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def _agree(suite: Suite, private: bytes, public: bytes) -> bytes:
    if suite.p256:
        key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public))
    ours = x25519.X25519PrivateKey.from_private_bytes(private)
    return ours.exchange(x25519.X25519PublicKey.from_public_bytes(public))


@dataclass(frozen=True, slots=True)
class Side:
    """The keys of one party."""

    static: bytes
    ephemeral: bytes
    kem: bytes
    """Seed of the KEM key (initiator), or of the encapsulation (responder)."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that goes into a handshake."""

    suite: Suite
    pairing: bool
    prologue: bytes
    psk: bytes
    initiator: Side
    responder: Side
    payloads: tuple[bytes, ...]
    forged: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """What is sent instead, by name: e_i, e_r, static_i, static_r, kem_public, ciphertext."""

    @property
    def protocol(self) -> str:
        base = "XX" if self.pairing else "IK"
        psk = "psk0" if self.pairing else "psk2"
        return f"Noise_{base}{'hfs+' if self.suite.hybrid else ''}{psk}_{self.suite.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that comes out of it."""

    messages: tuple[bytes, ...]
    hash: bytes
    chaining_key: bytes
    forward: bytes
    """Key from initiator to responder."""
    back: bytes


class _Noise:
    """h, ck, k and n of the specification, and the tokens."""

    def __init__(self, inputs: Inputs) -> None:
        self.x, self.suite = inputs, inputs.suite
        name = inputs.protocol.encode()
        self.h = self.ck = name.ljust(32, b"\0") if len(name) <= 32 else self.suite.digest(name).digest()
        self.k, self.n = b"", 0
        self.mix_hash(inputs.prologue)

    def mix_hash(self, data: bytes) -> None:
        self.h = self.suite.digest(self.h + data).digest()

    def expand(self, ikm: bytes) -> tuple[bytes, bytes, bytes]:
        temp = hmac.digest(self.ck, ikm, self.suite.digest)
        one = hmac.digest(temp, b"\x01", self.suite.digest)
        two = hmac.digest(temp, one + b"\x02", self.suite.digest)
        return one, two, hmac.digest(temp, two + b"\x03", self.suite.digest)

    def mix_key(self, ikm: bytes) -> None:
        self.ck, self.k, _ = self.expand(ikm)
        self.n = 0

    def psk(self) -> None:
        self.ck, temp, self.k = self.expand(self.x.psk)
        self.mix_hash(temp)
        self.n = 0

    def seal(self, plaintext: bytes) -> bytes:
        nonce = bytes(4) + self.n.to_bytes(8, "big" if self.suite.p256 else "little")
        sealed: bytes = self.suite.aead(self.k).encrypt(nonce, plaintext, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def e(self, name: str, side: Side) -> bytes:
        public = self.x.forged.get(name) or public_of(self.suite, side.ephemeral)
        self.mix_hash(public)
        self.mix_key(public)
        return public

    def s(self, name: str, side: Side) -> bytes:
        return self.seal(self.x.forged.get(name) or public_of(self.suite, side.static))

    def e1(self) -> bytes:
        if not self.suite.hybrid:
            return b""
        return self.seal(self.x.forged.get("kem_public") or kem_public_of(self.x.initiator.kem))

    def ekem1(self) -> bytes:
        if not self.suite.hybrid:
            return b""
        shared, ciphertext = encapsulate(kem_public_of(self.x.initiator.kem), self.x.responder.kem)
        field_ = self.seal(self.x.forged.get("ciphertext") or ciphertext)
        self.mix_key(shared)
        return field_

    def dh(self, initiator: bytes, responder: bytes) -> None:
        self.mix_key(_agree(self.suite, initiator, public_of(self.suite, responder)))

    def xx(self) -> tuple[bytes, ...]:
        i, r, payloads = self.x.initiator, self.x.responder, self.x.payloads
        self.psk()
        first = self.e("e_i", i) + self.e1() + self.seal(payloads[0])
        second = self.e("e_r", r)
        self.dh(i.ephemeral, r.ephemeral)
        second += self.ekem1() + self.s("static_r", r)
        self.dh(i.ephemeral, r.static)
        second += self.seal(payloads[1])
        third = self.s("static_i", i)
        self.dh(i.static, r.ephemeral)
        return first, second, third + self.seal(payloads[2])

    def ik(self) -> tuple[bytes, ...]:
        i, r, payloads = self.x.initiator, self.x.responder, self.x.payloads
        self.mix_hash(public_of(self.suite, r.static))
        first = self.e("e_i", i)
        self.dh(i.ephemeral, r.static)
        first += self.e1() + self.s("static_i", i)
        self.dh(i.static, r.static)
        first += self.seal(payloads[0])
        second = self.e("e_r", r)
        self.dh(i.ephemeral, r.ephemeral)
        second += self.ekem1()
        self.dh(i.static, r.ephemeral)
        self.psk()
        return first, second + self.seal(payloads[1])


def run(inputs: Inputs) -> Outcome:
    """Run the whole handshake."""
    noise = _Noise(inputs)
    messages = noise.xx() if inputs.pairing else noise.ik()
    forward, back, _ = noise.expand(b"")
    return Outcome(messages, noise.h, noise.ck, forward, back)


def pair_secret(suite: Suite, outcome: Outcome, initiator: bytes, responder: bytes, roles: bytes) -> bytes:
    """Return the pair secret (PR-11)."""
    info = b"Aerolink pair secret v1" + initiator + responder + roles
    return hkdf(outcome.chaining_key, b"", info, suite.digest)
