"""A whole flight as one byte string, for the `bulk` channel and for files.

Not a `.tlog`: that format has no lengths, so a reader must guess where a frame ends, and two readers may
guess differently. Here every frame says how long it is::

    container = magic ("AEROFLT" 0x01) | count u32 | count * record
    record    = time u64, microseconds since the first frame | length u16 | frame

All integers are big-endian. A frame has 1 to 280 bytes (the longest MAVLink 2 frame, signed), a time is below
2**51 microseconds (71 years: so that it survives as a float of seconds), and nothing follows the last record.
What breaks one of these rules is a :class:`~protocols.errors.MalformedError`, whatever else it may look like.
"""

import struct
from collections.abc import Iterable, Iterator

from nodes.flight.source import FlightDigest, FlightFrame
from protocols.errors import MalformedError, UsageError

MAGIC = b"AEROFLT\x01"
"""First bytes of a container; the last one is the version of the format."""

MAX_FRAME_BYTES = 280
"""The longest MAVLink frame: header 10, payload 255, checksum 2, signature 13."""

MAX_TIME_US = 2**51
"""Times stay below this, so that microseconds -> float seconds -> microseconds loses nothing."""

_HEAD = struct.Struct(">8sI")
_RECORD = struct.Struct(">QH")


def encode_flight(frames: Iterable[FlightFrame]) -> bytes:
    """The container of these frames. Raises UsageError for a frame or time that no container can hold."""
    parts = [b""]
    for frame in frames:
        length = len(frame.data)
        time_us = frame.time_s * 1_000_000
        if not (0 <= time_us < MAX_TIME_US - 1 and 1 <= length <= MAX_FRAME_BYTES):  # NaN fails here as well
            raise UsageError(f"a flight cannot hold a frame of {length} bytes at {frame.time_s} s")
        parts.append(_RECORD.pack(round(time_us), length))
        parts.append(frame.data)
    parts[0] = _HEAD.pack(MAGIC, len(parts) // 2)
    return b"".join(parts)


def decode_flight_untrusted(data: bytes) -> Iterator[FlightFrame]:
    """The frames of a container, one by one; raises MalformedError, and nothing else, when it is damaged.

    The error may come after good frames were handed out: who needs all or nothing collects first.
    """
    for time_us, start, end in _records_untrusted(data):
        yield FlightFrame(time_us / 1_000_000, data[start:end])


def frame_bytes_of(size_bytes: int, messages: int) -> int:
    """How many bytes of a good container are frames."""
    return size_bytes - _HEAD.size - messages * _RECORD.size


def digest_flight(data: bytes) -> FlightDigest:
    """What a delivered container holds. The bytes need not be trusted: raises MalformedError on damage."""
    digest = FlightDigest()
    for _, start, end in _records_untrusted(data):
        digest.add(data[start:end])
    return digest


def _records_untrusted(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Time, start and end of each frame; every bound is checked before the bytes behind it are read."""
    size = len(data)
    if size < _HEAD.size:
        raise MalformedError("flight container: shorter than its header")
    magic, count = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise MalformedError("flight container: not one, or of another version")
    end = _HEAD.size
    for _ in range(count):
        start = end + _RECORD.size
        if start > size:
            raise MalformedError("flight container: ends inside a record header")
        time_us, length = _RECORD.unpack_from(data, end)
        end = start + length
        if not 1 <= length <= MAX_FRAME_BYTES or time_us >= MAX_TIME_US:
            raise MalformedError("flight container: a frame length or time out of range")
        if end > size:
            raise MalformedError("flight container: ends inside a frame")
        yield time_us, start, end
    if end != size:
        raise MalformedError("flight container: bytes after the last record")
