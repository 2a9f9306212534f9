"""Airlink messages in and out of bytes (specs/4-airlink.md); how: :mod:`protocols.messages`."""

from typing import Final

from protocols.codec import Buffer
from protocols.messages import MessageTable
from specs.airlink import MESSAGES
from specs.airlink.authority import AuthorityRequest, AuthorityState
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, GoTo, LogOffer
from specs.airlink.control import Heartbeat, Sticks
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame, MediaFrame
from specs.airlink.table import MessageType
from specs.airlink.telemetry import Battery, Camera, FlightState, Gnss, Home, Settings
from specs.registry import ChannelId

Message = (
    Sticks
    | Heartbeat
    | Command
    | GoTo
    | CameraControl
    | ChangeSettings
    | LogOffer
    | AuthorityRequest
    | Answer
    | FlightState
    | Battery
    | Gnss
    | Camera
    | Home
    | Settings
    | AuthorityState
    | MediaFrame
    | MavlinkFrame
)
"""Everything that can travel on an airlink."""

AIRLINK: Final[MessageTable[Message]] = MessageTable("airlink", MESSAGES.values())
"""The table, for who takes any link's."""


def message_type(message: Message | type[Message]) -> MessageType:
    """The table's row of a message or of its class: number, channel, class of service, direction; UsageError."""
    return AIRLINK.row(message)


def encode(message: Message) -> bytes:
    """The bytes of a message; UsageError if a value is out of its range."""
    return AIRLINK.encode(message)


def decode_untrusted(channel: ChannelId, data: Buffer, direction: Direction | None = None) -> Message:
    """The message that arrived on ``channel``; MalformedError if it is none, or does not belong there."""
    return AIRLINK.decode_untrusted(channel, data, direction)
