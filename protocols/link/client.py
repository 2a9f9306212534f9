"""The initiator's machine: one peer over one socket, UDP or TCP, pairing or session (specs/1-link.md).

It starts handshakes (the first, and every rekey), puts their keys to use in a connection, and runs the end of a
pairing. A pairing has no connection: its keys carry the confirmation and the close, and nothing else (PR-34).
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from protocols import codec
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import KeySource
from protocols.errors import AerolinkError, DecryptError, MalformedError, PeerError, UsageError
from protocols.events import CountersNeeded, DownReason, Job, LinkDown, PairingStored
from protocols.guards.address import Address
from protocols.link.config import Identity, LinkConfig
from protocols.link.connection import Connection, Packet
from protocols.link.framing import DatagramFraming, RecordFraming, handshake_body_untrusted
from protocols.link.handshake import Offer
from protocols.link.initiator import CounterPool, Established, Initiator
from protocols.link.log import LinkLog
from protocols.link.machine import Machine, earliest
from protocols.link.peers import CounterBlock, PeerRecord
from protocols.link.records import RecordBuffer
from protocols.link.session import Session
from protocols.link.train import Bytes, Train
from protocols.pairing import LinkingCode, pair_id_of
from specs import inner
from specs.registry import (
    DATA_HEADER_BYTES,
    TAG_BYTES,
    CloseCode,
    HandshakeKind,
    InnerType,
    PacketType,
)

_REKEY_AGAIN_S: Final = 5.0


@dataclass(slots=True)
class _PairingTail:
    """A pairing after message 3: waits for the confirmation (PR-33)."""

    established: Established
    session: Session
    repeats: int
    again_at_s: float
    stored: bool = False


class Client(Machine):
    """Call :meth:`start` once; then drive it as any machine."""

    def __init__(
        self,
        config: LinkConfig,
        identity: Identity,
        *,
        peer: PeerRecord | None = None,
        code: LinkingCode | None = None,
        address: Address | None = None,
        key_source: KeySource,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Give ``peer`` for a session or ``code`` for a pairing; ``address`` on UDP and relay, None on TCP."""
        super().__init__(entropy, datagram=address is not None)
        if (peer is None) == (code is None):
            raise UsageError("a client has either a peer (session) or a code (pairing)")
        suite = config.suites[0]
        if peer is not None and peer.dh != suite.dh:
            raise UsageError(f"the peer was paired with a {peer.dh} key; suite {suite.name} needs {suite.dh}")
        self._log = LinkLog(peer.key_id if peer else None)
        self._config = config
        self._identity = identity
        self._peer = peer
        self._address = address
        self._framing = RecordFraming() if address is None else DatagramFraming()
        self._suite = suite
        self._kind = HandshakeKind.PAIRING if code else HandshakeKind.SESSION
        self._records = RecordBuffer()
        self._counters = CounterPool()
        self._outgoing: deque[Packet] = deque()
        self._connection: Connection | None = None
        self._tail: _PairingTail | None = None
        self._rekey_at_s = float("-inf")
        self._over = False
        self._proven = False
        self._initiator = Initiator(
            config,
            self._framing,
            static=identity.key(suite.dh),
            remote=peer.public if peer else None,
            psk=peer.pair_secret if peer else code.psk0() if code else b"",
            mac_secret=peer.public if peer else code.secret if code else b"",
            key_source=key_source,
            new_index=lambda: self._random_index(self._index_taken),
            counters=self._counters,
            stats=self.handshakes,
            agreements=identity.agreements,
        )

    @property
    def connection(self) -> Connection | None:
        """The association, once it is up."""
        return self._connection

    @property
    def key_id(self) -> bytes | None:
        """The peer that this client speaks to; None in a pairing until message 3 is written."""
        if self._peer is not None:
            return self._peer.key_id
        return key_id_of(self._suite.dh, self._tail.established.remote) if self._tail else None

    def start(self, now: float) -> None:
        """Begin; UsageError when the carrier is too small for the suite (LK-14)."""
        self._initiator.start(Offer(self._suite, self._kind, self._config.link_type), 0, now)
        self._after(now)

    def add_counters(self, block: CounterBlock, now: float) -> None:
        """Give counters that are reserved on disk, in answer to CountersNeeded."""
        self._counters.add(block)
        self._initiator.counters_added(now)
        self._after(now)

    def pairing_stored(self, attempt: int, now: float) -> None:  # noqa: ARG002  # one pairing per client
        """The peer is stored: close the pairing (PR-30)."""
        tail = self._tail
        if tail is None or self._over:
            return
        close = codec.build(inner.CLOSE, inner.Close(CloseCode.PAIRING_DONE))
        self._outgoing.append((tail.session.seal(close), self._address))
        self._finish(DownReason.CLOSED)

    def abort(self, reason: DownReason = DownReason.CLOSED) -> None:
        """Give up before the link is up, or end it without a word."""
        if self._connection is not None:
            self._connection.end(reason)
        elif not self._over:
            self._finish(reason)

    # --- the pump's calls -----------------------------------------------------------------------

    def receive(self, data: Bytes, now: float, address: Address | None = None) -> None:
        already_over = self.is_over
        if already_over:
            return
        if self._framing.datagram:
            try:
                self._packet_untrusted(data, address, now)
            except PeerError:
                self.handshakes.malformed += 1
        else:
            self._stream_untrusted(data, now)
        self._after(now)

    def _run_untrusted(self, train: Train, now: float) -> bool:
        # The first valid datagram is looked at alone: it proves the peer.
        taken = self._proven and super()._run_untrusted(train, now)
        if taken:
            self._after(now)
        return taken

    def receive_end(self, now: float) -> None:  # noqa: ARG002
        if self._connection is not None:
            self._connection.end(DownReason.TRUNCATED)
        elif not self._over:
            self._finish(DownReason.NO_ANSWER)

    @property
    def _queue(self) -> deque[Packet]:
        return self._outgoing

    def connections(self) -> Iterable[Connection]:
        return () if self._connection is None else (self._connection,)

    def next_deadline(self) -> float | None:
        if self.is_over:
            return None
        connection = self._connection
        rekey = None
        if connection is not None and connection.is_open and not self._initiator.is_busy:
            due = connection.sessions[0].created_s + self._config.rekey_after_s
            rekey = max(due, self._rekey_at_s + _REKEY_AGAIN_S)
        tail = self._tail.again_at_s if self._tail and not self._tail.stored else None
        return earliest(self._initiator.next_deadline(), rekey, tail, self._schedule.next_deadline())

    @property
    def deadline_moved(self) -> bool:
        return self._schedule.has_moved or self._connection is None or self._initiator.is_busy

    def handle_deadline(self, now: float) -> None:
        was_busy = self._initiator.is_busy
        self._initiator.handle_deadline(now)
        if was_busy and not self._initiator.is_busy and self._initiator.established is None:
            self._timed_out()
        for connection in self._schedule.take_due(now):
            connection.handle_deadline(now)
        self._repeat_finish(now)
        self._after(now)

    def complete(self, job: Job, now: float) -> None:
        try:
            ours = self._initiator.complete(job, now)
        except AerolinkError:  # our own key failed (a token that is gone): no handshake will succeed now
            self.abort(DownReason.NO_ANSWER)
            raise
        if ours:
            self._after(now)

    @property
    def is_over(self) -> bool:
        if self._connection is not None:
            return self._connection.is_down
        return self._over

    # --- packets --------------------------------------------------------------------------------

    def _stream_untrusted(self, data: Bytes, now: float) -> None:
        try:
            for run in self._records.runs_untrusted(data, has_keys=self._has_keys):
                self._run_of_records_untrusted(run, now)
                if self.is_over:
                    return
        except DecryptError:
            self._fail(DownReason.AUTHENTICATION)
        except PeerError:
            self.handshakes.malformed += 1
            self._fail(DownReason.PROTOCOL)

    def _run_of_records_untrusted(self, run: list[memoryview], now: float) -> None:
        connection = self._connection
        if len(run) > 1 and connection is not None and self._proven and run[0][3] == connection.sessions[0].epoch:
            connection.records_untrusted(run, now)
            return
        for record in run:
            self._packet_untrusted(record, None, now)
            if self.is_over:
                return

    def _packet_untrusted(self, packet: Bytes, address: Address | None, now: float) -> None:
        kind = packet[0 if self._framing.datagram else 2] if packet else 0
        if kind == PacketType.DATA:
            self._data_untrusted(packet, address, now)
        elif kind == PacketType.RESPONSE:
            self._initiator.response_untrusted(bytes(packet), now)
        elif kind == PacketType.COOKIE_REPLY and self._framing.datagram:
            self._initiator.cookie_untrusted(bytes(packet), now)
        elif kind == PacketType.REFUSED:
            raw = bytes(packet)
            self._initiator.refused_untrusted(raw if self._framing.datagram else handshake_body_untrusted(raw))
        elif self._framing.datagram:
            self.handshakes.malformed += 1
        else:
            raise MalformedError("a record that a responder never sends")

    def _data_untrusted(self, packet: Bytes, address: Address | None, now: float) -> None:
        session = self._session_of(packet)
        if session is None:
            self.handshakes.unknown_index += 1
            if not self._framing.datagram:
                raise MalformedError("a record of an epoch that has no key")
        elif self._tail is not None:
            self._confirmation_untrusted(self._tail, packet, now)
        elif self._connection is not None:
            genuine = self._connection.packet_untrusted(session, packet, address, now)
            if genuine and not self._proven:
                self._proven = True
                self._confirmed(self._connection, 0, pair_id_of(self._peer.pair_secret) if self._peer else b"")

    def _session_of(self, packet: Bytes) -> Session | None:
        sessions: tuple[Session, ...] = ()
        if self._connection is not None:
            sessions = self._connection.sessions
        elif self._tail is not None:
            sessions = (self._tail.session,)
        if self._framing.datagram:
            if len(packet) < DATA_HEADER_BYTES + TAG_BYTES or any(packet[1:4]):
                return None
            index = int.from_bytes(packet[4:8], "big")
            if sessions and sessions[0].index == index:
                return sessions[0]
            return next((each for each in sessions if each.index == index), None)
        return next((each for each in sessions if each.epoch == packet[3]), None)

    def _session_of_index(self, index: int) -> tuple[Connection, Session] | None:
        connection = self._connection
        if connection is None:
            return None
        return next(((connection, each) for each in connection.sessions if each.index == index), None)

    # --- pairing --------------------------------------------------------------------------------

    def _confirmation_untrusted(self, tail: _PairingTail, packet: Bytes, now: float) -> None:  # noqa: ARG002
        try:
            frame = tail.session.open_untrusted(packet)
        except AerolinkError:
            self.handshakes.failed += 1
            if not self._framing.datagram:
                raise
            return
        if tail.stored:
            return
        if frame[:1] == bytes((InnerType.CLOSE,)):
            code = codec.parse_untrusted(inner.CLOSE, frame).code
            self._finish(DownReason.REFUSED if code is CloseCode.PAIRING_REFUSED else DownReason.PEER_CLOSED)
            return
        codec.parse_untrusted(inner.PAIRING_CONFIRM, frame)
        tail.stored = True
        established = tail.established
        dh = established.suite.dh
        self.handshakes.paired += 1
        self._emit(
            PairingStored(
                0, key_id_of(dh, established.remote), established.remote, dh, self._config.roles[1],
                established.pair_secret or b"", 0,
            )
        )  # fmt: skip

    def _repeat_finish(self, now: float) -> None:
        tail = self._tail
        if tail is None or tail.stored or now < tail.again_at_s or self._over:
            return
        if not self._framing.datagram or tail.repeats >= len(self._config.finish_retry_s):
            self._finish(DownReason.NO_ANSWER)
            return
        tail.repeats += 1
        tail.again_at_s = now + self._config.finish_retry_s[min(tail.repeats, len(self._config.finish_retry_s) - 1)]
        self._outgoing.append((tail.established.finish or b"", self._address))

    # --- what follows from it -------------------------------------------------------------------

    def _after(self, now: float) -> None:
        if self._connection is not None and not self._connection.is_open:
            self._initiator.silence()  # nothing is said after the close (LK-84)
            return
        initiator = self._initiator
        if initiator.established is not None:
            established, initiator.established = initiator.established, None
            self._use(established, now)
        self._rekey_if_due(now)
        if initiator.work:
            self._post(initiator.work)
            initiator.work.clear()
        while initiator.outgoing:
            where = self._connection.address if self._connection else self._address
            self._outgoing.append((initiator.outgoing.popleft(), where))
        if initiator.wants_counters and not self._counters.asked and not self.is_over:
            self._counters.asked = True
            self._emit(CountersNeeded())

    def _use(self, established: Established, now: float) -> None:
        connection = self._connection
        epoch = (connection.sessions[0].epoch + 1) & 0xFF if connection else 0
        session = self._framing.session(
            established.keys, self._config, index=established.index, peer_index=established.peer_index,
            epoch=epoch, now=now,
        )  # fmt: skip
        if established.finish is not None:
            wait = self._config.finish_retry_s[0] if self._framing.datagram else sum(self._config.finish_retry_s)
            self._tail = _PairingTail(established, session, 0, now + wait)
            self._outgoing.append((established.finish, self._address))
        elif connection is None:
            self._open(established, session, now)
        elif connection.is_open:
            connection.install(session, now)
            connection.prove(now)

    def _open(self, established: Established, session: Session, now: float) -> None:
        peer = self._peer
        assert peer is not None  # noqa: S101  # sessions are made with a peer
        connection = Connection(
            self._config,
            suite=established.suite,
            session=session,
            binding=established.keys.binding,
            key_id=peer.key_id,
            role=peer.role,
            initiator=True,
            address=self._address,
            entropy=self._entropy,
            emit=self._emit_for,
            schedule=self._schedule,
            now=now,
        )
        self._connection = connection
        connection.announce(now - established.started_s)
        connection.prove(now)

    def _rekey_if_due(self, now: float) -> None:
        connection = self._connection
        if connection is None or not (connection.rekey_requested or connection.rekey_due(now)):
            return
        if connection.is_open and not self._initiator.is_busy and now >= self._rekey_at_s + _REKEY_AGAIN_S:
            connection.rekey_requested = False
            self._rekey_at_s = now
            offer = Offer(self._suite, HandshakeKind.SESSION, self._config.link_type, connection.binding)
            self._initiator.start(offer, connection.sessions[0].peer_index, now)

    def _timed_out(self) -> None:
        if self._connection is None and self._tail is None:
            self._finish(DownReason.NO_ANSWER)

    def _fail(self, reason: DownReason) -> None:
        if self._connection is not None:
            self._connection.end(reason)
        else:
            self._finish(DownReason.NO_ANSWER)

    def _finish(self, reason: DownReason) -> None:
        self._over = True
        self._initiator.stop()
        self._emit(LinkDown(reason, hint=self._initiator.hint))

    def _has_keys(self) -> bool:
        return self._connection is not None or self._tail is not None

    def _index_taken(self, index: int) -> bool:
        return self._connection is not None and any(each.index == index for each in self._connection.sessions)
