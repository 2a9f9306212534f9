"""Messages of a user's own at a station (specs/4-airlink.md, 4.7): which they are, and how they leave."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from protocols.errors import UsageError
from protocols.events import Sendable, SendState, SendStream
from protocols.messages import MessageTable
from protocols.ownmessages import OwnMessage
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import Direction
from specs.registry import ChannelClass, ChannelId


class OwnMessages:
    """What a station's setup declares."""

    def __init__(self, own: Iterable[OwnMessage]) -> None:
        """UsageError if a number or a dataclass stands twice."""
        self.rows: Final = tuple(own)
        """The declarations."""
        self._table: Final = MessageTable[Any]("own", [each.row for each in self.rows])

    def has(self, message: object) -> bool:
        """Whether a message is one of them."""
        return any(type(message) is each.format.type for each in self.rows)

    def extend(self, table: MessageTable[Any]) -> MessageTable[Any]:
        """Return a link's table with those that the link can carry."""
        return table.extended_by_fitting(self.rows)

    def shown(self, message: object) -> tuple[ChannelId, Sendable]:
        """Return how a message goes down that nobody asked for, and on which channel; UsageError if it does not."""
        row, data = self._table.row(message), self._table.encode(message)
        if Direction.DOWN in row.direction and row.service is ChannelClass.STATE:
            return row.channel, SendState(row.channel, row.id, data)  # AL-5
        if Direction.DOWN in row.direction and row.service is ChannelClass.STREAM:
            return row.channel, SendStream(row.channel, data)
        raise UsageError(f"{row.format.name}: only what goes down as state or stream is shown")


def encode_answer(table: MessageTable[Any], reply: object, tell: Callable[[str], None]) -> bytes:
    """Return the bytes of an answer; what a user's handler returned may be none, and then his peer is told FAILED."""
    try:
        row = table.row(reply)
        if row.channel is ChannelId.COMMAND and Direction.DOWN in row.direction:
            return table.encode(reply)
        why = f"{row.format.name} does not travel down on the command channel"
    except UsageError as error:
        why = str(error)
    tell(f"a request could not be answered: {why}")
    return table.encode(Answer(Result.FAILED))
