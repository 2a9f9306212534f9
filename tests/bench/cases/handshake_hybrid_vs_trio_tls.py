"""IKhfs+psk2 beside TLS 1.3, both over a TCP connection in trio."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.machines import noise_over_streams
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="handshake-hybrid-vs-trio-tls",
    what="IKhfs+psk2 with P256+MLKEM768, both ends, over a TCP connection in trio; connections are not counted",
    unit="handshakes/s",
    ours=noise_over_streams(SUITES[1]),
    peer=streams.tls_handshakes(),
    peer_name="trio SSLStream, TLS 1.3, mutual P-256",
)
