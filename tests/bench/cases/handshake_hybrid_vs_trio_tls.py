"""A whole link over TCP beside a whole TLS connection."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.handshakes import link_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="handshake-hybrid-vs-trio-tls",
    what="connect over TCP with P256+MLKEM768 until both ends have the link; TCP connections included",
    unit="handshakes/s",
    ours=link_handshakes(SUITES[1]),
    peer=streams.tls_handshakes(),
    peer_name="trio SSLStream, TLS 1.3, mutual P-256",
)
