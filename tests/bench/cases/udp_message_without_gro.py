"""1,200-byte messages where the system does not join what arrives, as with many drivers of real network cards."""

from dataclasses import replace

from nodes.carriers.offload import Offload
from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import datagrams

CASE = Case(
    name="udp-message-without-gro",
    what="as udp-message-path-1452, with a receiver that has no UDP_GRO and takes datagrams one by one",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES, config=replace(ours.OPEN, probe_max_bytes=1_452), offload=Offload.SEND),
    peer=datagrams.message_flow(),
    peer_name=datagrams.NAME,
)
