"""`control`: newest wins, with a lifetime (specs/3-channels.md, 3.2)."""

import struct
from typing import ClassVar, Final

from protocols.channels.ages import AgeFilter, milliseconds
from protocols.channels.base import U32, ChannelBase, Held, Path, Ports, ReadsOne, SendsOne
from protocols.codec import derive_struct
from protocols.errors import MalformedError, MessageTooLargeError, UsageError
from protocols.events import ChannelEvent, ControlReceived, Sendable, SendControl
from specs.inner import CONTROL_HEADER
from specs.registry import ChannelId, InnerType

_HEADER: Final = derive_struct(CONTROL_HEADER)
_CHANNEL: Final = int(InnerType.CHANNEL)


class ControlChannel(SendsOne, ReadsOne, ChannelBase):
    """At most one unsent message, and at most one that the user has not taken."""

    __slots__ = ("_ages", "_delivered", "_next_sequence", "_stale_since", "unread", "unsent")

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_sequence = 0
        self.unsent: list[tuple[float, bytes]] = []
        self._delivered = -1
        self._ages = AgeFilter()
        self._stale_since: float | None = None
        self.unread: list[ControlReceived] = []

    def ports(self) -> Ports:
        return Ports(source=self, reader=self)

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:
        if not isinstance(message, SendControl):
            raise self.wrong_message(message)
        if not 0.001 <= message.lifetime_s <= 65.535:
            raise UsageError("a lifetime is 0.001 to 65.535 s")
        if len(message.data) + _HEADER.size > self.path.max_frame_bytes:
            raise MessageTooLargeError("a control message is one payload's worth at most")
        sequence = self.take_sequence(self._next_sequence)
        # The clock of the moment of sending, not of leaving: time spent in this queue is age too.
        header = _HEADER.pack(_CHANNEL, self.id, round(message.lifetime_s * 1000), sequence, milliseconds(now) & U32)
        frame = header + message.data
        self._next_sequence = sequence + 1
        self.counters.dropped += len(self.unsent)
        self.unsent[:] = ((now + message.lifetime_s, frame),)  # CH-13
        return 0

    def room(self) -> int:
        return 1

    def shrink(self) -> None:
        if self.unsent and len(self.unsent[0][1]) > self.path.max_frame_bytes:
            self.unsent.clear()
            self.counters.dropped += 1

    def take(self, now: float) -> bytes | None:
        expires, frame = self.unsent.pop()
        if now > expires:  # CH-13
            self.counters.dropped += 1
            return None
        self.counters.sent += 1
        return frame

    def ready(self, now: float) -> bool:
        return now <= self.unsent[0][0]

    # --- receiving ----------------------------------------------------------------------------

    def _receive_untrusted(self, frame: bytes, now: float) -> None:
        try:
            _, _, lifetime_ms, sequence, sent_ms = _HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("control: too short") from None
        if lifetime_ms == 0:
            raise MalformedError("control: a lifetime of 0 (CH-10)")
        age_ms = self._ages.age_ms(now, sent_ms)
        if age_ms > lifetime_ms:  # CH-12
            self._stale(now)
            return
        self._stale_since = None
        if sequence <= self._delivered:  # CH-11
            self.counters.dropped += 1
            return
        self._delivered = sequence
        self.counters.received += 1
        self.counters.dropped += len(self.unread)
        # Newest wins up to the user: one who reads slowly must not act on old sticks first.
        self.unread[:] = (
            ControlReceived(
                channel=self.id,
                data=frame[_HEADER.size :],
                age_s=age_ms / 1000,
                expires_s=now + (lifetime_ms - age_ms) / 1000,
            ),
        )

    def next_event(self, now: float, held: Held) -> ChannelEvent | None:  # noqa: ARG002  newest wins: never held
        event = self.unread.pop()
        if now <= event.expires_s:
            return event
        self.counters.stale += 1  # CH-14
        return None

    def _stale(self, now: float) -> None:
        self.counters.stale += 1
        if self._stale_since is None:
            self._stale_since = now

    @property
    def stale_since(self) -> float | None:
        """When the first of the messages arrived that were all too old; None after one that was not."""
        return self._stale_since

    RECEIVERS: ClassVar = {int(InnerType.CHANNEL): _receive_untrusted}
