"""A classical handshake beside that of dissononce, with the same algorithms."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.handshakes import noise_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import noise_libraries

CASE = Case(
    name="handshake-classical-vs-dissononce",
    what="Noise IKpsk2 25519 ChaChaPoly BLAKE2s, both ends",
    unit="handshakes/s",
    ours=noise_handshakes(SUITES[4]),
    peer=noise_libraries.dissononce(),
    peer_name=noise_libraries.DISSONONCE,
)
