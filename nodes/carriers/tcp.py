"""TCP: one stream, records inside it (specs/1-link.md, LK-53)."""

import errno
import logging
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Self

import trio

from nodes.carriers.sockets import CLOSED, SocketCarrier, close, resolve, socket_error, to_address
from nodes.config.endpoint import Endpoint
from nodes.ports import Interrupted
from protocols.guards.address import Address
from protocols.link.train import Bytes, Train, one

_RECEIVE_BYTES: Final = 256 * 1024
_QUIET_BYTES: Final = 16 * 1024
"""The buffer of a stream that has little to say."""
_BACKLOG: Final = 64
_LAST_READS: Final = 16
_MAX_PARTS: Final = 1_024
"""Buffers that one system call takes: IOV_MAX."""
_GATHERS: Final = hasattr(socket.socket, "sendmsg")
"""Not on Windows."""
_CAPACITY: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_CAPACITY_WAIT_S: Final = 0.1
_log: Final = logging.getLogger(__name__)


class TcpCarrier(SocketCarrier):
    """One stream (port ``Carrier``), on a raw non-blocking socket.

    One read fills a buffer, which grows when that has been too small; one write gathers what stands in many. A stream
    that breaks shows in ``receive``, which is where its owner waits.
    """

    datagram = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        self._buffer = memoryview(bytearray(_QUIET_BYTES))
        self._more = False
        """There may be more to read, so that there is no need to wait."""
        self._broken = False

    @classmethod
    async def towards(cls, endpoint: Endpoint) -> Self:
        """Connect; ConfigError with one line when nobody listens there."""
        family, address = await resolve(endpoint, socket.SOCK_STREAM)
        with _closed_unless_good(endpoint, family) as sock:
            await sock.connect(address)
        return cls(_raw(sock))

    async def receive(self) -> Sequence[Train]:
        """Return what has arrived; nothing at the end of the stream."""
        self._interrupted = False
        if self._more and len(self._buffer) < _RECEIVE_BYTES:  # measured faster than memory that is given page by page
            self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        while not self._closed:
            with suppress(trio.ClosedResourceError):  # woken by us
                if self._more:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._socket)
            try:
                count = self._socket.recv_into(self._buffer)
            except BlockingIOError:
                self._more = False
            except OSError as error:
                if error.errno in CLOSED:
                    break
                return ()
            else:
                self._more = count == len(self._buffer)
                return (one(self._buffer[:count], None),) if count else ()
            if self._interrupted:
                raise Interrupted
        await trio.lowlevel.checkpoint()
        raise trio.ClosedResourceError

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send what the system has room for; a broken stream takes all, and shows in ``receive``."""
        for start in range(0, len(trains), _MAX_PARTS):
            part = trains[start : start + _MAX_PARTS]
            left = self._send_some([train.data for train in part])
            for number, (data, _, _) in enumerate(part):
                left -= len(data)
                if left < 0:  # that many bytes of it are left
                    return (one(memoryview(data)[left:], None), *trains[start + number + 1 :])
        return ()

    def _send_some(self, parts: Sequence[Bytes]) -> int:
        """Return how many bytes the system took; all of them if nobody will ever read them."""
        if not self._broken and not self._closed:
            try:
                return self._socket.sendmsg(parts) if _GATHERS else self._socket.send(b"".join(parts))
            except BlockingIOError:
                return 0
            except OSError:
                self._broken = True
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RD)  # who receives is told, whatever the reason was
        return sum(map(len, parts))

    async def aclose(self) -> None:
        """Close the stream; who waits on it is told."""
        self._closed = True
        with suppress(OSError):  # closing what is unread would be a reset, which could overtake our last words
            for _ in range(_LAST_READS):
                if not self._socket.recv(_RECEIVE_BYTES):
                    break
        close(self._socket)
        await trio.lowlevel.checkpoint()


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
            return TcpCarrier(_raw(stream.socket)), peer

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


def _raw(sock: trio.socket.SocketType) -> socket.socket:
    """Return the system's socket; trio's is no more."""
    family, kind, protocol = sock.family, sock.type, sock.proto
    return socket.socket(family, kind, protocol, fileno=sock.detach())
