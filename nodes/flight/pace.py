"""Spread a flight over time: as fast as it was flown, or as fast as the consumer takes it.

In `real` speed a frame is due when as much time has passed since the first batch as in the recording. A
recorder's clock may jump (GPS or NTP sets it, a second flight is appended an hour later), so no single wait
exceeds `longest_wait_s`: what follows the jump keeps its own rhythm. A consumer that falls behind gets what
is due in larger batches and so catches up; nothing is dropped here.

The iterator is a class and not an async generator, so a consumer may leave it half-way without `aclosing`.
"""

from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Literal

import trio

from nodes.flight.source import FlightFrame
from protocols.errors import ConfigError

Speed = Literal["real", "max"]


def pace(
    frames: Iterable[FlightFrame], speed: Speed, *, max_batch: int = 64, longest_wait_s: float = 5.0
) -> AsyncIterator[list[FlightFrame]]:
    """Batches of at most `max_batch` frames, in order; each request is a checkpoint. Time is trio's clock."""
    if speed == "real":
        return _RealPace(frames, max_batch, longest_wait_s)
    if speed == "max":
        return _MaxPace(frames, max_batch)
    raise ConfigError(f"speed is 'real' or 'max', not {speed!r}")


class _MaxPace:
    """Full batches at once; other tasks run between them."""

    def __init__(self, frames: Iterable[FlightFrame], max_batch: int) -> None:
        self._frames = iter(frames)
        self._max_batch = max_batch

    def __aiter__(self) -> AsyncIterator[list[FlightFrame]]:
        return self

    async def __anext__(self) -> list[FlightFrame]:
        await trio.lowlevel.checkpoint()
        batch = list(islice(self._frames, self._max_batch))
        if not batch:
            raise StopAsyncIteration
        return batch


class _RealPace:
    """One frame is held back: the first that is not due yet."""

    def __init__(self, frames: Iterable[FlightFrame], max_batch: int, longest_wait_s: float) -> None:
        self._frames = iter(frames)
        self._max_batch = max_batch
        self._longest_wait_s = longest_wait_s
        self._held: FlightFrame | None = None
        self._due = 0.0
        self._last_s = 0.0
        self._started = False

    def __aiter__(self) -> AsyncIterator[list[FlightFrame]]:
        return self

    async def __anext__(self) -> list[FlightFrame]:
        if not self._started:
            self._started = True
            self._due = trio.current_time()
            self._advance(first=True)
        await trio.sleep_until(self._due)  # also the checkpoint
        now = trio.current_time()
        batch: list[FlightFrame] = []
        while self._held is not None and self._due <= now and len(batch) < self._max_batch:
            batch.append(self._held)
            self._advance()
        if not batch:
            raise StopAsyncIteration
        return batch

    def _advance(self, *, first: bool = False) -> None:
        """Hold the next frame and say when it is due."""
        self._held = next(self._frames, None)
        if self._held is None:
            return
        if not first:
            self._due += min(max(self._held.time_s - self._last_s, 0.0), self._longest_wait_s)
        self._last_s = self._held.time_s
