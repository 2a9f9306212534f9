"""`state`: newest wins per key (specs/3-channels.md, 3.4)."""

import struct
from typing import ClassVar, Final

from protocols.channels.base import NOTHING_HELD, ChannelBase, Held, Path, Ports, ReadsOne, SendsOne
from protocols.channels.limits import MAX_STATE_KEYS, MESSAGE_OVERHEAD_BYTES, STATE_READ_BYTES
from protocols.codec import derive_struct
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
from protocols.events import ChannelEvent, Sendable, SendState, StateReceived
from specs.inner import CHANNEL_HEADER
from specs.registry import ChannelId, InnerType

_HEADER: Final = derive_struct(CHANNEL_HEADER)
_CHANNEL: Final = int(InnerType.CHANNEL)


class StateChannel(SendsOne, ReadsOne, ChannelBase):
    """A newer value takes the place of an older one in both queues, so the first key in is the first out."""

    __slots__ = ("_keys", "_newest", "_next_sequence", "_unread_bytes", "unread", "unsent")

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self._keys: dict[int, None] = {}
        self.unsent: dict[int, bytes] = {}
        self._newest: dict[int, int] = {}
        self.unread: dict[int, StateReceived] = {}
        self._unread_bytes = 0

    def ports(self) -> Ports:
        return Ports(source=self, reader=self)

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  state has no clock
        if not isinstance(message, SendState):
            raise self.wrong_message(message)
        key = message.key
        if not 0 <= key <= 0xFFFF:
            raise UsageError("a key is 0 to 65,535")
        if key not in self._keys and len(self._keys) >= MAX_STATE_KEYS:
            raise UsageError("a state channel has at most 1,024 keys (CH-31)")
        if len(message.data) + _HEADER.size > self.path.max_frame_bytes:
            raise MessageTooLargeError("a state item is one payload's worth at most")
        sequence = self.take_sequence(self._next_sequence)
        frame = _HEADER.pack(_CHANNEL, self.id, key, sequence) + message.data
        self._next_sequence = sequence + 1
        self._keys[key] = None
        self.counters.dropped += key in self.unsent
        self.unsent[key] = frame  # CH-31: keeps the place of the value that it replaces
        return 0

    def room(self) -> int:
        return MAX_STATE_KEYS - len(self.unsent)

    def shrink(self) -> None:
        too_large = [key for key, frame in self.unsent.items() if len(frame) > self.path.max_frame_bytes]
        for key in too_large:
            del self.unsent[key]
        self.counters.dropped += len(too_large)

    def take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        self.counters.sent += 1
        return self.unsent.pop(next(iter(self.unsent)))

    # --- receiving ----------------------------------------------------------------------------

    def _receive_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        try:
            _, _, key, sequence = _HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("state: too short") from None
        newest = self._newest.get(key, -1)
        if newest < 0 and len(self._newest) >= MAX_STATE_KEYS:
            raise ProtocolViolationError("state: more than 1,024 keys (CH-31)")
        if sequence <= newest:  # CH-30
            self.counters.dropped += 1
            return
        self._newest[key] = sequence
        self.counters.received += 1
        self._deliver(StateReceived(channel=self.id, key=key, data=frame[_HEADER.size :]))

    def _deliver(self, event: StateReceived) -> None:
        replaced = self.unread.get(event.key)
        if replaced is not None:
            self._unread_bytes -= len(replaced.data) + MESSAGE_OVERHEAD_BYTES
            self.counters.dropped += 1
        self.unread[event.key] = event
        self._unread_bytes += len(event.data) + MESSAGE_OVERHEAD_BYTES
        while self._unread_bytes > STATE_READ_BYTES:
            self.next_event(0.0, NOTHING_HELD)
            self.counters.dropped += 1

    def next_event(self, now: float, held: Held) -> ChannelEvent:  # noqa: ARG002  newest wins: never held
        event = self.unread.pop(next(iter(self.unread)))
        self._unread_bytes -= len(event.data) + MESSAGE_OVERHEAD_BYTES
        return event

    RECEIVERS: ClassVar = {int(InnerType.CHANNEL): _receive_untrusted}
