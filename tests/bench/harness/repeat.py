"""Sides that are one function, called over and over."""

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
