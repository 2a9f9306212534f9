"""1,200-byte messages in one loop beside trio's own way: one await to send a datagram, one to receive it."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import datagrams

CASE = Case(
    name="udp-message-vs-trio-plaintext",
    what="1,200-byte messages through send_many over UDP, both ends in one loop, delivered as bytes",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=datagrams.message_flow(),
    peer_name=datagrams.NAME,
)
