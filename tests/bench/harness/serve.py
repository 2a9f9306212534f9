"""The side of a process that measures for another: JSON lines in, JSON lines out, until stdin ends.

The first line that comes in is its arguments; it says ``{"ready": {...}}``, or ``{"absent": reason}``. Each further
line is a request, and is answered by ``{"reply": {...}}``. With ``AEROLINK_BENCH_PROFILE`` in the environment it prints
a profile at the end.
Standard library and trio only: peers in other environments use this.
"""

import asyncio
import cProfile
import json
import os
import pstats
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from tests.bench.harness.model import AbsentError, Json, Measure, Reading, reason_of

PROFILE: Final = "AEROLINK_BENCH_PROFILE"
Handler = Callable[[Json], Awaitable[Json]]
Program = Callable[[Json], AbstractAsyncContextManager[tuple[Json, Handler]]]
"""From the arguments to what ``ready`` says, and who answers requests."""


def say(line: Json) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def ask_of(measure: Measure) -> Handler:
    """A handler whose only request is a round."""

    async def handle(request: Json) -> Json:
        return told(await measure(float(request["seconds"])))

    return handle


def told(reading: Reading) -> Json:
    """Return a reading for the wire."""
    return {"value": reading.value, "notes": dict(reading.notes)}


async def _next_line(wait: Callable[[], Awaitable[str]]) -> Json | None:
    line = await wait()
    request: Json | None = json.loads(line) if line.strip() else None
    return request


async def _serve(program: Program, wait: Callable[[], Awaitable[str]]) -> None:
    profile = cProfile.Profile() if PROFILE in os.environ else None
    try:
        async with program(await _next_line(wait) or {}) as (ready, handle):
            say({"ready": ready})
            while (request := await _next_line(wait)) is not None:
                if profile:
                    profile.enable()
                reply = await handle(request)
                if profile:
                    profile.disable()
                say({"reply": reply})
    except (AbsentError, ImportError) as reason:
        say({"absent": str(reason)})
    except Exception as error:
        say({"failed": reason_of(error)})
        raise
    if profile:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)


async def _line_trio() -> str:
    return await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)


async def _line_asyncio() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def serve_trio(program: Program) -> None:
    """Serve until stdin ends, on trio."""
    trio.run(_serve, program, _line_trio)


def serve_asyncio(program: Program) -> None:
    """Serve until stdin ends, on asyncio's own loop."""
    asyncio.run(_serve(program, _line_asyncio))
