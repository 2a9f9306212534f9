"""The messages between remote controller and mobile (specs/6-groundlink.md, 6.1).

The same flows as on the airlink, passed on for the mobile's own user, and how good the links behind are. Nothing
here makes the drone act: neither sticks nor commands, nor MAVLink frames towards it.
"""

from dataclasses import dataclass
from typing import Any, Final

from construct import Struct

from specs import airlink
from specs.airlink.numbers import KEY_ID, Direction, MessageId, numbered
from specs.airlink.table import MessageType
from specs.registry import LinkType
from specs.strict import Format, exact_bool, exact_enum, ranged, reserved, u8, u16, u32


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """How good a link is that the sender has with somebody else."""

    link: LinkType
    """Which kind of link."""
    up: bool
    """Whether there is one now; if not, the rest is of the last one, and the rates are 0."""
    peer: bytes
    """Key id of the other end."""
    rtt_us: int
    """Smoothed round trip, microseconds; 0 before the first sample."""
    lost_permille: int
    """Of the `stream` messages of the last second that were expected, 0 to 1000."""
    received_bytes_s: int
    """In the last second, headers and tags included."""
    sent_bytes_s: int
    """In the last second, headers and tags included."""


LINK_QUALITY: Final = Format(
    "link quality",
    LinkQuality,
    Struct(
        numbered(MessageId.LINK_QUALITY),
        "link" / exact_enum(u8, LinkType),
        "up" / exact_bool(),
        "peer" / KEY_ID,
        "rtt_us" / u32,
        "lost_permille" / ranged(u16, 0, 1_000),
        "received_bytes_s" / u32,
        "sent_bytes_s" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class ShownDrone:
    """Whose telemetry, pictures and MAVLink frames the remote controller passes on."""

    peer: bytes
    """Key id of that drone."""


SHOWN_DRONE: Final = Format(
    "shown drone", ShownDrone, Struct(numbered(MessageId.SHOWN_DRONE), reserved(2), "peer" / KEY_ID)
)

_DOWN: Final = Direction.DOWN
_BOTH: Final = Direction.UP | Direction.DOWN
_RELAYED: Final = (
    (MessageId.HEARTBEAT, _BOTH),
    (MessageId.LOG_OFFER, _DOWN),
    (MessageId.ANSWER, _BOTH),
    (MessageId.FLIGHT_STATE, _DOWN),
    (MessageId.BATTERY, _DOWN),
    (MessageId.GNSS, _DOWN),
    (MessageId.CAMERA, _DOWN),
    (MessageId.HOME, _DOWN),
    (MessageId.SETTINGS, _DOWN),
    (MessageId.AUTHORITY_STATE, _DOWN),
)
_STREAMS: Final = ((MessageId.MEDIA_FRAME, _DOWN), (MessageId.MAVLINK_FRAME, _DOWN))


def _row(number: MessageId, direction: Direction) -> MessageType:
    """A message of the airlink, on a link that may have it in fewer directions."""
    row = airlink.MESSAGES[number]
    return MessageType(number, row.format, direction, row.map_field)


_ROWS: Final = (
    *(_row(*each) for each in _RELAYED),
    MessageType(MessageId.LINK_QUALITY, LINK_QUALITY, _BOTH),
    MessageType(MessageId.SHOWN_DRONE, SHOWN_DRONE, _DOWN),
    *(_row(*each) for each in _STREAMS),
)

MESSAGES: Final[dict[int, MessageType]] = {row.id: row for row in _ROWS}
"""Every message, by its number."""

FORMATS: Final[tuple[Format[Any], ...]] = (LINK_QUALITY, SHOWN_DRONE)
"""The formats that are not the airlink's, in the order of the page."""
