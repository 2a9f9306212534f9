"""Relays (specs/5-relay.md): flows of datagrams between nodes that have no network in common.

::

    station = RelayStation({own_key_id})                  # one for each node
    station.attach(LinkHop(link))                         # each outer link with a relay channel, when it comes up

    carrier = station.responder(LinkType.REMOTE_MOBILE)   # the drone: for a Listener of that link type
    carrier, address = await station.towards(rc_id, drone_id, LinkType.REMOTE_MOBILE)   # the mobile: for a Client
    station.forwarder = RelayForwarder(station, Role.RC)  # who lies between
"""

from nodes.relay.carriers import RelayInitiator, RelayResponder
from nodes.relay.forwarder import WAYS, RelayForwarder
from nodes.relay.hop import LinkHop
from nodes.relay.station import RelayLimits, RelayStation

__all__ = [
    "WAYS",
    "LinkHop",
    "RelayForwarder",
    "RelayInitiator",
    "RelayLimits",
    "RelayResponder",
    "RelayStation",
]
