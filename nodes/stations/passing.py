"""What a station passes on to its own user, and to the next station: telemetry, pictures, MAVLink frames.

It is looked into before, so that nobody passes on what is no message; then the bytes go on as they came.
"""

from collections.abc import Callable
from typing import Any

from nodes.link import Link
from nodes.stations.base import send_or_drop
from protocols.errors import MalformedError
from protocols.events import SendState, SendStream, StateReceived, StreamReceived
from protocols.messages import MessageTable
from specs.airlink.numbers import Direction
from specs.registry import ChannelId


class Passing:
    """Between the link that things come from, and those that they go to."""

    def __init__(self, table: MessageTable[Any], see: Callable[[object], None]) -> None:
        self.malformed = 0
        """Messages that said nothing."""
        self.passed = 0
        """Messages that were passed on, or would have been."""
        self._table = table
        self._see = see
        self._latest: dict[int, bytes] = {}
        self._links: set[Link] = set()

    def attach(self, link: Link) -> None:
        """Pass on to a link, what is known already at once."""
        self._links.add(link)
        for key, data in self._latest.items():
            send_or_drop(link, SendState(ChannelId.TELEMETRY, key, data))

    def detach(self, link: Link) -> None:
        """Pass on nothing more to it."""
        self._links.discard(link)

    def forget(self) -> None:
        """The link that it came from is gone: what it said last is old."""
        self._latest.clear()

    def show(self, key: int, data: bytes) -> None:
        """Tell the links something of our own."""
        self._latest[key] = data
        for link in self._links:
            send_or_drop(link, SendState(ChannelId.TELEMETRY, key, data))

    def take_untrusted(self, event: StateReceived | StreamReceived) -> bytes | None:
        """Look into a message, show it to our user, pass it on; its bytes if it is telemetry, and says something."""
        try:
            message = self._table.decode_untrusted(event.channel, event.data, Direction.DOWN)
        except MalformedError:
            self.malformed += 1
            return None
        self._see(message)
        self.passed += 1
        if isinstance(event, StreamReceived):
            for link in self._links:
                send_or_drop(link, SendStream(event.channel, event.data))
            return None
        if not is_item(event):
            self.malformed += 1
            return None
        self.show(event.key, event.data)
        return event.data


def is_item(event: StateReceived | StreamReceived) -> bool:
    """Whether it is telemetry under its own number (AL-5)."""
    return isinstance(event, StateReceived) and int.from_bytes(event.data[:2], "big") == event.key
