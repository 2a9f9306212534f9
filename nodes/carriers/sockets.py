"""What UDP and TCP share: names to addresses, one clear line when a socket says no, and waiting for room."""

import errno
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from protocols.errors import ConfigError
from protocols.guards.address import Address, AddressKind, ip_address
from protocols.link.train import Train

SockAddr = tuple[str, int] | tuple[str, int, int, int]

CLOSED: Final = frozenset({errno.EBADF, errno.ENOTSOCK})
"""What a socket says that we have closed."""
_LINES: Final = {
    errno.EADDRINUSE: "the port is in use by another program",
    errno.EACCES: "the system does not allow this port",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.ECONNREFUSED: "nobody listens there",
    errno.ENETUNREACH: "the network is unreachable",
    errno.EHOSTUNREACH: "the host is unreachable",
    errno.ETIMEDOUT: "no answer",
    errno.EAFNOSUPPORT: "this machine does not speak that address family",
}


def socket_error(endpoint: Endpoint, error: OSError) -> ConfigError:
    """Return the one line that a user can act on."""
    reason = _LINES.get(error.errno or 0, error.strerror or "the system refused it")
    return ConfigError(f"{endpoint}: {reason}")


async def resolve(endpoint: Endpoint, kind: socket.SocketKind) -> tuple[socket.AddressFamily, SockAddr]:
    """Return family and address of an endpoint; ConfigError when its name is unknown."""
    try:
        found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=kind)
    except (socket.gaierror, UnicodeError):  # UnicodeError: no such name can exist
        raise ConfigError(f"{endpoint}: no such host") from None
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # of a host name, never of a bytes path


def to_address(peer: SockAddr) -> Address:
    """Return the core's value for a socket address."""
    return ip_address(peer[0], peer[1], peer[3] if len(peer) == 4 else 0)


def to_sockaddr(address: Address, family: socket.AddressFamily) -> SockAddr:
    """Return the socket address of the core's value, for a socket of ``family``."""
    if address.kind is AddressKind.IPV6:
        return socket.inet_ntop(socket.AF_INET6, address.host), address.port, 0, address.scope
    host = socket.inet_ntop(socket.AF_INET, address.host)
    return (host, address.port) if family == socket.AF_INET else (f"::ffff:{host}", address.port, 0, 0)


def wake(sock: socket.socket) -> None:
    """End what waits for a socket, in both directions, with ClosedResourceError: whoever is told looks why."""
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)


def close(sock: socket.socket) -> None:
    """Close a socket; who waits for it is told. Harmless when it is closed."""
    wake(sock)
    sock.close()


class SocketCarrier(ABC):
    """What the carriers of a raw non-blocking socket share: waiting for room, and being woken."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._closed = False
        self._interrupted = False

    @abstractmethod
    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send what there is room for, and return the rest; a closed carrier takes everything."""

    async def send(self, trains: Sequence[Train]) -> None:
        """Send all of it, and wait for room where there is none; ClosedResourceError when the carrier is closed."""
        await trio.lowlevel.checkpoint()
        while not self._closed:
            trains = self.send_now(trains)
            if not trains:
                return
            with suppress(trio.ClosedResourceError):  # woken by us
                await trio.lowlevel.wait_writable(self._socket)
        raise trio.ClosedResourceError

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        self._interrupted = True
        wake(self._socket)
