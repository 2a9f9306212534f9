"""The TCP envelope: a 4-byte header before each record (specs/1-link.md, LK-53 f.)."""

from dataclasses import dataclass
from typing import Final

from construct import Struct

from specs.registry import PacketType
from specs.strict import Format, exact_enum, u8, u16


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """Length, type and key epoch; the associated data of a data record."""

    length: int
    """Bytes that follow the header: ciphertext and tag, or a handshake message."""
    type: PacketType
    """What they are."""
    epoch: int
    """Which key: 0 for the first session's, one more (mod 256) per rekey; 0 for handshake records."""


RECORD_HEADER: Final = Format(
    "record header",
    RecordHeader,
    Struct("length" / u16, "type" / exact_enum(u8, PacketType), "epoch" / u8),
)
