"""A drone in one process that holds many links of another: what each costs in memory, and what their messages cost."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import trio

from protocols.crypto.suites import DEFAULT_SUITE, SUITES, Suite
from tests.bench.harness.child import Child, child, reading
from tests.bench.harness.model import Measure, Reading, Side

DRONE: Final = "tests.bench.ends.drone"
RC: Final = "tests.bench.ends.rc"
_MESSAGES_PER_S: Final = 100_000
"""Messages of a round of a second: the same number whatever the number of links."""
_BURST: Final = 256
_MOST_LINKS: Final = 1_000
"""Each of so many has a burst in each round."""
_CHEAP_TO_LINK: Final = SUITES[3]
"""It has the cipher of the default suite; where messages are measured, a thousand handshakes need not take long."""
_SETTLE_S: Final = 0.3
_QUIET: Final = {"keepalive_s": 30.0, "dead_after_s": 120.0}
"""Pings of a thousand links would be measured as messages."""


@asynccontextmanager
async def _crowd(links: int, first: int, suite: Suite) -> AsyncGenerator[tuple[Child, Child]]:
    common = {"config": _QUIET, "suite": suite.id, "burst": _BURST}
    async with (
        child(DRONE, {"clients": links} | common) as drone,
        child(RC, {"connect": first} | common | drone.ready) as rc,
    ):
        yield drone, rc


async def _all_there(drone: Child, links: int) -> None:
    with trio.fail_after(20):
        while (await drone.ask(op="links"))["links"] < links:  # noqa: ASYNC110  # of another process
            await trio.sleep(0.05)


def cost_per_message(links: int) -> Side:
    """Processor time of the drone's process per message that it delivers, in microseconds; bursts of each link."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with _crowd(links, links, _CHEAP_TO_LINK) as (drone, rc):
            await _all_there(drone, links)

            async def measure(seconds: float) -> Reading:
                count = max(int(_MESSAGES_PER_S * seconds), _MOST_LINKS * _BURST)
                await drone.ask(op="mark")
                sent = (await rc.ask(op="send", messages=count))["sent"]
                return reading(await drone.ask(op="cost", sent=sent))

            yield measure

    return side


def memory_per_link(links: int, before: int = 16) -> Side:
    """Resident bytes that a drone has more for each idle link; the first few links bring what all share."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async def measure(seconds: float) -> Reading:  # noqa: ARG001  # it takes what it takes
            async with _crowd(links, before, DEFAULT_SUITE) as (drone, rc):
                await _all_there(drone, before)
                few = (await drone.ask(op="rss"))["rss"]
                await rc.ask(op="connect", count=links - before)
                await _all_there(drone, links)
                await trio.sleep(_SETTLE_S)
                many = (await drone.ask(op="rss"))["rss"]
            return Reading((many - few) / (links - before), {"listener_bytes": many})

        yield measure

    return side
