"""The receiving half of a `command` channel: order, messages, acknowledgements (CH-20 to CH-25).

*Theory of operation.* ``_next`` is the sequence that comes next. Units that came early wait in ``_early`` and the
message under construction is ``_partial``. A frame is judged before it changes anything: if it closes a gap, the whole
run that it joins is checked first and taken then. While the user does not take what was delivered, units wait in
``_early`` and ``next`` in our ACK stands still, so that the peer's window closes: nothing is dropped.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from protocols.channels.base import Counters, Held, ReadsOne, SendsOne
from protocols.channels.limits import COMMAND_READ_BYTES, COMMAND_WINDOW_UNITS, MESSAGE_OVERHEAD_BYTES
from protocols.codec import derive_struct
from protocols.errors import MalformedError, ProtocolViolationError
from protocols.events import AnswerReceived, CommandReceived
from specs.inner import ACK, COMMAND_HEADER
from specs.registry import MAX_COMMAND_BYTES, ChannelId, CommandFlags, InnerType

_HEADER: Final = derive_struct(COMMAND_HEADER)
_ACK: Final = derive_struct(ACK)
_ACK_TYPE: Final = int(InnerType.ACK)
_MORE: Final = int(CommandFlags.MORE)
_ANSWER: Final = int(CommandFlags.ANSWER)
_KNOWN_FLAGS: Final = _MORE | _ANSWER

Delivered = CommandReceived | AnswerReceived


class _Unit(NamedTuple):
    flags: int
    reply_to: int
    body: bytes


@dataclass(slots=True)
class _Partial:
    """A message whose last unit is still to come."""

    id: int
    """Sequence of its first unit."""
    kind: tuple[int, int]
    """(flags less MORE, reply_to): the same in all units (CH-20)."""
    data: bytearray = field(default_factory=bytearray)
    """What has been joined; units without bytes leave nothing behind."""


class CommandReceiver(SendsOne, ReadsOne):
    """One channel's incoming units, and the acknowledgements that they ask for."""

    __slots__ = (
        "_channel",
        "_counters",
        "_early",
        "_is_open",
        "_next",
        "_on_message",
        "_partial",
        "_unread_bytes",
        "unread",
        "unsent",
    )

    def __init__(
        self,
        channel: ChannelId,
        counters: Counters,
        is_open: Callable[[int], bool],
        on_message: Callable[[Delivered], None],
    ) -> None:
        self._channel = channel
        self._counters = counters
        self._is_open = is_open
        self._on_message = on_message
        self._next = 0
        self._early: dict[int, _Unit] = {}
        self._partial: _Partial | None = None
        self.unsent: list[bool] = []
        """Not empty while an ACK is due."""
        self._unread_bytes = 0
        self.unread: list[Delivered] = []
        """What the user has not taken; bounded by ``COMMAND_READ_BYTES`` and one message."""

    def next_event(self, now: float, held: Held) -> Delivered | None:  # noqa: ARG002  a command has no lifetime
        """The user takes a message, which may let waiting units in."""
        if held.commands:
            return None
        event = self.unread.pop(0)
        self._unread_bytes -= len(event.data) + MESSAGE_OVERHEAD_BYTES
        if self._next in self._early:
            self._advance()
            self.unsent[:] = (True,)
        return event

    def take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        """The ACK that is due."""
        self.unsent.clear()
        first = self._next + 1
        bitmap = sum(1 << (sequence - first) for sequence in self._early if sequence >= first)
        return _ACK.pack(_ACK_TYPE, self._channel, 0, self._next, bitmap)

    # --- units --------------------------------------------------------------------------------

    def unit_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        """A unit of the peer's."""
        try:
            _, _, flags, sequence, reply_to = _HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("command: too short") from None
        if flags & ~_KNOWN_FLAGS:
            raise MalformedError("command: unknown flag (CH-21)")
        if reply_to and not flags & _ANSWER:
            raise ProtocolViolationError("command: reply_to without ANSWER (CH-21)")
        if sequence > self._next + COMMAND_WINDOW_UNITS:
            raise ProtocolViolationError("command: unit beyond the window (CH-24)")
        if sequence < self._next or sequence in self._early:
            self._counters.dropped += 1
        else:
            self._take(sequence, _Unit(flags, reply_to, frame[_HEADER.size :]))
        self.unsent[:] = (True,)  # CH-23; a double may mean that our ACK was lost

    def _take(self, sequence: int, unit: _Unit) -> None:
        is_next = sequence == self._next
        if is_next and not (unit.flags & _MORE or self._early or self._partial):
            self._check_answer(unit, set())  # the usual case: a message of one unit, in order
        else:
            self._check_untrusted(sequence, unit)
        self._early[sequence] = unit
        if is_next:
            self._advance()

    def _run(self, sequence: int, unit: _Unit) -> Iterator[_Unit]:
        """The units without a gap from ``_next`` on, ``unit`` among them."""
        cursor = self._next
        while (each := unit if cursor == sequence else self._early.get(cursor)) is not None:
            yield each
            cursor += 1

    def _check_untrusted(self, sequence: int, unit: _Unit) -> None:
        """Raise if the run that ``unit`` joins breaks a rule; a unit behind a gap is judged when the gap closes."""
        kind = self._partial.kind if self._partial else None
        size = len(self._partial.data) if self._partial else 0
        answered: set[int] = set()
        for each in self._run(sequence, unit):
            mine = (each.flags & ~_MORE, each.reply_to)
            if kind is None:
                self._check_answer(each, answered)
            elif kind != mine:
                raise ProtocolViolationError("command: units of one message differ (CH-20)")
            size += len(each.body)
            if size > MAX_COMMAND_BYTES:
                raise ProtocolViolationError("command: message too large (CH-20)")
            kind, size = (mine, size) if each.flags & _MORE else (None, 0)

    def _check_answer(self, first: _Unit, answered: set[int]) -> None:
        if first.flags & _ANSWER:
            if first.reply_to in answered or not self._is_open(first.reply_to):
                raise ProtocolViolationError("command: answer to no open request (CH-25)")
            answered.add(first.reply_to)

    def _advance(self) -> None:
        """Take checked units in order, as long as the user takes messages."""
        while self._unread_bytes < COMMAND_READ_BYTES:
            unit = self._early.pop(self._next, None)
            if unit is None:
                return
            self._join(self._next, unit)
            self._next += 1

    def _join(self, sequence: int, unit: _Unit) -> None:
        partial = self._partial
        if unit.flags & _MORE:
            if partial is None:
                partial = self._partial = _Partial(sequence, (unit.flags & ~_MORE, unit.reply_to))
            partial.data += unit.body
            return
        self._partial = None
        data = bytes(partial.data) + unit.body if partial else unit.body
        self._deliver(partial.id if partial else sequence, unit, data)

    def _deliver(self, first: int, unit: _Unit, data: bytes) -> None:
        message: Delivered
        if unit.flags & _ANSWER:
            message = AnswerReceived(self._channel, unit.reply_to, data)
        else:
            message = CommandReceived(self._channel, first, data)
        self._on_message(message)
        self._unread_bytes += len(data) + MESSAGE_OVERHEAD_BYTES
        self._counters.received += 1
        self.unread.append(message)
