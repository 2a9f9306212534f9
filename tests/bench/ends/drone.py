"""A drone in a process of its own: it holds the links of many remote controllers, and counts what arrives."""

import gc
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time

import trio

from nodes import Drone, Endpoint
from specs.registry import Role
from tests.bench.ends.pacing import count_and_tell
from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json, Reading
from tests.bench.harness.ours import config_of, count, make_key, record_of, stores_of, take_objects
from tests.bench.harness.serve import Handler, serve_trio, told


def resident_bytes() -> int:
    """What the system holds in memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    meter = Meter()
    cpu = 0.0
    clients = [make_key() for _ in range(given.get("clients", 1))]
    key = make_key()
    stores = await stores_of(key, [record_of(each.public, Role.RC) for each in clients])
    config = config_of(given)
    async with Drone(stores, config) as drone, trio.open_nursery() as nursery:

        async def serve() -> None:
            async for link in drone.each_link():
                if given.get("objects"):
                    nursery.start_soon(take_objects, link)
                else:
                    nursery.start_soon(count_and_tell if given.get("paced") else count, link, meter)

        async def handle(request: Json) -> Json:
            nonlocal cpu
            if request["op"] == "mark":
                meter.mark()
                cpu = process_time()
                return {}
            if request["op"] == "links":
                return {"links": len(drone.links)}
            if request["op"] == "rss":
                gc.collect()
                return {"rss": resident_bytes(), "links": len(drone.links)}
            await meter.settle(request["sent"], trio.sleep)
            used = process_time() - cpu
            if request["op"] == "report":
                return told(meter.per_second(request["sent"]))
            rate = meter.per_second(request["sent"])  # op "cost": microseconds of this process per message
            return told(Reading(used * 1e6 / meter.messages, {"messages_per_s": rate.value, **rate.notes}))

        nursery.start_soon(serve)
        where = await drone.listen(Endpoint(given.get("host", "127.0.0.1"), 0), given.get("carrier", "udp"))
        privates = [each.private_bytes().hex() for each in clients]
        yield {"host": where.host, "port": where.port, "drone": key.public.hex(), "privates": privates}, handle
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    serve_trio(_program)
