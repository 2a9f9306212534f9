"""Where MAVLink comes from and goes to, as configuration and command line write it.

``udpin:HOST:PORT`` waits for datagrams and answers whoever sent some; ``udpout:HOST:PORT`` sends there first;
``tcp:HOST:PORT`` connects; ``tcpin:HOST:PORT`` waits for connections; ``serial:DEVICE:BAUD`` opens a serial port.
The words are those of pymavlink and MAVProxy (https://ardupilot.org/mavproxy/docs/getting_started/starting.html).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from nodes.config.endpoint import Endpoint, parse_endpoint
from protocols.errors import ConfigError

MAX_BAUD: Final = 4_000_000
_WRITE: Final = "write udpin:HOST:PORT, udpout:HOST:PORT, tcp:HOST:PORT, tcpin:HOST:PORT or serial:DEVICE:BAUD"


class PortKind(Enum):
    """How a port is opened."""

    UDP_IN = "udpin"
    UDP_OUT = "udpout"
    TCP = "tcp"
    TCP_IN = "tcpin"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class MavlinkEndpoint:
    """One port for MAVLink."""

    kind: PortKind
    """How it is opened."""
    where: Endpoint | None = None
    """Host and port; None for a serial one."""
    device: str = ""
    """Path of the serial device."""
    baud: int = 0
    """Its bits per second."""

    def __str__(self) -> str:
        rest = f"{self.device}:{self.baud}" if self.where is None else str(self.where)
        return f"{self.kind.value}:{rest}"


def parse_mavlink_endpoint(text: str) -> MavlinkEndpoint:
    """Return the port that ``text`` names; ConfigError says in one line what is wrong with it."""
    word, colon, rest = text.partition(":")
    kind = next((each for each in PortKind if each.value == word), None)
    if kind is None or not colon:
        raise ConfigError(_WRITE)
    if kind is PortKind.SERIAL:
        return _serial(rest)
    where = parse_endpoint(rest)
    if where.port == 0 and kind in {PortKind.UDP_OUT, PortKind.TCP}:
        raise ConfigError("needs the port of the other end, not 0")
    return MavlinkEndpoint(kind, where)


def _serial(text: str) -> MavlinkEndpoint:
    device, colon, baud = text.rpartition(":")
    if not colon or not device or not device.isprintable():
        raise ConfigError("write serial:DEVICE:BAUD, for example serial:/dev/ttyACM0:57600")
    if not (baud.isascii() and baud.isdecimal() and len(baud) < 9 and 0 < int(baud) <= MAX_BAUD):
        raise ConfigError(f"a baud rate is a whole number from 1 to {MAX_BAUD}")
    return MavlinkEndpoint(PortKind.SERIAL, None, device, int(baud))
