"""One object that we send: what of it is in flight, lost or acknowledged (CH-52, CH-54, CH-55).

*Theory of operation.* ``TRANSITIONS`` says what each word of the receiver does in each state; words cross on their
way, so none is a fault by its state alone. While sending, the object is the bytes before ``received_to`` (arrived),
those up to ``_sent_to`` (in flight, lost, or arrived and named by ``_ranges``), and the rest. How far ``_sent_to`` may
be ahead of ``received_to`` is bounded here, whatever the receiver allows: our memory and time are not his.

The receiver is polled by repeating the offer: until it accepts and opens a window, whenever the window is closed and
nothing is in flight, and when everything has arrived but the word that it is done has not (CH-50, CH-56). So the loss
of any ACCEPT, BULK_ACK or DONE heals.
"""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import repeat
from operator import concat
from typing import Final, NamedTuple, cast

from protocols.channels.base import U32, Counters, Path
from protocols.channels.flight import Flight, Packet
from protocols.channels.limits import MAX_BULK_CHUNK_FRAME_BYTES, MAX_BULK_FLIGHT_BYTES
from protocols.codec import derive_struct
from protocols.errors import MalformedError, ProtocolViolationError
from specs.inner import ACK_RANGE, BULK_ACK_HEADER, BULK_HEADER, MAX_ACK_RANGES
from specs.registry import ChannelId, InnerType

_HEADER: Final = derive_struct(BULK_HEADER)
_ACK: Final = derive_struct(BULK_ACK_HEADER)
_RANGE: Final = derive_struct(ACK_RANGE)
_CHANNEL: Final = int(InnerType.CHANNEL)
_join: Final = cast("Callable[[bytes, memoryview], bytes]", concat)
_new: Final = cast("Callable[[type[Packet], tuple[int, int, int, float]], Packet]", tuple.__new__)


class Sending(Enum):
    """State of an outgoing transfer."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    CANCELLED = "cancelled, not yet confirmed"
    ENDED = "over, and no longer known to the channel"


class Word(Enum):
    """What the receiver may say."""

    ACCEPT = "accept"
    ACK = "ack"


TRANSITIONS: Final = {
    (Sending.OFFERED, Word.ACCEPT): Sending.ACCEPTED,
    (Sending.OFFERED, Word.ACK): Sending.OFFERED,  # overtook the ACCEPT; says nothing before it
    (Sending.ACCEPTED, Word.ACCEPT): Sending.ACCEPTED,  # answer to a repeated offer
    (Sending.ACCEPTED, Word.ACK): Sending.ACCEPTED,
    (Sending.CANCELLED, Word.ACCEPT): Sending.CANCELLED,  # crossed our cancellation
    (Sending.CANCELLED, Word.ACK): Sending.CANCELLED,
}


class BulkAcked(NamedTuple):
    """A parsed BULK_ACK."""

    transfer: int
    largest: int
    received_to: int
    window_to: int
    starts: list[int]
    ends: list[int]


def parse_ack_untrusted(frame: bytes) -> BulkAcked:
    """A BULK_ACK by ``struct``: one arrives for every second chunk."""
    try:
        _, _, transfer, largest, received_to, window_to, count = _ACK.unpack_from(frame)
    except struct.error:
        raise MalformedError("bulk ack: too short") from None
    if count > MAX_ACK_RANGES or len(frame) != _ACK.size + count * _RANGE.size:
        raise MalformedError("bulk ack: wrong length")
    pairs = list(_RANGE.iter_unpack(frame[_ACK.size :]))
    starts, ends = [start for start, _ in pairs], [end for _, end in pairs]
    return BulkAcked(transfer, largest, received_to, window_to, starts, ends)


class Outgoing:
    """One transfer, sending side."""

    __slots__ = (
        "_accepted_from",
        "_counters",
        "_flight",
        "_lost",
        "_packet",
        "_path",
        "_ranges",
        "_send_to",
        "_sent_to",
        "announces",
        "channel",
        "data",
        "expiries",
        "number",
        "offer",
        "polls",
        "received_to",
        "size",
        "state",
        "touched_at",
        "window_to",
    )

    def __init__(
        self,
        channel: ChannelId,
        number: int,
        data: memoryview,
        offer: bytes,
        path: Path,
        counters: Counters,
    ) -> None:
        self.channel = channel
        self.number = number
        self.data = data
        self.offer = offer
        """The BULK_OFFER frame, to repeat."""
        self.state = Sending.OFFERED
        self.size = len(data)
        self.received_to = 0
        self.window_to = 0
        self.announces = False
        """Its OFFER or its cancellation is to be sent."""
        self.touched_at = 0.0
        """When this transfer was last heard of, either way: polling waits from then."""
        self.expiries = 0
        """Timeouts in a row."""
        self.polls = 0
        """Timeouts without data since the state changed."""
        self._path = path
        self._counters = counters
        self._accepted_from = 0
        self._sent_to = 0
        self._send_to = 0
        self._packet = 0  # the first is 1: "largest seen: 0" means none
        self._ranges: tuple[list[int], list[int]] = ([], [])
        self._flight = Flight()
        self._lost: deque[tuple[int, int]] = deque()

    # --- what the receiver says -----------------------------------------------------------------

    def accept_untrusted(self, offset: int, now: float) -> bool:
        """BULK_ACCEPT; True if it is the first."""
        if offset > self.size:
            raise ProtocolViolationError("bulk accept: offset beyond the object (CH-51)")
        before, after = self.state, TRANSITIONS[self.state, Word.ACCEPT]
        if before is Sending.ACCEPTED and offset != self._accepted_from:
            raise ProtocolViolationError("bulk accept: another offset than before (CH-51)")
        self.state, self.touched_at = after, now
        if before is after:
            return False
        self._accepted_from = self._sent_to = self.received_to = offset
        self.expiries = 0
        return True

    def ack_untrusted(self, ack: BulkAcked, now: float) -> None:
        """BULK_ACK: move on what arrived and find what did not."""
        self.state = TRANSITIONS[self.state, Word.ACK]
        if self.state is not Sending.ACCEPTED:
            return
        self._check(ack)
        self.touched_at = now
        self.window_to = max(self.window_to, ack.window_to)
        # A late ACK knows less than we do; its ranges only matter if it is not late.
        if ack.received_to >= self.received_to:
            self.received_to = ack.received_to
            self._ranges = ack.starts, ack.ends
        self._send_to = min(self.window_to, self.received_to + MAX_BULK_FLIGHT_BYTES)
        self._move_on(ack.largest, now)

    def may_be_done(self) -> bool:
        """Could an honest receiver have the whole object? An ACCEPT that says so may have been lost."""
        return self.state is Sending.OFFERED or self._sent_to == self.size

    def _check(self, ack: BulkAcked) -> None:
        """No claim beyond what was sent (an optimistic ACK), and ranges as CH-54 has them."""
        if ack.largest > self._packet or not self._accepted_from <= ack.received_to <= self._sent_to:
            raise ProtocolViolationError("bulk ack: of something that was never sent (CH-54)")
        if ack.window_to < ack.received_to:
            raise ProtocolViolationError("bulk ack: window behind what has arrived (CH-54)")
        behind = ack.received_to
        for start, end in zip(ack.starts, ack.ends, strict=True):
            if not behind < start < end:
                raise ProtocolViolationError("bulk ack: ranges out of order (CH-54)")
            behind = end
        if behind > self._sent_to:
            raise ProtocolViolationError("bulk ack: of something that was never sent (CH-54)")

    def _move_on(self, largest: int, now: float) -> None:
        """Let go of what has arrived, and of what is lost."""
        congestion = self._path.congestion
        arrived = self._flight.take_arrived(self.received_to, *self._ranges)
        for packet in self._flight.take_lost(largest, self._judged_to()):
            self._lose(packet)
            congestion.lost(packet.sent_at, now)
        if not arrived:
            return
        numbers, starts, ends, times = zip(*arrived, strict=True)
        if largest in numbers:
            self._path.rtt.sample(now - times[numbers.index(largest)])
        size = fresh = sum(ends) - sum(starts)
        if min(times) <= congestion.reduced_at:
            fresh = sum(end - start for _, start, end, sent_at in arrived if sent_at > congestion.reduced_at)
        congestion.delivered_bytes = max(congestion.delivered_bytes, arrived[0].end - arrived[0].start)
        congestion.acknowledged(size, fresh)
        self.expiries = 0

    def _has_arrived(self, start: int, end: int) -> bool:
        if end <= self.received_to:
            return True
        starts, ends = self._ranges
        place = bisect_right(starts, start)
        return place > 0 and end <= ends[place - 1]

    def _judged_to(self) -> int:
        """Up to where does the last ACK's silence mean that something has not arrived?

        One that is full of ranges says nothing of what is above the last; and reliable carriers lose nothing.
        """
        ends = self._ranges[1]
        if self._path.reliable:
            return 0
        return self.size if len(ends) < MAX_ACK_RANGES else ends[-1]

    def _lose(self, packet: Packet) -> None:
        self._lost.append((packet.start, packet.end))
        self._path.congestion.forget(packet.end - packet.start)
        self._counters.lost += 1

    # --- what we send ---------------------------------------------------------------------------

    def has_data(self) -> bool:
        """Is there something to send that the receiver's window allows?"""
        if self.state is not Sending.ACCEPTED:
            return False
        self._skip_arrived()
        return bool(self._lost) or self._fresh_bytes(self._chunk_bytes()) > 0

    def next_size(self) -> int:
        """Bytes of the chunk that ``next_chunk`` would send; only after ``has_data``."""
        if self._lost:
            start, end = self._lost[0]
            return min(end - start, self._chunk_bytes())
        return self._fresh_bytes(self._chunk_bytes())

    def next_chunk(self, now: float) -> bytes:
        """The next chunk; only after ``has_data``."""
        size = self.next_size()
        if self._lost:
            start, end = self._lost.popleft()
            if end - start > size:  # the path became smaller: CH-52 lets a chunk be cut anew
                self._lost.appendleft((start + size, end))
            self._counters.retransmitted += 1
        else:
            start = self._sent_to
            self._sent_to += size
            self._counters.sent += 1
        self._packet += 1
        self._flight.add(Packet(self._packet, start, start + size, now))
        self._path.congestion.sent(size)
        self.touched_at = now
        header = _HEADER.pack(_CHANNEL, self.channel, self.number, self._packet, start)
        return header + self.data[start : start + size]

    def next_chunks(self, now: float, most: int, room: int) -> list[bytes]:
        """Several chunks of full size that were never sent, as ``next_chunk`` would give them; none if not so simple.

        At most so many, and so many bytes of frames. Only after ``has_data``.
        """
        size, congestion = self._chunk_bytes(), self._path.congestion
        many = min(most, room // (size + _HEADER.size), U32 - self._packet)
        many = min(many, (min(self.size, self._send_to) - self._sent_to) // size)
        if congestion.enabled:
            many = min(many, (congestion.window - congestion.in_flight) // size)
        if self._lost or many < 2:
            return []
        first, number = self._sent_to, self._packet + 1
        self._sent_to += many * size
        self._packet += many
        numbers, starts = range(number, number + many), range(first, first + many * size, size)
        ends = range(first + size, self._sent_to + size, size)
        fields = zip(numbers, starts, ends, repeat(now))  # not strict: one of them has no end
        self._flight.add_run(list(map(_new, repeat(Packet), fields)))
        congestion.sent(many * size)
        self.touched_at = now
        self._counters.sent += many
        headers = map(_HEADER.pack, repeat(_CHANNEL), repeat(self.channel), repeat(self.number), numbers, starts)
        return list(map(_join, headers, map(self.data.__getitem__, map(slice, starts, ends))))

    def packets_used_up(self) -> bool:
        """A packet number does not wrap."""
        return self._packet >= U32

    def _chunk_bytes(self) -> int:
        return min(self._path.max_frame_bytes, MAX_BULK_CHUNK_FRAME_BYTES) - _HEADER.size

    def _fresh_bytes(self, largest: int) -> int:
        """Size of the next chunk that was never sent; 0 if the window is closed, theirs or ours."""
        left = self.size - self._sent_to
        size = min(largest, left, self._send_to - self._sent_to)
        # RFC 9293, 3.8.6.2.1: a small chunk at the window's edge waits while acknowledgements may move the edge.
        return 0 if size < min(largest, left) and self._flight else max(size, 0)

    def _skip_arrived(self) -> None:
        while self._lost and self._has_arrived(*self._lost[0]):
            self._lost.popleft()

    # --- timer ----------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When to give up what is in flight, or to poll the receiver; None while there is something to send."""
        timeout = self._path.rtt.timeout(self.expiries)
        if self._flight:
            return self._flight.oldest.sent_at + timeout
        return None if self.has_data() else self.touched_at + timeout

    def expire(self, now: float) -> bool:
        """The deadline has come: lose what is in flight; False if nothing was, so it is time to poll."""
        timeout = self._path.rtt.timeout(self.expiries)
        self.expiries += 1
        if not self._flight:
            self.touched_at = now
            self.polls += 1
            return False
        for packet in self._flight.take_expired(timeout, now):
            self._lose(packet)
        self._path.congestion.expired(now)
        return True

    def cancel(self, now: float) -> None:
        """We end it; the receiver has yet to confirm (CH-56)."""
        self.end(Sending.CANCELLED)
        self.touched_at = now
        self.expiries = self.polls = 0

    def end(self, state: Sending = Sending.ENDED) -> None:
        """No chunk leaves any more: give back the object and the share of the congestion window."""
        self.state = state
        self._path.congestion.forget(self._flight.bytes)
        self._flight = Flight()
        self._lost.clear()
        self.data.release()
