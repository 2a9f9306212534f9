"""`command`: reliable, ordered, exactly once, answered (specs/3-channels.md, 3.3)."""

from typing import ClassVar, Final

from protocols.channels.base import ChannelBase, Path, Ports
from protocols.channels.command_receiver import CommandReceiver, Delivered
from protocols.channels.command_sender import CommandSender, Unit
from protocols.channels.limits import (
    COMMAND_QUEUE_BYTES,
    COMMAND_UNIT_FRAME_BYTES,
    MAX_OPEN_REQUESTS,
    MESSAGE_OVERHEAD_BYTES,
)
from protocols.codec import derive_struct
from protocols.errors import MessageTooLargeError, QueueFullError, UsageError
from protocols.events import AnswerReceived, Sendable, SendCommand
from specs.inner import COMMAND_HEADER
from specs.registry import MAX_COMMAND_BYTES, ChannelId, CommandFlags, InnerType

_HEADER: Final = derive_struct(COMMAND_HEADER)
_CHANNEL: Final = int(InnerType.CHANNEL)
_MORE: Final = int(CommandFlags.MORE)
_ANSWER: Final = int(CommandFlags.ANSWER)


class CommandChannel(ChannelBase):
    """Ties the halves together: requests and answers know of each other (CH-25)."""

    __slots__ = ("_largest_frame_bytes", "_next_sequence", "_ours", "_receiver", "_sender", "_theirs")

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self._ours: dict[int, int] = {}
        """Our requests without an answer: id -> sequence of the last unit."""
        self._theirs: dict[int, None] = {}
        """The peer's requests that we have not answered, oldest first."""
        self._sender = CommandSender(path, self.counters)
        # A unit keeps its bytes for ever: whatever the path passes later, it must pass what is taken for granted now.
        self._largest_frame_bytes = path.max_frame_bytes
        if not path.reliable:
            self._largest_frame_bytes = min(path.max_frame_bytes, COMMAND_UNIT_FRAME_BYTES)
        self._receiver = CommandReceiver(channel, self.counters, self._is_open, self._on_message)

    def ports(self) -> Ports:
        return Ports(source=self._sender, reader=self._receiver, acknowledgements=self._receiver)

    def _unit_untrusted(self, frame: bytes, now: float) -> None:
        self._receiver.unit_untrusted(frame, now)

    def _ack_untrusted(self, frame: bytes, now: float) -> None:
        self._sender.ack_untrusted(frame, now)

    RECEIVERS: ClassVar = {int(InnerType.CHANNEL): _unit_untrusted, int(InnerType.ACK): _ack_untrusted}

    def next_deadline(self) -> float | None:
        return self._sender.next_deadline()

    def handle_deadline(self, now: float) -> None:
        self._sender.handle_deadline(now)

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  the timer runs from the transmission
        if not isinstance(message, SendCommand):
            raise self.wrong_message(message)
        pieces = self._cut(message.data)
        first = self._next_sequence
        last = self.take_sequence(first + len(pieces) - 1)
        self._check(message, len(pieces))
        if message.reply_to is None:
            self._ours[first] = last
        else:
            del self._theirs[message.reply_to]  # answered once (CH-25)
        self._queue(pieces, message.reply_to)
        return first

    def room(self) -> int:
        free = COMMAND_QUEUE_BYTES - self._sender.queued_bytes
        return max(0, free - (free // self._unit_bytes() + 1) * MESSAGE_OVERHEAD_BYTES)

    def _unit_bytes(self) -> int:
        return min(self.path.max_frame_bytes, self._largest_frame_bytes) - _HEADER.size

    def _cut(self, data: bytes) -> list[bytes]:
        if len(data) > MAX_COMMAND_BYTES:
            raise MessageTooLargeError("a command message is at most 65,536 bytes")
        length = self._unit_bytes()
        return [data[start : start + length] for start in range(0, max(len(data), 1), length)]

    def _check(self, message: SendCommand, units: int) -> None:
        if message.reply_to is not None and message.reply_to not in self._theirs:
            raise UsageError("reply_to names no request that waits for an answer (CH-25)")
        if message.reply_to is None and len(self._ours) >= MAX_OPEN_REQUESTS:
            raise QueueFullError("too many requests wait for their answer")
        size = len(message.data) + units * MESSAGE_OVERHEAD_BYTES
        if self._sender.queued_bytes + size > COMMAND_QUEUE_BYTES:
            raise QueueFullError("the peer has not acknowledged enough commands")

    def _queue(self, pieces: list[bytes], reply_to: int | None) -> None:
        kind = 0 if reply_to is None else _ANSWER
        for place, piece in enumerate(pieces, start=1):
            is_last = place == len(pieces)
            flags = kind if is_last else kind | _MORE
            header = _HEADER.pack(_CHANNEL, self.id, flags, self._next_sequence, reply_to or 0)
            self._sender.queue(Unit(self._next_sequence, header + piece, len(piece), is_last))
            self._next_sequence += 1

    # --- requests and answers -----------------------------------------------------------------

    def _is_open(self, request: int) -> bool:
        """Is it ours, has all of it left, and is it unanswered (CH-25)?"""
        last = self._ours.get(request)
        return last is not None and last < self._sender.sent_to

    def _on_message(self, message: Delivered) -> None:
        if isinstance(message, AnswerReceived):
            del self._ours[message.reply_to]
            return
        self._theirs[message.id] = None
        if len(self._theirs) > MAX_OPEN_REQUESTS:  # a user who never answers must not fill the memory
            del self._theirs[next(iter(self._theirs))]
