"""How much the cloud takes of one device, and for how long it waits."""

from dataclasses import dataclass
from typing import Final

MIB: Final = 1_048_576
GIB: Final = 1_024 * MIB


@dataclass(frozen=True, slots=True)
class CloudLimits:
    """The defaults suit some hundred devices and a disk of some terabytes."""

    quota_bytes: int = 16 * GIB
    """Of one device: telemetry, alarms, and uploads at their full size."""
    max_log_bytes: int = 256 * MIB
    """Of one sealed log: a flight is in memory once while it is counted."""
    max_file_bytes: int = 4 * GIB
    """Of any other upload."""
    open_uploads: int = 8
    """Of one device, at a time."""
    uploads: int = 20_000
    """Of one device, those that are stored or refused included: a refusal is remembered for good (CL-26)."""
    abandoned_s: float = 7 * 86_400.0
    """How long an open upload may get no byte (CL-29)."""
    requests_per_s: float = 200.0
    """Of one device, in the long run. A heavy one counts for several (CL-13)."""
    requests_burst: float = 400.0
    """Of one device, at once."""
    request_bytes: int = 4_096
    """A body counts for a request more each time it is so long, but for pieces of uploads, which nobody decodes."""
    request_frames: int = 8
    """A relay batch counts for a request more each time it has so many frames."""
    queue_messages: int = 1_000
    """In the downlink queue of one device (CL-36)."""
    queue_bytes: int = 4 * MIB
    """In the downlink queue of one device (CL-36)."""
    relay_messages: int = 512
    """That wait for the downlink of one device (CL-41)."""
    keepalive_s: float = 15.0
    """CL-35."""
    seen_s: float = 60.0
    """How often it is written that a device is here."""
