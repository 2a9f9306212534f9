"""Messages of a user's own, as tests declare them: a sprayer."""

from dataclasses import dataclass

from construct import Struct

from protocols.admission import Need
from protocols.ownmessages import OwnMessage
from specs.airlink.numbers import Direction, numbered
from specs.registry import ChannelId
from specs.strict import Format, ranged, reserved, rest_bytes, u8, u16


@dataclass(frozen=True, slots=True)
class Spray:
    """Spray so much, for so long."""

    percent: int
    """Of what the pump gives."""
    seconds: int
    """How long."""


@dataclass(frozen=True, slots=True)
class Sprayed:
    """The answer: what it took."""

    millilitres: int
    """From the tank."""


@dataclass(frozen=True, slots=True)
class Level:
    """Telemetry: what the tank holds."""

    millilitres: int
    """In the tank."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A stream: what the nozzle says."""

    data: bytes
    """As it comes."""


@dataclass(frozen=True, slots=True)
class Horn:
    """Anybody may blow it."""

    times: int
    """How often."""


_UP, _DOWN = Direction.UP, Direction.DOWN
SPRAY = OwnMessage(
    0x8001,
    Format("spray", Spray, Struct(numbered(0x8001), reserved(1), "percent" / ranged(u8, 0, 100), "seconds" / u16)),
    ChannelId.COMMAND,
    _UP,
    Need.PAYLOAD,
)
SPRAYED = OwnMessage(
    0x8002, Format("sprayed", Sprayed, Struct(numbered(0x8002), "millilitres" / u16)), ChannelId.COMMAND, _DOWN
)
LEVEL = OwnMessage(
    0x8003, Format("level", Level, Struct(numbered(0x8003), "millilitres" / u16)), ChannelId.TELEMETRY, _DOWN
)
TRACE = OwnMessage(
    0x8004, Format("trace", Trace, Struct(numbered(0x8004), "data" / rest_bytes(5_000))), ChannelId.VIDEO, _DOWN
)
HORN = OwnMessage(
    0x8005, Format("horn", Horn, Struct(numbered(0x8005), "times" / u8)), ChannelId.COMMAND, _UP, Need.NOTHING
)
OWN = (SPRAY, SPRAYED, LEVEL, TRACE, HORN)
