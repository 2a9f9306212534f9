"""Plaintext TCP from one process to another, for what protects it below: 64 KiB writes on trio's streams."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter

import trio

from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json
from tests.bench.harness.payload import messages
from tests.bench.harness.serve import Handler, serve_trio, told
from tests.bench.peers.streams import RECEIVE_BYTES, WRITE_BYTES


@asynccontextmanager
async def _taking(host: str) -> AsyncGenerator[tuple[Json, Handler]]:
    meter = Meter()
    (listener,) = await trio.open_tcp_listeners(0, host=host)
    async with listener, trio.open_nursery() as nursery:

        async def count() -> None:
            async with await listener.accept() as stream:
                while data := await stream.receive_some(RECEIVE_BYTES):
                    meter.add(1, len(data))

        async def handle(request: Json) -> Json:
            if request["op"] == "mark":
                meter.mark()
                return {}
            while meter.bytes < request["sent"]:  # noqa: ASYNC110  # the last bytes are on their way
                await trio.sleep(0.001)
            return told(meter.gigabits(meter.first))

        nursery.start_soon(count)
        yield {"host": host, "port": listener.socket.getsockname()[1]}, handle
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _giving(host: str, port: int) -> AsyncGenerator[tuple[Json, Handler]]:
    batch = messages(WRITE_BYTES, 4)
    async with await trio.open_tcp_stream(host, port) as stream:

        async def handle(request: Json) -> Json:
            sent = 0
            end = perf_counter() + float(request["seconds"])
            while perf_counter() < end:
                for data in batch:
                    await stream.send_all(data)
                    sent += len(data)
            return {"sent": sent}

        yield {}, handle


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    async with _giving(given["host"], given["port"]) if "port" in given else _taking(given["host"]) as end:
        yield end


if __name__ == "__main__":
    serve_trio(_program)
