"""Pace: when frames come, by a clock that jumps as soon as everyone waits."""
# ruff: noqa: ARG001 - a test asks for the clock by naming it

from itertools import pairwise
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from nodes.flight import FlightFrame, Speed, pace
from protocols.errors import ConfigError


def flight(*times_s: float) -> list[FlightFrame]:
    return [FlightFrame(time_s, b"%d" % index) for index, time_s in enumerate(times_s)]


async def watch(frames: list[FlightFrame], speed: Speed, **options: float) -> list[tuple[float, bytes]]:
    """Each frame with the time that had passed when it came."""
    begin = trio.current_time()
    seen: list[tuple[float, bytes]] = []
    async for batch in pace(frames, speed, **options):  # type: ignore[arg-type]
        seen += [(round(trio.current_time() - begin, 6), frame.data) for frame in batch]
    return seen


async def test_real_speed_gives_each_frame_its_time(autojump_clock: MockClock) -> None:
    assert await watch(flight(0, 0.5, 0.5, 2.0), "real") == [(0, b"0"), (0.5, b"1"), (0.5, b"2"), (2.0, b"3")]


async def test_a_flight_that_begins_late_begins_at_once(autojump_clock: MockClock) -> None:
    assert await watch(flight(100, 101), "real") == [(0, b"0"), (1, b"1")]


async def test_a_jump_of_the_recorder_waits_only_so_long(autojump_clock: MockClock) -> None:
    seen = await watch(flight(0, 1e9, 1e9 + 1, 3, 4), "real", longest_wait_s=5.0)
    assert [time_s for time_s, _ in seen] == [0, 5, 6, 6, 7]


async def test_a_slow_consumer_gets_what_is_due_in_one_batch(autojump_clock: MockClock) -> None:
    sizes: list[int] = []
    async for batch in pace(flight(*(index / 10 for index in range(31))), "real", max_batch=20):
        sizes.append(len(batch))
        await trio.sleep(1.01)
    assert sizes == [1, 10, 10, 10]


async def test_a_batch_is_never_larger_than_allowed(autojump_clock: MockClock) -> None:
    for speed in ("real", "max"):
        sizes = [len(batch) async for batch in pace(flight(*[0.0] * 10), speed, max_batch=4)]
        assert sizes == [4, 4, 2]


async def test_max_speed_takes_no_time_and_loses_nothing(autojump_clock: MockClock) -> None:
    frames = flight(*range(200))
    assert await watch(frames, "max") == [(0, frame.data) for frame in frames]


async def test_no_frames_no_batches(autojump_clock: MockClock) -> None:
    assert await watch([], "real") == await watch([], "max") == []


async def test_other_tasks_run_between_batches_at_max_speed() -> None:
    turns: list[str] = []

    async def other() -> None:
        for _ in range(20):
            turns.append("other")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        async for _ in pace(flight(*[0.0] * 20), "max", max_batch=1):
            turns.append("pace")  # noqa: PERF401 - the order is what counts
    assert any(before != after for before, after in pairwise(turns[:20]))


async def test_a_consumer_may_leave_half_way(autojump_clock: MockClock) -> None:
    for speed in ("real", "max"):
        async for _ in pace(flight(0, 1, 2), speed):
            break


def test_an_unknown_speed_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="'real' or 'max'"):
        pace([], cast("Speed", "warp"))
