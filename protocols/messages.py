"""Messages in and out of bytes, by the table of their link. Stateless: channels give the guarantees.

Whoever receives says on which channel, and may say which way; a message that does not belong there is
malformed, so that no channel's guarantee (or its check of authority) can be had by using another one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from protocols import codec
from protocols.errors import MalformedError, UsageError
from protocols.maps import unpack_map_untrusted
from protocols.ownmessages import OwnMessage
from specs.airlink.numbers import Direction
from specs.airlink.table import MessageType
from specs.registry import ChannelId

M = TypeVar("M")


class MessageTable(Generic[M]):
    """Everything that can travel on one kind of link; ``M`` is the union of its dataclasses."""

    __slots__ = ("_by_type", "name", "rows")

    def __init__(self, name: str, rows: Iterable[MessageType]) -> None:
        """``name`` is the link's, in errors. UsageError if a number or a dataclass stands twice."""
        listed: Final = tuple(rows)
        self.name: Final = name
        """Name of the link, in errors."""
        self.rows: Final[Mapping[int, MessageType]] = {row.id: row for row in listed}
        """Every row, by its number."""
        self._by_type: Final[dict[type[object], MessageType]] = {row.format.type: row for row in listed}
        if not len(self.rows) == len(self._by_type) == len(listed):
            raise UsageError(f"{name}: a number or a dataclass stands twice in the table")

    def extended(self, own: Iterable[OwnMessage]) -> "MessageTable[Any]":
        """A table with a user's messages as well (AL-30); this one stays as it is.

        UsageError if a number or a dataclass stands twice, or the link has no such channel.
        """
        added: Final = tuple(own)
        for each in added:
            if each.channel not in self.channels:
                raise UsageError(f"{each.format.name}: the {self.name} has no channel {each.channel.name}")
        return MessageTable(self.name, (*self.rows.values(), *(each.row for each in added)))

    def extended_by_fitting(self, own: Iterable[OwnMessage]) -> "MessageTable[Any]":
        """The same, without those whose channel the link does not have: for who serves links of several kinds."""
        return self.extended(each for each in own if each.channel in self.channels)

    @property
    def channels(self) -> frozenset[ChannelId]:
        """The channels that carry messages on this link."""
        return frozenset(row.channel for row in self.rows.values())

    def row(self, message: M | type[M]) -> MessageType:
        """The row of a message or of its class: number, channel, class of service, direction; UsageError."""
        kind = message if isinstance(message, type) else type(message)
        row = self._by_type.get(kind)
        if row is None:
            raise UsageError(f"{kind.__name__} is no {self.name} message")
        return row

    def encode(self, message: M) -> bytes:
        """The bytes of a message; UsageError if a value is out of its range."""
        row = self.row(message)
        encoded = codec.build(row.format, message)
        try:
            _check_map_untrusted(row, message)
        except MalformedError:
            raise UsageError("the map of this message is not a canonical one: use pack_map") from None
        return encoded

    def decode_untrusted(self, channel: ChannelId, data: codec.Buffer, direction: Direction | None = None) -> M:
        """The message that arrived on ``channel``; MalformedError if it is none, or does not belong there."""
        row = self.rows.get(int.from_bytes(data[:2], "big"))
        if row is None or row.channel is not channel:
            raise MalformedError("no message of this channel")
        if direction is not None and direction not in row.direction:
            raise MalformedError(f"{row.format.name}: sent the wrong way")
        message: M = codec.parse_untrusted(row.format, data)
        _check_map_untrusted(row, message)
        return message


def _check_map_untrusted(row: MessageType, message: Any) -> None:  # noqa: ANN401  # one of many dataclasses
    """MP-13: where a frame holds a map, nothing else is accepted."""
    if row.map_field is not None:
        unpack_map_untrusted(getattr(message, row.map_field))
