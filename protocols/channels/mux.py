"""All channels of a link behind one interface: frames in priority order out, frames in, events (specs/3-channels.md).

Sans-I/O, and without keys: what goes out is sealed, and what comes in was opened, by the link's core.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Final, cast

from protocols.channels.base import (
    NOTHING_HELD,
    ChannelBase,
    ChannelsStats,
    ClassStats,
    Held,
    Path,
    Source,
)
from protocols.channels.bulk import BulkChannel
from protocols.channels.command import CommandChannel
from protocols.channels.control import ControlChannel
from protocols.channels.limits import MIN_FRAME_BYTES
from protocols.channels.relay import RelayChannel
from protocols.channels.state import StateChannel
from protocols.channels.stream import StreamChannel
from protocols.errors import MalformedError, ProtocolViolationError, UsageError
from protocols.events import ChannelEvent, Sendable
from protocols.link.recovery import CongestionWindow, RttEstimator
from specs.registry import MAX_RECORD_PLAINTEXT_BYTES, Channel, ChannelClass, ChannelId, InnerType

HANDLED_TYPES: Final = frozenset(
    (
        InnerType.CHANNEL,
        InnerType.STREAM_BUNDLE,
        InnerType.ACK,
        InnerType.BULK_ACK,
        InnerType.BULK_OFFER,
        InnerType.BULK_ACCEPT,
        InnerType.BULK_DONE,
    )
)
"""Inner types that :meth:`Channels.receive_untrusted` takes; the others are the link's own."""

_ORDER: Final = (
    ChannelClass.CONTROL,
    ChannelClass.COMMAND,
    ChannelClass.STATE,
    ChannelClass.RELAY,
    ChannelClass.STREAM,
    ChannelClass.BULK,
)
"""CH-3. A relay comes before a stream, since it carries the commands of others."""
_RANKS: Final = {service: 2 * place for place, service in enumerate(_ORDER)}
_TIMED: Final = frozenset((ChannelClass.COMMAND, ChannelClass.BULK))
"""Classes whose channels have timers."""
_RUN_FRAMES: Final = 64
"""Frames of a train that are looked at together."""
_IN_RUNS: Final = frozenset((InnerType.CHANNEL, InnerType.STREAM_BUNDLE))


class Channels:
    """The channels of one association (CH-2): made with it, and gone with it; a rekey does not touch them."""

    __slots__ = ("_by_id", "_channels", "_last_of_rank", "_order", "_path", "_readers", "_timed", "has_more")

    def __init__(
        self,
        table: tuple[Channel, ...],
        *,
        now: float,  # noqa: ARG002  no channel has a time of its own before its first message
        entropy: Callable[[int], bytes],
        reliable: bool,
        max_frame_bytes: int,
    ) -> None:
        _check_frame_bytes(max_frame_bytes)
        window = CongestionWindow(packet_bytes=max_frame_bytes, enabled=not reliable)
        self._path = Path(RttEstimator(), window, reliable, max_frame_bytes)
        rows = sorted(table, key=lambda row: _RANKS[row.service])
        self._channels = tuple((row.service, _make(row, self._path, entropy)) for row in rows)
        self._by_id: dict[int, ChannelBase] = {channel.id: channel for _, channel in self._channels}
        self._timed = tuple(channel for service, channel in self._channels if service in _TIMED)
        ports = [(service, channel.ports()) for service, channel in self._channels]
        self._readers = tuple(each.reader for _, each in ports)
        ranked = [(_RANKS[service], each.source) for service, each in ports]
        acknowledges = _RANKS[ChannelClass.COMMAND] + 1
        ranked += [(acknowledges, each.acknowledgements) for _, each in ports if each.acknowledgements is not None]
        ranked.sort(key=lambda entry: entry[0])
        self._order = [source for _, source in ranked]
        self._last_of_rank = _last_of_rank(tuple(rank for rank, _ in ranked))
        self.has_more = False
        """Whether ``next_frames`` left something that may be sent at once."""

    # --- sending ------------------------------------------------------------------------------

    def send(self, message: Sendable, now: float) -> int:
        """Queue a message: a command's id, an offer's transfer number, otherwise 0.

        A :class:`LocalError` (wrong channel or value, too large, queue full) leaves everything as it was.
        """
        channel = self._by_id.get(message.channel)
        if channel is None:
            raise UsageError("the link has no such channel")
        return channel.send(message, now)

    def send_alone(self, message: Sendable, now: float) -> tuple[int, bytes | None, bool]:
        """As ``send``, with what its channel gives to seal at once, and whether it has more of it.

        Only for messages of ``control``, ``state``, ``relay`` and ``stream`` that do not fill their queue, while
        ``next_frame`` would give none.
        """
        channel = self._by_id.get(message.channel)
        if channel is None:
            raise UsageError("the link has no such channel")
        number = channel.send(message, now)
        source = cast("Source", channel)  # of these classes, the channel is its own
        return number, source.take(now), bool(source.unsent)

    def send_many(self, channel: ChannelId, datas: Sequence[bytes], now: float) -> int:  # noqa: ARG002  as ``send``
        """Queue messages on a channel of class ``stream``, as many as there is room for; how many.

        Nothing is dropped for them, unlike by ``send``: 0 means that there is no room now. A :class:`LocalError` (one
        of them is no bytes, or too large) leaves everything as it was.
        """
        stream = self._by_id.get(channel)
        if not isinstance(stream, StreamChannel):
            raise UsageError("the link has no such channel of class stream")
        return stream.send_many(datas)

    def service(self, channel: ChannelId) -> ChannelClass | None:
        """The class of a channel; None if the link has no such channel."""
        return next((service for service, each in self._channels if each.id == channel), None)

    @property
    def on_room(self) -> Callable[[], None] | None:
        """What is called when ``send_many`` has not taken everything, and half of the queue has left since."""
        return self._path.on_room

    @on_room.setter
    def on_room(self, value: Callable[[], None] | None) -> None:
        self._path.on_room = value

    def room(self, service: ChannelClass) -> int:
        """What can be queued now on each channel of a class.

        Messages (control, state), bytes of one message (command, stream, relay), or transfers (bulk). A stream and a
        relay take more than that, and drop their oldest messages for it.
        """
        return min((channel.room() for each, channel in self._channels if each is service), default=0)

    def next_frame(self, now: float) -> bytes | None:
        """The inner frame to seal next; None if nothing may be sent now."""
        order = self._order
        for place, source in enumerate(order):
            if source.unsent and (frame := source.take(now)) is not None:
                self._next_turn(place)
                return frame
        return None

    def next_frames(self, now: float, limit_frames: int, limit_bytes: int) -> Sequence[bytes]:
        """Inner frames to seal next: those that as many calls of ``next_frame`` would give, in the same order.

        All are of the most urgent source that has something: one frame, but of a stream and of bulk as many as both
        limits allow, and at least one. Empty if nothing may be sent now.
        """
        for place, source in enumerate(self._order):
            if not source.unsent:
                continue
            rivals = self._order[place + 1 : self._last_of_rank[place] + 1]
            most = 1 if rivals and any([each.unsent for each in rivals]) else limit_frames  # noqa: C419
            if frames := source.take_run(now, most, limit_bytes):
                self.has_more = bool(source.unsent) or any([each.unsent for each in self._order[place + 1 :]])  # noqa: C419
                self._next_turn(place)
                return frames
        self.has_more = False
        return ()

    def _next_turn(self, place: int) -> None:
        """Channels of the same class take turns, frame by frame."""
        last = self._last_of_rank[place]
        if place != last:
            self._order.insert(last, self._order.pop(place))

    def has_output(self, now: float) -> bool:
        """Would ``next_frame`` give one?"""
        return any(source.unsent and source.ready(now) for source in self._order)

    # --- receiving ----------------------------------------------------------------------------

    def receive_untrusted(self, frame: bytes, now: float) -> None:
        """An inner frame of one of ``HANDLED_TYPES``, as the peer sealed it.

        :class:`MalformedError` or :class:`ProtocolViolationError`: the peer broke the protocol (CH-1); the frame
        changed nothing, and the link should end.
        """
        if len(frame) < 2:
            raise MalformedError("inner frame: too short")
        channel = self._by_id.get(frame[1])
        receive = channel.RECEIVERS.get(frame[0]) if channel else None
        if receive is None:
            raise ProtocolViolationError("inner frame: its type does not fit its channel (CH-1)")
        receive(channel, frame, now)

    def receive_run_untrusted(self, frames: Sequence[bytes], now: float) -> int:
        """Take the inner frames of one train, in order; how many.

        It stops before the first that is not of ``HANDLED_TYPES``: that one is the link's own. The errors are those of
        ``receive_untrusted``; what stands before the frame at fault has been taken then.
        """
        taken, total = 0, len(frames)
        while taken < total:
            frame = frames[taken]
            if not frame or frame[0] not in HANDLED_TYPES:
                break
            if frame[0] in _IN_RUNS and taken + 1 < total and len(frame) > 1 and frame[:2] == frames[taken + 1][:2]:
                channel = self._by_id.get(frame[1])
                take = channel.RUNS.get(frame[0]) if channel else None
                if take is not None:
                    taken += take(channel, frames[taken : taken + _RUN_FRAMES], now)
                    continue
            self.receive_untrusted(frame, now)
            taken += 1
        return taken

    def next_event(self, now: float = float("-inf"), held: Held = NOTHING_HELD) -> ChannelEvent | None:
        """What the user has not taken yet, by priority of its class; taking it is what opens flow windows.

        ``now``: a control message that has waited too long is not handed out any more (CH-14). ``held``: what the user
        has no room for is passed over (CH-5).
        """
        for reader in self._readers:
            if reader.unread and (event := reader.next_event(now, held)) is not None:
                return event
        return None

    def next_events(self, now: float, held: Held = NOTHING_HELD) -> Sequence[ChannelEvent]:
        """What ``next_event`` would give next: one event, but of a stream all of them; empty if there is none."""
        for reader in self._readers:
            if reader.unread and (events := reader.next_events(now, held)):
                return events
        return ()

    @property
    def control_stale_since(self) -> float | None:
        """Since when every control message of a channel was too old (CH-12); None after one that was not."""
        since = [channel.stale_since for _, channel in self._channels if isinstance(channel, ControlChannel)]
        return min((each for each in since if each is not None), default=None)

    # --- time ---------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When ``handle_deadline`` has something to do; None: not before something else happens."""
        deadlines = [channel.next_deadline() for channel in self._timed]
        return min((each for each in deadlines if each is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Do what is due by ``now``; harmless when nothing is."""
        for channel in self._timed:
            channel.handle_deadline(now)

    def rtt_sample(self, rtt_s: float, now: float) -> None:  # noqa: ARG002  the interface of every sample
        """A round trip that the link measured with a ping."""
        self._path.rtt.sample(rtt_s)

    @property
    def rtt_s(self) -> float | None:
        """Smoothed round trip in seconds; None before the first sample."""
        return self._path.rtt.smoothed_s or None

    # --- the path -----------------------------------------------------------------------------

    def take_delivered_bytes(self) -> int:
        """Length of the largest chunk that the peer has acknowledged since the last call; 0 without one."""
        congestion = self._path.congestion
        size, congestion.delivered_bytes = congestion.delivered_bytes, 0
        return size

    @property
    def max_frame_bytes(self) -> int:
        """Largest inner frame, header included."""
        return self._path.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, value: int) -> None:
        """Path MTU discovery learned something. Command units that were cut already keep their size."""
        _check_frame_bytes(value)
        shrinks = value < self._path.max_frame_bytes
        self._path.max_frame_bytes = value
        self._path.congestion.packet_bytes = value
        if shrinks:
            for _, channel in self._channels:
                channel.shrink()

    def stats(self) -> ChannelsStats:
        """What became of all messages so far."""
        return ChannelsStats(
            control=self._class_stats(ChannelClass.CONTROL),
            command=self._class_stats(ChannelClass.COMMAND),
            state=self._class_stats(ChannelClass.STATE),
            stream=self._class_stats(ChannelClass.STREAM),
            bulk=self._class_stats(ChannelClass.BULK),
            relay=self._class_stats(ChannelClass.RELAY),
        )

    def _class_stats(self, service: ChannelClass) -> ClassStats:
        rows = [astuple(channel.counters) for each, channel in self._channels if each is service]
        return ClassStats(*map(sum, zip(*rows, strict=True)))  # of no rows: all are 0


def _make(row: Channel, path: Path, entropy: Callable[[int], bytes]) -> ChannelBase:
    """The machine of a row of the channel table."""
    if row.service is ChannelClass.BULK:
        # Transfer numbers begin anywhere, so that a number which a user kept from an earlier association does not
        # name another object here.
        return BulkChannel(row.id, path, int.from_bytes(entropy(2), "big"))
    return _MACHINES[row.service](row.id, path)


@lru_cache(maxsize=8)
def _last_of_rank(ranks: tuple[int, ...]) -> tuple[int, ...]:
    """For each place the last one of the same rank; shared by all links of a type."""
    return tuple(bisect_right(ranks, rank) - 1 for rank in ranks)


def _check_frame_bytes(value: int) -> None:
    if not MIN_FRAME_BYTES <= value <= MAX_RECORD_PLAINTEXT_BYTES:
        raise UsageError(f"max_frame_bytes is {MIN_FRAME_BYTES} to {MAX_RECORD_PLAINTEXT_BYTES}")


_MACHINES: Final[dict[ChannelClass, Callable[[ChannelId, Path], ChannelBase]]] = {
    ChannelClass.CONTROL: ControlChannel,
    ChannelClass.COMMAND: CommandChannel,
    ChannelClass.STATE: StateChannel,
    ChannelClass.STREAM: StreamChannel,
    ChannelClass.RELAY: RelayChannel,
}
