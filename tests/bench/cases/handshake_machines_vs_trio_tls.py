"""The whole handshake of a link beside that of TLS: counters, policy, proofs and channels included."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.machines import machine_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="handshake-machines-vs-trio-tls",
    what="the link's machines with P256+MLKEM768 on trio's streams, until each end has the other's proof",
    unit="handshakes/s",
    ours=machine_handshakes(SUITES[1]),
    peer=streams.tls_handshakes(),
    peer_name="trio SSLStream, TLS 1.3, mutual P-256",
)
