"""What bounds us: the cipher alone, and the kernel's sockets without a cipher."""

import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

import trio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.bench.harness.model import AbsentError, Measure, Reading, Side
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.repeat import repeat

AEAD: Final = "AES-256-GCM of cryptography, alone"
RAW: Final = "raw sockets, plaintext"
SEGMENTED: Final = "raw sockets with UDP_SEGMENT and UDP_GRO, plaintext"
_SEGMENT, _GRO = 103, 104  # linux/udp.h; Python 3.11 has no names for them
_TRAIN: Final = 48
_BUFFER_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct(">4xIQ")


def bare_aead(size: int = MESSAGE_BYTES, count: int = 64) -> Side:
    """Seal and open the same messages, under headers and nonces like ours, made beforehand. Messages per second."""

    def prepare() -> Callable[[], object]:
        cipher = AESGCM(os.urandom(32))
        seal, unseal = cipher.encrypt, cipher.decrypt
        headers = [_HEADER.pack(7, number) for number in range(count)]
        rows = [(header[4:], data, header) for header, data in zip(headers, messages(size, count), strict=True)]

        def step() -> object:
            for nonce, data, header in rows:
                unseal(nonce, seal(nonce, data, header), header)
            return None

        return step

    return repeat(prepare, batch=10, each=count)


def _pair() -> tuple[socket.socket, socket.socket]:
    made: list[socket.socket] = []
    for _ in range(2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        sock.bind(("127.0.0.1", 0))
        made.append(sock)
    one, other = made
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    return one, other


def _raw_step(giving: socket.socket, taking: socket.socket, batch: list[bytes]) -> Callable[[], object]:
    send, receive = giving.send, taking.recv

    def step() -> object:
        for data in batch:
            send(data)
        return [receive(2_048) for _ in batch]

    return step


def _segmented_step(giving: socket.socket, taking: socket.socket, batch: list[bytes]) -> Callable[[], object]:
    try:
        giving.setsockopt(socket.IPPROTO_UDP, _SEGMENT, len(batch[0]))
        taking.setsockopt(socket.IPPROTO_UDP, _GRO, 1)
    except OSError as error:
        raise AbsentError(f"this kernel has no segmentation offload: {error.strerror}") from None
    rows = struct.Struct(f"{len(batch[0])}s")
    space = bytearray(65_536)
    view = memoryview(space)

    def step() -> object:
        giving.send(b"".join(batch))
        found: list[tuple[bytes]] = []
        while len(found) < len(batch):
            found += rows.iter_unpack(view[: taking.recv_into(space)])
        return found

    return step


def sockets(*, segmented: bool, size: int = MESSAGE_BYTES) -> Side:
    """Messages per second from one socket to another in one loop, without waiting; each is a ``bytes`` at the end."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        giving, taking = _pair()
        with giving, taking:
            batch = messages(size, _TRAIN)
            step = (_segmented_step if segmented else _raw_step)(giving, taking, batch)

            async def measure(seconds: float) -> Reading:
                done = 0
                start = perf_counter()
                while (now := perf_counter()) < start + seconds:
                    step()
                    done += len(batch)
                    await trio.lowlevel.checkpoint()
                return Reading(done / (now - start))

            yield measure

    return side
