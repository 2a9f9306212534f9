"""Listening and connecting, with one line when it cannot be."""

import errno
import socket
from typing import Final

import trio

from nodes.carriers.sockets import resolve, socket_error, to_address
from nodes.config.endpoint import Endpoint
from protocols.errors import LinkTimeoutError
from protocols.guards.address import Address

_BACKLOG: Final = 1_024
"""More than others have: in a flood a good client must get into the queue."""
CAPACITY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""What ``accept`` says when the machine has no room."""


async def listen(endpoint: Endpoint) -> trio.SocketListener:
    """Listen; ConfigError when the port is in use or the address is not ours."""
    family, address = await resolve(endpoint, socket.SOCK_STREAM)
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await sock.bind(address)
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise socket_error(endpoint, error) from None
    return trio.SocketListener(sock)


async def connect(endpoint: Endpoint, limit_s: float) -> trio.SocketStream:
    """Connect; ConfigError when nobody listens there, LinkTimeoutError when nobody answers."""
    with trio.move_on_after(limit_s):
        family, address = await resolve(endpoint, socket.SOCK_STREAM)
        try:
            sock = trio.socket.socket(family, socket.SOCK_STREAM)
            try:
                await sock.connect(address)
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            raise socket_error(endpoint, error) from None
        return trio.SocketStream(sock)
    raise LinkTimeoutError(f"{endpoint}: no answer")


def whose(stream: trio.SocketStream) -> Address | None:
    """Return where a stream comes from; None when it has gone again."""
    try:
        return to_address(stream.socket.getpeername())
    except OSError:
        return None


def where(listener: trio.SocketListener) -> Endpoint:
    """Return where we listen."""
    host, port, *_ = listener.socket.getsockname()
    return Endpoint(host, port)
