"""1,200-byte messages where the path takes no more than Ethernet does: one message, one datagram."""

from dataclasses import replace

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import datagrams

CASE = Case(
    name="udp-message-path-1452",
    what="as udp-message-vs-trio-plaintext, on a path of 1,452-byte datagrams, as Ethernet has",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES, config=replace(ours.OPEN, probe_max_bytes=1_452)),
    peer=datagrams.message_flow(),
    peer_name=datagrams.NAME,
)
