"""trio's DTLS, in an environment with the pyOpenSSL that it works with (``make bench`` makes it). Own process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from time import perf_counter

import trio

from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json, Measure, Reading
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.serve import Handler, ask_of, serve_trio
from tests.bench.peers.certificates import certified

NAME = "trio DTLS"


async def _endpoint() -> trio.DTLSEndpoint:
    sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))
    return trio.DTLSEndpoint(sock, incoming_packets_buffer=1_000)


@asynccontextmanager
async def _flow() -> AsyncGenerator[Measure]:
    from OpenSSL import SSL, crypto

    own = certified()
    server_context, client_context = SSL.Context(SSL.DTLS_METHOD), SSL.Context(SSL.DTLS_METHOD)
    server_context.use_certificate(crypto.X509.from_cryptography(own.certificate))
    server_context.use_privatekey(crypto.PKey.from_cryptography_key(own.key))
    meter = Meter()
    batch = messages(MESSAGE_BYTES)
    server, client = await _endpoint(), await _endpoint()
    with server, client:
        async with trio.open_nursery() as nursery:

            async def count(channel: trio.DTLSChannel) -> None:
                async for message in channel:
                    meter.add(1, len(message))

            await nursery.start(server.serve, server_context, count)
            giving = client.connect(server.socket.getsockname(), client_context)
            await giving.do_handshake()

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


@asynccontextmanager
async def _program(_: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    async with _flow() as measure:
        yield {"pyOpenSSL": version("pyOpenSSL")}, ask_of(measure)


if __name__ == "__main__":
    serve_trio(_program)
