"""What Linux does for UDP in one call: ``UDP_SEGMENT`` cuts a train into datagrams, ``UDP_GRO`` joins them again.

Neither changes a byte on the wire. Where the system has none of it, datagrams go and come one by one, and
:func:`joined` makes trains of what stands side by side in the buffer.
"""

import errno
import functools
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from enum import Flag
from typing import Final

from nodes.carriers.sockets import SockAddr
from protocols.guards.address import Address
from protocols.link.train import Train

# linux/udp.h; Python has no names for them.
_UDP_SEGMENT, _UDP_GRO = 103, 104
MAX_SEGMENTS: Final = 64
"""Datagrams in a train: UDP_MAX_SEGMENTS of the first kernels that had it, and UDP_GRO_CNT_MAX of all."""
MAX_TRAIN_BYTES: Final = 65_536
CONTROL_BYTES: Final = 64
"""Room for the control message of ``UDP_GRO``, an int."""
REFUSALS: Final = frozenset({errno.EINVAL, errno.EIO, errno.ENOTSUP, errno.EMSGSIZE})
"""What a kernel says to a train that it cannot send: no checksum offload (EIO), or segments too large for the path."""
_INT: Final = struct.Struct("i")


class Offload(Flag):
    """What a UDP carrier leaves to the system, as far as the system can."""

    NONE = 0
    SEND = 1
    """A train is one system call, and one pass through the system's network."""
    RECEIVE = 2
    """Likewise."""
    AUTO = SEND | RECEIVE


@functools.cache
def available() -> Offload:
    """Return what this system has; asked once per process."""
    found = Offload.NONE
    if sys.platform != "linux":
        return found
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if _takes(sock, _UDP_SEGMENT, 0):
            found |= Offload.SEND
        if receives_trains(sock):
            found |= Offload.RECEIVE
    return found


def receives_trains(sock: socket.socket) -> bool:
    """Let the system join datagrams that arrive; whether it will."""
    return _takes(sock, _UDP_GRO, 1)


def _takes(sock: socket.socket, option: int, value: int) -> bool:
    try:
        sock.setsockopt(socket.IPPROTO_UDP, option, value)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def segment_control(segment_bytes: int) -> list[tuple[int, int, bytes]]:
    """Return the control message that cuts a train; nobody changes it."""
    return [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", segment_bytes))]


def segment_of(control: list[tuple[int, int, bytes]]) -> int:
    """Return the segment length that came with a train."""
    return int(_INT.unpack_from(control[0][2])[0])


Piece = tuple[int, int, SockAddr]
"""What one call received: bytes, bytes of each segment but the last, origin."""


def joined(view: memoryview, pieces: Iterable[Piece], address_of: Callable[[SockAddr], Address]) -> list[Train]:
    """Return trains of the pieces that stand side by side in ``view``, as long ones as a train may be."""
    trains: list[Train] = []
    start = end = segment = room = 0
    origin: SockAddr | None = None
    for count, length, peer in pieces:
        fits = length == segment or (count < segment and count <= length)
        if count > room or not fits or peer != origin:
            if origin is not None:
                trains.append(Train(view[start:end], segment, address_of(origin)))
            start, segment, origin = end, length, peer
            room = min(MAX_TRAIN_BYTES, MAX_SEGMENTS * length)
            while count > room:  # a kernel that joins more than ours
                trains.append(Train(view[start : start + room], length, address_of(peer)))
                start, count = start + room, count - room  # noqa: PLW2901  # what is left of it
            end = start
        end += count
        room = 0 if (end - start) % segment else room - count
    if origin is not None:
        trains.append(Train(view[start:end], segment, address_of(origin)))
    return trains
