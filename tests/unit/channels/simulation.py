"""Two ``Channels`` and a bad network between them, with a virtual clock: seeded, so that a failure repeats itself."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from random import Random

from protocols.channels import Channels
from protocols.events import (
    AcceptBulk,
    BulkChunkReceived,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    CommandReceived,
    EndBulk,
    Sendable,
    SendCommand,
)
from tests.unit.channels.pair import make


@dataclass(frozen=True)
class Weather:
    """What the network does to a frame."""

    seed: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    base_s: float = 0.01
    jitter_s: float = 0.0
    reliable: bool = False
    """Nothing is lost, doubled or reordered, whatever the others say."""
    runs: bool = False
    """Frames leave, arrive and are read in runs."""


@dataclass
class End:
    """One side with its user, who answers every command, accepts every transfer and keeps what arrives."""

    channels: Channels
    events: list[ChannelEvent] = field(default_factory=list[ChannelEvent])
    objects: dict[int, bytearray] = field(default_factory=dict[int, bytearray])
    finished: dict[int, bytes] = field(default_factory=dict[int, bytes])
    answers: Callable[[bytes], bytes] | None = None
    reads: bool = True
    runs: bool = False

    def use(self, now: float) -> None:
        while self.reads and (found := self.next_events()):
            self.events += found
            for message in chain.from_iterable(map(self.react, found)):
                self.channels.send(message, now)

    def next_events(self) -> Sequence[ChannelEvent]:
        if self.runs:
            return self.channels.next_events(float("-inf"))
        event = self.channels.next_event()
        return () if event is None else (event,)

    def react(self, event: ChannelEvent) -> list[Sendable]:
        match event:
            case CommandReceived() if self.answers:
                return [SendCommand(event.channel, self.answers(event.data), event.id)]
            case BulkOffered():
                self.objects[event.transfer] = bytearray()
                return [AcceptBulk(event.channel, event.transfer)]
            case BulkChunkReceived():
                assert event.offset_bytes == len(self.objects[event.transfer])
                self.objects[event.transfer] += event.data
            case BulkReceived():
                self.finished[event.transfer] = bytes(self.objects[event.transfer])
                return [EndBulk(event.channel, event.transfer, incoming=True, status=BulkStatus.OK)]
            case _:
                pass
        return []


class Simulation:
    """Moves frames and time until something is true, or nothing can happen any more."""

    def __init__(self, weather: Weather, *, frame: int | None = None, burst: int = 50) -> None:
        self.weather = weather
        self.random = Random(weather.seed)
        self.now = 0.0
        self.burst = burst
        self.ends = (
            End(make(reliable=weather.reliable, frame=frame), runs=weather.runs),
            End(make(reliable=weather.reliable, frame=frame), runs=weather.runs),
        )
        self.wire: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.carried = 0
        self.lost = 0

    def send(self, side: int, message: Sendable) -> int:
        return self.ends[side].channels.send(message, self.now)

    def run(self, until: Callable[[], bool], *, limit_s: float) -> None:
        while not until():
            self.step()
            assert self.now <= limit_s, f"not finished after {self.now:.1f} s ({self.carried} frames, {self.lost} lost)"

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step(end)

    def assert_quiet(self) -> None:
        """When everything has arrived, nothing more is said and no timer runs."""
        self.run(self._is_quiet, limit_s=1e5)

    def _is_quiet(self) -> bool:
        speaks = any(end.channels.has_output(self.now) for end in self.ends)
        return not speaks and self._next_moment() == float("inf")

    def step(self, at_most: float = float("inf")) -> None:
        """Let both speak, then go to the next moment at which something happens."""
        busy, before = False, self.carried
        for side, end in enumerate(self.ends):
            end.use(self.now)
            busy |= self._drain(side)
        moment = min(at_most, self.now + 0.001 if busy else self._next_moment())
        if moment == float("inf"):
            assert self.carried > before, "nothing can happen any more"
            return  # the network swallowed the last word
        self.now = moment
        for end in self.ends:
            deadline = end.channels.next_deadline()
            if deadline is not None and deadline <= self.now:
                end.channels.handle_deadline(self.now)
        self._arrivals()
        for end in self.ends:
            end.use(self.now)

    def _arrivals(self) -> None:
        arrived: list[tuple[int, bytes]] = []
        while self.wire and self.wire[0][0] <= self.now:
            arrived.append(heapq.heappop(self.wire)[2:])
        for side, group in groupby(arrived, lambda entry: entry[0]):
            channels, train = self.ends[side].channels, [frame for _, frame in group]
            if self.weather.runs:
                assert channels.receive_run_untrusted(train, self.now) == len(train)
                continue
            for frame in train:
                channels.receive_untrusted(frame, self.now)

    def _drain(self, side: int) -> bool:
        channels = self.ends[side].channels
        left = self.burst
        while left > 0:
            expected = channels.has_output(self.now)
            frame = None if self.weather.runs else channels.next_frame(self.now)
            run = channels.next_frames(self.now, left, 60_000) if self.weather.runs else [frame] if frame else []
            assert bool(run) == expected
            if not run:
                return False
            for each in run:
                self._put(1 - side, each)
            left -= len(run)
        return True

    def _next_moment(self) -> float:
        moments = [self.wire[0][0]] if self.wire else []
        for end in self.ends:
            deadline = end.channels.next_deadline()
            if deadline is not None:
                moments.append(max(deadline, self.now))
        return min(moments, default=float("inf"))

    def _put(self, side: int, frame: bytes) -> None:
        weather = self.weather
        self.carried += 1
        if weather.reliable:
            self._arrive(side, frame, weather.base_s)
            return
        if self.random.random() < weather.loss:
            self.lost += 1
            return
        for _ in range(1 + (self.random.random() < weather.duplicate)):
            self._arrive(side, frame, weather.base_s + weather.jitter_s * self.random.random())

    def _arrive(self, side: int, frame: bytes, delay: float) -> None:
        self.count += 1
        heapq.heappush(self.wire, (self.now + delay, self.count, side, frame))
