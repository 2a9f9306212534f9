"""Sides that are one function, called over and over; and sides seen from their cost."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

import trio

from tests.bench.harness.model import Measure, Reading, Side


async def per_second(step: Callable[[], object], seconds: float, batch: int, each: int = 1) -> Reading:
    """How often a step is done in a second; a step counts ``each`` times."""
    steps = 0
    start = perf_counter()
    end = start + seconds
    while (now := perf_counter()) < end or not steps:
        for _ in range(batch):
            step()
        steps += batch
        await trio.lowlevel.checkpoint()
    return Reading(steps * each / (now - start))


def repeat(prepare: Callable[[], Callable[[], object]], batch: int = 20, each: int = 1) -> Side:
    """A side that prepares a step and repeats it. What ``prepare`` cannot import makes it absent."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        step = prepare()

        async def measure(seconds: float) -> Reading:
            return await per_second(step, seconds, batch, each)

        yield measure

    return side


def cost_of(per_second_of: Side, unit_per_s: float = 1e9) -> Side:
    """Turn a rate into what one of them takes, in nanoseconds unless told otherwise."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with per_second_of() as rate:

            async def measure(seconds: float) -> Reading:
                found = await rate(seconds)
                return Reading(unit_per_s / found.value, found.notes)

            yield measure

    return side
