"""MAVLink over UDP: ``udpin`` answers whoever sent lately, ``udpout`` speaks with one address (MV-20, MV-21)."""

import math
import socket
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from nodes.carriers.sockets import SockAddr, resolve, socket_error
from nodes.config.endpoint import Endpoint
from nodes.config.mavlink import MavlinkEndpoint
from nodes.mavlink.port import MAX_PEERS, RECEIVE_BYTES, MavlinkPort, Take
from nodes.mavlink.queue import FrameQueue
from protocols.mavlink import FrameChecks, FrameSplitter

FORGET_S: Final = 60.0
"""A sender that was silent for so long is sent nothing any more."""
_DATAGRAM_BYTES: Final = 65_535
_SOCKET_BYTES: Final = 4_194_304
"""Asked for; the system may give less."""
_BURST: Final = 16
"""Datagrams that leave at once. A receiver of usual size holds a few hundred, and nobody tells us when it is full."""
_BREATH_S: Final = 0.001
_AGAIN_S: Final = 60.0
"""One of several peers may not be reached while others are: that is told no more often."""


@dataclass(slots=True)
class _Sender:
    """Somebody who has sent datagrams."""

    splitter: FrameSplitter
    """Frames may go on in the next datagram: a bridge from a serial line cuts where it likes."""
    heard_s: float = 0.0
    """When the last one came."""
    framed_s: float = -math.inf
    """When the last one came that completed a whole frame."""


class UdpPort(MavlinkPort):
    """Base of the two: one socket, one queue; a datagram holds one frame."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._queue = FrameQueue(self.counters)
        self._socket: trio.socket.SocketType | None = None

    @property
    def where(self) -> MavlinkEndpoint:
        if self._socket is None or self._endpoint.port:
            return self.endpoint
        host, port, *_ = self._socket.getsockname()
        return MavlinkEndpoint(self.endpoint.kind, Endpoint(host, port))

    @property
    def peers(self) -> int:
        return len(self._targets())

    async def open(self) -> None:
        family, address = await resolve(self._endpoint, socket.SOCK_DGRAM)
        try:
            self._socket = sock = trio.socket.socket(family, socket.SOCK_DGRAM)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
            await self._settle(sock, address)
        except OSError as error:
            self.close()
            raise socket_error(self._endpoint, error) from None

    async def run(self, take: Take) -> None:
        if self._socket is None:
            raise RuntimeError("open the port first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all, self._socket)
            await self._receive_all(self._socket, take)

    def send(self, frame: bytes) -> None:
        if self._targets():
            self._queue.put(frame)
        else:
            self.counters.dropped += 1

    def drop_waiting(self) -> None:
        self._queue.clear()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    # --- what differs -----------------------------------------------------------------------------

    @abstractmethod
    async def _settle(self, sock: trio.socket.SocketType, address: SockAddr) -> None:
        """Bind or connect a new socket; OSError."""

    @abstractmethod
    def _targets(self) -> list[SockAddr | None]:
        """Return who is sent to; None is whom the socket is connected with."""

    @abstractmethod
    def take_datagram_untrusted(self, data: bytes, address: SockAddr, take: Take) -> None:
        """Take what has come from an address."""

    # --- the two tasks ----------------------------------------------------------------------------

    async def _receive_all(self, sock: trio.socket.SocketType, take: Take) -> None:
        while True:
            try:
                data, address = await sock.recvfrom(_DATAGRAM_BYTES)
            except OSError as error:  # about a datagram that we sent
                self._complain(self._reason(error))
                await trio.lowlevel.checkpoint()
            else:
                for at in range(0, len(data) or 1, RECEIVE_BYTES):
                    if at:
                        await trio.lowlevel.checkpoint()
                    self.take_datagram_untrusted(data[at : at + RECEIVE_BYTES], address, take)

    async def _send_all(self, sock: trio.socket.SocketType) -> None:
        burst = 0
        while True:
            (frame,) = await self._queue.take()
            for target in self._targets():
                await self._send_one(sock, frame, target)
            burst = burst + 1 if self._queue else 0
            if burst >= _BURST:
                burst = 0
                await trio.sleep(_BREATH_S)

    async def _send_one(self, sock: trio.socket.SocketType, frame: bytes, target: SockAddr | None) -> None:
        try:
            await (sock.send(frame) if target is None else sock.sendto(frame, target))
        except OSError as error:
            self.counters.dropped += 1
            self._complain(self._reason(error), math.inf if target is None else _AGAIN_S)
        else:
            self.counters.sent += 1


class UdpIn(UdpPort):
    """Waits for datagrams, and answers everybody who sent a frame in the last minute."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._senders: dict[SockAddr, _Sender] = {}

    async def _settle(self, sock: trio.socket.SocketType, address: SockAddr) -> None:
        await sock.bind(address)

    def _targets(self) -> list[SockAddr | None]:
        since_s = trio.current_time() - FORGET_S
        return [where for where, each in self._senders.items() if each.framed_s >= since_s]

    def take_datagram_untrusted(self, data: bytes, address: SockAddr, take: Take) -> None:
        sender = self._sender(address)
        if sender is None:
            self.counters.strangers += 1
            return
        sender.heard_s = trio.current_time()
        if self._take_untrusted(sender.splitter, data, take):
            sender.framed_s = sender.heard_s

    def _sender(self, address: SockAddr) -> _Sender | None:
        """Return who it is. A new one has the place of one that has sent no frame lately."""
        if address not in self._senders and len(self._senders) >= MAX_PEERS:
            since_s = trio.current_time() - FORGET_S
            spare = [at for at, each in self._senders.items() if each.framed_s < since_s]
            if not spare:
                return None
            del self._senders[min(spare, key=lambda at: self._senders[at].heard_s)]
        return self._senders.setdefault(address, _Sender(self._splitter()))


class UdpOut(UdpPort):
    """Speaks with one address, and hears nobody else; the system sees to that."""

    def __init__(self, endpoint: MavlinkEndpoint, checks: FrameChecks, tell: Callable[[str], None]) -> None:
        super().__init__(endpoint, checks, tell)
        self._only = self._splitter()

    async def _settle(self, sock: trio.socket.SocketType, address: SockAddr) -> None:
        await sock.connect(address)

    def _targets(self) -> list[SockAddr | None]:
        return [None]

    def take_datagram_untrusted(self, data: bytes, address: SockAddr, take: Take) -> None:  # noqa: ARG002  # the one
        if self._take_untrusted(self._only, data, take):
            self._recovered()
