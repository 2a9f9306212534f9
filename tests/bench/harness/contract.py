"""The figures that a run reports, in their order, and what they are to reach (issue 3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.bench.harness.model import Target

FIGURES: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "udp-message-vs-trio-plaintext": Target(">=", 5.0),
        "udp-message-vs-trio-dtls": Target(">=", 15),
        "udp-message-vs-aioquic-datagram": Target(">=", 25),
        "udp-message-vs-pyzmq-curve": Target(">=", 1.5),
        "udp-message-vs-bare-aead": Target(">=", 0.4),
        "udp-bulk-vs-trio-tls": Target(">=", 1.5),
        "tcp-vs-trio-tls": Target(">=", 2.5),
        "tcp-vs-trio-plaintext": Target(">=", 0.55),
        "rtt-vs-trio-plaintext": Target("<=", 1.3),
        "rtt-vs-aioquic": Target("<=", 0.4),
        "handshake-hybrid-vs-noiseprotocol": Target(">=", 0.9),
        "handshake-classical-vs-noiseprotocol": Target(">=", 1.4),
        "handshake-hybrid-vs-trio-tls": Target(">=", 2.0),
        "link-memory": Target("<=", 24_576, plain=True),
        "cost-1000-links-vs-1": Target("<=", 1.25),
        "control-delay-under-bulk": Target("<=", 2, plain=True),
    }
)
