"""What waits for the cloud (port Outbox), and its version in memory.

A *parcel* is what the cloud acknowledges as a whole: a batch of telemetry, or a report of alarms. It gets its number
when it is put, and the number is as durable as the parcel: what is sent again after a lost answer or a restart is the
same bytes under the same number, and so the cloud counts it once. Telemetry and alarms are numbered apart, each from 1
without an end, under a random name of their own (specs/9-cloudlink.md, CL-11), which is another one each time that the
outbox is opened: one that was lost, or restored from an older copy, gives numbers a second time.

Room is bounded. When it runs out the oldest telemetry goes first, and alarms only when there is no telemetry left; both
are counted. A gap in the numbers is what the cloud sees of it.
"""

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Protocol

from protocols.errors import UsageError
from specs.cloudlink import OUTBOX_BYTES

PARCEL_OVERHEAD_BYTES: Final = 64
"""What a parcel costs beside its body, about; empty ones must not be free."""


class ParcelKind(Enum):
    """What is numbered and dropped apart; the values stand in files."""

    TELEMETRY = 1
    ALARM = 2


@dataclass(frozen=True, slots=True)
class Parcel:
    """One numbered thing for the cloud."""

    kind: ParcelKind
    """Which numbers it belongs to."""
    sequence: int
    """1 and up, never used twice in the life of an outbox."""
    items: int
    """How many messages are in it, 1 or more."""
    body: bytes = field(repr=False)
    """What to send."""


Encode = Callable[[bytes, int], bytes]
"""(name of the numbers, the number) -> the bytes to send. Runs in a thread; it is called once."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much of something."""

    parcels: int = 0
    """Batches, or alarms."""
    items: int = 0
    """Messages in them."""
    size_bytes: int = 0
    """Bodies and what they cost beside."""

    def plus(self, items: int, body_bytes: int) -> "Tally":
        """Return the tally with one parcel more."""
        return Tally(self.parcels + 1, self.items + items, self.size_bytes + body_bytes + PARCEL_OVERHEAD_BYTES)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.parcels + other.parcels, self.items + other.items, self.size_bytes + other.size_bytes)

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(self.parcels - other.parcels, self.items - other.items, self.size_bytes - other.size_bytes)


_NOTHING: Final = Tally()


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Everything about an outbox but the parcels."""

    names: dict[ParcelKind, bytes]
    """Random name of each kind's numbers, ``OUTBOX_BYTES`` long."""
    waiting: dict[ParcelKind, Tally] = field(default_factory=lambda: dict.fromkeys(ParcelKind, _NOTHING))
    """What the cloud has not acknowledged."""
    dropped: dict[ParcelKind, Tally] = field(default_factory=lambda: dict.fromkeys(ParcelKind, _NOTHING))
    """What there was no room for, ever."""
    last: dict[ParcelKind, int] = field(default_factory=lambda: dict.fromkeys(ParcelKind, 0))
    """The highest number that was given."""
    downlink_taken: int = 0
    """The highest message of the cloud that was taken, 0 for none."""

    @property
    def size_bytes(self) -> int:
        """What all that waits costs."""
        return sum(tally.size_bytes for tally in self.waiting.values())

    def with_parcel(self, kind: ParcelKind, items: int, body_bytes: int) -> "OutboxState":
        """Return the state with one more parcel, which has the number ``last[kind]`` of it."""
        waiting = self.waiting | {kind: self.waiting[kind].plus(items, body_bytes)}
        return replace(self, waiting=waiting, last=self.last | {kind: self.last[kind] + 1})

    def without(self, kind: ParcelKind, gone: Tally, *, dropped: bool) -> "OutboxState":
        """Return the state when parcels are gone: acknowledged, or dropped."""
        waiting = self.waiting | {kind: self.waiting[kind] - gone}
        counted = self.dropped | {kind: self.dropped[kind] + gone} if dropped else self.dropped
        return replace(self, waiting=waiting, dropped=counted)


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much an outbox holds."""

    max_bytes: int = 64 * 1_048_576
    """All that waits, see :attr:`Tally.size_bytes`."""
    max_parcel_bytes: int = 1_048_576
    """The body of one."""


class Outbox(Protocol):
    """Where what the cloud has not acknowledged waits. Whatever changes it is durable when the call returns.

    StorageError when a store fails: then nothing has changed.
    """

    @property
    def state(self) -> OutboxState:
        """What it holds now."""
        ...

    async def put(self, kind: ParcelKind, encode: Encode, items: int = 1) -> int:
        """Keep a parcel and return its number; UsageError if it is too large or empty of items.

        What ``encode`` raises passes through, and then nothing is kept and no number is used up.

        Where there is no room the oldest telemetry is dropped, then the oldest alarms; the new parcel itself, if it is
        telemetry and only alarms are left.
        """
        ...

    async def pending(self, kind: ParcelKind, limit: int = 1) -> Sequence[Parcel]:
        """Return the oldest parcels that wait, in the order of their numbers."""
        ...

    async def acknowledge(self, kind: ParcelKind, sequence: int) -> None:
        """Forget everything up to a number; UsageError if that was never given."""
        ...

    async def take_downlink(self, sequence: int) -> None:
        """Note the highest message of the cloud that was taken; a lower number changes nothing."""
        ...

    async def forget_downlink(self) -> None:
        """Begin with the cloud's messages anew: it does not know the one that was taken last (CL-33)."""
        ...

    async def aclose(self) -> None:
        """Let go of what it holds open; nothing can be kept or read afterwards."""
        ...


def check_parcel(limits: OutboxLimits, body: bytes, items: int) -> None:
    """Raise UsageError for what no outbox keeps."""
    if items < 1:
        raise UsageError("a parcel for the cloud has at least one message in it")
    if len(body) > limits.max_parcel_bytes or len(body) + PARCEL_OVERHEAD_BYTES > limits.max_bytes:
        raise UsageError(f"a parcel of {len(body)} bytes is larger than the outbox keeps: send less at a time")


def check_acknowledged(state: OutboxState, kind: ParcelKind, sequence: int) -> None:
    """Raise UsageError for a number that was never given."""
    if not 0 <= sequence <= state.last[kind]:
        raise UsageError(f"no parcel has the number {sequence} that is to be acknowledged")


def new_names(entropy: Callable[[int], bytes]) -> dict[ParcelKind, bytes]:
    """Return names for the numbers that are given from now on."""
    return {kind: entropy(OUTBOX_BYTES) for kind in ParcelKind}


class MemoryOutbox:
    """Port Outbox in memory: nothing survives the process."""

    def __init__(
        self, limits: OutboxLimits | None = None, *, entropy: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._limits = limits or OutboxLimits()
        self._state = OutboxState(new_names(entropy))
        self._parcels: dict[ParcelKind, deque[Parcel]] = {kind: deque() for kind in ParcelKind}

    @property
    def state(self) -> OutboxState:
        """What it holds now."""
        return self._state

    async def put(self, kind: ParcelKind, encode: Encode, items: int = 1) -> int:
        """Keep a parcel and return its number."""
        sequence = self._state.last[kind] + 1
        body = encode(self._state.names[kind], sequence)
        check_parcel(self._limits, body, items)
        self._state = self._state.with_parcel(kind, items, len(body))
        self._parcels[kind].append(Parcel(kind, sequence, items, body))
        for victims in ParcelKind:  # telemetry first
            while self._state.size_bytes > self._limits.max_bytes and self._parcels[victims]:
                self._remove_oldest(victims, dropped=True)
        return sequence

    async def pending(self, kind: ParcelKind, limit: int = 1) -> Sequence[Parcel]:
        """Return the oldest parcels that wait."""
        return tuple(self._parcels[kind])[:limit]

    async def acknowledge(self, kind: ParcelKind, sequence: int) -> None:
        """Forget everything up to a number."""
        check_acknowledged(self._state, kind, sequence)
        while self._parcels[kind] and self._parcels[kind][0].sequence <= sequence:
            self._remove_oldest(kind, dropped=False)

    async def take_downlink(self, sequence: int) -> None:
        """Note the highest message of the cloud that was taken."""
        self._state = replace(self._state, downlink_taken=max(sequence, self._state.downlink_taken))

    async def forget_downlink(self) -> None:
        """Begin with the cloud's messages anew."""
        self._state = replace(self._state, downlink_taken=0)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _remove_oldest(self, kind: ParcelKind, *, dropped: bool) -> None:
        parcel = self._parcels[kind].popleft()
        self._state = self._state.without(kind, _NOTHING.plus(parcel.items, len(parcel.body)), dropped=dropped)
