"""What the multiplexer knows of a channel, whatever its class, and the numbers that it reports."""

from collections.abc import Callable, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from protocols.errors import UsageError
from protocols.events import ChannelEvent, Sendable, StreamReceived
from protocols.link.recovery import CongestionWindow, RttEstimator
from specs.registry import ChannelId

LAST_SEQUENCE: Final = 2**32 - 2
"""A sequence never wraps (CH-11), and an ACK's ``next`` must be able to name the one behind the last."""
U32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class ClassStats:
    """What became of the messages of one class since the association began."""

    sent: int = 0
    """Messages that left whole, the first time (``bulk``: chunks)."""
    received: int = 0
    """Messages delivered to the user's queue (``bulk``: chunks taken)."""
    dropped: int = 0
    """Messages given up in a queue here, for a newer one or for want of room; and late or doubled arrivals."""
    stale: int = 0
    """``control`` only: older than their lifetime when they arrived, or when they were to be taken (CH-12, CH-14)."""
    lost: int = 0
    """``stream``, ``relay``: messages that never became whole; ``command``, ``bulk``: units, chunks found missing."""
    retransmitted: int = 0
    """Units or chunks sent again."""


@dataclass(frozen=True, slots=True)
class ChannelsStats:
    """One row per class; channels of the same class are added up."""

    control: ClassStats
    """Newest wins, with a lifetime."""
    command: ClassStats
    """Reliable messages."""
    state: ClassStats
    """Newest wins per key."""
    stream: ClassStats
    """Unreliable, fragmented messages."""
    bulk: ClassStats
    """Transfers, counted in chunks."""
    relay: ClassStats
    """What is carried for others: frames sent, messages received."""


@dataclass(slots=True)
class Counters:
    """The growing form of :class:`ClassStats`, one per channel."""

    sent: int = 0
    """See :class:`ClassStats`."""
    received: int = 0
    """See :class:`ClassStats`."""
    dropped: int = 0
    """See :class:`ClassStats`."""
    stale: int = 0
    """See :class:`ClassStats`."""
    lost: int = 0
    """See :class:`ClassStats`."""
    retransmitted: int = 0
    """See :class:`ClassStats`."""


@dataclass(slots=True)
class Path:
    """What all channels of a link share: their way to the peer."""

    rtt: RttEstimator
    """Round trip and timeout."""
    congestion: CongestionWindow
    """Window of all bulk transfers together."""
    reliable: bool
    """The carrier loses nothing and keeps the order: no timers, no loss detection."""
    max_frame_bytes: int
    """Largest inner frame, header included."""
    on_room: Callable[[], None] | None = None
    """To be called when a stream that had no room for everything has much of it again."""


class Source(Protocol):
    """Something that may have frames to send; the multiplexer asks the sources in order of priority."""

    @property
    def unsent(self) -> Sized:
        """Empty: there is nothing to ask for. Looked at before the call, since most sources are idle."""
        ...

    def take(self, now: float) -> bytes | None:
        """Return the next frame, or None if none may leave now; only while ``unsent`` is not empty."""
        ...

    def take_run(self, now: float, limit_frames: int, limit_bytes: int) -> list[bytes]:
        """Return what ``take`` would give in as many calls as the limits allow, but at least in one."""
        ...

    def ready(self, now: float) -> bool:
        """Return whether ``take`` would give one."""
        ...


class SendsOne:
    """A source whose runs are single frames, and which gives whatever stands in ``unsent``."""

    __slots__ = ()

    def take(self, now: float) -> bytes | None:
        """Return the next frame."""
        raise NotImplementedError

    def take_run(self, now: float, limit_frames: int, limit_bytes: int) -> list[bytes]:  # noqa: ARG002
        """Return one frame, or none."""
        frame = self.take(now)
        return [] if frame is None else [frame]

    def ready(self, now: float) -> bool:  # noqa: ARG002
        """Return True."""
        return True


@dataclass(frozen=True, slots=True)
class Held:
    """What the user has no room for: it stays in the core and keeps its sender back, and nothing else (CH-5)."""

    commands: bool = False
    """Everything of class ``command``."""
    transfers: AbstractSet[tuple[ChannelId, int]] = frozenset()
    """Bytes of these incoming transfers, and the word that they are complete."""


NOTHING_HELD: Final = Held()


class StreamRun(list[StreamReceived]):
    """Messages of a stream, taken together."""

    __slots__ = ("counted_bytes",)

    counted_bytes: int
    """What they count in a queue: their bytes, and ``MESSAGE_OVERHEAD_BYTES`` for each."""


class Reader(Protocol):
    """Something that may have events for the user."""

    @property
    def unread(self) -> Sized:
        """Empty: there is nothing to ask for."""
        ...

    def next_event(self, now: float, held: Held) -> ChannelEvent | None:
        """Return the next event; None if all that stands in ``unread`` is held, or came to nothing."""
        ...

    def next_events(self, now: float, held: Held) -> Sequence[ChannelEvent]:
        """Return the next event, or all of them where they are many."""
        ...


class ReadsOne:
    """A reader whose events are taken one by one."""

    __slots__ = ()

    def next_event(self, now: float, held: Held) -> ChannelEvent | None:
        """Return the next event."""
        raise NotImplementedError

    def next_events(self, now: float, held: Held) -> Sequence[ChannelEvent]:
        """Return one event, or none."""
        event = self.next_event(now, held)
        return () if event is None else (event,)


class Ports(NamedTuple):
    """How a channel is wired into the multiplexer."""

    source: Source
    """Frames at the priority of the channel's class."""
    reader: Reader
    """Where the user's events come from."""
    acknowledgements: Source | None = None
    """Frames that go before ``state`` (CH-3)."""


@dataclass(slots=True, eq=False)
class ChannelBase:
    """A channel of any class; each class is one module of this package."""

    id: ChannelId
    """Number on the wire."""
    path: Path
    """Shared by the channels of the link."""
    counters: Counters = field(default_factory=Counters, init=False)
    """Its share of the statistics."""

    RECEIVERS: ClassVar[Mapping[int, Callable[[Any, bytes, float], None]]] = {}
    """Its methods that take an inner frame, by inner type."""

    def ports(self) -> Ports:
        """Its sources and its reader; asked once."""
        raise NotImplementedError

    RUNS: ClassVar[Mapping[int, Callable[[Any, Sequence[bytes], float], int]]] = {}
    """Its methods that take the first of several frames, or several of the first as one, and say how many.

    By inner type; the first two frames are of this type and this channel. They raise as each frame alone would.
    """

    def send(self, message: Sendable, now: float) -> int:
        """Queue a message, or raise and change nothing."""
        raise NotImplementedError

    def room(self) -> int:
        """What ``send`` would take now: messages, bytes or transfers, as the class counts."""
        raise NotImplementedError

    def shrink(self) -> None:
        """``path.max_frame_bytes`` fell: what is queued and no longer fits is cut anew, or dropped and counted."""

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` has something to do."""
        return None

    def handle_deadline(self, now: float) -> None:
        """Do what is due."""

    def take_sequence(self, sequence: int) -> int:
        """``sequence`` if it may still be used (CH-11)."""
        if sequence > LAST_SEQUENCE:
            raise UsageError("the channel's sequence is used up: end the association")
        return sequence

    def wrong_message(self, message: Sendable) -> UsageError:
        """The caller chose a channel of another class."""
        return UsageError(f"{type(message).__name__} does not fit the class of channel {self.id.name}")
