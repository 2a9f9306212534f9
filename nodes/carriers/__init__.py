"""Carriers: bytes in, bytes out (port ``Carrier`` of ``nodes.ports``)."""

from nodes.carriers.tcp import TcpCarrier, TcpListener
from nodes.carriers.udp import UdpCarrier

__all__ = ["TcpCarrier", "TcpListener", "UdpCarrier"]
