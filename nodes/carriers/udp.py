"""UDP: one raw non-blocking socket, many datagrams per turn (specs/1-link.md).

trio's own socket costs a checkpoint per datagram; here one ``wait_readable`` serves a batch. Where the system can
promise it (Linux), datagrams are never fragmented by IP: one that is too large for the path is refused by the kernel,
counted, and lost like any other.
"""

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from nodes.carriers.sockets import (
    CLOSED,
    SockAddr,
    close,
    interrupt,
    resolve,
    socket_error,
    to_address,
    to_sockaddr,
    until_ready,
)
from nodes.config.endpoint import Endpoint
from nodes.ports import Interrupted
from protocols.guards.address import Address
from protocols.link.train import Train, one

_BATCH: Final = 64
_MAX_DATAGRAM: Final = 65_535
_BUFFER_BYTES: Final = 1 << 20
_ADDRESSES: Final = 4_096
# linux/in.h and linux/in6.h; Python 3.11 has no names for them.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_DO = 10, 23, 2


class UdpCarrier:
    """A bound UDP socket (port ``Carrier``)."""

    datagram = True

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._family = socket.AddressFamily(sock.family)
        self._addresses: dict[SockAddr, Address] = {}
        self.lost = 0
        """Datagrams that the system refused to send."""

    @classmethod
    async def bind(cls, endpoint: Endpoint) -> "UdpCarrier":
        """Bind a socket; ConfigError with one line when the port is in use or the address is not ours."""
        family, address = await resolve(endpoint, socket.SOCK_DGRAM)
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise socket_error(endpoint, error) from None
        try:
            sock.setblocking(False)
            _tune(sock)
            sock.bind(address)
        except OSError as error:
            sock.close()
            raise socket_error(endpoint, error) from None
        return cls(sock)

    @classmethod
    async def towards(cls, endpoint: Endpoint) -> tuple["UdpCarrier", Address]:
        """Bind a socket of the right family on any port, and return it with the peer's address."""
        family, address = await resolve(endpoint, socket.SOCK_DGRAM)
        local = Endpoint("127.0.0.1" if family == socket.AF_INET else "::1", 0)
        if not _is_loopback(address):
            local = Endpoint("0.0.0.0" if family == socket.AF_INET else "::", 0)  # noqa: S104  # outgoing only
        return await cls.bind(local), to_address(address)

    @property
    def endpoint(self) -> Endpoint:
        """Where the socket is bound."""
        host, port, *_ = self._socket.getsockname()
        return Endpoint(host, port)

    async def receive(self) -> Sequence[Train]:
        """Return the datagrams that are there, at least one; waits for the first."""
        while True:
            await until_ready(trio.lowlevel.wait_readable, self._socket)
            batch = self._receive_now()
            if batch:
                return batch

    def _receive_now(self) -> list[Train]:
        batch: list[Train] = []
        for _ in range(_BATCH):
            try:
                data, peer = self._socket.recvfrom(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in CLOSED:
                    raise trio.ClosedResourceError from None
                continue  # about one datagram of before, which is lost
            if data:
                batch.append(one(memoryview(bytearray(data)), self._address_of(peer)))
        return batch

    def _address_of(self, peer: SockAddr) -> Address:
        address = self._addresses.get(peer)
        if address is None:
            if len(self._addresses) >= _ADDRESSES:  # a flood from many addresses must not grow us
                self._addresses.clear()
            address = self._addresses[peer] = to_address(peer)
        return address

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send datagrams while there is room; what the system refuses is lost and counted.

        A peer chooses where answers go (port 0, a broadcast address), and interfaces go down: the link's own timers
        see to the rest.
        """
        for number, (data, segment_bytes, address) in enumerate(trains):
            if address is None:
                continue
            peer = to_sockaddr(address, self._family)
            view = memoryview(data)
            for start in range(0, len(view), segment_bytes):
                try:
                    self._socket.sendto(view[start : start + segment_bytes], peer)
                except BlockingIOError:
                    return (Train(view[start:], segment_bytes, address), *trains[number + 1 :])
                except OSError as error:
                    if error.errno in CLOSED:
                        raise trio.ClosedResourceError from None
                    self.lost += 1
        return ()

    async def send(self, trains: Sequence[Train]) -> None:
        """Send datagrams, and wait for room where there is none."""
        await trio.lowlevel.checkpoint()
        while trains := self.send_now(trains):
            with suppress(Interrupted):  # that was for who receives
                await until_ready(trio.lowlevel.wait_writable, self._socket)

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        interrupt(self._socket)

    async def aclose(self) -> None:
        """Close the socket; who waits on it is told."""
        close(self._socket)
        await trio.lowlevel.checkpoint()


def _is_loopback(address: SockAddr) -> bool:
    return address[0].startswith("127.") or address[0] == "::1"


def _tune(sock: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    if sys.platform == "linux":
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DO)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DO)
