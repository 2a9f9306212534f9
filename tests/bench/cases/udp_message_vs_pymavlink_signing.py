"""Messages of a MAVLink frame's size beside MAVLink's own protection, which authenticates and does not encrypt."""

from tests.bench.harness import ours
from tests.bench.harness.model import Case
from tests.bench.peers import mavlink

CASE = Case(
    name="udp-message-vs-pymavlink-signing",
    what="253-byte messages through send_many over UDP, both ends in one loop; beside signing and checking frames",
    unit="messages/s",
    ours=ours.message_flow(mavlink.DATA_BYTES),
    peer=mavlink.signed_flow(),
    peer_name=mavlink.NAME,
    explanation="pymavlink packs and parses in Python, byte by byte where a checksum is, and makes an object of every "
    "field; its sockets are not even counted. Ours carries the bytes as they are.",
)
