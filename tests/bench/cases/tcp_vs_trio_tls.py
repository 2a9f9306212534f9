"""64 KiB messages over TCP beside 64 KiB writes through trio's TLS."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.peers import streams

CASE = Case(
    name="tcp-vs-trio-tls",
    what="64 KiB messages through send_many over TCP, both ends in one loop",
    unit="Gbit/s",
    ours=ours.message_flow(streams.WRITE_BYTES, "tcp", gigabits=True),
    peer=streams.tls_flow(),
    peer_name=streams.TLS,
)
