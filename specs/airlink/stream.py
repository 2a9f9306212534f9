"""Airlink messages of the `video` and `mavlink` channels (specs/4-airlink.md, 4.5 and 4.6)."""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from construct import Struct

from specs.airlink.numbers import (
    MAX_MAVLINK_BYTES,
    MAX_MEDIA_BYTES,
    MIN_MAVLINK_BYTES,
    MessageId,
    numbered,
)
from specs.blocks import Exact
from specs.strict import Format, exact_flags, rest_bytes, u16, u32

_MAVLINK_1: Final = 0xFE
_MAVLINK_2: Final = 0xFD
_SIGNED: Final = 0x01
_SIGNATURE_BYTES: Final = 13


class MediaFlags(IntFlag):
    """What kind of frame it is."""

    KEY_FRAME = 1
    """Can be shown without the frames before it."""


@dataclass(frozen=True, slots=True)
class MediaFrame:
    """One encoded picture; the stream channel cuts it into fragments."""

    flags: MediaFlags
    """What kind."""
    number: int
    """Counts frames from 0, modulo 2^32."""
    time_ms: int
    """When it was taken, drone's clock, modulo 2^32."""
    data: bytes = field(repr=False)
    """As it comes from the encoder."""


MEDIA_FRAME: Final = Format(
    "media frame",
    MediaFrame,
    Struct(
        numbered(MessageId.MEDIA_FRAME),
        "flags" / exact_flags(u16, MediaFlags),
        "number" / u32,
        "time_ms" / u32,
        "data" / rest_bytes(MAX_MEDIA_BYTES),
    ),
)


def is_mavlink_frame(raw: bytes) -> bool:
    """Whether ``raw`` has the mark and the length of exactly one MAVLink 1 or 2 frame.

    https://mavlink.io/en/guide/serialization.html: header of 6 or 10 bytes, payload, checksum of 2, and with
    the incompatibility flag 1 a signature of 13. The checksum depends on the dialect and is not looked at.
    """
    if len(raw) < MIN_MAVLINK_BYTES:
        return False
    mark, payload_bytes, flags = raw[0], raw[1], raw[2]
    if mark == _MAVLINK_1:
        return len(raw) == MIN_MAVLINK_BYTES + payload_bytes
    signature_bytes = _SIGNATURE_BYTES if flags & _SIGNED else 0
    return mark == _MAVLINK_2 and len(raw) == 12 + payload_bytes + signature_bytes


@dataclass(frozen=True, slots=True)
class MavlinkFrame:
    """One MAVLink frame as it is, signature included: the autopilot's business, not ours."""

    frame: bytes
    """8 to 280 bytes."""


MAVLINK_FRAME: Final = Format(
    "mavlink frame",
    MavlinkFrame,
    Struct(
        numbered(MessageId.MAVLINK_FRAME),
        "frame" / Exact(rest_bytes(MAX_MAVLINK_BYTES, MIN_MAVLINK_BYTES), bytes, is_mavlink_frame),
    ),
)
