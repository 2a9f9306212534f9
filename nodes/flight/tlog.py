"""Writing a telemetry log (`.tlog`) as ground stations do: a timestamp before each frame, nothing else."""

import struct
from collections.abc import Iterable, Iterator

from nodes.flight.source import FlightFrame
from protocols.errors import UsageError

_STAMP = struct.Struct(">Q")


def tlog_record(time_us: int, frame: bytes) -> bytes:
    """One record: microseconds since 1970-01-01 as 8 bytes, big-endian, then the frame as it is."""
    if not 0 <= time_us < 2**64:
        raise UsageError(f"a telemetry log cannot hold the time {time_us} us")
    return _STAMP.pack(time_us) + frame


def tlog_records(frames: Iterable[FlightFrame], start_us: int) -> Iterator[bytes]:
    """The records of a flight whose first frame was sent `start_us` microseconds after 1970-01-01."""
    for frame in frames:
        yield tlog_record(start_us + round(frame.time_s * 1_000_000), frame.data)
