"""The responder's side: handshakes that are pending until the peer proves itself (specs/1-link.md, 1.4; 2-pairing.md).

It trusts nobody and changes nothing of what is in use. A machine hands it initiations that passed the guards of its
carrier, asks it which pending handshake an index belongs to, and confirms one when a transport message of
it has opened. States: :data:`protocols.link.state.PENDING`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from protocols import codec
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import KeySource
from protocols.errors import (
    AerolinkError,
    NotPairedError,
    PolicyError,
    RevokedError,
    RoleRefusedError,
    UsageError,
)
from protocols.events import Alarm, AlarmKind, Event, PairingStored, PeerIdentified, WorkNeeded
from protocols.guards import cookie as guard
from protocols.guards.address import Address, source_key
from protocols.link.config import Identity, LinkConfig
from protocols.link.framing import Framing
from protocols.link.handshake import (
    PSK_POSITION,
    AnyJob,
    HandshakeJob,
    Offer,
    SessionKeys,
    read_initiation_payload_untrusted,
    response_header,
    response_payload,
    session_keys,
)
from protocols.link.peers import PeerRecord, PeerState
from protocols.link.pending import Pending, PendingTable
from protocols.link.state import PENDING, PendingEvent, PendingState, advance
from protocols.link.stats import HandshakeCounters
from protocols.noise import HandshakeState
from protocols.pairing import PairingWindow, pair_id_of, pair_secret_info
from specs import inner
from specs.datagram import InitiationHeader
from specs.registry import PAIR_SECRET_BYTES, CloseCode, HandshakeKind, RefusalCode

Outgoing = tuple[bytes, Address | None]
_MAX_OUTGOING: Final = 256
"""Answers that wait for the carrier: a flood while it cannot send must not fill our memory."""

_REFUSAL_ALARMS: Final = (
    (RevokedError, AlarmKind.REVOKED_PEER),
    (RoleRefusedError, AlarmKind.ROLE_REFUSED),
    (NotPairedError, AlarmKind.UNKNOWN_PEER),
)


class Responder:
    """All pending handshakes of one machine."""

    def __init__(
        self,
        config: LinkConfig,
        identity: Identity,
        framing: Framing,
        *,
        key_source: KeySource,
        new_index: Callable[[], int],
        stats: HandshakeCounters,
        emit: Callable[[Event], None],
    ) -> None:
        self._config = config
        self._identity = identity
        self._framing = framing
        self._key_source = key_source
        self._new_index = new_index
        self._stats = stats
        self._emit = emit
        self._attempts = 0
        self._table = PendingTable()
        self.outgoing: deque[Outgoing] = deque()

    def __len__(self) -> int:
        return len(self._table)

    def by_index(self, index: int) -> Pending | None:
        """Return the pending handshake that answers to an index."""
        return self._table.by_index(index)

    def by_tag(self, tag: bytes) -> Pending | None:
        """Return the pending handshake that the identical initiation began."""
        return self._table.by_tag(tag)

    def newest(self) -> Pending | None:
        """Return the handshake that began last."""
        return self._table.newest()

    # --- message 1 ------------------------------------------------------------------------------

    def begin(
        self,
        header: InitiationHeader,
        offer: Offer,
        message: bytes,
        *,
        mac_key: bytes,
        psk0: PairingWindow | None,
        address: Address | None,
        tag: bytes,
        expected_key_id: bytes | None,
        epoch: int,
        now: float,
    ) -> None:
        """Read message 1 (a job). The guards have been passed; the header names an allowed suite."""
        noise = HandshakeState(
            offer.noise(),
            initiator=False,
            key_source=self._key_source,
            prologue=offer.prologue(),
            s=self._identity.key(offer.suite.dh),
            psks={PSK_POSITION[offer.kind]: psk0.psk0} if psk0 else {},
            agreements=self._identity.agreements,
        )
        source = source_key(address) if address else b""
        self._make_room(offer.kind, source, now)
        self._attempts += 1
        pending = Pending(
            self._attempts, offer, header, self._new_index(), mac_key, noise, address,
            created_s=now, expires_s=now + self._config.handshake_deadline_s,
            source=source, tag=tag,
            expected_key_id=expected_key_id, epoch=epoch, window=psk0,
        )  # fmt: skip
        self._table.add(pending)
        self._post(pending, HandshakeJob(noise, lambda state: self._read_first(pending, state, message)))

    def _read_first(self, pending: Pending, noise: HandshakeState, message: bytes) -> tuple[int, bytes]:
        counter = read_initiation_payload_untrusted(noise.read_message(message), pending.header.sender)
        response = b""
        if pending.offer.kind is HandshakeKind.PAIRING:
            response = noise.write_message(response_payload(pending.index))
        return counter, response

    def _first_read(self, pending: Pending, result: tuple[int, bytes], now: float) -> None:  # noqa: ARG002
        pending.counter, response = result
        if pending.offer.kind is HandshakeKind.PAIRING:
            self._move(pending, PendingEvent.READ_PAIRING)
            self._answer(pending, response)
            return
        self._move(pending, PendingEvent.READ_SESSION)
        if not self._identify(pending):
            return
        if pending.expected_key_id not in {None, pending.key_id}:
            self._stats.failed += 1  # one peer cannot continue another's association
            self._table.drop(pending)
            return
        self._ask(pending)

    # --- the node's word ------------------------------------------------------------------------

    def accept(self, attempt: int, record: PeerRecord | None, now: float) -> None:
        """Trust the peer of an attempt; ``record`` is what the directory holds (None only in a pairing).

        Policy that needs no directory is applied here (LK-42, PR-20). A late answer is ignored.
        """
        pending = self._table.by_attempt(attempt)
        if pending is None:
            return
        if not pending.window and record is not None and record.initiation_counter >= pending.counter:
            # Before any other word: a replay learns nothing, and says nothing of who sent it.
            self._stats.stale_counters += 1
            self._alarm(AlarmKind.STALE_COUNTER, pending)
            self._table.drop(pending)
            return
        refusal = self._objection(pending, record, now)
        if refusal is not None:
            self.reject(attempt, refusal, now)
        elif pending.state is PendingState.FINISH_IDENTIFIED:
            self._move(pending, PendingEvent.ACCEPT)
            if pending.window is not None:
                pending.window.claim(pending.key_id)  # now, since others may be asked about at the same time
            self._emit(
                PairingStored(
                    attempt, pending.key_id, pending.public, pending.offer.suite.dh, self._config.roles[0],
                    pending.pair_secret, pending.counter,
                )
            )  # fmt: skip
        elif record is None:
            raise UsageError("a session is accepted with the peer's record")
        else:
            self._write_second(pending, record)

    def _objection(self, pending: Pending, record: PeerRecord | None, now: float) -> PolicyError | None:
        if pending.window is not None and not pending.window.is_open(now):
            return NotPairedError("the linking code has ended")
        if pending.window is not None and not pending.window.admits(pending.key_id):
            return NotPairedError("another device has used this linking code")
        if record is None:
            return None if pending.window else NotPairedError("no record of this peer")
        if record.state is PeerState.REVOKED:
            return RevokedError("this key was revoked")
        if record.role is not self._config.roles[0]:
            return RoleRefusedError("this peer was paired in another role")
        return None

    def reject(self, attempt: int, reason: PolicyError, now: float) -> None:
        """Refuse the peer of an attempt: the precise reason stays here, a coarse hint goes out (LK-60)."""
        pending = self._table.by_attempt(attempt)
        if pending is None:
            return
        self._stats.refused += 1
        if isinstance(reason, RevokedError | NotPairedError):
            self._identity.agreements.drop(pending.key_id)
        for kind, alarm in _REFUSAL_ALARMS:
            if isinstance(reason, kind):
                self._alarm(alarm, pending)
                break
        if pending.state is PendingState.FINISH_IDENTIFIED:
            self._refuse_pairing(pending, now)
            return
        packet = self._framing.refused(RefusalCode.NOT_ALLOWED, pending.header.sender, pending.mac_key)
        self.reply(packet, pending.address)
        self._table.drop(pending)

    def _refuse_pairing(self, pending: Pending, now: float) -> None:
        """Count the try, and say no under the pairing's keys: the peer has shown that it knows the code (PR-36)."""
        if pending.window is not None and pending.window.is_open(now):
            self._stats.tries_refused += 1
            if pending.window.count_refused_try():
                self._alarm(AlarmKind.PAIRING_TRIES_USED, pending)
        self._move(pending, PendingEvent.REFUSE)
        pending.expires_s = now + self._config.handshake_deadline_s  # for repeated message 3s
        self._seal_reply(pending, codec.build(inner.CLOSE, inner.Close(CloseCode.PAIRING_REFUSED)), now)

    def abandon(self, attempt: int) -> None:
        """Drop an attempt that cannot be decided (a store did not answer): silence, and no try (PR-20)."""
        pending = self._table.by_attempt(attempt)
        if pending is not None:
            self._table.drop(pending)

    def reply(self, packet: bytes, address: Address | None) -> None:
        """Queue an answer; what does not fit is dropped, since whoever asked will ask again."""
        if len(self.outgoing) < _MAX_OUTGOING:
            self.outgoing.append((packet, address))
        else:
            self._stats.replies_dropped += 1

    # --- message 2 ------------------------------------------------------------------------------

    def _write_second(self, pending: Pending, record: PeerRecord) -> None:
        self._move(pending, PendingEvent.ACCEPT)
        self._keep_agreement(pending)
        pending.noise.set_psk(PSK_POSITION[pending.offer.kind], record.pair_secret)
        pending.reply_key = guard.response_mac1_key(record.pair_secret)
        pending.pair_id = pair_id_of(record.pair_secret)

        def step(noise: HandshakeState) -> tuple[bytes, SessionKeys]:
            message = noise.write_message(response_payload(pending.index))
            return message, session_keys(noise, pending.offer.suite, initiator=False)

        self._post(pending, HandshakeJob(pending.noise, step))

    def _keep_agreement(self, pending: Pending) -> None:
        """Remember what our key and the peer's agree on, now that the node knows it: a stranger's never gets here."""
        secret, agreements = pending.noise.static_agreement, self._identity.agreements
        if secret is not None:
            own = self._identity.key(pending.offer.suite.dh).public
            agreements.keep(own, pending.public, secret, key_id=pending.key_id, mark=agreements.mark)

    def _second_written(self, pending: Pending, result: tuple[bytes, SessionKeys], now: float) -> None:
        message, keys = result
        self._use(pending, keys, now)
        self._move(pending, PendingEvent.WRITTEN)
        self._answer(pending, message)

    def _use(self, pending: Pending, keys: SessionKeys, now: float) -> None:
        pending.session = self._framing.session(
            keys,
            self._config,
            index=pending.index,
            peer_index=pending.header.sender,
            epoch=pending.epoch,
            now=now,
        )
        pending.binding = keys.binding

    def _answer(self, pending: Pending, message: bytes) -> None:
        header = response_header(pending.index, pending.header.sender)
        pending.response = self._framing.reply(header + message, pending.reply_key or pending.mac_key)
        self.reply(pending.response, pending.address)

    # --- message 3 (pairing) --------------------------------------------------------------------

    def finish(self, pending: Pending, message: bytes, now: float) -> None:
        """Read message 3 (a job), or answer a repeated one with the confirmation again (PR-33)."""
        if pending.state is PendingState.CONFIRMED:
            self._confirm_pairing(pending, now)
        elif pending.state is PendingState.REFUSED:
            self._seal_reply(pending, codec.build(inner.CLOSE, inner.Close(CloseCode.PAIRING_REFUSED)), now)
        elif pending.state is PendingState.ANSWERED and pending.offer.kind is HandshakeKind.PAIRING:
            if not self._table.has_room_for_proven():
                self._stats.rate_limited += 1  # the initiator will say it again
                return
            self._move(pending, PendingEvent.FINISH)
            self._stats.public_key_jobs += 1
            self._post(pending, HandshakeJob(pending.noise, lambda noise: self._read_third(pending, noise, message)))

    def _read_third(self, pending: Pending, noise: HandshakeState, message: bytes) -> tuple[SessionKeys, bytes]:
        noise.read_message(message)
        static = self._identity.key(pending.offer.suite.dh)
        info = pair_secret_info(noise.remote_static or b"", static.public, self._config.roles)
        pair_secret = noise.export_secret(info, PAIR_SECRET_BYTES)
        return session_keys(noise, pending.offer.suite, initiator=False), pair_secret

    def _third_read(self, pending: Pending, result: tuple[SessionKeys, bytes], now: float) -> None:
        keys, pending.pair_secret = result
        pending.pair_id = pair_id_of(pending.pair_secret)
        self._use(pending, keys, now)
        self._move(pending, PendingEvent.READ_FINISH)
        if pending.window is not None:
            pending.expires_s = max(pending.expires_s, pending.window.expires_s)  # a person may be asked
        if self._identify(pending):
            self._ask(pending)

    def is_storing(self, attempt: int, now: float) -> bool:
        """Whether a pairing still waits to be stored: its code has not ended, and its device has not gone (PR-38)."""
        pending = self._table.by_attempt(attempt)
        if pending is None or pending.state is not PendingState.STORING:
            return False
        return pending.window is None or pending.window.is_open(now)

    def pairing_stored(self, attempt: int, now: float) -> None:
        """Confirm a pairing that is on disk now (PR-30)."""
        pending = self._table.by_attempt(attempt)
        if pending is None:
            return
        self._move(pending, PendingEvent.STORED)
        pending.expires_s = now + self._config.handshake_deadline_s  # for repeated message 3s
        if pending.window is not None:
            pending.window.keep(pending.pair_id)
        self._stats.paired += 1
        self._drop_void(pending)
        self._confirm_pairing(pending, now)

    def _drop_void(self, pairing: Pending) -> None:
        """Drop what was answered with the pair secret before: sessions, and older pairings of this key (PR-35)."""
        for other in self._table.select(lambda _: True):
            older = other.offer.kind is HandshakeKind.SESSION or other.attempt < pairing.attempt
            if other.key_id == pairing.key_id and older:
                self._table.drop(other)

    def _confirm_pairing(self, pending: Pending, now: float) -> None:
        self._seal_reply(pending, codec.build(inner.PAIRING_CONFIRM, inner.PairingConfirm()), now)

    def _seal_reply(self, pending: Pending, frame: bytes, now: float) -> None:
        if pending.session is not None and pending.session.usable(now):
            self.reply(pending.session.seal(frame), pending.address)

    # --- proof and end --------------------------------------------------------------------------

    def confirm(self, pending: Pending) -> None:
        """Forget a session handshake whose keys a transport message has proven; older ones of the peer go too."""
        self._move(pending, PendingEvent.TRANSPORT)
        self._stats.confirmed += 1
        for other in self._table.select(lambda _: True):
            if other.key_id == pending.key_id and other.counter <= pending.counter:
                self._table.drop(other)

    def forget(self, pending: Pending) -> None:
        """Drop a handshake that leads nowhere any more."""
        self._stats.failed += 1
        self._table.drop(pending)

    def complete(self, done: object, now: float) -> bool:
        """Take the outcome of a job; False when its handshake is gone, or it never was one of ours."""
        pending = self._table.by_job(done)
        job = pending.job if pending else None
        if pending is None or job is None:
            return False
        pending.job = None
        try:
            result = job.result()
        except AerolinkError:
            self._stats.failed += 1
            if pending.state is PendingState.READING_FINISH:
                self._move(pending, PendingEvent.BAD_FINISH)
            else:
                self._table.drop(pending)
            return True
        pending.noise = job.state
        self._COMPLETED[pending.state](self, pending, result, now)
        return True

    def next_deadline(self) -> float | None:
        """Return when the next pending handshake expires."""
        return self._table.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Forget what was never confirmed (LK-27)."""
        for pending in self._table.select(lambda each: now >= each.expires_s):
            if pending.state is not PendingState.CONFIRMED:
                self._stats.expired += 1
            self._table.drop(pending)

    def drop_pairings(self) -> None:
        """Forget every pairing under way: its code has ended."""
        for pending in self._table.select(lambda each: each.offer.kind is HandshakeKind.PAIRING):
            self._table.drop(pending)

    def drop_peer(self, key_id: bytes) -> None:
        """Forget whatever a peer has begun, answered or not: it is revoked, or has paired anew (LK-45, PR-37)."""
        self._identity.agreements.drop(key_id)
        for pending in self._table.select(lambda each: each.key_id == key_id):
            self._stats.refused += 1
            self._table.drop(pending)

    def drop_all(self) -> None:
        """Forget everything: the carrier has gone."""
        for pending in self._table.select(lambda _: True):
            self._table.drop(pending)

    def _identify(self, pending: Pending) -> bool:
        public = pending.noise.remote_static or b""
        pending.public = public
        pending.key_id = key_id_of(pending.offer.suite.dh, public)
        if public == self._identity.key(pending.offer.suite.dh).public:
            self._stats.failed += 1  # our own key comes back: a reflection, not a peer
            self._table.drop(pending)
            return False
        return True

    def _ask(self, pending: Pending) -> None:
        self._emit(
            PeerIdentified(
                pending.attempt, pending.key_id, pending.public, pending.offer.suite.dh, self._config.roles[0],
                pending.offer.kind is HandshakeKind.PAIRING, pending.counter, pending.address,
            )
        )  # fmt: skip

    def _post(self, pending: Pending, job: AnyJob) -> None:
        pending.job = job
        self._emit(WorkNeeded(job))

    def _move(self, pending: Pending, event: PendingEvent) -> None:
        pending.state = advance(PENDING, pending.state, event)

    def _alarm(self, kind: AlarmKind, pending: Pending) -> None:
        who = pending.key_id.hex() if pending.key_id else "unknown"
        self._emit(Alarm(kind, f"device {who} from {pending.address or 'a stream'}"))

    def _make_room(self, kind: HandshakeKind, source: bytes, now: float) -> None:
        self.handle_deadline(now)
        victim = self._table.victim(kind, source, self._config)
        if victim is not None:
            self._stats.evicted += 1
            self._table.drop(victim)

    _COMPLETED: ClassVar[Mapping[PendingState, Callable[..., None]]] = {
        PendingState.READING: _first_read,
        PendingState.WRITING: _second_written,
        PendingState.READING_FINISH: _third_read,
    }


def mac_keys(identity: Identity) -> dict[str, bytes]:
    """Return the mac1 key of sessions for each of our static keys (LK-20)."""
    return {dh: guard.mac1_key(key.public) for dh, key in identity.keys.items()}
