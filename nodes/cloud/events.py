"""What the cloud's parts tell their owner. Called on the loop, in order; must not wait, nor raise."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from nodes.cloud.ports import FlightRow
from specs.cloudlink import AlarmReport, TelemetryBatch, UploadReason


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device is here; told again after a minute."""

    device: str
    """Its id."""


@dataclass(frozen=True, slots=True)
class TelemetryReceived:
    """A batch of telemetry is durable; never told twice of the same."""

    device: str
    """Who brought it."""
    batch: TelemetryBatch
    """What is in it."""

    @property
    def messages(self) -> int:
        """How many."""
        return len(self.batch.messages)


@dataclass(frozen=True, slots=True)
class AlarmReported:
    """A report of alarms is durable."""

    device: str
    """Who brought it."""
    report: AlarmReport
    """What is in it. Texts are the device's: for people, never evaluated."""


@dataclass(frozen=True, slots=True)
class UploadProgressed:
    """An upload has more bytes than before, or is finished."""

    device: str
    """Whose."""
    upload: str
    """Which."""
    offset: int
    """How many are durable."""
    size_bytes: int
    """Of the whole."""


@dataclass(frozen=True, slots=True)
class FlightStored:
    """A sealed log was verified, unsealed and stored, for the first time. The drone waits for its receipt."""

    flight: FlightRow
    """Whose, how many messages, which hash."""


@dataclass(frozen=True, slots=True)
class LogHeld:
    """A sealed log waits for the verifying keys of its drone."""

    device: str
    """Who brought it."""
    drone: bytes
    """Key id of the drone that it names; not proven."""


@dataclass(frozen=True, slots=True)
class DownlinkChanged:
    """A device has a downlink now, or has none any more."""

    device: str
    """Which."""
    is_up: bool
    """Whether it has one."""


CloudEvent = (
    DeviceSeen | TelemetryReceived | AlarmReported | UploadProgressed | FlightStored | LogHeld | DownlinkChanged
)
"""Everything that a cloud tells."""
OnEvent = Callable[[CloudEvent], None]


class CloudAlarmKind(Enum):
    """What an operator of the cloud must see."""

    CERTIFICATE_REFUSED = "a certificate that is not good was shown"
    FOREIGN_RESOURCE = "a device asked for what is another's"
    LOG_REFUSED = "a sealed log was refused"
    STORAGE_FULL = "there is no room left on the disk"
    STORAGE_FAILED = "the disk or the database failed"
    ENROLMENT_REFUSED = "an enrolment was refused"


@dataclass(frozen=True, slots=True)
class CloudAlarm:
    """Something that an operator must see."""

    kind: CloudAlarmKind
    """What."""
    device: str
    """Who did it, by the certificate; empty if that says nothing."""
    detail: str = ""
    """One line of ours."""
    reason: UploadReason = UploadReason.NONE
    """Of LOG_REFUSED: why."""


OnAlarm = Callable[[CloudAlarm], None]


def ignore(_told: object) -> None:
    """Told and not needed."""
