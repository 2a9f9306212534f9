"""Fragments of `stream` messages become whole messages again (CH-40 to CH-42).

*Theory of operation.* Every sequence is unknown, partial, or done (delivered or given up), and done is for ever. Done
are all sequences up to ``floor``, and those in ``ahead``. In order and without loss ``ahead`` stays empty. A message
that never comes leaves a gap that holds the floor down; when ``STREAM_REORDER_MESSAGES`` are ahead of it, the floor
jumps to the first of them and what it passed over is lost. So memory is bounded whatever sequences a peer invents.

A run of whole messages, of which none is known, is taken in one step. It is the same as one after the other: a gap is
given up for what is ahead of it in the end, and where that is much, it was much before the end too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from protocols.channels.base import Counters
from protocols.channels.limits import STREAM_REORDER_MESSAGES
from protocols.errors import ProtocolViolationError
from specs.registry import MAX_PARTIAL_STREAM_MESSAGES, MAX_STREAM_MESSAGE_BYTES

_NONE_AHEAD: Final[set[int]] = set()
"""Shared by all channels without a gap; nothing is ever added to it."""


@dataclass(slots=True)
class Partial:
    """A message some of whose fragments have arrived."""

    count: int
    """Fragments of the message."""
    length: int = 0
    """Bytes of every fragment but the last; 0 while none of them has arrived."""
    last: int = 0
    """Bytes of the last fragment; 0 while it has not arrived."""
    fragments: dict[int, bytes | memoryview] = field(default_factory=dict[int, bytes | memoryview])
    """What has arrived, by index."""

    def check(self, index: int, count: int, size: int) -> None:
        """Raise if a fragment contradicts the others (CH-42) or the message would be too large (CH-41)."""
        is_last = index == count - 1
        length = self.length if is_last else size
        last = size if is_last else self.last
        if count != self.count or size == 0 or (not is_last and self.length not in {0, size}):
            raise ProtocolViolationError("stream: fragments contradict each other (CH-42)")
        if is_last and self.last not in {0, size}:
            raise ProtocolViolationError("stream: fragments contradict each other (CH-42)")
        if length and last > length:
            raise ProtocolViolationError("stream: the last fragment is longer than the others (CH-40)")
        if length * (count - 1) + (last or 1) > MAX_STREAM_MESSAGE_BYTES:
            raise ProtocolViolationError("stream: message too large (CH-41)")

    def add(self, index: int, body: bytes | memoryview) -> bytes | None:
        """Take a checked fragment; the message if it is whole now."""
        self.fragments[index] = body
        if index == self.count - 1:
            self.last = len(body)
        else:
            self.length = len(body)
        if len(self.fragments) < self.count:
            return None
        return b"".join([self.fragments[each] for each in range(self.count)])


class Reassembly:
    """One channel's sequences and partial messages."""

    __slots__ = ("_ahead", "_counters", "_floor", "_partials")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._floor = -1
        self._ahead: set[int] = _NONE_AHEAD
        self._partials: dict[int, Partial] = {}

    def whole_untrusted(self, sequence: int) -> bool:
        """A message of one fragment (a payload is never larger than a message may be): deliver it?"""
        if sequence == self._floor + 1 and not self._ahead and not self._partials:
            self._floor = sequence
            return True
        if sequence in self._partials:
            raise ProtocolViolationError("stream: fragments contradict each other (CH-42)")
        if self._is_done(sequence):
            return False
        self._finish(sequence)
        return True

    def contradicts(self, first: int, count: int) -> bool:
        """Whether fragments of one of these messages have arrived (CH-42)."""
        return any(first <= sequence < first + count for sequence in self._partials)

    def take_run(self, first: int, count: int) -> bool:
        """Take whole messages of consecutive sequences, and deliver them; False, and nothing, if one is known."""
        if first == self._floor + 1 and not self._ahead and not self._partials:
            self._floor += count
            return True
        run = range(first, first + count)
        if first <= self._floor or self.contradicts(first, count) or not self._ahead.isdisjoint(run):
            return False
        if first == self._floor + 1:
            self._floor += count
        else:
            self._add(run)
        self._settle()
        return True

    def fragment_untrusted(self, sequence: int, index: int, count: int, body: bytes | memoryview) -> bytes | None:
        """One of several fragments; the message if it is whole now."""
        if self._is_done(sequence):
            return None
        known = self._partials.get(sequence)
        partial = known or Partial(count)
        partial.check(index, count, len(body))
        if index in partial.fragments:
            self._counters.dropped += 1
            return None
        if known is None and not self._make_room(sequence):
            return None
        self._partials[sequence] = partial
        message = partial.add(index, body)
        if message is not None:
            del self._partials[sequence]
            self._finish(sequence)
        return message

    def _is_done(self, sequence: int) -> bool:
        if sequence > self._floor and sequence not in self._ahead:
            return False
        self._counters.dropped += 1
        return True

    def _make_room(self, sequence: int) -> bool:
        """Give up the oldest partial message if there are too many; False if ``sequence`` is the oldest itself."""
        if len(self._partials) < MAX_PARTIAL_STREAM_MESSAGES:
            return True
        oldest = min(self._partials)
        victim = min(oldest, sequence)
        self._partials.pop(victim, None)
        self._counters.lost += 1
        self._finish(victim)
        return victim != sequence

    def _finish(self, sequence: int) -> None:
        """``sequence`` is done."""
        if sequence == self._floor + 1:
            self._floor = sequence
        else:
            self._add((sequence,))
        self._settle()

    def _add(self, sequences: Iterable[int]) -> None:
        if self._ahead is _NONE_AHEAD:
            self._ahead = set()
        self._ahead.update(sequences)

    def _settle(self) -> None:
        """Raise the floor as far as that goes."""
        ahead = self._ahead
        while ahead:
            while self._floor + 1 in ahead:
                self._floor += 1
                ahead.remove(self._floor)
            if len(ahead) <= STREAM_REORDER_MESSAGES:
                break
            self._jump(min(ahead))
        if not ahead:
            self._ahead = _NONE_AHEAD

    def _jump(self, target: int) -> None:
        """Give up everything between the floor and ``target``."""
        self._counters.lost += target - self._floor - 1
        self._floor = target - 1
        for sequence in [each for each in self._partials if each < target]:
            del self._partials[sequence]
