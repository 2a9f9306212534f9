"""`stream`: unreliable, fragmented, bundled (specs/3-channels.md, 3.5)."""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress, count, repeat
from operator import add, gt, le
from typing import ClassVar, Final, cast

from protocols.channels.base import ChannelBase, Held, Path, Ports, SendsOne, StreamRun
from protocols.channels.limits import (
    MESSAGE_OVERHEAD_BYTES,
    STREAM_BUNDLE_MESSAGES,
    STREAM_QUEUE_BYTES,
    STREAM_READ_BYTES,
)
from protocols.channels.reassembly import Reassembly
from protocols.channels.stream_frames import (
    BUNDLE_BYTES,
    HEADER,
    HEADER_BYTES,
    LENGTH_BYTES,
    bodies,
    bundle,
    count_whole,
    equal_bundles,
    fragments,
    unbundle_untrusted,
    whole_frames,
)
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
from protocols.events import ChannelEvent, Sendable, SendStream, StreamReceived
from specs.registry import MAX_STREAM_FRAGMENTS, MAX_STREAM_MESSAGE_BYTES, ChannelId, InnerType

_MIXED: Final = -1
_SMALL_FRAME_BYTES: Final = 512
_TOO_LARGE: Final = "a stream message is at most 1,048,576 bytes"
_NONE: Final[deque[StreamReceived]] = deque()
"""Shared by all channels of which nothing waits to be read; nothing is ever added to it."""
_new: Final = cast("Callable[[type[StreamReceived], tuple[ChannelId, int, bytes]], StreamReceived]", tuple.__new__)
"""What ``StreamReceived`` calls in the end, without the Python in between."""


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


class StreamChannel(SendsOne, ChannelBase):
    """Messages wait as they are, and are framed when they leave: alone, in a bundle, or in fragments.

    The queue has no gaps behind its first message: what is dropped is dropped in front. So no number has to be kept
    with a message, unless it is the first and half of it has left. As long as all that waits has the same length
    (``_length``), frames are a matter of arithmetic.
    """

    __slots__ = (
        "_cut",
        "_length",
        "_next_sequence",
        "_queued_bytes",
        "_reassembly",
        "_refused",
        "_unread_bytes",
        "unread",
        "unsent",
    )

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self.unsent: list[bytes] = []
        self._cut: _Cut | None = None
        self._queued_bytes = 0
        self._length = _MIXED
        self._refused = False
        self._reassembly = Reassembly(self.counters)
        self.unread: deque[StreamReceived] = _NONE
        self._unread_bytes = 0

    def ports(self) -> Ports:
        return Ports(source=self, reader=self)

    # --- the queue ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  a stream has no clock
        if not isinstance(message, SendStream):
            raise self.wrong_message(message)
        data = _as_bytes(message.data)
        size = len(data)
        if size > MAX_STREAM_MESSAGE_BYTES:
            raise MessageTooLargeError(_TOO_LARGE)
        self._next_sequence = self.take_sequence(self._next_sequence) + 1
        self._note_length(size)
        self.unsent.append(data)
        self._queued_bytes += size + MESSAGE_OVERHEAD_BYTES
        if self._queued_bytes > STREAM_QUEUE_BYTES:
            self._drop_oldest()
        return 0

    def send_many(self, datas: Sequence[bytes]) -> int:
        """Queue as many as there is room for without dropping anything; how many. All are checked before."""
        messages = datas if set(map(type, datas)) <= {bytes} else list(map(_as_bytes, datas))
        lengths = set(map(len, messages))
        if max(lengths, default=0) > MAX_STREAM_MESSAGE_BYTES:
            raise MessageTooLargeError(_TOO_LARGE)
        taken, size = self._fitting(messages, lengths)
        self._refused |= taken < len(messages)
        if taken:
            self._next_sequence = self.take_sequence(self._next_sequence + taken - 1) + 1
            self._note_length(lengths.pop() if len(lengths) == 1 else _MIXED)
            self.unsent.extend(messages if taken == len(messages) else messages[:taken])
            self._queued_bytes += size
        return taken

    def _fitting(self, messages: Sequence[bytes], lengths: set[int]) -> tuple[int, int]:
        """How many there is room for, and what they count in the queue."""
        room = STREAM_QUEUE_BYTES - self._queued_bytes
        if len(lengths) == 1:
            each = MESSAGE_OVERHEAD_BYTES + next(iter(lengths))
            taken = min(len(messages), room // each)
            return taken, taken * each
        ends = list(accumulate(map(add, map(len, messages), repeat(MESSAGE_OVERHEAD_BYTES)), initial=0))
        taken = bisect_right(ends, room) - 1
        return taken, ends[taken]

    def _note_length(self, length: int) -> None:
        """Messages of this length join the queue."""
        if not self.unsent:
            self._length = length
        elif self._length != length:
            self._length = _MIXED

    def room(self) -> int:
        return max(0, STREAM_QUEUE_BYTES - self._queued_bytes - MESSAGE_OVERHEAD_BYTES)

    def shrink(self) -> None:
        """A message under way cannot change the length of its fragments (CH-40): it is dropped."""
        if self._cut and self._cut.length > self.path.max_frame_bytes - HEADER_BYTES:
            self._cut = None
            self._drop(0, 1)
            self._offer_room()

    def _drop_oldest(self) -> None:
        """Drop whole messages until the rest fits; one that is half sent is better finished."""
        first = end = 1 if self._cut else 0
        rest = self._queued_bytes
        while rest > STREAM_QUEUE_BYTES:
            rest -= len(self.unsent[end]) + MESSAGE_OVERHEAD_BYTES
            end += 1
        self._drop(first, end)

    def _drop(self, first: int, end: int) -> None:
        """Drop these places at once: a large message may take the room of thousands of small ones."""
        gone = self.unsent[first:end]
        del self.unsent[first:end]
        self._queued_bytes -= sum(map(len, gone)) + len(gone) * MESSAGE_OVERHEAD_BYTES
        self.counters.dropped += len(gone)

    def _offer_room(self) -> None:
        """Say so when half of the queue is free, to who was refused."""
        if self._refused and self._queued_bytes <= STREAM_QUEUE_BYTES // 2:
            self._refused = False
            if self.path.on_room:
                self.path.on_room()

    # --- out ------------------------------------------------------------------------------------

    def take(self, now: float) -> bytes:
        """The next frame: a bundle of what waits, if that is several messages which fit one."""
        return self.take_run(now, 1, 0)[0]

    def take_run(self, now: float, limit_frames: int, limit_bytes: int) -> list[bytes]:  # noqa: ARG002
        """The next frames, within both limits but for the first; only while ``unsent`` is not empty."""
        if len(self.unsent) == 1 and not self._cut and len(self.unsent[0]) + HEADER_BYTES <= self.path.max_frame_bytes:
            return self._take_only()
        frames: list[bytes] = []
        limit_bytes = max(limit_bytes, 0)
        while self.unsent and len(frames) < limit_frames and limit_bytes >= 0:
            more = self._take_some(limit_frames - len(frames), limit_bytes, not frames)
            if not more:
                break
            frames += more
            limit_bytes -= sum(map(len, more))
        return frames

    def _take_only(self) -> list[bytes]:
        """The frame of the only message: a conversation, in which nothing can be shared."""
        frames = whole_frames(self.id, self._next_sequence - 1, self.unsent)
        self._sent(1, len(self.unsent[0]))
        return frames

    def _take_some(self, most: int, room: int, at_least_one: bool) -> list[bytes]:
        """Some of the next frames: of one kind, and perhaps not as many as there could be."""
        largest, messages = self.path.max_frame_bytes, self.unsent
        head = len(messages[0])
        if self._cut or head + HEADER_BYTES > largest:
            return self._take_fragments(most, room, at_least_one)
        if len(messages) == 1 or BUNDLE_BYTES + 2 * LENGTH_BYTES + head + len(messages[1]) > largest:
            return self._take_alone(most, room, at_least_one)
        if self._length == _MIXED:
            return self._take_bundle(room, at_least_one)
        return self._take_equal_bundles(most, room, at_least_one)

    def _take_fragments(self, most: int, room: int, at_least_one: bool) -> list[bytes]:
        """Frames of the first message: as few as there can be, and even."""
        data, cut = self.unsent[0], self._cut
        if cut is None:
            parts = -(-len(data) // (self.path.max_frame_bytes - HEADER_BYTES))
            cut = _Cut(self._first, -(-len(data) // parts), parts)
        many = max(min(most, cut.count - cut.index, room // (cut.length + HEADER_BYTES)), at_least_one)
        if not many:
            return []  # it has not begun, and may still be cut otherwise, or dropped
        self._cut = cut
        frames = fragments(self.id, cut.sequence, data, cut.length, range(cut.index, cut.index + many))
        cut.index += many
        if cut.index == cut.count:
            self._cut = None
            self._sent(1, len(data))
        return frames

    def _take_alone(self, most: int, room: int, at_least_one: bool) -> list[bytes]:
        """One frame for each of the first messages, as far as none can share one with the next."""
        messages = self.unsent
        most = max(min(most, room // (HEADER_BYTES + len(messages[0]))), at_least_one)
        if self._length == _MIXED:
            return self._take_alone_unequal(most, room)
        window = messages[:most]
        frames = whole_frames(self.id, self._first, window)
        self._sent(len(window), len(window) * self._length)
        return frames

    def _take_alone_unequal(self, most: int, room: int) -> list[bytes]:
        largest = self.path.max_frame_bytes
        window = self.unsent[: most + 1]
        sizes = list(map(len, window))
        least, most_alone = largest - BUNDLE_BYTES - 2 * LENGTH_BYTES, largest - HEADER_BYTES
        many = min(most, len(window), _first(map(le, map(add, sizes, sizes[1:]), repeat(least)), most))
        many = min(many, _first(map(gt, sizes, repeat(most_alone)), many))
        ends = list(accumulate(map(add, sizes, repeat(HEADER_BYTES))))
        many = max(bisect_right(ends, room, 0, many), 1 if most else 0)
        frames = whole_frames(self.id, self._first, window[:many])
        self._sent(many, sum(sizes[:many]))
        return frames

    def _take_bundle(self, room: int, at_least_one: bool) -> list[bytes]:
        """One frame for as many messages as fit."""
        largest, messages = self.path.max_frame_bytes - BUNDLE_BYTES, self.unsent
        window = messages[: min(largest // (LENGTH_BYTES + len(messages[0])) + 1, STREAM_BUNDLE_MESSAGES)]
        ends, sizes = _ends(window)
        many = bisect_right(ends, largest)
        if many == len(window) < STREAM_BUNDLE_MESSAGES:  # the first was larger than others: look at more
            window = messages[:STREAM_BUNDLE_MESSAGES]
            ends, sizes = _ends(window)
            many = bisect_right(ends, largest)
        size = ends[many - 1]
        if BUNDLE_BYTES + size > room and not at_least_one:
            return []
        frame = bundle(self.id, self._first, window[:many], sizes[:many])
        self._sent(many, size - many * LENGTH_BYTES)
        return [frame]

    def _take_equal_bundles(self, most: int, room: int, at_least_one: bool) -> list[bytes]:
        """Frames for as many messages as fit each; all that wait have the same length."""
        waiting, each = len(self.unsent), self._length + LENGTH_BYTES
        share = min((self.path.max_frame_bytes - BUNDLE_BYTES) // each, STREAM_BUNDLE_MESSAGES, waiting)
        many = max(min(most, room // (BUNDLE_BYTES + share * each), waiting // share), at_least_one)
        frames = equal_bundles(self.id, self._first, self.unsent, share, many)
        self._sent(share * many, share * many * self._length)
        return frames

    @property
    def _first(self) -> int:
        """Sequence of the first message in the queue, unless some of its fragments have left."""
        return self._next_sequence - len(self.unsent)

    def _sent(self, messages: int, size: int) -> None:
        del self.unsent[:messages]
        self._queued_bytes -= size + messages * MESSAGE_OVERHEAD_BYTES
        self.counters.sent += messages
        self._offer_room()

    # --- in -------------------------------------------------------------------------------------

    def _receive_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        try:
            _, _, fec, sequence, index, total = HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("stream: too short") from None
        if fec:
            raise MalformedError("stream: unknown forward-error-correction scheme (CH-40)")
        if total == 1 and index == 0:
            if self._reassembly.whole_untrusted(sequence):
                self._deliver((sequence,), (frame[HEADER_BYTES:],), len(frame) - HEADER_BYTES)
            return
        if index >= total or total > MAX_STREAM_FRAGMENTS:
            raise ProtocolViolationError("stream: no such fragment (CH-40)")
        # Copied once, when the message is whole; but a view costs 300 bytes, which a small body is not worth (CH-4).
        body = memoryview(frame)[HEADER_BYTES:] if len(frame) > _SMALL_FRAME_BYTES else frame[HEADER_BYTES:]
        message = self._reassembly.fragment_untrusted(sequence, index, total, body)
        if message is not None:
            self._deliver((sequence,), (message,), len(message))

    def _receive_run_untrusted(self, frames: Sequence[bytes], now: float) -> int:
        first, run = count_whole(self.id, frames)
        if run < 2:
            self._receive_untrusted(frames[0], now)
            return 1
        if self._reassembly.take_run(first, run):
            messages = bodies(frames[:run])
            self._deliver(range(first, first + run), messages, sum(map(len, messages)))
        else:
            for frame in frames[:run]:
                self._receive_untrusted(frame, now)
        return run

    def _bundles_untrusted(self, frames: Sequence[bytes], now: float) -> int:
        head = frames[0][:2]
        for place, frame in enumerate(frames):
            if frame[:2] != head:
                return place
            self._bundle_untrusted(frame, now)
        return len(frames)

    def _bundle_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        first, messages, size = unbundle_untrusted(frame)
        sequences = range(first, first + len(messages))
        if self._reassembly.take_run(first, len(messages)):
            self._deliver(sequences, messages, size)
            return
        if self._reassembly.contradicts(first, len(messages)):
            raise ProtocolViolationError("stream bundle: fragments of one of its messages have arrived (CH-44)")
        is_new = list(map(self._reassembly.whole_untrusted, sequences))  # delivered together: they may be thousands
        fresh = list(compress(messages, is_new))
        self._deliver(compress(sequences, is_new), fresh, sum(map(len, fresh)))

    def _deliver(self, sequences: Iterable[int], messages: Sequence[bytes], size: int) -> None:
        """Hand out whole messages, ``size`` bytes in all."""
        many = len(messages)
        if not many:
            return
        if not self.unread:
            self.unread = deque()
        fields = zip(repeat(self.id), sequences, messages)
        self.unread.extend(map(_new, repeat(StreamReceived), fields))
        self.counters.received += many
        self._unread_bytes += size + many * MESSAGE_OVERHEAD_BYTES
        while self._unread_bytes > STREAM_READ_BYTES:
            self._take_event()
            self.counters.dropped += 1

    def next_event(self, now: float, held: Held) -> ChannelEvent:  # noqa: ARG002  unreliable: never held
        return self._take_event()

    def _take_event(self) -> StreamReceived:
        event = self.unread.popleft()
        self._unread_bytes -= len(event.data) + MESSAGE_OVERHEAD_BYTES
        return event

    def next_events(self, now: float, held: Held) -> Sequence[ChannelEvent]:  # noqa: ARG002
        """Return all of them: who takes one of a stream takes what there is."""
        events = StreamRun(self.unread)
        events.counted_bytes = self._unread_bytes
        self.unread = _NONE
        self._unread_bytes = 0
        return events

    RUNS: ClassVar = {
        int(InnerType.CHANNEL): _receive_run_untrusted,
        int(InnerType.STREAM_BUNDLE): _bundles_untrusted,
    }
    RECEIVERS: ClassVar = {
        int(InnerType.CHANNEL): _receive_untrusted,
        int(InnerType.STREAM_BUNDLE): _bundle_untrusted,
    }


def _as_bytes(data: bytes | bytearray | memoryview) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):  # not what else ``bytes`` takes: a number makes zeros
        return bytes(data)
    raise UsageError("a message is bytes")


def _first(found: Iterable[bool], default: int) -> int:
    """Place of the first True."""
    return next(compress(count(), found), default)


def _ends(messages: list[bytes]) -> tuple[list[int], list[int]]:
    """Where each message of a bundle ends, lengths counted, and their sizes."""
    sizes = list(map(len, messages))
    return list(accumulate(map(add, sizes, repeat(LENGTH_BYTES)))), sizes
