"""Round trips of 64 bytes, one at a time, beside trio's plaintext UDP."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.peers import datagrams

CASE = Case(
    name="rtt-vs-trio-plaintext",
    what="64 bytes there and back over UDP, one at a time, both ends in one loop; median",
    unit="us",
    ours=ours.round_trips(),
    peer=datagrams.round_trips(),
    peer_name=datagrams.NAME,
)
