"""What the two responder machines share: offers, trust, confirmation (specs/1-link.md, 1.4; 2-pairing.md)."""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from protocols import codec
from protocols.crypto.keys import KeySource
from protocols.crypto.suites import Suite
from protocols.errors import AuthenticationError, PolicyError
from protocols.events import DownReason, Job
from protocols.guards import cookie as guard
from protocols.guards.address import Address
from protocols.link.config import Identity, LinkConfig
from protocols.link.connection import Connection, Packet
from protocols.link.framing import Framing
from protocols.link.handshake import Offer
from protocols.link.machine import Machine
from protocols.link.peers import PeerRecord
from protocols.link.pending import Pending
from protocols.link.responder import Responder, mac_keys
from protocols.link.session import Session
from protocols.link.train import Bytes
from protocols.pairing import PairingWindow
from specs.datagram import INITIATION_HEADER, InitiationHeader
from specs.registry import WIRE_VERSION, CloseCode, HandshakeKind, LinkType, RefusalCode

_unpack_header_untrusted: Final = codec.derive_unpack_untrusted(INITIATION_HEADER)


def initiation_header_untrusted(data: bytes) -> InitiationHeader:
    """Return an initiation's header; MalformedError. No construct here: floods come this way."""
    return InitiationHeader(*_unpack_header_untrusted(data, 0))


def continues_wrongly(header: InitiationHeader) -> bool:
    """Whether it claims to continue an association with something else than a session (PR-10)."""
    return header.continues != 0 and header.kind != HandshakeKind.SESSION


class ServerMachine(Machine):
    """Base of Listener and StreamServer."""

    def __init__(
        self,
        config: LinkConfig,
        identity: Identity,
        framing: Framing,
        *,
        key_source: KeySource,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(entropy, datagram=framing.datagram)
        self._config = config
        self._identity = identity
        self._framing = framing
        self._session_mac_keys = mac_keys(identity)
        self._suites = {suite.id: suite for suite in config.suites}
        for suite in config.suites:
            identity.key(suite.dh)  # UsageError now, rather than when a stranger asks for the suite
        self._window: PairingWindow | None = None
        self._window_mac_key = b""
        self._responder = Responder(
            config,
            identity,
            framing,
            key_source=key_source,
            new_index=lambda: self._random_index(self._index_taken),
            stats=self.handshakes,
            emit=self._emit,
        )

    @property
    def link_type(self) -> LinkType:
        """The one link type that it serves."""
        return self._config.link_type

    # --- what a node calls ----------------------------------------------------------------------

    def open_pairing(self, window: PairingWindow) -> None:
        """Let devices that know the window's code pair; replaces an earlier window.

        Several machines (UDP and TCP) may share one window: its tries are counted together.
        """
        self.close_pairing()
        self._window = window
        self._window_mac_key = guard.mac1_key(window.code.secret)

    def close_pairing(self) -> None:
        """End the code now, and every pairing under way."""
        self._window = None
        self._responder.drop_pairings()

    def accept(self, attempt: int, record: PeerRecord | None, now: float) -> None:
        """Trust an identified peer: its record in a session, its record or None in a pairing."""
        self._responder.accept(attempt, record, now)

    def reject(self, attempt: int, reason: PolicyError, now: float) -> None:
        """Refuse an identified peer."""
        self._responder.reject(attempt, reason, now)

    def abandon(self, attempt: int) -> None:
        """Drop an attempt that the node cannot decide: silence, and no try."""
        self._responder.abandon(attempt)

    def is_storing(self, attempt: int, now: float) -> bool:
        """Whether an accepted pairing still waits to be stored; a store that took longer must take it back (PR-38)."""
        return self._responder.is_storing(attempt, now)

    def pairing_stored(self, attempt: int, now: float) -> None:
        """The peer is stored as pending (PR-30)."""
        self._responder.pairing_stored(attempt, now)

    def drop_peer(self, key_id: bytes) -> None:
        """Forget every handshake of a peer that nobody has proven: it is revoked, or has paired anew (LK-45, PR-37)."""
        self._responder.drop_peer(key_id)

    def drop_all(self) -> None:
        """Forget every handshake that nobody has proven: the carrier has gone."""
        self._responder.drop_all()

    def complete(self, job: Job, now: float) -> None:
        self._responder.complete(job, now)

    # --- for subclasses -------------------------------------------------------------------------

    @property
    def _queue(self) -> deque[Packet]:
        return self._responder.outgoing

    def _pairing_window(self, now: float) -> PairingWindow | None:
        """Return the window if it is open; end it if its time or tries are over (PR-22)."""
        if self._window is not None and not self._window.is_open(now):
            self.close_pairing()
        return self._window

    def _policy(self, header: InitiationHeader) -> Suite | RefusalCode:
        """Return the suite, or why there will be no handshake: before any public-key work."""
        if header.version != WIRE_VERSION:
            return RefusalCode.VERSION
        if header.suite not in self._suites:
            return RefusalCode.SUITE
        wanted = (self._config.link_type, *self._config.roles)
        if (header.link_type, header.initiator_role, header.responder_role) != wanted:
            return RefusalCode.NOT_ALLOWED
        return self._suites[header.suite]

    def _begin(
        self, header: InitiationHeader, suite: Suite, message: bytes, *,
        mac_key: bytes, address: Address | None, tag: bytes, continued: Connection | None, now: float,
    ) -> None:  # fmt: skip
        offer = Offer(suite, HandshakeKind(header.kind), self._config.link_type)
        if continued is not None:
            offer = Offer(suite, offer.kind, offer.link_type, continued.binding)
        self.handshakes.public_key_jobs += 1
        self._responder.begin(
            header, offer, message,
            mac_key=mac_key,
            psk0=self._window if offer.kind is HandshakeKind.PAIRING else None,
            address=address,
            tag=tag,
            expected_key_id=continued.key_id if continued else None,
            epoch=(continued.sessions[0].epoch + 1) & 0xFF if continued else 0,
            now=now,
        )  # fmt: skip

    def _prove_untrusted(self, pending: Pending, packet: Bytes, address: Address | None, now: float) -> None:
        """Try a transport packet on unproven keys: what opens confirms the handshake (LK-43)."""
        session = pending.session
        if session is None or pending.offer.kind is not HandshakeKind.SESSION:
            return
        try:
            frame = session.open_untrusted(packet)
        except AuthenticationError:
            self.handshakes.failed += 1
            if self._framing.datagram:
                return
            raise
        if not self._may_establish(pending):
            self._responder.forget(pending)
            return
        self._responder.confirm(pending)
        connection = self._establish(pending, session, address, now)
        self._confirmed(connection, pending.counter, pending.pair_id)
        if self._window is not None:
            self._window.finish(pending.key_id, pending.pair_id)
        connection.deliver_untrusted(session, frame, packet, address, now)

    def _may_establish(self, pending: Pending) -> bool:  # noqa: ARG002
        """Whether what a proven handshake continues is still there."""
        return True

    @abstractmethod
    def _establish(self, pending: Pending, session: Session, address: Address | None, now: float) -> Connection:
        """Put proven keys to use: in a new connection, or as the next keys of the one that they continue."""

    def _new_connection(self, pending: Pending, session: Session, proof: Address | None, now: float) -> Connection:
        """Make the connection of a new association; ``proof`` is where its first transport message came from."""
        rivals = dict.fromkeys((proof, *pending.rivals))
        connection = Connection(
            self._config,
            suite=pending.offer.suite,
            session=session,
            binding=pending.binding,
            key_id=pending.key_id,
            role=self._config.roles[0],
            initiator=False,
            address=pending.address,
            rivals=tuple(each for each in rivals if each is not None and each != pending.address),
            entropy=self._entropy,
            emit=self._emit_for,
            schedule=self._schedule,
            now=now,
        )
        connection.announce(now - pending.created_s)
        return connection

    def _index_taken(self, index: int) -> bool:
        return self._responder.by_index(index) is not None

    def _replace(self, connections: Iterable[Connection], newcomer: Connection) -> None:
        """End older associations of the same peer (LK-73)."""
        for connection in connections:
            if connection is not newcomer and connection.key_id == newcomer.key_id and connection.is_open:
                connection.close(CloseCode.REPLACED, DownReason.REPLACED)
