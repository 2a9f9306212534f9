"""What a message costs at each size, beside trio's plaintext UDP."""

from tests.bench.harness import ours
from tests.bench.harness.model import Side, Sweep
from tests.bench.harness.repeat import cost_of
from tests.bench.peers import datagrams


def _ours(size: int) -> Side:
    return cost_of(ours.message_flow(size))


def _peer(size: int) -> Side:
    return cost_of(datagrams.message_flow(size))


CASE = Sweep(
    name="sweep-message-sizes",
    what="nanoseconds per message through send_many over UDP, both ends in one loop (the peer's largest: 65,507 bytes)",
    unit="ns",
    x_unit="bytes",
    xs=(16, 64, 256, 1_024, 4_096, 16_384, 65_536),
    ours=_ours,
    peer=_peer,
    peer_name=datagrams.NAME,
)
