"""1,200-byte messages on a system that has neither UDP_SEGMENT nor UDP_GRO: one call per datagram, each way."""

from dataclasses import replace

from nodes.carriers.offload import Offload
from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import datagrams

CASE = Case(
    name="udp-message-without-offload",
    what="as udp-message-path-1452, without UDP_SEGMENT and without UDP_GRO",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES, config=replace(ours.OPEN, probe_max_bytes=1_452), offload=Offload.NONE),
    peer=datagrams.message_flow(),
    peer_name=datagrams.NAME,
)
