"""Who says the bytes, and over what: the actors, their carriers and stores. The public names are these.

They are imported when they are asked for: a command that shows a fingerprint needs no drone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nodes.config.endpoint import Endpoint
    from nodes.drone import Drone
    from nodes.errors import LinkClosedError
    from nodes.incoming import IncomingObject
    from nodes.link import Link
    from nodes.mobile import Mobile
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
    "Mobile",
    "RemoteController",
    "StateDir",
    "Stores",
]

_MODULES: Final = {
    "Drone": "nodes.drone",
    "Endpoint": "nodes.config.endpoint",
    "IncomingObject": "nodes.incoming",
    "Link": "nodes.link",
    "LinkClosedError": "nodes.errors",
    "MemoryCounterStore": "nodes.stores.memory",
    "MemoryKeyStore": "nodes.stores.memory",
    "MemoryPeerDirectory": "nodes.stores.memory",
    "Mobile": "nodes.mobile",
    "RemoteController": "nodes.remote",
    "StateDir": "nodes.stores.statedir",
    "Stores": "nodes.trust",
}


def __getattr__(name: str) -> object:
    """Import a public name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
