"""`relay`: opaque datagrams of links between others, and what is said about their flows (specs/5-relay.md).

*Theory of operation.* The channel knows no flows: it carries messages, and which of them make sense is for the node to
say, which has the table of flows. What waits to be sent is cut into frames already, and flows take turns, so that none
can keep another waiting, or push out what is not its own. On the other side parts wait for each other, few and not for
long; in the order of their coming, since what is too old, or too much, is dropped from that end.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import ClassVar, Final

from protocols.channels import relay_frames
from protocols.channels.base import ChannelBase, Held, Path, Ports, ReadsOne, SendsOne
from protocols.channels.fair import FairQueue
from protocols.channels.limits import (
    MAX_RELAY_PARTIALS_IN_ALL,
    MESSAGE_OVERHEAD_BYTES,
    RELAY_FLOW_BYTES,
    RELAY_QUEUE_BYTES,
    RELAY_READ_BYTES,
)
from protocols.errors import ProtocolViolationError
from protocols.events import ChannelEvent, RelayDatagram, RelayMessage, RelayReceived, Sendable, SendRelay
from specs.registry import (
    MAX_RELAY_DATAGRAM_BYTES,
    MAX_RELAY_PARTIALS,
    RELAY_PARTIAL_S,
    ChannelId,
    InnerType,
)

_Flow = tuple[int, bool]
"""A flow: its opener's number, and whether who sends has opened it."""
_NONE: Final[deque[RelayMessage]] = deque(maxlen=0)
"""Shared by all channels of which nothing waits to be read."""


@dataclass(slots=True)
class Partial:
    """A datagram some of whose parts have arrived."""

    count: int
    """Parts of the datagram."""
    since_s: float
    """When the first of them came."""
    length: int = 0
    """Bytes of every part but the last; 0 while none of them has come."""
    last: int = 0
    """Bytes of the last part; 0 while it has not come."""
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    """What has come, by index."""

    def check(self, index: int, count: int, size: int) -> None:
        """Raise if a part contradicts the others, or the datagram would be too large (RL-11); it changes nothing."""
        is_last = index == self.count - 1
        length, last = (self.length, size) if is_last else (size, self.last)
        if count != self.count or (not is_last and self.length not in {0, size}):
            raise ProtocolViolationError("relay: parts contradict each other (RL-11)")
        if (is_last and self.last not in {0, size}) or (length and last > length):
            raise ProtocolViolationError("relay: parts contradict each other (RL-11)")
        if length * (count - 1) + (last or 1) > MAX_RELAY_DATAGRAM_BYTES:
            raise ProtocolViolationError("relay: datagram too large (RL-11)")

    def add(self, index: int, body: bytes) -> bytes | None:
        """Take a checked part; the datagram if it is whole now."""
        self.parts[index] = body
        if index == self.count - 1:
            self.last = len(body)
        else:
            self.length = len(body)
        return b"".join(self.parts[each] for each in range(self.count)) if len(self.parts) == self.count else None


class RelayChannel(SendsOne, ReadsOne, ChannelBase):
    """Messages of flows, in both directions."""

    __slots__ = ("_next_id", "_partials", "_unread_bytes", "unread", "unsent")

    def __init__(self, channel: ChannelId, path: Path) -> None:
        super().__init__(channel, path)
        self._next_id = 0
        self.unsent: FairQueue[_Flow | None] = FairQueue(RELAY_QUEUE_BYTES, RELAY_FLOW_BYTES)
        """Frames: datagrams by flow, all else under None."""
        self._partials: OrderedDict[tuple[_Flow, int], Partial] | None = None
        """In the order of their first parts; None while there never was one: most paths need none."""
        self.unread: deque[RelayMessage] = _NONE
        self._unread_bytes = 0

    def ports(self) -> Ports:
        return Ports(source=self, reader=self)

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:  # noqa: ARG002  a datagram has no clock
        if not isinstance(message, SendRelay):
            raise self.wrong_message(message)
        inside = message.message
        relay_frames.check(inside)
        if not isinstance(inside, RelayDatagram):
            self.counters.dropped += self.unsent.add(None, relay_frames.encode(inside, self.id))
            return 0
        count = relay_frames.parts_needed(len(inside.data), self.path.max_frame_bytes)
        number = 0
        if count > 1:
            number, self._next_id = self._next_id, self._next_id + 1 & 0xFFFF
        for frame in relay_frames.parts(inside, self.id, number, count):
            self.counters.dropped += self.unsent.add((inside.flow, inside.by_opener), frame)
        return 0

    def room(self) -> int:
        return self.unsent.room_bytes

    def shrink(self) -> None:
        """What was cut for a larger path is lost, as any datagram may be."""
        self.counters.dropped += self.unsent.drop_larger(self.path.max_frame_bytes)

    def take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        self.counters.sent += 1
        return self.unsent.pop()[1]

    # --- receiving ----------------------------------------------------------------------------

    def _receive_untrusted(self, frame: bytes, now: float) -> None:
        if not relay_frames.is_data_untrusted(frame):
            self._deliver(relay_frames.signal_untrusted(frame))
            return
        part, number, index, count = relay_frames.part_untrusted(frame)
        if count == 1:
            self._deliver(part)
            return
        whole = self._join_untrusted(part, number, index, count, now)
        if whole is not None:
            self._deliver(RelayDatagram(part.flow, part.by_opener, whole))

    def _join_untrusted(self, part: RelayDatagram, number: int, index: int, count: int, now: float) -> bytes | None:
        """Take a part; the datagram if it is whole now."""
        flow = (part.flow, part.by_opener)
        key = (flow, number)
        known = None if self._partials is None else self._partials.get(key)
        if known is not None and now - known.since_s > RELAY_PARTIAL_S:
            known = None  # of a datagram that is lost
        partial = known or Partial(count, now)
        partial.check(index, count, len(part.data))
        if index in partial.parts:
            self.counters.dropped += 1
            return None
        partials = self._room_for(flow, now) if known is None else self._partials
        assert partials is not None  # noqa: S101
        partials[key] = partial
        whole = partial.add(index, part.data)
        if whole is not None:
            del partials[key]
        return whole

    def _room_for(self, flow: _Flow, now: float) -> "OrderedDict[tuple[_Flow, int], Partial]":
        """Give up what has waited too long, and the oldest where there are too many (RL-13)."""
        if self._partials is None:
            self._partials = OrderedDict()
        partials = self._partials
        while partials and now - next(iter(partials.values())).since_s > RELAY_PARTIAL_S:
            self._give_up(next(iter(partials)))
        of_flow = [key for key in partials if key[0] == flow]
        if len(of_flow) >= MAX_RELAY_PARTIALS:
            self._give_up(of_flow[0])
        elif len(partials) >= MAX_RELAY_PARTIALS_IN_ALL:
            self._give_up(next(iter(partials)))
        return partials

    def _give_up(self, key: tuple[_Flow, int]) -> None:
        if self._partials is not None and self._partials.pop(key, None) is not None:
            self.counters.lost += 1

    def _deliver(self, message: RelayMessage) -> None:
        if not self.unread:
            self.unread = deque()
        self.unread.append(message)
        self._unread_bytes += _size(message)
        self.counters.received += 1
        while self._unread_bytes > RELAY_READ_BYTES:
            self._take_event()
            self.counters.dropped += 1

    def _take_event(self) -> RelayMessage:
        message = self.unread.popleft()
        self._unread_bytes -= _size(message)
        return message

    def next_event(self, now: float, held: Held) -> ChannelEvent:  # noqa: ARG002  unreliable: never held
        return RelayReceived(self.id, self._take_event())

    RECEIVERS: ClassVar = {int(InnerType.CHANNEL): _receive_untrusted}


def _size(message: RelayMessage) -> int:
    return MESSAGE_OVERHEAD_BYTES + (len(message.data) if isinstance(message, RelayDatagram) else 0)
