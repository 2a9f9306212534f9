"""1,200-byte messages in one loop beside the cipher alone: what is left of it when there is a link around it."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.harness.payload import MESSAGE_BYTES
from tests.bench.peers import limits

CASE = Case(
    name="udp-message-vs-bare-aead",
    what="1,200-byte messages through send_many over UDP, both ends in one loop; beside sealing and opening them only",
    unit="messages/s",
    ours=ours.message_flow(MESSAGE_BYTES),
    peer=limits.bare_aead(),
    peer_name=limits.AEAD,
)
