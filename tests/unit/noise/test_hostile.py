"""Attacks on a handshake: bad keys, changed bytes, messages of another time or place."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto.dh import P256Key
from protocols.crypto.keys import SystemKeySource
from protocols.crypto.suites import SUITES
from protocols.errors import AuthenticationError, BadPublicKeyError, DecryptError, PeerError
from protocols.noise import HandshakeState, NoiseProtocol
from tests.unit.noise.pair import CHEAP, finish, make_pair, psk, step

PRODUCT = [suite.noise_name(pattern) for suite in SUITES.values() for pattern in ("IKpsk2", "XXpsk0")]

P = 2**255 - 19
LOW_ORDER_25519 = [  # RFC 7748, section 6.1; every u that gives zero, and their spellings above p
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
]
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
POINT = P256Key.generate().public


@pytest.mark.parametrize("u", LOW_ORDER_25519)
@pytest.mark.parametrize("top_bit", [0, 1])
def test_low_order_ephemeral_25519(u: int, top_bit: int) -> None:
    """RFC 7748, 6.1: the all-zero secret is refused, here at the ee of the responder's message."""
    a, b = make_pair(f"Noise_NN_{CHEAP}")
    a.write_message()
    b.read_message((u | top_bit << 255).to_bytes(32, "little"))
    for _ in range(2):
        with pytest.raises(BadPublicKeyError):
            b.write_message()
    assert b.message_index == 1


@pytest.mark.parametrize("u", [0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224 - 1, 2**448 - 2**224])
def test_low_order_ephemeral_448(u: int) -> None:
    a, b = make_pair("Noise_NK_448_AESGCM_SHA512")
    message = a.write_message()
    with pytest.raises(BadPublicKeyError):
        b.read_message(u.to_bytes(56, "little") + message[56:])
    assert b.read_message(message) == b""


def bad_points() -> Iterator[tuple[str, bytes]]:
    x, y = int.from_bytes(POINT[1:33], "big"), int.from_bytes(POINT[33:], "big")
    yield "zeros", bytes(65)
    yield "origin", b"\x04" + bytes(64)
    yield "not on the curve", POINT[:-1] + bytes([POINT[-1] ^ 1])
    yield "x and y swapped", b"\x04" + POINT[33:] + POINT[1:33]
    yield "infinity, padded", b"\x00" + POINT[1:]
    yield "compressed, padded", bytes([2 + y % 2]) + POINT[1:33] + bytes(32)
    yield "compressed tag", b"\x02" + POINT[1:]
    yield "hybrid encoding", bytes([6 + y % 2]) + POINT[1:]
    yield "coordinates above p", b"\x04" + b"\xff" * 64
    yield "y = p", b"\x04" + POINT[1:33] + P256_PRIME.to_bytes(32, "big")
    # y^2 = x^3 + a x + b' for another b: the classic invalid-curve point of small order
    yield "other curve", b"\x04" + x.to_bytes(32, "big") + ((y * 2) % P256_PRIME).to_bytes(32, "big")
    k1 = ec.generate_private_key(ec.SECP256K1()).public_key()
    yield "secp256k1", k1.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_a_small_x_above_p_is_another_spelling() -> None:
    """NP-4: x = 5 is on the curve; x = 5 + p, which still fits into 32 bytes, is refused."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + (5).to_bytes(32, "big"))
    good = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    P256Key.generate().exchange(good)
    bad = b"\x04" + (5 + P256_PRIME).to_bytes(32, "big") + good[33:]
    with pytest.raises(BadPublicKeyError):
        P256Key.generate().exchange(bad)


@pytest.mark.parametrize(
    ("kind", "point"), list(bad_points()), ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("pattern", ["NN", "NK", "XXpsk0", "IKpsk2"])
def test_bad_p256_ephemeral(kind: str, point: bytes, pattern: str) -> None:
    """NP-4, NP-5, NP-8: refused when the token is read; the good message is still welcome."""
    assert kind
    a, b = make_pair(f"Noise_{pattern}_P256_AESGCM_SHA256")
    message = a.write_message(b"payload")
    with pytest.raises(BadPublicKeyError):
        b.read_message(point + message[65:])
    assert b.read_message(message) == b"payload"
    finish(a, b)


class Liar:
    """A static key whose public half is not what the private one gives."""

    dh = "P256"

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._key = P256Key.generate()

    def exchange(self, peer_public: bytes) -> bytes:
        return self._key.exchange(peer_public)


@pytest.mark.parametrize(
    ("kind", "point"), list(bad_points()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_bad_p256_static_under_encryption(kind: str, point: bytes) -> None:
    """NP-4: a static key that was sent encrypted is validated as well."""
    assert kind
    protocol, source = NoiseProtocol.parse("Noise_X1N_P256_AESGCM_SHA256"), SystemKeySource()
    a = HandshakeState(protocol, initiator=True, key_source=source, s=Liar(point))
    b = HandshakeState(protocol, initiator=False, key_source=source)
    step(a, b)
    step(a, b)
    with pytest.raises(BadPublicKeyError):  # before message 4, where the key would be used
        b.read_message(a.write_message())
    assert b.remote_static is None


@pytest.mark.parametrize("at", [0, 1152, 1183])
def test_bad_kem_key(at: int) -> None:
    """NH-4: a coefficient above q is refused on reading, not when the answer is written."""
    a, b = make_pair("Noise_NNhfs_25519+MLKEM768_AESGCM_SHA256")
    message = a.write_message()
    bad = bytearray(message)
    bad[32 + min(at, 1149) : 32 + min(at, 1149) + 3] = b"\xff\xff\xff"
    with pytest.raises(BadPublicKeyError):
        b.read_message(bytes(bad))
    assert b.read_message(message) == b""
    finish(a, b)


def test_a_foreign_ciphertext_is_noticed_at_the_next_tag() -> None:
    """NH-7: implicit rejection; a man in the middle without the KEM key gains nothing and breaks nothing."""

    class Deaf(SystemKeySource):
        """Encapsulates to some other key."""

        def encapsulate(self, kem_name: str, public: bytes) -> tuple[bytes, bytes]:
            return super().encapsulate(kem_name, self.kem_key(kem_name).public if public else public)

    protocol = NoiseProtocol.parse("Noise_NNhfs_25519+MLKEM768_AESGCM_SHA256")
    a = HandshakeState(protocol, initiator=True, key_source=SystemKeySource())
    b = HandshakeState(protocol, initiator=False, key_source=SystemKeySource())
    deaf = HandshakeState(protocol, initiator=False, key_source=Deaf())
    first = a.write_message()
    deaf.read_message(first)
    b.read_message(first)
    with pytest.raises(DecryptError):
        a.read_message(deaf.write_message())
    assert a.read_message(b.write_message(b"ok")) == b"ok"
    finish(a, b)


@pytest.mark.parametrize("name", PRODUCT)
def test_every_byte_counts(name: str) -> None:
    """NH-12: any changed byte of any message is refused with a typed error, and changes nothing."""
    a, b = make_pair(name)
    while not a.is_finished:
        writer, reader = (a, b) if a.next_is_write else (b, a)
        message = writer.write_message(b"pay")
        for at in range(len(message)):
            bad = bytearray(message)
            bad[at] ^= 1 << at % 8
            with pytest.raises((PeerError, AuthenticationError)):
                reader.read_message(bytes(bad))
        for bad_length in (message[:-1], message + b"\0", message[:1], b""):
            with pytest.raises((PeerError, AuthenticationError)):
                reader.read_message(bad_length)
        assert reader.read_message(message) == b"pay"
    finish(a, b)


@pytest.mark.parametrize("name", PRODUCT)
def test_messages_of_another_time_or_place(name: str) -> None:
    """A replay within the handshake, our own message reflected, a message of another handshake: all refused."""
    a, b = make_pair(name)
    other_a, other_b = make_pair(name)
    sent: list[bytes] = []
    while not a.is_finished:
        foreign = step(other_a, other_b)
        reader = b if a.next_is_write else a
        for old in (*sent, *([foreign] if sent else [])):
            with pytest.raises((PeerError, AuthenticationError)):
                reader.read_message(old)
        sent.append(step(a, b))
    finish(a, b)


@pytest.mark.parametrize("what", ["prologue", "psk", "pattern", "suite"])
def test_both_must_mean_the_same(what: str) -> None:
    """6, 9: prologue, psk and protocol name are authenticated."""
    source = SystemKeySource()
    names = {"pattern": "Noise_NNpsk0+psk1_25519_AESGCM_SHA256", "suite": "Noise_NNpsk0_25519_ChaChaPoly_SHA256"}
    name = "Noise_NNpsk0_25519_AESGCM_SHA256"
    a = HandshakeState(NoiseProtocol.parse(name), initiator=True, key_source=source, prologue=b"1", psks={0: psk(0)})
    other = NoiseProtocol.parse(names.get(what, name))
    b = HandshakeState(
        other,
        initiator=False,
        key_source=source,
        prologue=b"2" if what == "prologue" else b"1",
        psks={position: psk(9 if what == "psk" else 0) for position in other.pattern.psk_positions},
    )
    with pytest.raises(DecryptError):
        b.read_message(a.write_message())


def test_the_wrong_responder_cannot_read() -> None:
    a, _ = make_pair("Noise_IKpsk2_P256_AESGCM_SHA256")
    _, stranger = make_pair("Noise_IKpsk2_P256_AESGCM_SHA256")
    with pytest.raises(DecryptError):
        stranger.read_message(a.write_message())
