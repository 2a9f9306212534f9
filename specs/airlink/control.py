"""Airlink messages of the `control` channel: newest wins (specs/4-airlink.md, 4.2)."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Struct

from specs.airlink.numbers import PERMILLE, MessageId, numbered
from specs.strict import Format, exact_enum, exact_flags, reserved, u8, u16, u32


class Buttons(IntFlag):
    """Buttons held down."""

    PAUSE = 1
    RETURN_HOME = 2
    PHOTO = 4
    RECORD = 8
    CUSTOM_1 = 16
    CUSTOM_2 = 32
    CUSTOM_3 = 64


NO_BUTTONS: Final = Buttons(0)


@dataclass(frozen=True, slots=True)
class Sticks:
    """Where the pilot's sticks are."""

    roll_permille: int
    """-1000 (left) to 1000 (right)."""
    pitch_permille: int
    """-1000 (backwards) to 1000 (forwards)."""
    yaw_permille: int
    """-1000 (anticlockwise) to 1000 (clockwise)."""
    throttle_permille: int
    """-1000 (down) to 1000 (up)."""
    buttons: Buttons = NO_BUTTONS
    """Which are held down."""


STICKS: Final = Format(
    "sticks",
    Sticks,
    Struct(
        numbered(MessageId.STICKS),
        "roll_permille" / PERMILLE,
        "pitch_permille" / PERMILLE,
        "yaw_permille" / PERMILLE,
        "throttle_permille" / PERMILLE,
        "buttons" / exact_flags(u16, Buttons),
    ),
)


class NodeState(IntEnum):
    """How a node is, in one word."""

    STARTING = 1
    READY = 2
    ACTIVE = 3
    """Flying, or in command of a drone that is."""
    CRITICAL = 4
    """Working, but somebody must act."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """I am here: while these arrive the drone's failsafe rests (AL-6)."""

    state: NodeState
    """How the sender is."""
    time_ms: int
    """Sender's clock, modulo 2^32."""


HEARTBEAT: Final = Format(
    "heartbeat",
    Heartbeat,
    Struct(numbered(MessageId.HEARTBEAT), "state" / exact_enum(u8, NodeState), reserved(1), "time_ms" / u32),
)
