"""The initiator's side of one handshake: attempts, retries, cookies, hints (specs/1-link.md, 1.2 to 1.6).

It yields packets and jobs, and at the end an :class:`Established`. It opens no transport message: proof of life is
the business of whoever puts the keys to use. States: :data:`protocols.link.state.INITIATOR`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols import codec
from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.keys import KeySource, StaticKey
from protocols.crypto.suites import Suite
from protocols.errors import AerolinkError, MalformedError, PeerError, UsageError
from protocols.events import WorkNeeded
from protocols.guards import cookie as guard
from protocols.guards.ratelimit import TokenBucket
from protocols.link.config import LinkConfig
from protocols.link.framing import Framing, open_refused_untrusted
from protocols.link.handshake import (
    PSK_POSITION,
    REPLY_HEADER_BYTES,
    AnyJob,
    HandshakeJob,
    Offer,
    SessionKeys,
    check_response_payload_untrusted,
    initiation_payload,
    lengths,
    response_header_untrusted,
    session_keys,
)
from protocols.link.peers import CounterBlock
from protocols.link.state import INITIATOR, InitiatorEvent, InitiatorState, advance
from protocols.link.stats import HandshakeCounters
from protocols.noise import HandshakeState
from protocols.pairing import pair_secret_info
from specs.datagram import COOKIE_REPLY, FINISH_HEADER, ReplyHeader
from specs.registry import COOKIE_LIFETIME_S, MAC_BYTES, PAIR_SECRET_BYTES, HandshakeKind, RefusalCode

_RESPONSES_PER_S: Final = 20.0
_RESPONSES_BURST: Final = 20.0
_MAX_WAITING_RESPONSES: Final = 16
COUNTERS_LOW: Final = 8


@dataclass(frozen=True, slots=True)
class Established:
    """What a handshake gave the initiator."""

    suite: Suite
    """Algorithms."""
    keys: SessionKeys
    """Transport keys."""
    index: int
    """Our index."""
    peer_index: int
    """The responder's index."""
    remote: bytes = field(repr=False)
    """The responder's static public key."""
    started_s: float
    """When the first initiation of this handshake was begun."""
    finish: bytes | None = field(default=None, repr=False)
    """Pairing: the wrapped message 3, to be sent again until it is confirmed."""
    pair_secret: bytes | None = field(default=None, repr=False)
    """Pairing: 32 bytes."""


@dataclass(slots=True)
class _Attempt:
    index: int
    state: HandshakeState
    mark: int
    """When its work began, as the agreements count it."""
    mac1: bytes = b""


class CounterPool:
    """Reserved initiation counters, handed out once each (LK-40 f.)."""

    __slots__ = ("_blocks", "_last", "asked")

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, int]] = deque()
        self._last = 0
        self.asked = False

    @property
    def left(self) -> int:
        """How many counters are reserved."""
        return sum(end - first for first, end in self._blocks)

    def add(self, block: CounterBlock) -> None:
        """Take a reserved block; UsageError if it does not lie above every counter so far."""
        highest = self._blocks[-1][1] if self._blocks else self._last + 1
        if block.count < 1 or block.first < highest:
            raise UsageError("reserved counters only ever rise")
        self._blocks.append((block.first, block.first + block.count))
        self.asked = False

    def take(self) -> int | None:
        """Return the next counter, or None when a block must be reserved first."""
        if not self._blocks:
            return None
        first, end = self._blocks.popleft()
        if first + 1 < end:
            self._blocks.appendleft((first + 1, end))
        self._last = first
        return first


class Initiator:
    """Runs handshakes of one offer at a time towards one responder."""

    def __init__(
        self,
        config: LinkConfig,
        framing: Framing,
        *,
        static: StaticKey,
        remote: bytes | None,
        psk: bytes,
        mac_secret: bytes,
        key_source: KeySource,
        new_index: Callable[[], int],
        counters: CounterPool,
        stats: HandshakeCounters,
        agreements: StaticAgreements,
    ) -> None:
        """``remote`` and ``psk``: responder's key and pair secret, or None and psk0; ``mac_secret``: LK-20."""
        self._config = config
        self._framing = framing
        self._static = static
        self._remote = remote
        self._psk = psk
        self._mac_key = guard.mac1_key(mac_secret)
        self._reply_key = guard.response_mac1_key(psk) if remote else self._mac_key
        self._key_source = key_source
        self._new_index = new_index
        self._counters = counters
        self._stats = stats
        self._agreements = agreements
        self._state = InitiatorState.IDLE
        self._offer: Offer | None = None
        self._continues = 0
        self._attempt: _Attempt | None = None
        self._job: AnyJob | None = None
        self._responses: deque[bytes] = deque(maxlen=_MAX_WAITING_RESPONSES)
        self._bucket = TokenBucket(_RESPONSES_PER_S, _RESPONSES_BURST)
        self._cookie: tuple[bytes, float] | None = None
        self._tries = 0
        self._retry_at_s: float | None = None
        self._started_s = 0.0
        self._last_index = 0
        self.hint: RefusalCode | None = None
        self.work: deque[WorkNeeded] = deque()
        self.outgoing: deque[bytes] = deque()
        self.established: Established | None = None

    @property
    def state(self) -> InitiatorState:
        """Where the handshake stands."""
        return self._state

    @property
    def is_busy(self) -> bool:
        """Whether a handshake is under way."""
        state = self._state  # compared by identity: hashing a member of an enumeration costs ten times as much
        return not (
            state is InitiatorState.FINISHED or state is InitiatorState.IDLE or state is InitiatorState.TIMED_OUT
        )

    @property
    def wants_counters(self) -> bool:
        """Whether a block of counters should be reserved."""
        return self._counters.left < COUNTERS_LOW

    def start(self, offer: Offer, continues: int, now: float) -> None:
        """Begin a handshake; UsageError while one is under way or the carrier is too small (LK-14)."""
        needed = lengths(offer.suite, offer.kind)
        if self._framing.datagram and max(needed.initiation, needed.finish) > self._config.path_bytes:
            raise UsageError(
                f"suite {offer.suite.name} needs datagrams of {needed.initiation} bytes, "
                f"the path carries {self._config.path_bytes}"
            )
        self._advance(InitiatorEvent.START)
        self._offer, self._continues = offer, continues
        self._tries = 0
        self._started_s = now
        self.hint = self.established = None
        self._write(now)

    def counters_added(self, now: float) -> None:
        """Go on, if the handshake was waiting for counters."""
        if self._state is InitiatorState.STARTED:
            self._write(now)

    def stop(self) -> None:
        """Give up a handshake under way."""
        if self.is_busy:
            self._advance(InitiatorEvent.GIVE_UP)
            self._forget()

    def silence(self) -> None:
        """Give up, and take back what was not handed out yet."""
        self.stop()
        self.established = None
        self.work.clear()
        self.outgoing.clear()

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` is due."""
        return self._retry_at_s if self.is_busy else None

    def handle_deadline(self, now: float) -> None:
        """Retry or give up (LK-44)."""
        if self._retry_at_s is None or now < self._retry_at_s or not self.is_busy:
            return
        waits = self._config.handshake_retry_s if self._framing.datagram else ()
        if self._state is InitiatorState.SENT and self._tries < len(waits):
            self._advance(InitiatorEvent.RETRY)
            self._forget()
            self._write(now)
        elif self._state is InitiatorState.SENT or self._tries >= len(waits):
            self.stop()
        else:  # a job is late: look again
            self._retry_at_s = now + waits[min(self._tries, len(waits) - 1)]
            self._tries += 1

    def complete(self, done: object, now: float) -> bool:
        """Take the outcome of a job; False when it is not (or no longer) ours."""
        job = self._job
        if job is None or job is not done:
            return False
        self._job = None
        if self._state is InitiatorState.WRITING:
            self._written(job, now)
        else:
            self._read(job, now)
        return True

    # --- message 1 ------------------------------------------------------------------------------

    def _write(self, now: float) -> None:
        wait = self._config.handshake_deadline_s
        if self._framing.datagram:
            wait = self._config.handshake_retry_s[min(self._tries, len(self._config.handshake_retry_s) - 1)]
        self._retry_at_s = now + wait
        counter = self._counters.take()
        if counter is None or self._offer is None:
            return
        self._advance(InitiatorEvent.COUNTER)
        self._tries += 1
        offer = self._offer
        index = self._last_index = self._new_index()
        state = HandshakeState(
            offer.noise(),
            initiator=True,
            key_source=self._key_source,
            prologue=offer.prologue(),
            s=self._static,
            rs=self._remote,
            psks={PSK_POSITION[offer.kind]: self._psk},
            agreements=self._agreements,
        )
        payload = initiation_payload(offer.suite, offer.kind, counter, index)
        self._attempt = _Attempt(index, state, self._agreements.mark)
        self._post(HandshakeJob(state, lambda noise: noise.write_message(payload)))

    def _written(self, job: AnyJob, now: float) -> None:
        attempt, offer = self._attempt, self._offer
        assert attempt is not None and offer is not None  # noqa: S101, PT018  # set before the job was posted
        message = job.result()  # what fails here is ours (a bad key of the peer was refused when it was stored)
        attempt.state = job.state
        self._keep_agreement(attempt)
        body = offer.header(attempt.index, self._continues) + message
        cookie = self._cookie[0] if self._cookie and now < self._cookie[1] else None
        packet = self._framing.initiation(body, self._mac_key, cookie)
        attempt.mac1 = packet[-2 * MAC_BYTES : -MAC_BYTES] if self._framing.datagram else b""
        self._advance(InitiatorEvent.WRITTEN)
        self.outgoing.append(packet)

    def _keep_agreement(self, attempt: _Attempt) -> None:
        """Remember what our key and that of the configured peer agree on, for the next handshake with it."""
        secret = attempt.state.static_agreement
        if secret is not None and self._remote is not None:  # a pairing has neither
            key_id = key_id_of(self._static.dh, self._remote)
            self._agreements.keep(self._static.public, self._remote, secret, key_id=key_id, mark=attempt.mark)

    # --- what comes back ------------------------------------------------------------------------

    def response_untrusted(self, packet: bytes, now: float) -> None:
        """Take a response: try it, or keep it while another is being tried (LK-16)."""
        offer, attempt = self._offer, self._attempt
        expected = lengths(offer.suite, offer.kind).response if offer else 0
        try:
            body = self._framing.open_reply_untrusted(packet, self._reply_key)
            header = response_header_untrusted(body)
        except PeerError:
            self._stats.malformed += 1
            return
        except AerolinkError:
            self._stats.wrong_mac1 += 1
            return
        if attempt is None or header.receiver != attempt.index:
            self._stats.unknown_index += 1
        elif len(body) + MAC_BYTES != expected:
            self._stats.malformed += 1
        elif not self._bucket.allow(now):
            self._stats.rate_limited += 1
        elif self._state is InitiatorState.READING:
            self._responses.append(body)
        elif self._state is InitiatorState.SENT:
            self._try(body, header)

    def _try(self, body: bytes, header: ReplyHeader) -> None:
        attempt, offer = self._attempt, self._offer
        assert attempt is not None and offer is not None  # noqa: S101, PT018  # the caller looked
        self._advance(InitiatorEvent.RESPONSE)
        self._stats.public_key_jobs += 1
        message, static, wrap = body[REPLY_HEADER_BYTES:], self._static, self._wrap_finish
        roles = self._config.roles

        def step(noise: HandshakeState) -> Established:
            check_response_payload_untrusted(noise.read_message(message), header.sender)
            finish = pair_secret = None
            if offer.kind is HandshakeKind.PAIRING:
                finish = wrap(attempt.index, header.sender, noise.write_message(b""))
            remote = noise.remote_static
            if remote is None:  # pragma: no cover  # both patterns reveal it by now
                raise MalformedError("no static key")
            if finish is not None:
                info = pair_secret_info(static.public, remote, roles)
                pair_secret = noise.export_secret(info, PAIR_SECRET_BYTES)
            keys = session_keys(noise, offer.suite, initiator=True)
            return Established(
                offer.suite, keys, attempt.index, header.sender, remote, self._started_s, finish, pair_secret
            )

        self._post(HandshakeJob(attempt.state, step))

    def _wrap_finish(self, sender: int, receiver: int, message: bytes) -> bytes:
        header = codec.build(FINISH_HEADER, ReplyHeader(sender, receiver))
        return self._framing.reply(header + message, self._mac_key)

    def _read(self, job: AnyJob, now: float) -> None:
        try:
            self.established = job.result()
        except AerolinkError:
            self._stats.failed += 1
            self._advance(InitiatorEvent.BAD_RESPONSE)
            if self._responses:
                body = self._responses.popleft()
                self._try(body, response_header_untrusted(body))
            elif self._retry_at_s is not None and now >= self._retry_at_s:
                self.handle_deadline(now)
            return
        self._advance(InitiatorEvent.READ)
        self._forget()

    def cookie_untrusted(self, packet: bytes, now: float) -> None:
        """Keep a cookie that answers our outstanding initiation; the next one carries it (LK-24)."""
        try:
            reply = codec.parse_untrusted(COOKIE_REPLY, packet)
        except PeerError:
            self._stats.malformed += 1
            return
        attempt = self._attempt
        if attempt is None or reply.receiver != attempt.index or not attempt.mac1:
            self._stats.unknown_index += 1
            return
        sealed = guard.SealedCookie(reply.salt, reply.sealed_cookie)
        cookie = guard.open_reply(self._mac_key, attempt.mac1, sealed)
        if cookie is None:
            self._stats.failed += 1
            return
        self._cookie = (cookie, now + COOKIE_LIFETIME_S)

    def refused_untrusted(self, body: bytes) -> None:
        """Keep a refusal as a hint; nothing is done about it (LK-61)."""
        try:
            refused = open_refused_untrusted(body, self._mac_key)
        except PeerError:
            self._stats.malformed += 1
        except AerolinkError:
            self._stats.wrong_mac1 += 1
        else:
            if refused.receiver == self._last_index:
                self.hint = refused.code

    def _post(self, job: AnyJob) -> None:
        self._job = job
        self.work.append(WorkNeeded(job))

    def _forget(self) -> None:
        self._attempt = self._job = None
        self._responses.clear()

    def _advance(self, event: InitiatorEvent) -> None:
        self._state = advance(INITIATOR, self._state, event)
