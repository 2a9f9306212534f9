"""Remote controllers in a process of their own: each makes a link to the drone of ``ends.drone``, and sends."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle, islice
from time import perf_counter
from typing import Final

import trio

from nodes import Endpoint, Link, RemoteController
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import load_static_key
from specs.registry import Role
from tests.bench.harness.bulk import objects_over
from tests.bench.harness.model import Json
from tests.bench.harness.ours import CHANNEL, config_of, record_of, stores_of
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.serve import Handler, ask_of, serve_trio

_CONNECTS_AT_ONCE: Final = 4


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    public = bytes.fromhex(given["drone"])
    where = Endpoint(given["host"], given["port"])
    config = config_of(given)
    privates = iter(given["privates"])
    links: list[Link] = []
    burst = messages(MESSAGE_BYTES, given.get("burst"))
    async with AsyncExitStack() as stack:

        async def connect(count: int) -> None:
            at_once = trio.CapacityLimiter(_CONNECTS_AT_ONCE)  # both processes have something to do

            async def link_of(rc: RemoteController) -> None:
                async with at_once:
                    links.append(await rc.connect(key_id_of("P256", public), where, given.get("carrier", "udp")))

            nodes: list[RemoteController] = []
            for private in islice(privates, count):
                key = load_static_key("P256", bytes.fromhex(private))
                stores = await stores_of(key, [record_of(public, Role.DRONE)])
                nodes.append(await stack.enter_async_context(RemoteController(stores, config)))
            async with trio.open_nursery() as nursery:
                for rc in nodes:
                    nursery.start_soon(link_of, rc)

        async def send(seconds: float, least: int) -> int:
            sent = 0
            end = perf_counter() + seconds
            for link in cycle(links):
                if sent >= least and perf_counter() >= end:
                    break
                await link.send_many(CHANNEL, burst)
                sent += len(burst)
            for link in links:
                await link.flush()
            return sent

        async def answer(request: Json) -> Json:
            if request["op"] == "connect":
                await connect(request["count"])
                return {"links": len(links)}
            return {"sent": await send(request.get("seconds", 0.0), request.get("messages", 0))}

        await connect(given.get("connect", 1))
        yield {}, ask_of(objects_over(links[0])) if given.get("objects") else answer


if __name__ == "__main__":
    serve_trio(_program)
