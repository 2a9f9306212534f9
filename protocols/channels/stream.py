"""`stream`: unreliable, fragmented (specs/3-channels.md, 3.5)."""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from protocols.channels.base import NOTHING_HELD, ChannelBase, Held, Path, Ports, Reader, Source, always
from protocols.channels.limits import MESSAGE_OVERHEAD_BYTES, STREAM_QUEUE_BYTES, STREAM_READ_BYTES
from protocols.channels.reassembly import Reassembly
from protocols.codec import derive_struct
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
from protocols.events import ChannelEvent, Sendable, SendStream, StreamReceived
from specs.inner import STREAM_HEADER
from specs.registry import MAX_STREAM_FRAGMENTS, MAX_STREAM_MESSAGE_BYTES, ChannelId, InnerType

_HEADER: Final = derive_struct(STREAM_HEADER)
_HEADER_BYTES: Final = _HEADER.size
_CHANNEL: Final = int(InnerType.CHANNEL)


@dataclass(slots=True)
class _Cut:
    """The first message of the queue, when some of its fragments have left and others have not."""

    sequence: int
    """Its number."""
    length: int
    """Bytes of a fragment."""
    count: int
    """Fragments of the message."""
    index: int = 0
    """The next fragment."""


class StreamChannel(ChannelBase):
    """Messages wait as they are, and are framed when they leave.

    The queue has no gaps behind its first message: what is dropped is dropped in front. So no number has to be kept
    with a message, unless it is the first and half of it has left.
    """

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self._unsent: list[bytes] = []
        self._cut: _Cut | None = None
        self._queued_bytes = 0
        self._reassembly = Reassembly(self.counters)
        self._read: deque[StreamReceived] = deque()
        self._unread_bytes = 0

    def ports(self) -> Ports:
        return Ports(
            source=Source(self._unsent, self._take, always, self._take_run),
            receivers={InnerType.CHANNEL: self._receive_untrusted},
            readers=(Reader(self._read, self._next_event, self._all_events),),
        )

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  a stream has no clock
        if not isinstance(message, SendStream):
            raise self.wrong_message(message)
        data = _as_bytes(message.data)
        size = len(data)
        if size > MAX_STREAM_MESSAGE_BYTES:
            raise MessageTooLargeError("a stream message is at most 1,048,576 bytes")
        self._next_sequence = self.take_sequence(self._next_sequence) + 1
        self._unsent.append(data)
        self._queued_bytes += size + MESSAGE_OVERHEAD_BYTES
        if self._queued_bytes > STREAM_QUEUE_BYTES:
            self._drop_oldest()
        return 0

    def send_many(self, datas: Sequence[bytes]) -> int:
        """Queue as many as there is room for without dropping anything; how many. All are checked before."""
        messages = list(map(_as_bytes, datas))
        sizes = list(map(len, messages))
        if max(sizes, default=0) > MAX_STREAM_MESSAGE_BYTES:
            raise MessageTooLargeError("a stream message is at most 1,048,576 bytes")
        ends = list(accumulate(size + MESSAGE_OVERHEAD_BYTES for size in sizes))
        count = bisect_right(ends, STREAM_QUEUE_BYTES - self._queued_bytes)
        if count:
            self._next_sequence = self.take_sequence(self._next_sequence + count - 1) + 1
            self._unsent += messages[:count]
            self._queued_bytes += ends[count - 1]
        return count

    def room(self) -> int:
        return max(0, STREAM_QUEUE_BYTES - self._queued_bytes - MESSAGE_OVERHEAD_BYTES)

    def shrink(self) -> None:
        """A message under way cannot change the length of its fragments (CH-40): it is dropped."""
        if self._cut and self._cut.length > self.path.max_frame_bytes - _HEADER_BYTES:
            self._cut = None
            self._drop(0)

    def _drop_oldest(self) -> None:
        """Drop whole messages until the rest fits; one that is half sent is better finished."""
        place = 1 if self._cut else 0
        while self._queued_bytes > STREAM_QUEUE_BYTES:
            self._drop(place)

    def _drop(self, place: int) -> None:
        self._queued_bytes -= len(self._unsent.pop(place)) + MESSAGE_OVERHEAD_BYTES
        self.counters.dropped += 1

    def _take_run(self, now: float, limit_frames: int, limit_bytes: int) -> list[bytes]:
        frames = [self._take(now)]
        size = len(frames[0])
        while self._unsent and len(frames) < limit_frames and size + self.path.max_frame_bytes <= limit_bytes:
            frames.append(self._take(now))
            size += len(frames[-1])
        return frames

    def _take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        head = self._unsent[0]
        largest = self.path.max_frame_bytes - _HEADER_BYTES
        if len(head) > largest or self._cut:
            return self._fragment(head, largest)
        frame = _HEADER.pack(_CHANNEL, self.id, 0, self._next_sequence - len(self._unsent), 0, 1) + head
        self._sent()
        return frame

    def _fragment(self, data: bytes, largest: int) -> bytes:
        """The next fragment of the first message: as few as there can be, and even."""
        cut = self._cut
        if cut is None:
            count = -(-len(data) // largest)
            cut = self._cut = _Cut(self._next_sequence - len(self._unsent), -(-len(data) // count), count)
        start = cut.index * cut.length
        header = _HEADER.pack(_CHANNEL, self.id, 0, cut.sequence, cut.index, cut.count)
        frame = header + memoryview(data)[start : start + cut.length]
        cut.index += 1
        if cut.index == cut.count:
            self._cut = None
            self._sent()
        return frame

    def _sent(self) -> None:
        self._queued_bytes -= len(self._unsent.pop(0)) + MESSAGE_OVERHEAD_BYTES
        self.counters.sent += 1

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

    def _all_events(self) -> list[ChannelEvent]:
        events: list[ChannelEvent] = list(self._read)
        self._read.clear()
        self._unread_bytes = 0
        return events


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):  # not what else ``bytes`` takes: a number makes zeros
        return bytes(data)
    raise UsageError("a message is bytes")
