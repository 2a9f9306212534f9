"""trio's own sockets, plaintext: connected UDP, one await per datagram each way, both ends in one loop."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter

import trio

from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Measure, Reading, Side
from tests.bench.harness.ours import microseconds
from tests.bench.harness.payload import MESSAGE_BYTES, messages

NAME = "trio plaintext UDP"
_BUFFER_BYTES = 1 << 20
"""As our carrier asks for."""
_MOST_BYTES = 65_507


async def _bound() -> trio.socket.SocketType:
    sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    await sock.bind(("127.0.0.1", 0))
    return sock


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[trio.socket.SocketType, trio.socket.SocketType]]:
    """Two UDP sockets that know each other."""
    with await _bound() as one, await _bound() as other:
        await one.connect(other.getsockname())
        await other.connect(one.getsockname())
        yield one, other


def message_flow(size: int = MESSAGE_BYTES) -> Side:
    """Messages per second."""
    size = min(size, _MOST_BYTES)

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        meter = Meter()
        batch = messages(size)
        async with connected() as (giving, taking), trio.open_nursery() as nursery:

            async def count() -> None:
                while True:
                    meter.add(1, len(await taking.recv(65_536)))

            nursery.start_soon(count)

            async def measure(seconds: float) -> Reading:
                meter.mark()
                sent = 0
                start = perf_counter()
                while perf_counter() < start + seconds:
                    for message in batch:
                        await giving.send(message)
                    sent += len(batch)
                await meter.settle(sent, trio.sleep)
                return meter.per_second(sent, start)

            yield measure
            nursery.cancel_scope.cancel()

    return side


def round_trips(size: int = 64) -> Side:
    """The median round trip in microseconds, one at a time."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        message = bytes(size)
        async with connected() as (asking, answering), trio.open_nursery() as nursery:

            async def echo() -> None:
                while True:
                    await answering.send(await answering.recv(65_536))

            nursery.start_soon(echo)

            async def measure(seconds: float) -> Reading:
                times: list[float] = []
                end = perf_counter() + seconds
                while (start := perf_counter()) < end or not times:
                    await asking.send(message)
                    await asking.recv(65_536)
                    times.append(perf_counter() - start)
                return microseconds(times)

            yield measure
            nursery.cancel_scope.cancel()

    return side
