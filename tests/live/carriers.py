"""Carriers for tests: sockets that say what a test wants, and what arrives, datagram by datagram."""

import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

import trio

from nodes.carriers import Offload, TcpCarrier, TcpListener, UdpCarrier
from nodes.ports import Carrier
from protocols.guards.address import Address, ip_address
from protocols.link.train import Train
from tests.live.kit import LOOPBACK

Datagram = tuple[Address | None, bytes]
ALL = (Offload.NONE, Offload.SEND, Offload.RECEIVE, Offload.AUTO)


def datagrams_of(trains: Sequence[Train]) -> list[Datagram]:
    """Copies of the datagrams that trains hold."""
    return [
        (address, bytes(data[at : at + length]))
        for data, length, address in trains
        for at in range(0, len(data), length)
    ]


async def gather(carrier: Carrier, count: int) -> list[Datagram]:
    """Receive that many datagrams, or a few more."""
    found: list[Datagram] = []
    while len(found) < count:
        found += datagrams_of(await carrier.receive())
    return found


def at(carrier: UdpCarrier) -> Address:
    where = carrier.endpoint
    return ip_address(where.host, where.port)


def pattern(count: int, seed: int = 0) -> bytes:
    return bytes((seed + number * 7 + number // 256) % 256 for number in range(count))


class Scripted(socket.socket):
    """A datagram socket whose next calls fail as the test says; None lets one pass."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self.setblocking(False)
        self.bind(("127.0.0.1", 0))
        self.on_sendmsg: deque[int | None] = deque()
        self.on_sendto: deque[int | None] = deque()
        self.on_receive: deque[int | None] = deque()
        self.calls: list[str] = []

    def _next(self, name: str, script: deque[int | None]) -> None:
        self.calls.append(name)
        number = script.popleft() if script else None
        if number is not None:
            raise OSError(number, "scripted")

    def sendmsg(self, *arguments: Any) -> int:
        self._next("sendmsg", self.on_sendmsg)
        return super().sendmsg(*arguments)

    def sendto(self, *arguments: Any) -> int:
        self._next("sendto", self.on_sendto)
        return super().sendto(*arguments)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        self._next("recvfrom_into", self.on_receive)
        return super().recvfrom_into(buffer, nbytes, flags)


async def streams() -> tuple[TcpCarrier, TcpCarrier]:
    """Two ends of a stream."""
    listener = await TcpListener.bind(LOOPBACK)
    ours = await TcpCarrier.towards(listener.endpoint)
    theirs, _ = await listener.accept()
    await listener.aclose()
    return ours, theirs


async def raw_stream(**options: int) -> tuple[TcpCarrier, socket.socket]:
    """A carrier with small system buffers, and a socket of the system at the other end."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.get("receive", 4_096))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.get("send", 4_096))
        sock.connect(listener.getsockname())
        other, _ = listener.accept()
    await trio.lowlevel.checkpoint()
    return TcpCarrier(sock), other
