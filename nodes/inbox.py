"""What a link has received and nobody has taken yet: each class keeps its own promise (specs/3-channels.md).

Newest wins for ``control`` and ``state``, the oldest goes for ``stream``; ``command`` and offers wait, and while many
wait, no more commands are taken from the core, so their sender is slowed down. A user who reads nothing but answers and
objects is therefore never stopped by telemetry that he does not read.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from protocols.channels import StreamRun
from protocols.channels.limits import MESSAGE_OVERHEAD_BYTES
from protocols.events import ChannelEvent, ControlReceived, StateReceived, StreamReceived
from specs.registry import ChannelId

Offer = TypeVar("Offer")

MAX_COMMANDS: Final = 1_024
"""Commands and offers that wait; beyond, commands wait in the core. Offers are few: the core bounds them."""
MAX_STREAM_BYTES: Final = 4_194_304
_NONE: Final[deque[StreamReceived]] = deque(maxlen=0)
"""Stands for the deque of a link that has received nothing yet: an empty one has 760 bytes."""


class Inbox(Generic[Offer]):
    """Takes messages in any order, and gives them out by the priority of their class."""

    def __init__(self) -> None:
        self._control: dict[ChannelId, ControlReceived] = {}
        self._state: OrderedDict[tuple[ChannelId, int], StateReceived] = OrderedDict()
        self._stream: deque[StreamReceived] = _NONE
        self._stream_bytes = 0
        self._reliable: list[ChannelEvent | Offer] = []
        self.dropped = 0
        """Messages given up because nobody took them in time."""
        self.stale = 0
        """Of ``control``: those whose lifetime passed here (CH-14)."""

    def __len__(self) -> int:
        return len(self._control) + len(self._reliable) + len(self._state) + len(self._stream)

    def __bool__(self) -> bool:
        return bool(self._stream or self._control or self._reliable or self._state)

    @property
    def is_full(self) -> bool:
        """Whether the core should keep the commands that it has."""
        return len(self._reliable) >= MAX_COMMANDS

    def put(self, message: ChannelEvent | Offer) -> None:
        """Add a message."""
        if isinstance(message, ControlReceived):
            self.dropped += message.channel in self._control
            self._control[message.channel] = message
        elif isinstance(message, StateReceived):
            key = (message.channel, message.key)
            self.dropped += key in self._state
            self._state[key] = message  # keeps the place of the value that it replaces (CH-31)
        elif isinstance(message, StreamReceived):
            self.put_stream((message,))
        else:
            self._reliable.append(message)

    def put_stream(self, run: Sequence[StreamReceived]) -> None:
        """Add messages of a stream, in order."""
        if self._stream is _NONE:
            self._stream = deque()
        self._stream.extend(run)
        if isinstance(run, StreamRun):
            self._stream_bytes += run.counted_bytes
        else:
            self._stream_bytes += sum([len(message.data) + MESSAGE_OVERHEAD_BYTES for message in run])
        while self._stream_bytes > MAX_STREAM_BYTES:
            self._take_stream()
            self.dropped += 1

    def take_all(self, now: float) -> list[ChannelEvent | Offer]:
        """Return every message, in the order in which :meth:`take` would give them."""
        if self._control or self._reliable or self._state:
            messages: list[ChannelEvent | Offer] = []
            while not self._stream or self._control or self._reliable or self._state:
                message = self.take(now)
                if message is None:
                    return messages
                messages.append(message)
            return messages + self._take_streams()
        return self._take_streams()

    def _take_streams(self) -> list[ChannelEvent | Offer]:
        messages: list[ChannelEvent | Offer] = list(self._stream)
        self._stream.clear()
        self._stream_bytes = 0
        return messages

    def take(self, now: float) -> ChannelEvent | Offer | None:
        """Return the most urgent message, or None."""
        while self._control:
            control = self._control.pop(next(iter(self._control)))
            if now <= control.expires_s:
                return control
            self.stale += 1
        if self._reliable:
            return self._reliable.pop(0)
        if self._state:
            return self._state.popitem(last=False)[1]
        return self._take_stream() if self._stream else None

    def remove(self, message: ChannelEvent | Offer) -> None:
        """Forget an offer that the peer took back before anybody looked at it."""
        if message in self._reliable:
            self._reliable.remove(message)

    def _take_stream(self) -> StreamReceived:
        message = self._stream.popleft()
        self._stream_bytes -= len(message.data) + MESSAGE_OVERHEAD_BYTES
        return message
