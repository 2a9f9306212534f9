"""MAVLink over TCP: ``tcp`` connects, and connects again; ``tcpin`` has several connections (MV-20, MV-23)."""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from nodes.carriers.sockets import resolve, socket_error
from nodes.config.endpoint import Endpoint
from nodes.config.mavlink import MavlinkEndpoint
from nodes.mavlink.port import MAX_PEERS, RECEIVE_BYTES, MavlinkPort, Take
from nodes.mavlink.single import SinglePort
from nodes.mavlink.wire import Wire
from nodes.uplink.backoff import Backoff, BackoffLimits
from protocols.mavlink import FrameChecks

WAITS: Final = BackoffLimits(0.25, 8.0)
"""Between two attempts."""
CONNECT_S: Final = 10.0
STEADY_S: Final = 5.0
"""A connection that lived so long was a good one: the next wait is the first again."""
_BACKLOG: Final = 16
_CAPACITY_WAIT_S: Final = 1.0
_AGAIN_S: Final = 60.0
ALIVE: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 3_000))
"""An end that lost its power does not say so: it is asked after ten silent seconds, and given up after 25.

What was sent and is not acknowledged ends a connection (milliseconds; RFC 5482): the system would repeat it for a
quarter of an hour, and deliver commands of long ago when the network is back (MV-26).
"""


class TcpOut(SinglePort):
    """Keeps one connection."""

    async def open(self) -> None:
        """See whether the name is known; whether anybody listens there changes by the hour."""
        await resolve(self._endpoint, socket.SOCK_STREAM)

    async def run(self, take: Take) -> None:
        backoff = Backoff(WAITS, secrets.token_bytes)
        while True:
            stream = await self._connect()
            if stream is not None:
                self._recovered()
                began_s = trio.current_time()
                await self._serve(stream, take)
                self._complain("the other end has closed the connection")
                if trio.current_time() - began_s > STEADY_S:
                    backoff.reset()
            await trio.sleep(backoff.next_s())

    async def _connect(self) -> trio.SocketStream | None:
        where = self._endpoint
        try:
            with trio.fail_after(CONNECT_S):
                stream = await trio.open_tcp_stream(where.host, where.port)
        except OSError as error:
            self._complain(self._reason(_first(error)))
        except trio.TooSlowError:
            self._complain("no answer")
        else:
            return stream
        return None

    async def _serve(self, stream: trio.SocketStream, take: Take) -> None:
        _keep_alive(stream)
        await self._serve_wire(stream, take)

    def close(self) -> None:
        """Nothing is open but in :meth:`run`."""


class TcpIn(MavlinkPort):
    """Serves whoever connects."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._listener: trio.SocketListener | None = None
        self._wires: set[Wire] = set()

    @property
    def where(self) -> MavlinkEndpoint:
        if self._listener is None:
            return self.endpoint
        host, port, *_ = self._listener.socket.getsockname()
        return MavlinkEndpoint(self.endpoint.kind, Endpoint(host, port))

    @property
    def peers(self) -> int:
        return len(self._wires)

    async def open(self) -> None:
        family, address = await resolve(self._endpoint, socket.SOCK_STREAM)
        sock: trio.socket.SocketType | None = None
        try:
            sock = trio.socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            await sock.bind(address)
            sock.listen(_BACKLOG)
        except OSError as error:
            if sock is not None:
                sock.close()
            raise socket_error(self._endpoint, error) from None
        self._listener = trio.SocketListener(sock)

    async def run(self, take: Take) -> None:
        if self._listener is None:
            raise RuntimeError("open the port first")
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await self._listener.accept()
                except OSError as error:  # no more files, for one, or whoever came has gone again
                    self._complain(self._reason(error), _AGAIN_S)
                    await trio.sleep(_CAPACITY_WAIT_S)
                    continue
                if len(self._wires) >= MAX_PEERS:
                    self.counters.strangers += 1
                    await trio.aclose_forcefully(stream)
                else:
                    nursery.start_soon(self._serve, stream, take)

    async def _serve(self, stream: trio.SocketStream, take: Take) -> None:
        _keep_alive(stream)
        wire = Wire(stream, self.counters)
        self._wires.add(wire)
        try:
            await wire.run(partial(self._take_untrusted, self._splitter(), take=take), RECEIVE_BYTES)
        finally:
            self._wires.discard(wire)

    def send(self, frame: bytes) -> None:
        if not self._wires:
            self.counters.dropped += 1
        for wire in self._wires:
            wire.send(frame)

    def drop_waiting(self) -> None:
        for wire in self._wires:
            wire.drop_waiting()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.socket.close()


def _first(error: OSError) -> OSError:
    """Return what went wrong at one address of a name; trio tries them all, and groups what they said."""
    inside = getattr(error.__cause__, "exceptions", ())
    return next((each for each in inside if isinstance(each, OSError)), error)


def _keep_alive(stream: trio.SocketStream) -> None:
    with suppress(OSError):  # it has ended already; whoever reads is told
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in ALIVE:
            if hasattr(socket, name):
                stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
