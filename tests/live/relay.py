"""A man in the middle on real UDP sockets: he carries datagrams, keeps them, and does what he likes."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing, nullcontext

import trio

from nodes import Endpoint
from tests.helpers.netns import Namespace

Decide = Callable[[bytes], bool]


class Relay:
    """Between a remote controller, which thinks that this is the drone, and the drone."""

    def __init__(self, drone: Endpoint) -> None:
        self._drone = (drone.host, drone.port)
        self.front = _udp()
        """Where the controller sends to."""
        self.back = _udp()
        """Where the drone is spoken to from."""
        self.upward: list[bytes] = []
        """Datagrams of the controller, in order."""
        self.downward: list[bytes] = []
        """Datagrams of the drone."""
        self.pass_up: Decide = lambda _: True
        self.pass_down: Decide = lambda _: True
        self._controller: tuple[str, int] | None = None
        self._old: list[socket.socket] = []

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(*self.front.getsockname())

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._up)
            self._nursery.start_soon(self._down, self.back)

    def move(self) -> None:
        """Speak to the drone from another address from now on; what goes to the old one is lost."""
        self._old.append(self.back)
        self.back = _udp()
        self._nursery.start_soon(self._down, self.back)

    def close(self) -> None:
        for each in (self.front, self.back, *self._old):
            each.close()

    async def _up(self) -> None:
        while True:
            data, self._controller = await receive(self.front)
            self.upward.append(data)
            if self.pass_up(data):
                self.back.sendto(data, self._drone)

    async def _down(self, back: socket.socket) -> None:
        while True:
            data, _ = await receive(back)
            self.downward.append(data)
            if self._controller is not None and back is self.back and self.pass_down(data):
                self.front.sendto(data, self._controller)


@asynccontextmanager
async def relayed(drone: Endpoint, inside: Namespace | None = None) -> AsyncGenerator[Relay]:
    """A relay that runs while the block does; ``inside``: in another network."""
    with inside.entered() if inside else nullcontext():
        relay = Relay(drone)
    with closing(relay):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.run)
            yield relay
            nursery.cancel_scope.cancel()


def _udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((host, 0))
    return sock


stranger = _udp


async def receive(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    """Return the next datagram and its origin."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recvfrom(65_535)
        except BlockingIOError:
            continue
