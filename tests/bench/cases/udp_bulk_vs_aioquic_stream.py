"""An object over UDP beside a QUIC stream."""

from tests.bench.harness.bulk import object_flow
from tests.bench.harness.child import in_child
from tests.bench.harness.model import Case

CASE = Case(
    name="udp-bulk-vs-aioquic-stream",
    what="send_object over UDP from the offer to the confirmed end, hashed at both ends; beside 64 KiB writes",
    unit="Gbit/s",
    ours=object_flow(),
    peer=in_child("tests.bench.peers.quic", {"kind": "stream"}),
    peer_name="aioquic stream",
    explanation="aioquic spends some 150 microseconds of Python on each packet of at most 1,452 bytes, and "
    "acknowledges every second one by another packet; loopback takes our datagrams of 60 KiB, found by path MTU "
    "discovery, and one acknowledgement covers many. udp-bulk-path-1452 shows ours with datagrams as small as its own.",
)
