"""A classical handshake beside noiseprotocol with parsed keys put where it keeps them, which its interface cannot."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.handshakes import noise_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import noise_libraries

CASE = Case(
    name="handshake-classical-vs-noiseprotocol-key-objects",
    what="Noise IKpsk2 25519 ChaChaPoly BLAKE2s, both ends; the peer with parsed keys, which its interface cannot take",
    unit="handshakes/s",
    ours=noise_handshakes(SUITES[4]),
    peer=noise_libraries.noiseprotocol(key_objects=True),
    peer_name=noise_libraries.NOISEPROTOCOL,
)
