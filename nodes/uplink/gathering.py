"""From messages and alarms to parcels of the outbox: gathered for a moment, encoded, kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from nodes.uplink.batching import Batcher, BatchLimits
from nodes.uplink.outbox import Outbox, ParcelKind
from protocols.cloudlink import encode
from protocols.errors import MessageTooLargeError
from specs.cloudlink import MAX_ALARMS, MAX_NAME_BYTES, AlarmReport, ReportedAlarm, TelemetryBatch

MAX_TELEMETRY_BYTES: Final = 60_000
"""A message with its batch around it fits a map (MP-8) with room to spare."""
_ALARM_LIMITS: Final = BatchLimits(delay_s=0.05, max_items=MAX_ALARMS, max_bytes=32_000, item_overhead_bytes=64)
_SOME_NAME: Final = bytes(8)
_NUMBER_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """A message of a drone."""

    time_ms: int
    """When it came, milliseconds since 1970."""
    message: bytes = field(repr=False)
    """As it came, number first."""
    drone: bytes
    """Key id of the drone, or empty."""


class Gathering:
    """Batches of both kinds, on their way into one outbox."""

    def __init__(self, outbox: Outbox, on_kept: Callable[[ParcelKind], None], limits: BatchLimits) -> None:
        """``on_kept`` is told of each new parcel."""
        self._outbox = outbox
        self._on_kept = on_kept
        self._known_numbers: set[bytes] = set()
        self.telemetry: Final = Batcher[Measured](self._keep_telemetry, _telemetry_bytes, limits, key=_drone_of)
        """Gathers messages of drones."""
        self.alarms: Final = Batcher[ReportedAlarm](self._keep_alarms, _alarm_bytes, _ALARM_LIMITS)
        """Gathers alarms."""

    def add_telemetry(self, message: bytes, time_ms: int, drone: bytes) -> None:
        """Take a message; MessageTooLargeError, UsageError for what the cloud would refuse (CL-12)."""
        if len(message) > MAX_TELEMETRY_BYTES:
            raise MessageTooLargeError(f"a message of {len(message)} bytes is too large for the cloud")
        number = bytes(message[:_NUMBER_BYTES])
        if number not in self._known_numbers or len(drone) not in {0, 16} or not 0 <= time_ms <= 2**53:
            encode(TelemetryBatch(_SOME_NAME, 1, (time_ms,), (number,), drone))
            self._known_numbers.add(number)
        self.telemetry.add(Measured(time_ms, bytes(message), drone))

    def add_alarm(self, alarm: ReportedAlarm) -> None:
        """Take an alarm; UsageError for what the cloud would refuse."""
        encode(AlarmReport(_SOME_NAME, 1, (alarm,)))
        self.alarms.add(alarm)

    async def flush(self) -> None:
        """Keep all there is, durably; StorageError."""
        await self.alarms.flush()
        await self.telemetry.flush()

    async def _keep_telemetry(self, batch: Sequence[Measured]) -> None:
        await self._outbox.put(ParcelKind.TELEMETRY, partial(_encode_telemetry, tuple(batch)), len(batch))
        self._on_kept(ParcelKind.TELEMETRY)

    async def _keep_alarms(self, batch: Sequence[ReportedAlarm]) -> None:
        await self._outbox.put(ParcelKind.ALARM, partial(_encode_alarms, tuple(batch)), len(batch))
        self._on_kept(ParcelKind.ALARM)


def line_of(text: str) -> str:
    """Return a text as one printable line of at most ``MAX_NAME_BYTES`` bytes."""
    printable = "".join(each if each.isprintable() else "?" for each in text)
    return printable.encode()[:MAX_NAME_BYTES].decode(errors="ignore")


def _drone_of(measured: Measured) -> bytes:
    return measured.drone


def _telemetry_bytes(measured: Measured) -> int:
    return len(measured.message)


def _alarm_bytes(alarm: ReportedAlarm) -> int:
    return len(alarm.kind.encode()) + len(alarm.detail.encode()) + len(alarm.source)


def _encode_telemetry(messages: Sequence[Measured], name: bytes, sequence: int) -> bytes:
    times, contents = zip(*((each.time_ms, each.message) for each in messages), strict=True)
    return encode(TelemetryBatch(name, sequence, times, contents, messages[0].drone))


def _encode_alarms(alarms: Sequence[ReportedAlarm], name: bytes, sequence: int) -> bytes:
    return encode(AlarmReport(name, sequence, tuple(alarms)))
