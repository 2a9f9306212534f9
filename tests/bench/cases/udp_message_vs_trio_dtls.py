"""1,200-byte messages in one loop beside trio's DTLS."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import dtls

CASE = Case(
    name="udp-message-vs-trio-dtls",
    what="1,200-byte messages through send_many over UDP, both ends in one loop, delivered as bytes",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=dtls.message_flow(),
    peer_name=dtls.NAME,
    explanation="trio's DTLS sends and receives each datagram through trio's sockets, a task switch each way, and "
    "takes each through two memory BIOs of pyOpenSSL by calls of Python; ours pays for loop and system once "
    "per train.",
)
