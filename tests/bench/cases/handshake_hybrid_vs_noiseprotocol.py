"""Our default handshake, which resists quantum computers, beside noiseprotocol's classical one."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.handshakes import noise_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import noise_libraries

CASE = Case(
    name="handshake-hybrid-vs-noiseprotocol",
    what="Noise IKhfs+psk2 P256+MLKEM768, both ends, beside a classical IK",
    unit="handshakes/s",
    ours=noise_handshakes(SUITES[1]),
    peer=noise_libraries.noiseprotocol(),
    peer_name=noise_libraries.NOISEPROTOCOL,
)
