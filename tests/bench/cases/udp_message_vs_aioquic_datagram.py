"""1,200-byte messages in one loop beside QUIC datagrams."""

from tests.bench.harness import ours
from tests.bench.harness.child import in_child
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES

CASE = Case(
    name="udp-message-vs-aioquic-datagram",
    what="1,200-byte messages through send_many over UDP, both ends in one loop, delivered as bytes",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=in_child("tests.bench.peers.quic", {"kind": "datagrams"}),
    peer_name="aioquic datagrams",
    explanation="aioquic builds, protects and parses each packet by Python code of some 150 microseconds: frames and "
    "variable-length integers through a Buffer object, header protection, acknowledgements, loss detection and "
    "congestion control per packet, one sendto and one callback each. Ours acknowledges nothing of a stream class, has "
    "headers of fixed layout, and pays for Python and the system once per train of datagrams.",
)
