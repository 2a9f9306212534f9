"""Carriers: bytes in, bytes out (port ``Carrier`` of ``nodes.ports``), and the system's network that makes them."""

from nodes.carriers.system import SystemNetwork
from nodes.carriers.tcp import TcpCarrier, TcpListener
from nodes.carriers.udp import UdpCarrier

__all__ = ["SystemNetwork", "TcpCarrier", "TcpListener", "UdpCarrier"]
