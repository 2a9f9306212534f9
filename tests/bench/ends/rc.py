"""Remote controllers in a process of their own: each makes a link to the drone of ``ends.drone``, and sends."""

import sys
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
from tests.bench.ends.pacing import BURSTS_UNDER_WAY, hear
from tests.bench.harness.bulk import objects_over
from tests.bench.harness.meter import Meter
from tests.bench.harness.model import Json
from tests.bench.harness.ours import CHANNEL, config_of, record_of, size_of, stores_of
from tests.bench.harness.payload import MESSAGE_BYTES, messages
from tests.bench.harness.serve import Handler, ask_of, serve_trio

_CONNECTS_AT_ONCE: Final = 4
"""Both processes have something to do."""
_TURN_S: Final = 0.0002
_DISCOVERY_S: Final = 0.1
"""Path MTU discovery has ended long before."""


async def _turn() -> None:
    await trio.sleep(_TURN_S)  # a processor that only waits is missed elsewhere


class _Crowd:
    """Remote controllers, and what they send."""

    def __init__(self, given: Json, stack: AsyncExitStack) -> None:
        self.links: list[Link] = []
        self.heard: Final = Meter()
        """What the drone says it has, if it does."""
        self._given = given
        self._stack = stack
        self._privates = iter(given["privates"])
        self._burst = messages(MESSAGE_BYTES, given.get("burst"))
        self._at_once = trio.CapacityLimiter(_CONNECTS_AT_ONCE)

    async def connect(self, count: int) -> None:
        """Make so many more links."""
        public = bytes.fromhex(self._given["drone"])
        nodes: list[RemoteController] = []
        for private in islice(self._privates, count):
            key = load_static_key("P256", bytes.fromhex(private))
            stores = await stores_of(key, [record_of(public, Role.DRONE)])
            rc = RemoteController(stores, config_of(self._given))
            nodes.append(await self._stack.enter_async_context(rc))
        async with trio.open_nursery() as nursery:
            for rc in nodes:
                nursery.start_soon(self._link, rc, key_id_of("P256", public))
        await trio.sleep(_DISCOVERY_S)

    async def _link(self, rc: RemoteController, drone: bytes) -> None:
        where = Endpoint(self._given["host"], self._given["port"])
        async with self._at_once:
            self.links.append(await rc.connect(drone, where, self._given.get("carrier", "udp")))

    async def send(self, seconds: float, least: int) -> int:
        """Send a burst over each link in turn: for so long, and so many messages at least."""
        burst = self._burst
        window = BURSTS_UNDER_WAY * len(burst) if self._given.get("paced") else sys.maxsize
        sent = 0
        end = perf_counter() + seconds
        self.heard.mark()
        for link in cycle(self.links):
            if sent >= least and perf_counter() >= end:
                break
            await self.heard.room(sent, window, _turn)
            await link.send_many(CHANNEL, burst)
            sent += len(burst)
        for link in self.links:
            await link.flush()
        return sent

    async def answer(self, request: Json) -> Json:
        if request["op"] == "connect":
            await self.connect(request["count"])
            return {"links": len(self.links)}
        sent = await self.send(request.get("seconds", 0.0), request.get("messages", 0))
        return {"sent": sent, "notes": size_of(self.links[0])}


@asynccontextmanager
async def _program(given: Json) -> AsyncGenerator[tuple[Json, Handler]]:
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        crowd = _Crowd(given, stack)
        await crowd.connect(given.get("connect", 1))
        if given.get("paced"):
            nursery.start_soon(hear, crowd.links[0], crowd.heard)
        yield {}, ask_of(objects_over(crowd.links[0])) if given.get("objects") else crowd.answer
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    serve_trio(_program)
