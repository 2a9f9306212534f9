"""1,200-byte messages beside raw sockets that send and receive whole trains of them, without encryption: a limit."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import limits

CASE = Case(
    name="udp-message-vs-raw-segmented",
    what="1,200-byte messages through send_many over UDP, both ends in one loop; beside plaintext trains",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=limits.sockets(segmented=True),
    peer_name=limits.SEGMENTED,
    explanation="a limit: one system call each way for 48 datagrams, and nothing sealed, numbered or dispatched.",
)
