"""1,200-byte messages beside raw sockets: what the system's calls alone allow, one per datagram, without encryption."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import limits

CASE = Case(
    name="udp-message-vs-raw-sockets",
    what="1,200-byte messages through send_many over UDP, both ends in one loop; beside a send and a recv for each",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=limits.sockets(segmented=False),
    peer_name=limits.RAW,
)
