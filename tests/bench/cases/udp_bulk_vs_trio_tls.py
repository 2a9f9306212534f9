"""An object over UDP, hashed and confirmed, beside bytes through trio's TLS."""

from tests.bench.harness.bulk import object_flow
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="udp-bulk-vs-trio-tls",
    what="send_object over UDP from the offer to the confirmed end, hashed at both ends; beside 64 KiB writes",
    unit="Gbit/s",
    ours=object_flow(),
    peer=streams.tls_flow(),
    peer_name=streams.TLS,
)
