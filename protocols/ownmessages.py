"""Messages of a user's own, on a link of ours (specs/4-airlink.md, 4.7): what is said of one, and which are refused.

Both ends declare the same; then :meth:`protocols.messages.MessageTable.extended` has a table with them. What an end has
not declared is to it what any unknown number is: malformed, and no reason to end the link.
"""

from dataclasses import dataclass
from typing import Any, Final

from protocols.admission import Need
from protocols.errors import UsageError
from specs.airlink.authority import Right
from specs.airlink.numbers import (
    FIRST_USER_MESSAGE,
    LAST_USER_MESSAGE,
    MAX_USER_STATE_BYTES,
    Direction,
)
from specs.airlink.table import MessageType
from specs.bounds import largest_frame_bytes
from specs.registry import MAX_COMMAND_BYTES, MAX_STREAM_MESSAGE_BYTES, ChannelClass, ChannelId
from specs.strict import Format, describe

_LIMITS: Final = {
    ChannelClass.COMMAND: MAX_COMMAND_BYTES,
    ChannelClass.STATE: MAX_USER_STATE_BYTES,
    ChannelClass.STREAM: MAX_STREAM_MESSAGE_BYTES,
}
"""Class of service -> largest message. `control` keeps one message for a channel (CH-13): another would cost sticks."""
_RIGHTS: Final = {Need.NOTHING: None, Need.CLOUD: None, Need.FLIGHT: Right.FLIGHT, Need.PAYLOAD: Right.PAYLOAD}
"""Everything that an own message may need -> the right that this is, if it is one."""


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A user's message, as both ends declare it; UsageError for one that no link can carry."""

    number: int
    """Its number on the wire, from 0x8000 to 0xFFFF."""
    format: Format[Any]
    """Bytes and dataclass, made of the blocks of ``specs.strict``; its head is ``numbered(number)``."""
    channel: ChannelId
    """The channel that it travels on, of class `command`, `state` or `stream`."""
    direction: Direction
    """Which way it may travel."""
    need: Need = Need.FLIGHT
    """What whoever sends it up to a drone must have."""

    def __post_init__(self) -> None:
        """Refuse what no link can carry, where it is declared and not where it arrives."""
        if not FIRST_USER_MESSAGE <= self.number <= LAST_USER_MESSAGE:
            raise UsageError(
                f"{self.format.name}: a user's number is one from 0x8000 to 0xFFFF, not {self.number:#06x}"
            )
        if not self.direction:
            raise UsageError(f"{self.format.name}: say which way it travels: up, down or both")
        if self.need not in _RIGHTS:
            raise UsageError(f"{self.format.name}: it may need NOTHING, FLIGHT, PAYLOAD or CLOUD, not {self.need.name}")
        self._check_size()
        head = next(iter(describe(self.format)), None)
        if head is None or head.constant != self.number or head.size_bytes != 2:
            raise UsageError(f"{self.format.name}: its bytes must begin with numbered({self.number:#06x})")

    def _check_size(self) -> None:
        limit_bytes = _LIMITS.get(self.row.service)
        if limit_bytes is None:
            raise UsageError(f"{self.format.name}: the channel {self.channel.name} carries no messages of your own")
        try:
            largest_bytes = largest_frame_bytes(self.format)
        except TypeError as error:
            raise UsageError(f"{self.format.name}: {error}, and may be of any size") from None
        if largest_bytes > limit_bytes:
            what = f"up to {largest_bytes:,} bytes, and {self.channel.name} carries {limit_bytes:,}"
            raise UsageError(f"{self.format.name}: {what}")

    @property
    def right(self) -> Right | None:
        """The right that its sender must hold."""
        return _RIGHTS[self.need]

    @property
    def row(self) -> MessageType:
        """Its row in the table of a link."""
        return MessageType(self.number, self.format, self.direction, own_channel=self.channel)
