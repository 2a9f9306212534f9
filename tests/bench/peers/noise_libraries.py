"""Handshakes of two other Noise libraries: IK with 25519, ChaChaPoly and BLAKE2s, both ends."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.bench.harness.model import Side
from tests.bench.harness.repeat import repeat

NOISEPROTOCOL: Final = "noiseprotocol, IK 25519"
DISSONONCE: Final = "dissononce, IK 25519"
_NAME: Final = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"


def _raw_keys() -> tuple[bytes, bytes]:
    key = X25519PrivateKey.generate()
    return key.private_bytes_raw(), key.public_key().public_bytes_raw()


def _noiseprotocol(*, key_objects: bool) -> Callable[[], object]:
    """As its README does it: keys are given as bytes. With ``key_objects``, parsed ones are put where it keeps them."""
    library: Any = import_module("noise.connection")
    pair = library.Keypair
    mine, theirs = _raw_keys(), _raw_keys()

    def connection(*, initiator: bool) -> Any:
        made = library.NoiseConnection.from_name(_NAME)
        if initiator:
            made.set_as_initiator()
        else:
            made.set_as_responder()
        return made

    parsed = connection(initiator=True).noise_protocol.dh_fn.klass
    my_key, their_key = parsed.from_private_bytes(mine[0]), parsed.from_private_bytes(theirs[0])
    their_public = parsed.from_public_bytes(theirs[1])

    def step() -> object:
        first, second = connection(initiator=True), connection(initiator=False)
        if key_objects:
            first.noise_protocol.keypairs |= {"s": my_key, "rs": their_public}
            second.noise_protocol.keypairs["s"] = their_key
        else:
            first.set_keypair_from_private_bytes(pair.STATIC, mine[0])
            first.set_keypair_from_public_bytes(pair.REMOTE_STATIC, theirs[1])
            second.set_keypair_from_private_bytes(pair.STATIC, theirs[0])
        first.start_handshake()
        second.start_handshake()
        second.read_message(first.write_message())
        first.read_message(second.write_message())
        if not (first.handshake_finished and second.handshake_finished):
            raise RuntimeError("the handshake is not over")
        return first, second

    return step


def noiseprotocol(*, key_objects: bool = False) -> Side:
    """Handshakes per second."""
    return repeat(lambda: _noiseprotocol(key_objects=key_objects))


def _dissononce() -> Callable[[], object]:
    base = "dissononce"
    names = {
        "cipher": (f"{base}.cipher.chachapoly", "ChaChaPolyCipher"),
        "dh": (f"{base}.dh.x25519.x25519", "X25519DH"),
        "hash": (f"{base}.hash.blake2s", "Blake2sHash"),
        "pattern": (f"{base}.processing.handshakepatterns.interactive.IK", "IKHandshakePattern"),
        "handshake": (f"{base}.processing.impl.handshakestate", "HandshakeState"),
        "symmetric": (f"{base}.processing.impl.symmetricstate", "SymmetricState"),
        "state": (f"{base}.processing.impl.cipherstate", "CipherState"),
    }
    parts: dict[str, Any] = {key: getattr(import_module(module), name) for key, (module, name) in names.items()}
    dh = parts["dh"]()
    mine, theirs = dh.generate_keypair(), dh.generate_keypair()

    def party() -> Any:
        symmetric = parts["symmetric"](parts["state"](parts["cipher"]()), parts["hash"]())
        return parts["handshake"](symmetric, parts["dh"]())

    def step() -> object:
        first, second = party(), party()
        first.initialize(parts["pattern"](), True, b"", s=mine, rs=theirs.public)
        second.initialize(parts["pattern"](), False, b"", s=theirs)
        one, two, payload = bytearray(), bytearray(), bytearray()
        first.write_message(b"", one)
        second.read_message(bytes(one), payload)
        ends = second.write_message(b"", two)
        if not ends or not first.read_message(bytes(two), payload):
            raise RuntimeError("the handshake is not over")
        return ends

    return step


def dissononce() -> Side:
    """Handshakes per second."""
    return repeat(_dissononce)
