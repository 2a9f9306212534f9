"""From what a configuration names to open ports."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from nodes.config.mavlink import MavlinkEndpoint, PortKind
from nodes.flight.mavlink import frame_checks
from nodes.mavlink.port import MavlinkPort
from nodes.mavlink.serialport import SerialPort
from nodes.mavlink.tcp import TcpIn, TcpOut
from nodes.mavlink.udp import UdpIn, UdpOut
from protocols.mavlink import FrameChecks

_KINDS: Final[dict[PortKind, Callable[[MavlinkEndpoint, FrameChecks, Callable[[str], None]], MavlinkPort]]] = {
    PortKind.UDP_IN: UdpIn,
    PortKind.UDP_OUT: UdpOut,
    PortKind.TCP: TcpOut,
    PortKind.TCP_IN: TcpIn,
    PortKind.SERIAL: SerialPort,
}


@asynccontextmanager
async def open_ports(
    endpoints: Iterable[MavlinkEndpoint], tell: Callable[[str], None]
) -> AsyncGenerator[list[MavlinkPort]]:
    """Open ports, and close them at the end; ConfigError with one line for the first that cannot be opened."""
    ports: list[MavlinkPort] = [_KINDS[each.kind](each, frame_checks(), tell) for each in endpoints]
    try:
        for port in ports:
            await port.open()
        yield ports
    finally:
        for port in ports:
            port.close()
            port.tell_counters()
