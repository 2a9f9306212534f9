"""Carriers: bytes in, bytes out (port ``Carrier`` of ``nodes.ports``), and the system's network that makes them."""

from nodes.carriers.offload import Offload
from nodes.carriers.system import SystemNetwork
from nodes.carriers.tcp import TcpCarrier, TcpListener
from nodes.carriers.udp import UdpCarrier

__all__ = ["Offload", "SystemNetwork", "TcpCarrier", "TcpListener", "UdpCarrier"]
