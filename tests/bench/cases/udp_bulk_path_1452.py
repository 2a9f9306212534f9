"""An object over a path of Ethernet's size beside bytes through trio's TLS, which TCP cuts as large as it likes."""

from dataclasses import replace

from tests.bench.harness.bulk import object_flow
from tests.bench.harness.model import Case
from tests.bench.harness.ours import OPEN
from tests.bench.peers import streams

CASE = Case(
    name="udp-bulk-path-1452",
    what="as udp-bulk-vs-trio-tls, on a path of 1,452-byte datagrams, as Ethernet has",
    unit="Gbit/s",
    ours=object_flow(replace(OPEN, probe_max_bytes=1_452)),
    peer=streams.tls_flow(),
    peer_name=streams.TLS,
)
