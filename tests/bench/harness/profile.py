"""``--profile NAME``: cProfile of our side of a case, in this process or in those that it starts."""

import cProfile
import os
import pstats
from typing import Final, TextIO

import trio

from tests.bench.harness.model import Case, Side
from tests.bench.harness.registry import load
from tests.bench.harness.serve import PROFILE

_SECONDS: Final = 2.0
_TOP: Final = 25


async def _measure(side: Side, profile: cProfile.Profile, seconds: float) -> None:
    async with side() as measure:
        await measure(seconds / 4)
        profile.enable()
        await measure(seconds)
        profile.disable()


def profile_case(name: str, out: TextIO, seconds: float = _SECONDS) -> None:
    """Print what takes our side's time. Processes that it starts print theirs to stderr."""
    case = load(name)
    side = case.ours if isinstance(case, Case) else case.ours(case.xs[-1])
    profile = cProfile.Profile()
    os.environ[PROFILE] = "1"
    try:
        trio.run(_measure, side, profile, seconds)
    finally:
        del os.environ[PROFILE]
    pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(_TOP)
