"""One association with one peer: keys in use, channels, liveness, path, end (specs/1-link.md, 1.5 to 1.8).

A connection opens packets that its machine (client, listener, stream server) hands it, and gives out sealed
ones. It makes no handshake: a machine installs the session keys of each.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import ClassVar, Final

from protocols import codec
from protocols.channels import HANDLED_TYPES, NOTHING_HELD, Channels, Held
from protocols.crypto.suites import Suite
from protocols.errors import (
    DecryptError,
    MalformedError,
    PeerError,
    ProtocolViolationError,
    ReplayError,
    UsageError,
)
from protocols.events import (
    Alarm,
    AlarmKind,
    ChannelEvent,
    DownReason,
    Event,
    LinkDown,
    LinkUp,
    PeerMoved,
    Rekeyed,
    Sendable,
    SendControl,
    SendRelay,
    SendState,
    SendStream,
    StreamReceived,
)
from protocols.guards.address import Address
from protocols.link import batch, pulse
from protocols.link.batch import OVERHEAD_BYTES, Lane, Lanes
from protocols.link.config import LinkConfig
from protocols.link.liveness import Liveness
from protocols.link.log import LinkLog
from protocols.link.path import Path, Probe
from protocols.link.pmtu import SCOUT_BYTES, PathMtu
from protocols.link.schedule import Schedule
from protocols.link.session import DatagramSession, RecordSession, Session
from protocols.link.state import CONNECTION, ConnectionEvent, ConnectionState, advance
from protocols.link.stats import LinkCounters, LinkStats
from protocols.link.train import Bytes, Train, one
from specs import inner
from specs.registry import (
    CHANNELS,
    DATA_HEADER_BYTES,
    MAX_RECORD_PLAINTEXT_BYTES,
    OLD_KEY_RECEIVES_S,
    ChannelClass,
    ChannelId,
    CloseCode,
    InnerType,
    LinkType,
    RefusalCode,
    Role,
)

Packet = tuple[bytes, Address | None]
"""Bytes for the carrier, and where they go (None on a stream)."""

_REQUEST_AGAIN_S: Final = 5.0
_MAX_URGENT: Final = 64
"""Own frames waiting to be sent: a peer that floods us with pings gets fewer pongs, not our memory."""


TIMELESS: Final = frozenset((SendControl, SendState, SendStream, SendRelay))
"""Messages that move no timer, neither when they are queued nor when they leave."""
_TIMELESS_CLASSES: Final = frozenset(
    (ChannelClass.CONTROL, ChannelClass.STATE, ChannelClass.STREAM, ChannelClass.RELAY)
)
"""Their classes."""
_KIND: Final = itemgetter(slice(0, 2))
"""How a frame begins: inner type and channel."""


@cache
def _timeless_frames(link_type: LinkType) -> frozenset[bytes]:
    """Return how frames begin that carry such messages: they move no timer when they arrive, and call for no answer."""
    ids = [row.id for row in CHANNELS[link_type] if row.service in _TIMELESS_CLASSES]
    bundles = [row.id for row in CHANNELS[link_type] if row.service is ChannelClass.STREAM]
    return frozenset(
        [bytes((InnerType.CHANNEL, each)) for each in ids]
        + [bytes((InnerType.STREAM_BUNDLE, each)) for each in bundles]
    )


class Connection:
    """The public face of a link: ``send``, ``close``, ``stats``; events come through the machine."""

    def __init__(
        self,
        config: LinkConfig,
        *,
        suite: Suite,
        session: Session,
        binding: bytes,
        key_id: bytes,
        role: Role,
        initiator: bool,
        address: Address | None,
        rivals: tuple[Address, ...] = (),
        entropy: Callable[[int], bytes],
        emit: Callable[["Connection", Event], None],
        schedule: "Schedule[Connection]",
        now: float,
    ) -> None:
        """``rivals``: other addresses that sent the same initiation or its proof; challenges decide (LK-83).

        ``schedule`` is told of everything that may have changed what there is to send, to take, or to wait for.
        """
        self.key_id: Final = key_id
        """The peer."""
        self.role: Final = role
        """The peer's role."""
        self.suite: Final = suite
        """Algorithms."""
        self.binding: Final = binding
        """Channel binding, 32 bytes, public (LK-50)."""
        self.initiator: Final = initiator
        """Whether we began."""
        self.opened_s: Final = now
        """When the link came up."""
        self._config = config
        self._emit = emit
        self._wake = schedule.touch
        self._ready = schedule.ready
        self._news = schedule.news
        self._log = LinkLog(key_id)
        self._state = ConnectionState.OPEN
        self._current = session
        self._previous: Session | None = None
        self._previous_until_s: float | None = None
        self._path = None if address is None else Path(address, entropy)
        self._mtu: PathMtu | None = None
        if address is not None:
            self._mtu = PathMtu(config.max_datagram_bytes, config.probe_limit_bytes, address)
        self._rivals = rivals
        self._timeless = _timeless_frames(config.link_type)
        self._urgent: list[tuple[bytes, Address | None]] = []  # short; an empty deque has 760 bytes
        self._counters = LinkCounters()
        self._liveness = Liveness(config, now)
        self._request_s = float("-inf")
        stream = address is None
        lane_bytes = batch.STREAM_LANE_BYTES if stream else batch.DATAGRAM_LANE_BYTES
        self._run_bytes = lane_bytes - batch.MAX_SEGMENTS * OVERHEAD_BYTES
        """Bytes of frames that fit a lane with what sealing adds."""
        self._channels = Channels(
            CHANNELS[config.link_type],
            now=now,
            entropy=entropy,
            reliable=stream,
            max_frame_bytes=MAX_RECORD_PLAINTEXT_BYTES if stream else config.max_datagram_bytes - OVERHEAD_BYTES,
        )

    def __repr__(self) -> str:
        return f"<Connection to {self.role.name} {self.key_id.hex()} {self._state.name}>"

    # --- what a user calls ----------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._state is ConnectionState.OPEN

    @property
    def address(self) -> Address | None:
        """The peer's validated address; None on a stream."""
        return self._path.address if self._path else None

    @property
    def channels(self) -> Channels:
        """The channels, for back-pressure (``room``)."""
        return self._channels

    def send(self, message: Sendable, now: float) -> int:
        """Queue a message; return its id (commands), transfer number (bulk) or 0.

        UsageError when the link is not open or the channel does not fit; MessageTooLargeError.
        """
        if self._state is not ConnectionState.OPEN:
            raise UsageError("the link is down")
        number = self._channels.send(message, now)
        if type(message) in TIMELESS:
            self._ready(self)
        else:
            self._wake(self)
        return number

    def send_alone(self, message: Sendable, now: float) -> tuple[int, Packet | None]:
        """As :meth:`send`, and return its packet too, if it can leave now; only while nobody has anything to send.

        That is the way of a conversation: a message that waits for nothing need not stand in a line.
        """
        session, mtu = self._current, self._mtu
        if type(message) not in TIMELESS or not self._only_channels(now):
            return self.send(message, now), None
        number, frame, more = self._channels.send_alone(message, now)
        if more:
            self._ready(self)
        if frame is None:
            return number, None
        packet = session.seal(frame)
        self._counters.packets_sent += 1
        self._counters.bytes_sent += len(packet)
        if mtu is not None and mtu.sent(len(packet)):
            self._wake(self)
        return number, (packet, self.address)

    def send_many(self, channel: ChannelId, datas: Sequence[bytes], now: float) -> int:
        """Queue messages on a channel of class ``stream``, as many as there is room for; return how many.

        See :meth:`Channels.send_many <protocols.channels.mux.Channels.send_many>`.
        """
        if self._state is not ConnectionState.OPEN:
            raise UsageError("the link is down")
        taken = self._channels.send_many(channel, datas, now)
        self._ready(self)
        return taken

    def next_messages(self, now: float, held: Held = NOTHING_HELD) -> Sequence[ChannelEvent]:
        """Return what :meth:`next_message` would give next: of a stream all of them, otherwise one; or nothing."""
        events = self._channels.next_events(now, held)
        if events and not isinstance(events[0], StreamReceived):
            self._wake(self)
        return events

    def next_message(self, now: float = float("-inf"), held: Held = NOTHING_HELD) -> ChannelEvent | None:
        """Return the next message that arrived, or None. Taking it makes room: a slow reader slows the sender.

        ``now`` and ``held``: see :meth:`Channels.next_event <protocols.channels.mux.Channels.next_event>`.
        """
        event = self._channels.next_event(now, held)
        if event is not None:
            self._wake(self)
        return event

    def close(self, code: CloseCode = CloseCode.NORMAL, reason: DownReason = DownReason.CLOSED) -> None:
        """Say goodbye with an authenticated close; nothing else is sent after it (LK-84)."""
        if self._state is not ConnectionState.OPEN:
            return
        if self._path and not self._path.is_proven:  # nobody to say it to
            self.end(reason)
            return
        self._state = advance(CONNECTION, self._state, ConnectionEvent.CLOSE)
        self._urgent.clear()
        self._queue(codec.build(inner.CLOSE, inner.Close(code)))
        self._emit(self, LinkDown(reason, code if reason is DownReason.PROTOCOL else None))

    def stats(self) -> LinkStats:
        """Return a snapshot of every counter."""
        counters = self._counters
        if self._path:
            counters.moves_refused = self._path.moves_refused
            counters.paths_unanswered = self._path.unanswered
        channels = self._channels.stats()
        return LinkStats(
            LinkCounters(**{name: getattr(counters, name) for name in _COUNTER_NAMES}),
            channels,
            self._channels.rtt_s,
            self._mtu.size_bytes if self._mtu else None,
        )

    # --- what a machine calls -------------------------------------------------------------------

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Keys that still receive, the one in use first."""
        return (self._current, self._previous) if self._previous else (self._current,)

    @property
    def is_down(self) -> bool:
        """Whether nothing more will be sent or taken."""
        return self._state is ConnectionState.DOWN

    def announce(self, handshake_s: float) -> None:
        """Report the link as up."""
        self._emit(self, LinkUp(self.key_id, self.role, self.suite.name, handshake_s, self.binding))
        if self._path:
            self._queue_probes(self._path.open(self._rivals, self.opened_s))

    def prove(self, now: float) -> None:
        """Send at once on the key in use (LK-56)."""
        self._queue(self._liveness.ping(now))

    def install(self, session: Session, now: float) -> Session | None:
        """Put the keys of a rekey to use; return a session that was dropped for it (LK-72)."""
        dropped = self._previous
        self._previous, self._current = self._current, session
        self._previous_until_s = now + OLD_KEY_RECEIVES_S if self._path else None
        self.rekey_requested = False  # a request that crossed this handshake asked for what is done
        self._counters.rekeys += 1
        self._wake(self)
        self._emit(self, Rekeyed(self._counters.rekeys))
        return dropped

    def rekey_due(self, now: float) -> bool:
        """Whether the key in use should be replaced."""
        return self._state is ConnectionState.OPEN and self._current.rekey_due(now)

    def packet_untrusted(self, session: Session, packet: Bytes, address: Address | None, now: float) -> bool:
        """Open a packet of one of our sessions and act on it; whether it was genuine and new.

        On UDP a packet that does not open is dropped; on a stream DecryptError leaves (LK-53). A peer that breaks
        the protocol is told so and the link closes.
        """
        if self._state is not ConnectionState.OPEN or not session.usable(now):
            return False
        frame = self._open_untrusted(session, packet, address, now)
        if frame is None:
            return False
        self.deliver_untrusted(session, frame, packet, address, now)
        return True

    def deliver_untrusted(
        self, session: Session, frame: bytes, packet: Bytes, address: Address | None, now: float
    ) -> None:
        """Act on the inner frame of a packet that opened: authentic, but perhaps not well-formed."""
        self._received(1, len(packet), now)
        if session is self._current:
            self._note_path(session, packet, address, now)
        try:
            if frame[:2] in self._timeless:
                self._news(self)
                self._channels.receive_untrusted(frame, now)
                return
            self._wake(self)
            self._frame_untrusted(frame, address, now)
        except PeerError:
            self.close(CloseCode.PROTOCOL, DownReason.PROTOCOL)

    def train_untrusted(self, session: Session, train: Train, counters: Sequence[int], lane: Lane, now: float) -> bool:
        """Take a train as :meth:`packet_untrusted` would take its datagrams; False, and nothing has changed.

        False if they are not all genuine and in order: then they are to be looked at one by one. ``counters`` are those
        of the headers, which name the session.
        """
        if self._state is not ConnectionState.OPEN or not isinstance(session, DatagramSession):
            return False
        if not session.usable(now):
            return False
        frames = session.open_run_untrusted(train.data, train.segment_bytes, counters, lane)
        if frames is None:
            return False
        self._received(len(frames), len(train.data), now)
        path, address = self._path, train.address
        if session is self._current and path is not None and address is not None and not path.is_quiet_at(address):
            rtt_s = self._channels.rtt_s
            self._wake(self)
            self._queue_probes(path.on_genuine(address, len(train.data), now, newest=True, rtt_s=rtt_s))
        self._frames_untrusted(frames, address, now)
        return True

    def records_untrusted(self, records: Sequence[Bytes], now: float) -> None:
        """Take records of the key in use, as :meth:`packet_untrusted` would one after the other; DecryptError.

        What stands before a record that does not open has been taken then.
        """
        session = self._current
        assert isinstance(session, RecordSession)  # noqa: S101
        is_open = self._state is ConnectionState.OPEN
        if not is_open or not session.usable(now) or session.opens_left < len(records):
            for record in records:
                self.packet_untrusted(session, record, None, now)
            return
        frames: list[bytes] = []
        failure: DecryptError | None = None
        try:
            for record in records:
                frames.append(session.open_untrusted(record))  # noqa: PERF401  # those before one that fails count
        except DecryptError as error:
            failure = error
        if frames:
            self._received(len(frames), sum(map(len, records[: len(frames)])), now)
            self._previous = None  # a stream's key never switches back
            self._frames_untrusted(frames, None, now)
        if failure is not None and self._state is ConnectionState.OPEN:  # one at a time, it would not be looked at else
            raise failure

    def _received(self, packets: int, size: int, now: float) -> None:
        """Note packets that opened."""
        self._liveness.heard(now)
        self._counters.packets_received += packets
        self._counters.bytes_received += size

    def _frames_untrusted(self, frames: Sequence[bytes], address: Address | None, now: float) -> None:
        """Act on frames that were opened together, as on each of them alone."""
        (self._news if self._timeless.issuperset(map(_KIND, frames)) else self._wake)(self)
        try:
            taken = self._channels.receive_run_untrusted(frames, now)
            while taken < len(frames) and self._state is ConnectionState.OPEN:
                self._frame_untrusted(frames[taken], address, now)
                taken += 1
                if self._state is ConnectionState.OPEN:
                    taken += self._channels.receive_run_untrusted(frames[taken:], now)
        except PeerError:
            self.close(CloseCode.PROTOCOL, DownReason.PROTOCOL)

    def end(self, reason: DownReason, code: CloseCode | None = None, hint: RefusalCode | None = None) -> None:
        """End without a word to the peer."""
        if self._state is ConnectionState.OPEN:
            self._emit(self, LinkDown(reason, code, hint))
        self._state = advance(CONNECTION, self._state, ConnectionEvent.END)
        self._urgent.clear()
        self._wake(self)

    def next_packet(self, now: float) -> Packet | None:
        """Return the next sealed packet, in priority order; None when nothing may be sent now."""
        if self._state is ConnectionState.DOWN:
            return None
        if not self._current.usable(now):
            self.end(DownReason.KEY_EXHAUSTED)
            return None
        waiting = self._next_frame(now)
        if waiting is None:
            return None
        frame, where = waiting
        self._wake(self)  # there may be more; and what leaves begins to wait for its answer
        packet = self._current.seal(frame)
        self._counters.packets_sent += 1
        self._counters.bytes_sent += len(packet)
        if self._state is ConnectionState.CLOSING:
            self._state = advance(CONNECTION, self._state, ConnectionEvent.CLOSE_SENT)
        return packet, where or self.address

    def next_trains(self, now: float, lanes: Lanes) -> Sequence[Train]:
        """Return sealed packets in the order of :meth:`next_packet`, as many as go well in one step; often a train.

        Nothing: nothing may be sent now. What channels have to send leaves in runs; all else one by one.
        """
        session, mtu = self._current, self._mtu
        if not self._only_channels(now):
            packet = self.next_packet(now)
            return () if packet is None else (one(*packet),)
        frames = self._channels.next_frames(now, min(batch.MAX_SEGMENTS, session.seals_left), self._run_bytes)
        if not frames:
            return ()
        trains = session.seal_trains(frames, lanes, self.address)
        self._counters.packets_sent += len(frames)
        for train in trains:
            self._counters.bytes_sent += len(train.data)
        used_more = mtu is not None and mtu.sent(trains[0].segment_bytes)
        if used_more or frames[0][:2] not in self._timeless:
            self._wake(self)  # what leaves begins to wait for its answer
        elif self._channels.has_more:
            self._ready(self)
        return trains

    def _only_channels(self, now: float) -> bool:
        """Whether what leaves next is of a channel: the link is open, and has nothing of its own to say."""
        mtu, path = self._mtu, self._path
        if self._urgent or (mtu is not None and mtu.is_due) or (path is not None and not path.is_proven):
            return False
        return self._state is ConnectionState.OPEN and self._current.usable(now)

    def _next_frame(self, now: float) -> tuple[bytes, Address | None] | None:
        """Return what is to be sealed next, and where it goes (None: to the address in use)."""
        if self._path and not self._path.is_proven:  # challenges only: nobody has proven that he receives (LK-83)
            for place, (frame, where) in enumerate(self._urgent):
                if where is not None:
                    del self._urgent[place]
                    return frame, where
            return None
        if self._urgent:
            return self._urgent.pop(0)
        fresh = self._fresh_frame(now) if self.is_open else None
        return None if fresh is None else (fresh, None)

    def _fresh_frame(self, now: float) -> bytes | None:
        """Return a probe of the path, or what a channel has to send."""
        mtu = self._mtu
        if mtu is None:
            return self._channels.next_frame(now)
        probe = mtu.next_probe(now)
        if probe is not None:
            return pulse.PROBE.build(probe.id, probe.size - SCOUT_BYTES)
        frame = self._channels.next_frame(now)
        if frame is not None:
            mtu.sent(len(frame) + OVERHEAD_BYTES)
        return frame

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` is due; None when the connection is over."""
        if self._state is not ConnectionState.OPEN:
            return None
        deadlines = [
            self._liveness.next_deadline(),
            self._current.created_s + self._config.refuse_after_s,
            self._previous_until_s,
            self._channels.next_deadline(),
            self._path.next_deadline() if self._path else None,
            self._mtu.next_deadline() if self._mtu else None,
        ]
        if not self.initiator:
            due = self._current.created_s + self._config.rekey_after_s
            deadlines.append(max(due, self._request_s + _REQUEST_AGAIN_S))
        return min(deadline for deadline in deadlines if deadline is not None)

    def handle_deadline(self, now: float) -> None:
        """Do what time asks for."""
        if self._state is not ConnectionState.OPEN:
            return
        self._wake(self)
        if self._liveness.is_dead(now):
            self.end(DownReason.TIMEOUT)
            return
        if not self._current.usable(now):
            self.end(DownReason.KEY_EXHAUSTED)
            return
        if self._previous_until_s is not None and now >= self._previous_until_s:
            self._previous = self._previous_until_s = None
        if self._liveness.ping_due(now):
            self._queue(self._liveness.ping(now))
        if not self.initiator and self.rekey_due(now) and now >= self._request_s + _REQUEST_AGAIN_S:
            self._request_s = now
            self._queue(codec.build(inner.REKEY_REQUEST, inner.RekeyRequest()))
        self._channels.handle_deadline(now)
        if self._path:
            moved, probes = self._path.handle_deadline(now)
            self._queue_probes(probes)
            self._moved(moved, now)
            if self._path.is_lost:
                self.end(DownReason.NO_ANSWER)
        if self._mtu:
            self._mtu.handle_deadline(now, self._channels.take_delivered_bytes)
            self._fit()

    # --- inner frames ---------------------------------------------------------------------------

    def _open_untrusted(self, session: Session, packet: Bytes, address: Address | None, now: float) -> bytes | None:
        if self._path is None:
            return session.open_untrusted(packet)
        try:
            return session.open_untrusted(packet)
        except ReplayError:
            self._counters.replays += 1
            self._note_copy(session, packet, address, now)
            self._log.dropped("replays", self._counters.replays, now)
        except DecryptError:
            self._counters.failed_opens += 1
            self._log.dropped("failed_opens", self._counters.failed_opens, now)
            if session.failed_opens == self._config.rekey_after_failed_opens:
                self._emit(self, Alarm(AlarmKind.KEY_UNDER_ATTACK, f"{session.failed_opens} on one key"))
        return None

    def _note_copy(self, session: Session, packet: Bytes, address: Address | None, now: float) -> None:
        """Look at where a duplicate came from, while it is open where the peer is: it may be the slower original."""
        if self._path is None or address is None or session is not self._current or not self._path.is_validating:
            return
        if isinstance(session, DatagramSession) and session.is_recent_copy_untrusted(packet):
            self._wake(self)
            rtt_s = self._channels.rtt_s
            self._queue_probes(self._path.on_genuine(address, len(packet), now, newest=True, rtt_s=rtt_s))

    def _note_path(self, session: Session, packet: Bytes, address: Address | None, now: float) -> None:
        if self._path is None or address is None:
            self._previous = None  # a stream's key never switches back
            return
        if self._path.is_quiet_at(address):
            return
        assert isinstance(session, DatagramSession)  # noqa: S101
        counter = int.from_bytes(packet[8:DATA_HEADER_BYTES], "big")
        newest = counter == session.window.highest
        rtt_s = self._channels.rtt_s
        self._wake(self)
        self._queue_probes(self._path.on_genuine(address, len(packet), now, newest=newest, rtt_s=rtt_s))

    def _frame_untrusted(self, frame: bytes, address: Address | None, now: float) -> None:
        if not frame:
            raise MalformedError("an empty payload")
        if frame[0] in HANDLED_TYPES:
            self._channels.receive_untrusted(frame, now)
            return
        handler = self._HANDLERS.get(frame[0])
        if handler is None:
            raise ProtocolViolationError("an inner frame that is not allowed here")
        handler(self, frame, address, now)

    def _on_ping(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        self._queue(pulse.PONG.build(pulse.PING.id_untrusted(frame)))
        self._discover(now)

    def _on_pong(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        rtt_s = self._liveness.round_trip_s(pulse.PONG.id_untrusted(frame), now)
        if rtt_s is not None:
            self._channels.rtt_sample(rtt_s, now)
        self._discover(now)

    def _on_probe(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        self._queue(pulse.PROBE_ACK.build(pulse.PROBE.id_untrusted(frame)))

    def _on_probe_ack(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        probe_id = pulse.PROBE_ACK.id_untrusted(frame)
        if self._mtu is None:
            return
        rtt_s = self._mtu.on_ack(probe_id, now)
        if rtt_s is not None:
            self._channels.rtt_sample(rtt_s, now)
        self._fit()

    def _on_rekey_request(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        codec.parse_untrusted(inner.REKEY_REQUEST, frame)
        if not self.initiator:
            raise ProtocolViolationError("only a responder asks for a rekey")
        self.rekey_requested = True

    def _on_path_challenge(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        challenge = codec.parse_untrusted(inner.PATH_CHALLENGE, frame)
        if self._path is None or address is None or self._path.may_answer(address):
            self._queue(codec.build(inner.PATH_RESPONSE, inner.PathResponse(challenge.data)), address)

    def _on_path_response(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        response = codec.parse_untrusted(inner.PATH_RESPONSE, frame)
        if self._path:
            self._moved(self._path.on_response(response.data, now), now)

    def _on_close(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        close = codec.parse_untrusted(inner.CLOSE, frame)
        reason = DownReason.REPLACED if close.code is CloseCode.REPLACED else DownReason.PEER_CLOSED
        self.end(reason, close.code)

    def _on_padding(self, frame: bytes, address: Address | None, now: float) -> None:  # noqa: ARG002
        codec.parse_untrusted(inner.PADDING, frame)

    rekey_requested: bool = False
    """Set when the responder asked for a rekey; the machine clears it."""

    def _queue(self, frame: bytes, address: Address | None = None) -> None:
        if len(self._urgent) < _MAX_URGENT:
            self._urgent.append((frame, address))
            self._wake(self)

    def _queue_probes(self, probes: list[Probe]) -> None:
        for probe in probes:
            self._queue(codec.build(inner.PATH_CHALLENGE, inner.PathChallenge(probe.token)), probe.address)

    def _moved(self, moved: bool, now: float) -> None:
        if moved and self._path and self._mtu:
            self._counters.moves += 1
            self._mtu.moved(self._path.address, now)
            self._fit()
            self._emit(self, PeerMoved(self._path.address))

    def _discover(self, now: float) -> None:
        """Begin to look for larger datagrams: the peer was heard; a PING keeps coming, so this does too (LK-86)."""
        if self._mtu and self._path and self._path.is_proven:
            self._mtu.start(now)

    def _fit(self) -> None:
        """Let the channels use what the path passes."""
        if self._mtu and self._channels.max_frame_bytes != self._mtu.size_bytes - OVERHEAD_BYTES:
            self._channels.max_frame_bytes = self._mtu.size_bytes - OVERHEAD_BYTES

    _HANDLERS: ClassVar[Mapping[int, Callable[..., None]]] = {
        InnerType.PING: _on_ping,
        InnerType.PONG: _on_pong,
        InnerType.PROBE: _on_probe,
        InnerType.PROBE_ACK: _on_probe_ack,
        InnerType.REKEY_REQUEST: _on_rekey_request,
        InnerType.PATH_CHALLENGE: _on_path_challenge,
        InnerType.PATH_RESPONSE: _on_path_response,
        InnerType.CLOSE: _on_close,
        InnerType.PADDING: _on_padding,
    }


_COUNTER_NAMES: Final = tuple(LinkCounters.__dataclass_fields__)
