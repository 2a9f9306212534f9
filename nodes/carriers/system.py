"""The network of the operating system (port ``Network``)."""

from nodes.carriers.offload import Offload
from nodes.carriers.tcp import TcpCarrier, TcpListener
from nodes.carriers.udp import UdpCarrier
from nodes.config.endpoint import Endpoint
from protocols.guards.address import Address


class SystemNetwork:
    """UDP and TCP sockets. Each call raises ConfigError with one line when the system says no."""

    def __init__(self, offload: Offload = Offload.AUTO) -> None:
        """``offload``: what UDP leaves to the system; by default, whatever it can."""
        self._offload = offload

    async def datagrams(self, endpoint: Endpoint) -> tuple[UdpCarrier, Endpoint]:
        """Bind a UDP port."""
        carrier = await UdpCarrier.bind(endpoint, self._offload)
        return carrier, carrier.endpoint

    async def datagrams_towards(self, endpoint: Endpoint) -> tuple[UdpCarrier, Address]:
        """Bind any UDP port, to speak with ``endpoint``."""
        return await UdpCarrier.towards(endpoint, self._offload)

    async def streams(self, endpoint: Endpoint) -> TcpListener:
        """Listen on a TCP port."""
        return await TcpListener.bind(endpoint)

    async def stream_towards(self, endpoint: Endpoint) -> TcpCarrier:
        """Connect over TCP."""
        return await TcpCarrier.towards(endpoint)
