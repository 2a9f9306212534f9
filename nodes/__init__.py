"""Who says the bytes, and over what: the actors, their carriers and stores. The public names are these."""

from nodes.config.endpoint import Endpoint
from nodes.drone import Drone
from nodes.link import IncomingObject, Link, LinkClosedError
from nodes.remote import RemoteController
from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
from nodes.stores.statedir import StateDir
from nodes.trust import Stores

__all__ = [
    "Drone",
    "Endpoint",
    "IncomingObject",
    "Link",
    "LinkClosedError",
    "MemoryCounterStore",
    "MemoryKeyStore",
    "MemoryPeerDirectory",
    "RemoteController",
    "StateDir",
    "Stores",
]
