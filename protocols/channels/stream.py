"""`stream`: unreliable, fragmented (specs/3-channels.md, 3.5)."""

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from protocols.channels.base import NOTHING_HELD, ChannelBase, Held, Path, Ports, Reader, Source, always
from protocols.channels.limits import MESSAGE_OVERHEAD_BYTES, STREAM_QUEUE_BYTES, STREAM_READ_BYTES
from protocols.channels.reassembly import Reassembly
from protocols.codec import derive_struct
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError
from protocols.events import ChannelEvent, Sendable, SendStream, StreamReceived
from specs.inner import STREAM_HEADER
from specs.registry import MAX_STREAM_FRAGMENTS, MAX_STREAM_MESSAGE_BYTES, ChannelId, InnerType

_HEADER: Final = derive_struct(STREAM_HEADER)
_HEADER_BYTES: Final = _HEADER.size
_CHANNEL: Final = int(InnerType.CHANNEL)


@dataclass(slots=True)
class _Cut:
    """A message of several fragments on its way out."""

    sequence: int
    """Its number."""
    data: memoryview
    """All of it."""
    length: int
    """Bytes of a fragment; fixed when the first one leaves."""
    index: int = 0
    """The next fragment."""

    @property
    def count(self) -> int:
        """Fragments of the message."""
        return -(-len(self.data) // self.length)


class StreamChannel(ChannelBase):
    """Messages of one fragment, the usual case, are framed when they are queued; others when they leave."""

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self._unsent: deque[bytes | _Cut] = deque()
        self._queued_bytes = 0
        self._reassembly = Reassembly(self.counters)
        self._read: deque[StreamReceived] = deque()
        self._unread_bytes = 0

    def ports(self) -> Ports:
        return Ports(
            source=Source(self._unsent, self._take, always),
            receivers={InnerType.CHANNEL: self._receive_untrusted},
            readers=(Reader(self._read, self._next_event),),
        )

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  a stream has no clock
        if not isinstance(message, SendStream):
            raise self.wrong_message(message)
        data = message.data
        size = len(data)
        if size > MAX_STREAM_MESSAGE_BYTES:
            raise MessageTooLargeError("a stream message is at most 1,048,576 bytes")
        sequence = self.take_sequence(self._next_sequence)
        length = self.path.max_frame_bytes - _HEADER_BYTES
        if size <= length:
            self._unsent.append(_HEADER.pack(_CHANNEL, self.id, 0, sequence, 0, 1) + data)
        else:
            self._unsent.append(_Cut(sequence, memoryview(bytes(data)), length))
        self._next_sequence = sequence + 1
        self._queued_bytes += size + MESSAGE_OVERHEAD_BYTES
        if self._queued_bytes > STREAM_QUEUE_BYTES:
            self._drop_oldest()
        return 0

    def room(self) -> int:
        return max(0, STREAM_QUEUE_BYTES - self._queued_bytes - MESSAGE_OVERHEAD_BYTES)

    def shrink(self) -> None:
        """A message under way cannot change the length of its fragments (CH-40): it is dropped."""
        length = self.path.max_frame_bytes - _HEADER_BYTES
        kept: list[bytes | _Cut] = []
        for each in self._unsent:
            queued = self._recut(each, length)
            if queued is None:
                self._gone(each)
                self.counters.dropped += 1
            else:
                kept.append(queued)
        self._unsent.clear()  # in place: the multiplexer looks at this very deque
        self._unsent.extend(kept)

    @staticmethod
    def _recut(queued: bytes | _Cut, length: int) -> bytes | _Cut | None:
        if isinstance(queued, bytes):
            if len(queued) - _HEADER_BYTES <= length:
                return queued
            sequence: int = _HEADER.unpack_from(queued)[3]
            return _Cut(sequence, memoryview(queued)[_HEADER_BYTES:], length)
        if queued.length <= length:
            return queued
        return None if queued.index else _Cut(queued.sequence, queued.data, length)

    def _drop_oldest(self) -> None:
        """Drop whole messages until the rest fits; one that is half sent is better finished."""
        while self._queued_bytes > STREAM_QUEUE_BYTES:
            head = self._unsent[0]
            place = 1 if isinstance(head, _Cut) and head.index else 0
            self._gone(self._unsent[place])
            del self._unsent[place]
            self.counters.dropped += 1

    def _gone(self, queued: bytes | _Cut) -> None:
        size = len(queued) - _HEADER_BYTES if isinstance(queued, bytes) else len(queued.data)
        self._queued_bytes -= size + MESSAGE_OVERHEAD_BYTES

    def _take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        head = self._unsent[0]
        if isinstance(head, bytes):
            self._unsent.popleft()
            self._queued_bytes -= len(head) - _HEADER_BYTES + MESSAGE_OVERHEAD_BYTES
            self.counters.sent += 1
            return head
        start, count = head.index * head.length, head.count
        header = _HEADER.pack(_CHANNEL, self.id, 0, head.sequence, head.index, count)
        frame = header + head.data[start : start + head.length]
        head.index += 1
        if head.index == count:
            self._gone(self._unsent.popleft())
            self.counters.sent += 1
        return frame

    # --- receiving ----------------------------------------------------------------------------

    def _receive_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        try:
            _, _, fec, sequence, index, count = _HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("stream: too short") from None
        if fec:
            raise MalformedError("stream: unknown forward-error-correction scheme (CH-40)")
        body = frame[_HEADER_BYTES:]
        if count == 1 and index == 0:
            if self._reassembly.whole_untrusted(sequence):
                self._deliver(sequence, body)
            return
        if index >= count or count > MAX_STREAM_FRAGMENTS:
            raise ProtocolViolationError("stream: no such fragment (CH-40)")
        message = self._reassembly.fragment_untrusted(sequence, index, count, body)
        if message is not None:
            self._deliver(sequence, message)

    def _deliver(self, sequence: int, data: bytes) -> None:
        self._read.append(StreamReceived(self.id, sequence, data))
        self.counters.received += 1
        self._unread_bytes += len(data) + MESSAGE_OVERHEAD_BYTES
        while self._unread_bytes > STREAM_READ_BYTES:
            self._next_event(0.0, NOTHING_HELD)
            self.counters.dropped += 1

    def _next_event(self, now: float, held: Held) -> ChannelEvent:  # noqa: ARG002  unreliable: never held
        event = self._read.popleft()
        self._unread_bytes -= len(event.data) + MESSAGE_OVERHEAD_BYTES
        return event
