"""aioquic, both ends in one asyncio loop, as its own examples use it. Own process.

The protocol object's ``_quic`` is what its examples use too (``siduck_client.py``). Several datagrams, or 64 KiB of a
stream, go before each ``transmit``; in flight is what keeps it busy without losing anything.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from time import perf_counter
from typing import Any, Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import DatagramFrameReceived, QuicEvent, StreamDataReceived

from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json, Measure, Reading
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.serve import Handler, ask_of, serve_asyncio
from tests.bench.peers.certificates import certified

DATAGRAMS: Final = "aioquic datagrams"
STREAM: Final = "aioquic stream"
_UDP_BYTES: Final = 1_452
"""What a usual path takes; aioquic begins with 1,200, into which our messages would not fit."""
_WINDOW_BYTES: Final = 1 << 24
_BATCH: Final = 16
_IN_FLIGHT: Final = 64
_WRITE_BYTES: Final = 65_536
_STREAM_IN_FLIGHT: Final = 1 << 20


class _End(QuicConnectionProtocol):
    """An end that gives what arrives to a function."""

    take: Callable[["_End", QuicEvent], None] | None = None

    @property
    def quic(self) -> Any:
        """The connection: as in aioquic's examples."""
        return self._quic

    def quic_event_received(self, event: QuicEvent) -> None:
        if self.take is not None:
            self.take(self, event)


def _configurations() -> tuple[QuicConfiguration, QuicConfiguration]:
    own = certified()
    common: dict[str, Any] = {
        "alpn_protocols": ["bench"], "max_datagram_frame_size": 65_536, "max_datagram_size": _UDP_BYTES,
        "max_data": _WINDOW_BYTES, "max_stream_data": _WINDOW_BYTES,
    }  # fmt: skip
    server = QuicConfiguration(is_client=False, **common)
    server.certificate, server.private_key = own.certificate, own.key
    client = QuicConfiguration(is_client=True, verify_mode=ssl.CERT_NONE, **common)
    return client, server


def _port_of(server: Any) -> int:
    transport: Any = getattr(server, "_transport")  # noqa: B009  # it has no other way to tell
    return int(transport.get_extra_info("sockname")[1])


@asynccontextmanager
async def _ends(take: Callable[[_End, QuicEvent], None]) -> AsyncGenerator[_End]:
    """A client whose server gives what arrives to ``take``."""
    asyncio_api: tuple[Any, Any] = import_module("aioquic.asyncio.client"), import_module("aioquic.asyncio.server")
    connect, serve = asyncio_api[0].connect, asyncio_api[1].serve
    client_configuration, server_configuration = _configurations()

    def accept(*args: Any, **options: Any) -> _End:
        end = _End(*args, **options)
        end.take = take
        return end

    server: Any = await serve("127.0.0.1", 0, configuration=server_configuration, create_protocol=accept)
    port = _port_of(server)
    try:
        async with connect("127.0.0.1", port, configuration=client_configuration, create_protocol=_End) as client:
            assert isinstance(client, _End)
            yield client
    finally:
        server.close()


async def _turn() -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def _datagrams() -> AsyncGenerator[Measure]:
    meter = Meter()
    batch = messages(MESSAGE_BYTES, _BATCH)

    def take(_: _End, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            meter.add(1, len(event.data))

    async with _ends(take) as client:

        async def measure(seconds: float) -> Reading:
            meter.mark()
            sent = 0
            start = perf_counter()
            while perf_counter() < start + seconds:
                await meter.room(sent, _IN_FLIGHT, _turn)
                for message in batch:
                    client.quic.send_datagram_frame(message)
                client.transmit()
                sent += _BATCH
                await _turn()
            await meter.settle(sent, asyncio.sleep)
            return meter.per_second(sent, start)

        yield measure


@asynccontextmanager
async def _stream() -> AsyncGenerator[Measure]:
    meter = Meter()
    (data,) = messages(_WRITE_BYTES, 1)

    def take(_: _End, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            meter.add(1, len(event.data))

    async with _ends(take) as client:
        stream = client.quic.get_next_available_stream_id(is_unidirectional=True)

        async def measure(seconds: float) -> Reading:
            meter.mark()
            sent = 0
            start = perf_counter()
            while perf_counter() < start + seconds:
                if sent - meter.bytes < _STREAM_IN_FLIGHT:
                    client.quic.send_stream_data(stream, data)
                    client.transmit()
                    sent += len(data)
                await _turn()
            while meter.bytes < sent:
                await _turn()
            return meter.gigabits(start)

        yield measure


@asynccontextmanager
async def _round_trips() -> AsyncGenerator[Measure]:
    arrived = asyncio.Event()

    def echo(end: _End, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            end.quic.send_datagram_frame(event.data)
            end.transmit()

    def answer(_: _End, event: QuicEvent) -> None:
        if isinstance(event, DatagramFrameReceived):
            arrived.set()

    async with _ends(echo) as client:
        client.take = answer
        message = bytes(64)

        async def measure(seconds: float) -> Reading:
            times: list[float] = []
            end = perf_counter() + seconds
            while (start := perf_counter()) < end or not times:
                arrived.clear()
                client.quic.send_datagram_frame(message)
                client.transmit()
                await asyncio.wait_for(arrived.wait(), 5)
                times.append(perf_counter() - start)
            times.sort()
            return Reading(times[len(times) // 2] * 1e6, {"p99": times[len(times) * 99 // 100] * 1e6})

        yield measure


_KINDS: Final = {"datagrams": _datagrams, "stream": _stream, "round trips": _round_trips}


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    async with _KINDS[given["kind"]]() as measure:
        yield {}, ask_of(measure)


if __name__ == "__main__":
    serve_asyncio(_program)
