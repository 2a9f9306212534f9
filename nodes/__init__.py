"""Who says the bytes, and over what: the actors, their carriers and stores. The public names are these.

*Roles* (``Drone`` and so on) have links; *stations* (``DroneStation``) do with them what ``aerolink node`` does. What
they keep stands behind ports: in memory, in files, or in a class of yours. They are imported when they are asked for: a
command that shows a fingerprint needs no drone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nodes.cloud.blobs import FileBlobs, MemoryBlobs
    from nodes.cloud.memoryrecords import MemoryRecords
    from nodes.cloud.node import Cloud, CloudStores
    from nodes.cloud.sqliterecords import SqliteRecords
    from nodes.config.endpoint import Endpoint
    from nodes.deck import FlightDeck
    from nodes.drone import Drone
    from nodes.errors import LinkClosedError
    from nodes.incoming import IncomingObject
    from nodes.link import Link
    from nodes.mobile import Mobile
    from nodes.pki.authority import DeviceAuthority
    from nodes.pki.credentials import DeviceCredentials
    from nodes.remote import RemoteController
    from nodes.stations.camera import CameraStand
    from nodes.stations.cloud import CloudSetup, CloudStation
    from nodes.stations.craft import Craft
    from nodes.stations.drone import DroneSetup, DroneStation
    from nodes.stations.hands import Hands
    from nodes.stations.mobile import MobileSetup, MobileStation
    from nodes.stations.notes import Line
    from nodes.stations.onedrone import DronePlace
    from nodes.stations.openings import open_cloud, open_kept, open_way
    from nodes.stations.rc import RcSetup, RcStation
    from nodes.stations.recorder import RecordedFlight
    from nodes.stations.vehicle import ModelVehicle, RecordedVehicle
    from nodes.stores.logspool import LogSpool
    from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
    from nodes.stores.sealingmemory import MemoryCloudSealing, MemoryDroneSealing
    from nodes.stores.spoolmemory import memory_log_store
    from nodes.stores.spoolrules import SpoolLimits
    from nodes.stores.statedir import StateDir
    from nodes.trust import Stores
    from nodes.uplink.enrolling import enrol
    from nodes.uplink.events import UplinkEvents
    from nodes.uplink.outbox import MemoryOutbox
    from nodes.uplink.outboxfile import SqliteOutbox
    from nodes.uplink.uplink import Uplink
    from nodes.working.errands import through

__all__ = [
    "CameraStand",
    "Cloud",
    "CloudSetup",
    "CloudStation",
    "CloudStores",
    "Craft",
    "DeviceAuthority",
    "DeviceCredentials",
    "Drone",
    "DronePlace",
    "DroneSetup",
    "DroneStation",
    "Endpoint",
    "FileBlobs",
    "FlightDeck",
    "Hands",
    "IncomingObject",
    "Line",
    "Link",
    "LinkClosedError",
    "LogSpool",
    "MemoryBlobs",
    "MemoryCloudSealing",
    "MemoryCounterStore",
    "MemoryDroneSealing",
    "MemoryKeyStore",
    "MemoryOutbox",
    "MemoryPeerDirectory",
    "MemoryRecords",
    "Mobile",
    "MobileSetup",
    "MobileStation",
    "ModelVehicle",
    "RcSetup",
    "RcStation",
    "RecordedFlight",
    "RecordedVehicle",
    "RemoteController",
    "SpoolLimits",
    "SqliteOutbox",
    "SqliteRecords",
    "StateDir",
    "Stores",
    "Uplink",
    "UplinkEvents",
    "enrol",
    "memory_log_store",
    "open_cloud",
    "open_kept",
    "open_way",
    "through",
]

_MODULES: Final = {
    "CameraStand": "nodes.stations.camera",
    "Cloud": "nodes.cloud.node",
    "CloudSetup": "nodes.stations.cloud",
    "CloudStation": "nodes.stations.cloud",
    "CloudStores": "nodes.cloud.node",
    "Craft": "nodes.stations.craft",
    "DeviceAuthority": "nodes.pki.authority",
    "DeviceCredentials": "nodes.pki.credentials",
    "Drone": "nodes.drone",
    "DronePlace": "nodes.stations.onedrone",
    "DroneSetup": "nodes.stations.drone",
    "DroneStation": "nodes.stations.drone",
    "Endpoint": "nodes.config.endpoint",
    "FileBlobs": "nodes.cloud.blobs",
    "FlightDeck": "nodes.deck",
    "Hands": "nodes.stations.hands",
    "IncomingObject": "nodes.incoming",
    "Line": "nodes.stations.notes",
    "Link": "nodes.link",
    "LinkClosedError": "nodes.errors",
    "LogSpool": "nodes.stores.logspool",
    "MemoryBlobs": "nodes.cloud.blobs",
    "MemoryCloudSealing": "nodes.stores.sealingmemory",
    "MemoryCounterStore": "nodes.stores.memory",
    "MemoryDroneSealing": "nodes.stores.sealingmemory",
    "MemoryKeyStore": "nodes.stores.memory",
    "MemoryOutbox": "nodes.uplink.outbox",
    "MemoryPeerDirectory": "nodes.stores.memory",
    "MemoryRecords": "nodes.cloud.memoryrecords",
    "Mobile": "nodes.mobile",
    "MobileSetup": "nodes.stations.mobile",
    "MobileStation": "nodes.stations.mobile",
    "ModelVehicle": "nodes.stations.vehicle",
    "RcSetup": "nodes.stations.rc",
    "RcStation": "nodes.stations.rc",
    "RecordedFlight": "nodes.stations.recorder",
    "RecordedVehicle": "nodes.stations.vehicle",
    "RemoteController": "nodes.remote",
    "SpoolLimits": "nodes.stores.spoolrules",
    "SqliteOutbox": "nodes.uplink.outboxfile",
    "SqliteRecords": "nodes.cloud.sqliterecords",
    "StateDir": "nodes.stores.statedir",
    "Stores": "nodes.trust",
    "Uplink": "nodes.uplink.uplink",
    "UplinkEvents": "nodes.uplink.events",
    "enrol": "nodes.uplink.enrolling",
    "memory_log_store": "nodes.stores.spoolmemory",
    "open_cloud": "nodes.stations.openings",
    "open_kept": "nodes.stations.openings",
    "open_way": "nodes.stations.openings",
    "through": "nodes.working.errands",
}


def __getattr__(name: str) -> object:
    """Import a public name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
