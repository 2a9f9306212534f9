"""A neighbour at the other end of a link of ours (port ``RelayHop``)."""

from collections.abc import Callable

from nodes.link import Link
from protocols.errors import LocalError
from protocols.events import RelayMessage, SendRelay
from specs.registry import ChannelId, Role


class LinkHop:
    """Carries relay messages on the relay channel of a link. The link's user sees nothing of it."""

    def __init__(self, link: Link) -> None:
        self.on_message: Callable[[RelayMessage], None] | None = None
        """Given each message of the neighbour."""
        self.lost: int = 0
        """Messages that the link did not take."""
        self._link = link
        link.on_relay = self._take

    @property
    def key_id(self) -> bytes:
        """The peer of the link."""
        return self._link.key_id

    @property
    def role(self) -> Role:
        """The peer's role."""
        return self._link.role

    @property
    def is_up(self) -> bool:
        """Whether the link is."""
        return self._link.down is None

    def send(self, message: RelayMessage) -> None:
        """Queue a message; one for which there is no link any more is lost."""
        try:
            self._link.send_now(SendRelay(ChannelId.RELAY, message))
        except LocalError:
            self.lost += 1

    def _take(self, message: RelayMessage) -> None:
        if self.on_message is not None:
            self.on_message(message)
