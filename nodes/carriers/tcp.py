"""TCP: one stream, records inside it (specs/1-link.md, LK-53)."""

import socket
from collections.abc import Sequence
from typing import Final

import trio

from nodes.carriers.sockets import resolve, socket_error
from nodes.config.endpoint import Endpoint
from protocols.guards.address import Address
from protocols.link.connection import Packet

_RECEIVE_BYTES: Final = 256 * 1024
_BACKLOG: Final = 64


class TcpCarrier:
    """One stream (port ``Carrier``)."""

    datagram = False

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @classmethod
    async def towards(cls, endpoint: Endpoint) -> "TcpCarrier":
        """Connect; ConfigError with one line when nobody listens there."""
        family, address = await resolve(endpoint, socket.SOCK_STREAM)
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await sock.connect(address)
        except OSError as error:
            sock.close()
            raise socket_error(endpoint, error) from None
        except BaseException:
            sock.close()
            raise
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
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            raise socket_error(endpoint, error) from None
        return cls(trio.SocketListener(sock))

    @property
    def endpoint(self) -> Endpoint:
        """Where we listen."""
        host, port, *_ = self._listener.socket.getsockname()
        return Endpoint(host, port)

    async def accept(self) -> TcpCarrier:
        """Return the next stream."""
        return TcpCarrier(await self._listener.accept())

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()
