"""trio's streams over loopback TCP, plaintext and TLS 1.3: 64 KiB writes, both ends in one loop; whole handshakes."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TypeVar

import trio

from tests.bench.harness.handshakes import Shake, Unmake, made_per_second, shaken_per_second
from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Measure, Reading, Side
from tests.bench.harness.payload import messages
from tests.bench.peers.certificates import contexts

PLAINTEXT = "trio plaintext TCP"
TLS = "trio SSLStream, TLS 1.3"
WRITE_BYTES = 65_536
RECEIVE_BYTES = 4 * 65_536
_WRITES = 16

Pair = tuple[trio.SocketStream, trio.SocketStream]
TlsStream = trio.SSLStream[trio.SocketStream]
S = TypeVar("S", bound=trio.abc.Stream)


@asynccontextmanager
async def tcp_pair() -> AsyncGenerator[Pair]:
    """A connection, made anew."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        one = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        other = await listener.accept()
    async with one, other:
        yield one, other


async def _is_ready(one: trio.SocketStream, other: trio.SocketStream) -> None:
    """Plaintext needs no handshake."""


async def _shake(client: TlsStream, server: TlsStream) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)


def _tls(pair: Pair, client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[TlsStream, TlsStream]:
    return (
        trio.SSLStream(pair[0], client, server_hostname="localhost", https_compatible=True),
        trio.SSLStream(pair[1], server, server_side=True, https_compatible=True),
    )


def _flow(wrap: Callable[[Pair], tuple[S, S]], ready: Callable[[S, S], Awaitable[object]]) -> Side:
    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        meter = Meter()
        batch = messages(WRITE_BYTES, _WRITES)
        async with tcp_pair() as pair, trio.open_nursery() as nursery:
            giving, taking = wrap(pair)
            await ready(giving, taking)

            async def count() -> None:
                while True:
                    meter.add(1, len(await taking.receive_some(RECEIVE_BYTES)))

            nursery.start_soon(count)

            async def measure(seconds: float) -> Reading:
                meter.mark()
                sent = 0
                start = perf_counter()
                while perf_counter() < start + seconds:
                    for write in batch:
                        await giving.send_all(write)
                    sent += WRITE_BYTES * _WRITES
                while meter.bytes < sent:  # noqa: ASYNC110  # the last bytes are on their way
                    await trio.sleep(0.0005)
                return meter.gigabits(start)

            yield measure
            nursery.cancel_scope.cancel()

    return side


def plaintext_flow() -> Side:
    """Gbit/s without encryption."""
    return _flow(lambda pair: pair, _is_ready)


def tls_flow() -> Side:
    """Gbit/s under TLS 1.3, with the suite that OpenSSL prefers."""
    client, server = contexts()
    return _flow(lambda pair: _tls(pair, client, server), _shake)


def tls_connections() -> Side:
    """TCP connection, and a full TLS 1.3 handshake with mutual P-256 certificates, until both ends have finished."""
    return _tls_sides(lambda connect: made_per_second(_both(connect)))


def tls_handshakes() -> Side:
    """A full TLS 1.3 handshake with mutual P-256 certificates on a TCP connection, until both ends have finished."""
    return _tls_sides(shaken_per_second)


def _both(connect: Callable[[], Awaitable[Shake]]) -> Callable[[], Awaitable[Unmake]]:
    async def make() -> Unmake:
        return await (await connect())()

    return make


def _tls_sides(measured: Callable[[Callable[[], Awaitable[Shake]]], Measure]) -> Side:
    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        client, server = contexts()
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]

        async def connect() -> Shake:
            pair = await trio.open_tcp_stream("127.0.0.1", port), await listener.accept()

            async def shake() -> Unmake:
                ends = _tls(pair, client, server)
                await _shake(*ends)

                async def unmake() -> None:
                    for end in ends:
                        await end.aclose()

                return unmake

            return shake

        async with listener:
            yield measured(connect)

    return side
