"""The messages between drone and remote controller, and the table of them all (specs/4-airlink.md).

A message is its number (u16) and a body. The high byte of the number is the channel that it travels on, so a
message that turns up on another channel is refused by its number alone. Numbers from 0x8000 are the users'.
"""

from typing import Any, Final

from specs.airlink import authority, command, control, stream, telemetry
from specs.airlink.numbers import Direction, MessageId
from specs.airlink.table import MessageType
from specs.strict import Format

_UP, _DOWN = Direction.UP, Direction.DOWN

_ROWS: Final = (
    MessageType(MessageId.STICKS, control.STICKS, _UP),
    MessageType(MessageId.HEARTBEAT, control.HEARTBEAT, _UP | _DOWN),
    MessageType(MessageId.COMMAND, command.COMMAND, _UP),
    MessageType(MessageId.GO_TO, command.GO_TO, _UP),
    MessageType(MessageId.CAMERA_CONTROL, command.CAMERA_CONTROL, _UP),
    MessageType(MessageId.CHANGE_SETTINGS, command.CHANGE_SETTINGS, _UP, "settings"),
    MessageType(MessageId.LOG_OFFER, command.LOG_OFFER, _DOWN, "details"),
    MessageType(MessageId.AUTHORITY_REQUEST, authority.AUTHORITY_REQUEST, _UP),
    MessageType(MessageId.ANSWER, command.ANSWER, _UP | _DOWN),
    MessageType(MessageId.FLIGHT_STATE, telemetry.FLIGHT_STATE, _DOWN),
    MessageType(MessageId.BATTERY, telemetry.BATTERY, _DOWN),
    MessageType(MessageId.GNSS, telemetry.GNSS, _DOWN),
    MessageType(MessageId.CAMERA, telemetry.CAMERA, _DOWN),
    MessageType(MessageId.HOME, telemetry.HOME, _DOWN),
    MessageType(MessageId.SETTINGS, telemetry.SETTINGS, _DOWN, "settings"),
    MessageType(MessageId.AUTHORITY_STATE, authority.AUTHORITY_STATE, _DOWN),
    MessageType(MessageId.MEDIA_FRAME, stream.MEDIA_FRAME, _DOWN),
    MessageType(MessageId.MAVLINK_FRAME, stream.MAVLINK_FRAME, _UP | _DOWN),
)

MESSAGES: Final[dict[int, MessageType]] = {row.id: row for row in _ROWS}
"""Every message, by its number."""

FORMATS: Final[tuple[Format[Any], ...]] = tuple(row.format for row in _ROWS)
"""Every format, in the order of the page."""
