"""What a row of a link's message table says (specs/4-airlink.md, 4.1; specs/6-groundlink.md)."""

from dataclasses import dataclass
from typing import Any, Final

from specs.airlink.numbers import Direction, MessageId
from specs.registry import AIRLINK_CHANNELS, ChannelClass, ChannelId
from specs.strict import Format

_SERVICES: Final = {channel.id: channel.service for channel in AIRLINK_CHANNELS}
"""A channel has the same class of service on every link that has it."""


@dataclass(frozen=True, slots=True)
class MessageType:
    """A row of the message table."""

    id: MessageId
    """Number on the wire."""
    format: Format[Any]
    """Bytes and dataclass."""
    direction: Direction
    """Which way it may travel."""
    map_field: str | None = None
    """The field that is an encoded map (AL-7), if one is."""

    @property
    def channel(self) -> ChannelId:
        """The one channel that it may travel on: the high byte of its number."""
        return ChannelId(self.id >> 8)

    @property
    def service(self) -> ChannelClass:
        """The channel's class of service."""
        return _SERVICES[self.channel]
