"""1,200-byte messages from one process to another beside ZeroMQ with CURVE."""

from tests.bench.harness.child import between
from tests.bench.harness.crowd import DRONE, RC
from tests.bench.harness.model import Case

_CURVE = "tests.bench.peers.curve"

CASE = Case(
    name="udp-message-vs-pyzmq-curve",
    what="1,200-byte messages through send_many over UDP from one process to another, those that were delivered",
    unit="messages/s",
    ours=between(DRONE, RC, {"paced": True}),
    peer=between(_CURVE, _CURVE, {}),
    peer_name="pyzmq CURVE, PUSH to PULL",
)
