"""Round trips of 64 bytes, one at a time, beside QUIC datagrams."""

from tests.bench.harness import ours
from tests.bench.harness.child import in_child
from tests.bench.harness.model import Case

CASE = Case(
    name="rtt-vs-aioquic",
    what="64 bytes there and back over UDP, one at a time, both ends in one loop; median",
    unit="us",
    ours=ours.round_trips(),
    peer=in_child("tests.bench.peers.quic", {"kind": "round trips"}),
    peer_name="aioquic datagrams",
)
