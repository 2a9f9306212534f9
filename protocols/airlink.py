"""Airlink messages in and out of bytes (specs/4-airlink.md). Stateless: channels give the guarantees.

Whoever receives says on which channel, and may say which way; a message that does not belong there is
malformed, so that no channel's guarantee (or its check of authority) can be had by using another one.
"""

from typing import Final

from protocols import codec
from protocols.errors import MalformedError, UsageError
from protocols.maps import unpack_map_untrusted
from specs.airlink import MESSAGES, MessageType
from specs.airlink.command import Answer, CameraControl, ChangeSettings, Command, GoTo, LogOffer
from specs.airlink.control import Heartbeat, Sticks
from specs.airlink.numbers import Direction
from specs.airlink.stream import MavlinkFrame, MediaFrame
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
    | Answer
    | FlightState
    | Battery
    | Gnss
    | Camera
    | Home
    | Settings
    | MediaFrame
    | MavlinkFrame
)
"""Everything that can travel on an airlink."""

_BY_TYPE: Final[dict[type[object], MessageType]] = {row.format.type: row for row in MESSAGES.values()}


def message_type(message: Message | type[Message]) -> MessageType:
    """The table's row of a message or of its class: number, channel, class of service, direction."""
    kind = message if isinstance(message, type) else type(message)
    row = _BY_TYPE.get(kind)
    if row is None:
        raise UsageError(f"{kind.__name__} is no airlink message")
    return row


def encode(message: Message) -> bytes:
    """The bytes of a message; UsageError if a value is out of its range."""
    encoded = codec.build(message_type(message).format, message)
    try:
        _check_map_untrusted(message)
    except MalformedError:
        raise UsageError("the map of this message is not a canonical one: use pack_map") from None
    return encoded


def decode_untrusted(channel: ChannelId, data: codec.Buffer, direction: Direction | None = None) -> Message:
    """The message that arrived on ``channel``; MalformedError if it is none, or does not belong there."""
    row = MESSAGES.get(int.from_bytes(data[:2], "big"))
    if row is None or row.channel is not channel:
        raise MalformedError("no message of this channel")
    if direction is not None and direction not in row.direction:
        raise MalformedError(f"{row.format.name}: sent the wrong way")
    message: Message = codec.parse_untrusted(row.format, data)
    _check_map_untrusted(message)
    return message


def _map_of(message: Message) -> bytes | None:
    if isinstance(message, ChangeSettings | Settings):
        return message.settings
    return message.details if isinstance(message, LogOffer) else None


def _check_map_untrusted(message: Message) -> None:
    """MP-13: where a frame holds a map, nothing else is accepted."""
    encoded = _map_of(message)
    if encoded is not None:
        unpack_map_untrusted(encoded)
