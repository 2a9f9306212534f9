"""An object over UDP between two network namespaces beside TCP through a WireGuard of user space."""

from tests.bench.harness.model import Case
from tests.bench.peers import wireguard

CASE = Case(
    name="udp-bulk-vs-wireguard-go",
    what="send_object over UDP between processes in two network namespaces, over a cable of 1,500 bytes",
    unit="Gbit/s",
    ours=wireguard.our_objects(),
    peer=wireguard.tunnelled_flow(),
    peer_name=wireguard.NAME,
)
