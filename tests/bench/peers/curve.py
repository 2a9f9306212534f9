"""ZeroMQ with CURVE over loopback TCP: one end of a PUSH to PULL, in a process of its own, like ours.

Its input and output threads seal and open; Python only hands messages over.
"""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import trio
import zmq

from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.serve import Handler, serve_trio, told

NAME: Final = "pyzmq CURVE"
_IN_FLIGHT: Final = 10_000
_AT_ONCE: Final = 64
_LOOK_MS: Final = 20


def _receive(socket: Any, meter: Meter, done: threading.Event) -> None:
    """Take what arrives: a blocking receive for the first, others as long as there are any."""
    take, at_once = socket.recv, zmq.NOBLOCK
    while not done.is_set():
        count = size = 0
        try:
            size += len(take())  # gives up after a while, to look at ``done``
            count += 1
            while count < _AT_ONCE:
                size += len(take(at_once))
                count += 1
        except zmq.Again:
            pass
        if count:
            meter.add(count, size)


@asynccontextmanager
async def _pull(context: Any) -> AsyncGenerator[tuple[Json, Handler]]:
    public, secret = zmq.curve_keypair()
    socket: Any = context.socket(zmq.PULL)
    socket.curve_server = True
    socket.curve_secretkey, socket.curve_publickey = secret, public
    socket.rcvhwm = _IN_FLIGHT
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    socket.rcvtimeo = _LOOK_MS
    meter = Meter()
    done = threading.Event()
    receiver = threading.Thread(target=_receive, args=(socket, meter, done))  # the loop idles beside it
    receiver.start()

    async def handle(request: Json) -> Json:
        if request["op"] == "mark":
            meter.mark()
            return {}
        sent = int(request["sent"])
        await meter.settle(sent, trio.sleep)
        return told(meter.per_second(sent))

    try:
        yield {"port": port, "key": public.decode()}, handle
    finally:
        done.set()
        receiver.join()
        socket.close(0)


@asynccontextmanager
async def _push(context: Any, given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    public, secret = zmq.curve_keypair()
    socket: Any = context.socket(zmq.PUSH)
    socket.curve_serverkey = given["key"].encode()
    socket.curve_secretkey, socket.curve_publickey = secret, public
    socket.sndhwm = _IN_FLIGHT
    socket.connect(f"tcp://127.0.0.1:{given['port']}")
    batch = messages(MESSAGE_BYTES)

    async def handle(request: Json) -> Json:
        sent = 0
        end = perf_counter() + float(request["seconds"])
        while perf_counter() < end:
            for message in batch:
                socket.send(message)
            sent += len(batch)
        return {"sent": sent}

    yield {}, handle
    socket.close(0)


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    context: Any = zmq.Context()
    async with _push(context, given) if "port" in given else _pull(context) as end:
        yield end
    context.term()


if __name__ == "__main__":
    serve_trio(_program)
