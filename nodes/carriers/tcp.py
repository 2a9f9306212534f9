"""TCP: one stream, records inside it (specs/1-link.md, LK-53)."""

import errno
import logging
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from nodes.carriers.sockets import resolve, socket_error, to_address
from nodes.config.endpoint import Endpoint
from protocols.guards.address import Address
from protocols.link.connection import Packet

_RECEIVE_BYTES: Final = 256 * 1024
_BACKLOG: Final = 64
_CAPACITY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_CAPACITY_WAIT_S: Final = 0.1
_log: Final = logging.getLogger(__name__)


class TcpCarrier:
    """One stream (port ``Carrier``)."""

    datagram = False

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @classmethod
    async def towards(cls, endpoint: Endpoint) -> "TcpCarrier":
        """Connect; ConfigError with one line when nobody listens there."""
        family, address = await resolve(endpoint, socket.SOCK_STREAM)
        with _closed_unless_good(endpoint, family) as sock:
            await sock.connect(address)
        return cls(trio.SocketStream(sock))

    async def receive(self) -> Sequence[tuple[bytes, Address | None]]:
        """Return what has arrived; nothing at the end of the stream."""
        try:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
        except trio.BrokenResourceError:
            return ()
        return ((bytes(data), None),) if data else ()

    async def send(self, packets: Sequence[Packet]) -> None:
        """Send records; a broken stream shows in ``receive``."""
        try:
            await self._stream.send_all(b"".join(data for data, _ in packets))
        except trio.BrokenResourceError:
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


class TcpListener:
    """A listening socket that gives out carriers."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    @classmethod
    async def bind(cls, endpoint: Endpoint) -> "TcpListener":
        """Listen; ConfigError with one line when the port is in use or the address is not ours."""
        family, address = await resolve(endpoint, socket.SOCK_STREAM)
        with _closed_unless_good(endpoint, family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await sock.bind(address)
            sock.listen(_BACKLOG)
        return cls(trio.SocketListener(sock))

    @property
    def endpoint(self) -> Endpoint:
        """Where we listen."""
        host, port, *_ = self._listener.socket.getsockname()
        return Endpoint(host, port)

    async def accept(self) -> tuple[TcpCarrier, Address]:
        """Return the next stream, and whom it comes from. While the system has no more files, they wait."""
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                if error.errno not in _CAPACITY:
                    raise
                _log.warning("a stream waits: %s", error.strerror)
                await trio.sleep(_CAPACITY_WAIT_S)
                continue
            try:
                peer = to_address(stream.socket.getpeername())
            except OSError:  # it has gone again
                await trio.aclose_forcefully(stream)
                continue
            return TcpCarrier(stream), peer

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()


@contextmanager
def _closed_unless_good(
    endpoint: Endpoint, family: socket.AddressFamily
) -> Generator[trio.socket.SocketType, None, None]:
    """Give a socket; close it if the block fails, and turn what the system says into one line."""
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise socket_error(endpoint, error) from None
    try:
        yield sock
    except OSError as error:
        sock.close()
        raise socket_error(endpoint, error) from None
    except BaseException:
        sock.close()
        raise
