"""What a row of a link's message table says (specs/4-airlink.md, 4.1; specs/6-groundlink.md)."""

from dataclasses import dataclass
from typing import Any, Final

from specs.airlink.numbers import Direction
from specs.registry import AIRLINK_CHANNELS, ChannelClass, ChannelId
from specs.strict import Format

_SERVICES: Final = {channel.id: channel.service for channel in AIRLINK_CHANNELS}
"""A channel has the same class of service on every link that has it."""


@dataclass(frozen=True, slots=True)
class MessageType:
    """A row of the message table."""

    id: int
    """Number on the wire: a ``MessageId``, or a user's (AL-30)."""
    format: Format[Any]
    """Bytes and dataclass."""
    direction: Direction
    """Which way it may travel."""
    map_field: str | None = None
    """The field that is an encoded map (AL-7), if one is."""
    own_channel: ChannelId | None = None
    """The channel of a user's message, whose number does not name it (AL-30)."""

    @property
    def channel(self) -> ChannelId:
        """The one channel that it may travel on: the high byte of its number, but for a user's."""
        return ChannelId(self.id >> 8) if self.own_channel is None else self.own_channel

    @property
    def service(self) -> ChannelClass:
        """The channel's class of service."""
        return _SERVICES[self.channel]
