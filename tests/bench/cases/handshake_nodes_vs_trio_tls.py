"""A link that two nodes make beside a TLS connection: stores, tasks and channels included."""

from protocols.crypto.suites import SUITES
from tests.bench.harness.handshakes import link_handshakes
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="handshake-nodes-vs-trio-tls",
    what="connect of a node over TCP with P256+MLKEM768 until both nodes hold the link; TCP connections included",
    unit="handshakes/s",
    ours=link_handshakes(SUITES[1]),
    peer=streams.tls_connections(),
    peer_name="trio SSLStream, TLS 1.3, mutual P-256",
)
