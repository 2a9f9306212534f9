"""UDP: one raw non-blocking socket, trains of datagrams (specs/1-link.md).

Theory of operation. trio's own socket costs a checkpoint per datagram, and a system call costs as much as sealing what
it carries; so one ``wait_readable`` serves a batch, and one call a train where the system can cut and join them
(``offload``). Everything that arrives is read into one buffer, side by side, and given out where it stands. The buffer
is memory that the system gives when it is first written to: a quiet carrier has a page or two of it.

Where the system can promise it (Linux), datagrams are never fragmented by IP: one that is too large for the interface
is refused by the kernel, counted, and lost like any other. What the kernel has heard of the path is not asked: that is
for path MTU discovery of the link to find out, which nobody can mislead (RFC 8899).
"""

import mmap
import socket
import sys
from collections.abc import Sequence
from typing import Final, Self

import trio

from nodes.carriers import offload as system
from nodes.carriers.offload import CONTROL_BYTES, MAX_SEGMENTS, REFUSALS, Offload, Piece
from nodes.carriers.sockets import (
    CLOSED,
    SockAddr,
    SocketCarrier,
    close,
    resolve,
    socket_error,
    to_address,
    to_sockaddr,
)
from nodes.config.endpoint import Endpoint
from nodes.ports import Interrupted
from protocols.guards.address import Address
from protocols.link.train import Bytes, Train

_BUFFER_BYTES: Final = 4 * 65_536
_MAX_READ: Final = 65_536
_MAX_READS: Final = 64
_MAX_DATAGRAMS: Final = 256
"""What one ``receive`` takes, but for the rest of a train: bounds how long others wait. The system joins datagrams of
strangers too, and a small one costs as much as a large one: 256 KiB of initiations that call for cookies take 60 ms."""
_RECEIVE_QUEUE_BYTES: Final = 2 << 20
"""Room for what arrives while others have the processor: 1,800 datagrams of 1,244 bytes, or 64 trains. The more, the
longer may wait in it what is urgent. The system gives at most ``net.core.rmem_max``."""
_SEND_QUEUE_BYTES: Final = 128 * 1024
"""What waits here waits before every later message, however urgent: 0.2-0.3 s at 10 Mbit/s (1 MiB: 1-1.8 s). A fast
network needs no more, as who sends has the rest ready."""
_SMALL_BYTES: Final = 600
_ASK_AGAIN: Final = 8
"""In a conversation, every so often a second datagram is asked for: perhaps it is none any more."""
_ADDRESSES: Final = 4_096
_MAX_PAYLOAD: Final = {socket.AF_INET: 65_507, socket.AF_INET6: 65_487}
# linux/in.h and linux/in6.h; Python 3.11 has no names for them. PROBE: never fragment, and trust no cached path MTU.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3


class UdpCarrier(SocketCarrier):
    """A bound UDP socket (port ``Carrier``)."""

    datagram = True

    def __init__(self, sock: socket.socket, offload: Offload = Offload.AUTO) -> None:
        super().__init__(sock)
        self._family = socket.AddressFamily(sock.family)
        self._sends_trains = Offload.SEND in offload & system.available()
        self._receives_trains = Offload.RECEIVE in offload & system.available() and system.receives_trains(sock)
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES, access=mmap.ACCESS_COPY))
        self._more = False
        """There may be more to read, so that there is no need to wait."""
        self._singles = 0
        """How many times in a row one small datagram was all that had come: a conversation."""
        self._addresses: dict[SockAddr, Address] = {}
        self._sockaddrs: dict[Address, SockAddr] = {}
        self._last: tuple[Address | None, SockAddr] = (None, ("", 0))
        self.max_datagram_bytes: Final = _MAX_PAYLOAD[self._family]
        """The most that a datagram can carry."""
        self.lost: int = 0
        """Datagrams that the system refused to send."""

    @classmethod
    async def bind(cls, endpoint: Endpoint, offload: Offload = Offload.AUTO) -> Self:
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
        return cls(sock, offload)

    @classmethod
    async def towards(cls, endpoint: Endpoint, offload: Offload = Offload.AUTO) -> tuple[Self, Address]:
        """Bind a socket of the right family on any port, and return it with the peer's address."""
        family, address = await resolve(endpoint, socket.SOCK_DGRAM)
        local = Endpoint("127.0.0.1" if family == socket.AF_INET else "::1", 0)
        if not _is_loopback(address):
            local = Endpoint("0.0.0.0" if family == socket.AF_INET else "::", 0)  # noqa: S104  # outgoing only
        return await cls.bind(local, offload), to_address(address)

    @property
    def endpoint(self) -> Endpoint:
        """Where the socket is bound."""
        host, port, *_ = self._socket.getsockname()
        return Endpoint(host, port)

    @property
    def offload(self) -> Offload:
        """What the system does for this socket."""
        sends = Offload.SEND if self._sends_trains else Offload.NONE
        return sends | (Offload.RECEIVE if self._receives_trains else Offload.NONE)

    # --- receiving ------------------------------------------------------------------------------

    async def receive(self) -> Sequence[Train]:
        """Return the datagrams that are there, at least one; waits for the first."""
        self._interrupted = False
        while not self._closed:
            try:  # not contextlib.suppress, which costs as much as opening the datagram
                if self._more:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._socket)
            except trio.ClosedResourceError:  # woken by us
                pass
            if trains := self._receive_now():
                return trains
            if self._interrupted:
                raise Interrupted
        await trio.lowlevel.checkpoint()
        raise trio.ClosedResourceError

    def _receive_now(self) -> list[Train]:
        pieces: list[Piece] = []
        view, start = self._buffer, 0
        converses = self._singles % _ASK_AGAIN > 0
        self._more = True
        datagrams = 0
        for _ in range(_MAX_READS):
            if start > _BUFFER_BYTES - _MAX_READ or datagrams >= _MAX_DATAGRAMS:
                break
            try:
                count, length, peer = self._receive_piece(view[start:] if start else view)
            except BlockingIOError:
                self._more = False
                break
            except OSError as error:
                if error.errno in CLOSED:
                    raise trio.ClosedResourceError from None
                continue  # about one datagram of before, which is lost
            if count:
                pieces.append((count, length, peer))
                start += count
                datagrams += 1 if count == length else -(-count // length)
            if converses and count == length:  # asking in vain costs more than waiting anew
                self._more = False
                break
        if len(pieces) == 1 and pieces[0][1] == pieces[0][0] <= _SMALL_BYTES:
            self._singles += 1
            count, length, peer = pieces[0]
            return [Train(view[:count], length, self._address_of(peer))]
        self._singles = 0
        return system.joined(view, pieces, self._address_of)

    def _receive_piece(self, room: memoryview) -> Piece:
        if not self._receives_trains:
            count, peer = self._socket.recvfrom_into(room)
            return count, count, peer
        count, control, _, peer = self._socket.recvmsg_into((room,), CONTROL_BYTES)
        return count, system.segment_of(control) if control else count, peer

    def _address_of(self, peer: SockAddr) -> Address:
        address = self._addresses.get(peer)
        if address is None:
            if len(self._addresses) >= _ADDRESSES:  # a flood from many addresses must not grow us
                self._addresses.clear()
            address = self._addresses[peer] = to_address(peer)
        return address

    # --- sending --------------------------------------------------------------------------------

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send datagrams while there is room; what the system refuses is lost and counted.

        A peer chooses where answers go (port 0, a broadcast address), and interfaces go down: the link's own timers
        see to the rest.
        """
        for number, (data, segment_bytes, address) in enumerate(trains):
            if address is None or self._closed:
                continue
            peer = self._sockaddr_of(address)
            sent = (
                self._send_train(data, segment_bytes, peer) if len(data) > segment_bytes else self._send_one(data, peer)
            )
            if sent < len(data):
                return (Train(memoryview(data)[sent:], segment_bytes, address), *trains[number + 1 :])
        return ()

    def _send_one(self, data: Bytes, peer: SockAddr) -> int:
        """Send a datagram; return its length, or 0 while there is no room."""
        try:
            self._socket.sendto(data, peer)
        except BlockingIOError:
            return 0
        except OSError:
            self.lost += 1
        return len(data)

    def _send_train(self, data: Bytes, segment_bytes: int, peer: SockAddr) -> int:
        """Send a train; return how much of it has gone, or is lost."""
        view, total, step = memoryview(data), len(data), segment_bytes
        if self._sends_trains:
            step *= max(1, min(MAX_SEGMENTS, self.max_datagram_bytes // segment_bytes))
        for at in range(0, total, step):
            part = view[at : at + step]
            size = len(part)
            sent = self._send_one(part, peer) if size <= segment_bytes else self._send_cut(part, segment_bytes, peer)
            if sent < size:
                return at + sent
        return total

    def _send_cut(self, data: memoryview, segment_bytes: int, peer: SockAddr) -> int:
        """Send what one call takes; return how much has gone, or is lost."""
        try:
            self._socket.sendmsg((data,), system.segment_control(segment_bytes), 0, peer)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in REFUSALS:
                return self._send_refused(data, segment_bytes, peer)
            self.lost += -(-len(data) // segment_bytes)
        return len(data)

    def _send_refused(self, data: memoryview, segment_bytes: int, peer: SockAddr) -> int:
        """Send one by one what was refused as a train. If they pass, it is the system that cannot cut them."""
        lost = self.lost
        if not self._send_one(data[:segment_bytes], peer):
            return 0  # not known yet
        if self.lost > lost:  # too large for the path, whoever cuts them
            self.lost += -(-len(data) // segment_bytes) - 1
            return len(data)
        self._sends_trains = False
        return segment_bytes + self._send_train(data[segment_bytes:], segment_bytes, peer)

    def _sockaddr_of(self, address: Address) -> SockAddr:
        last, peer = self._last
        if address is last:  # nearly always; hashing an address costs as much as sealing
            return peer
        found = self._sockaddrs.get(address)
        if found is None:
            if len(self._sockaddrs) >= _ADDRESSES:
                self._sockaddrs.clear()
            found = self._sockaddrs[address] = to_sockaddr(address, self._family)
        self._last = (address, found)
        return found

    async def aclose(self) -> None:
        """Close the socket; who waits on it is told."""
        self._closed = True
        close(self._socket)
        await trio.lowlevel.checkpoint()


def _is_loopback(address: SockAddr) -> bool:
    return address[0].startswith("127.") or address[0] == "::1"


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_QUEUE_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_QUEUE_BYTES)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        if sock.family == socket.AF_INET6:  # besides IPv4, which it may speak too
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
