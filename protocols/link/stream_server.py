"""The responder's machine for one accepted TCP stream (specs/1-link.md, LK-53 f.): a deadline instead of MACs."""

from collections.abc import Callable, Iterable
from typing import Final

from protocols import codec
from protocols.crypto.keys import KeySource
from protocols.crypto.suites import SUITES
from protocols.errors import DecryptError, MalformedError, PeerError
from protocols.events import DownReason, LinkDown
from protocols.guards.address import Address
from protocols.link.config import Identity, LinkConfig
from protocols.link.connection import Connection
from protocols.link.framing import RecordFraming, handshake_body_untrusted
from protocols.link.handshake import INITIATION_HEADER_BYTES, REPLY_HEADER_BYTES, lengths
from protocols.link.machine import earliest
from protocols.link.pending import Pending
from protocols.link.records import RecordBuffer
from protocols.link.server import ServerMachine, continues_wrongly, initiation_header_untrusted
from protocols.link.session import Session
from protocols.link.state import PendingState
from protocols.link.train import Bytes
from specs.datagram import FINISH_HEADER, InitiationHeader
from specs.registry import MAC_BYTES, HandshakeKind, PacketType, RefusalCode

_NO_TAG = b""
_WAITS_FOR_THE_NODE: Final = frozenset({PendingState.FINISH_IDENTIFIED, PendingState.STORING})
"""A person may be asked about a device that knows the code: the stream lives as long as its code."""


class StreamServer(ServerMachine):
    """Give it the bytes of one accepted stream; when :attr:`is_over`, close the stream."""

    def __init__(
        self,
        config: LinkConfig,
        identity: Identity,
        *,
        key_source: KeySource,
        entropy: Callable[[int], bytes],
        now: float,
        may_begin: Callable[[float], bool] = lambda _: True,
    ) -> None:
        """``may_begin`` is asked, with the time, before the stream's first initiation costs anything (LK-28)."""
        super().__init__(config, identity, RecordFraming(), key_source=key_source, entropy=entropy)
        self._records = RecordBuffer()
        self._connection: Connection | None = None
        self._deadline_s: float | None = now + config.handshake_deadline_s
        self._may_begin = may_begin
        self._began = False
        self._over = False

    @property
    def connection(self) -> Connection | None:
        """The association, once it is up."""
        return self._connection

    # --- the pump's calls -----------------------------------------------------------------------

    def receive(self, data: Bytes, now: float, address: Address | None = None) -> None:  # noqa: ARG002
        already_over = self.is_over
        if already_over:
            return
        try:
            for run in self._records.runs_untrusted(data, has_keys=lambda: self._connection is not None):
                self._run_of_records_untrusted(run, now)
                if self.is_over:
                    return
        except DecryptError:
            self._fail(DownReason.AUTHENTICATION)
        except PeerError:
            self.handshakes.malformed += 1
            self._fail(DownReason.PROTOCOL)

    def receive_end(self, now: float) -> None:  # noqa: ARG002
        self._fail(DownReason.TRUNCATED)

    def connections(self) -> Iterable[Connection]:
        return () if self._connection is None else (self._connection,)

    def next_deadline(self) -> float | None:
        if self.is_over:
            return None
        return earliest(self._deadline_s, self._responder.next_deadline(), self._schedule.next_deadline())

    @property
    def deadline_moved(self) -> bool:
        return self._schedule.has_moved or self._connection is None or len(self._responder) > 0

    def handle_deadline(self, now: float) -> None:
        waiting = self._responder.newest()
        if waiting is not None and waiting.state in _WAITS_FOR_THE_NODE and self._deadline_s is not None:
            self._deadline_s = max(self._deadline_s, waiting.expires_s)
        failed = self._deadline_s is not None and now >= self._deadline_s
        if failed and self._connection is None:
            self._fail(DownReason.TIMEOUT)
            return
        self._responder.handle_deadline(now)
        for connection in self._schedule.take_due(now):
            connection.handle_deadline(now)

    @property
    def is_over(self) -> bool:
        """Whether the stream should be closed, once what is to be sent has been."""
        if self._connection is not None:
            return self._connection.is_down
        return self._over or (self._began and not len(self._responder))

    # --- records --------------------------------------------------------------------------------

    def _run_of_records_untrusted(self, run: list[memoryview], now: float) -> None:
        connection = self._connection
        if len(run) > 1 and connection is not None and run[0][3] == connection.sessions[0].epoch:
            connection.records_untrusted(run, now)
            return
        for record in run:
            if self.is_over:
                return
            self._record_untrusted(record, now)

    def _record_untrusted(self, record: Bytes, now: float) -> None:
        kind = record[2]
        if kind == PacketType.DATA:
            self._data_untrusted(record, now)
        elif kind == PacketType.INITIATION:
            self._initiation_untrusted(handshake_body_untrusted(bytes(record)), now)
        elif kind == PacketType.FINISH:
            self._finish_untrusted(handshake_body_untrusted(bytes(record)), now)
        else:
            raise MalformedError("a record that an initiator never sends")

    def _initiation_untrusted(self, body: bytes, now: float) -> None:
        self.handshakes.initiations += 1
        header = initiation_header_untrusted(body)
        continued = self._connection
        if len(self._responder) or (continued is None) != (header.continues == 0) or continues_wrongly(header):
            raise MalformedError("one handshake at a time, and a new one only as a rekey")
        if continued is not None and header.continues != continued.sessions[0].index:
            raise MalformedError("a rekey of another session")
        self._began = True
        if continued is None and not self._may_begin(now):
            self.handshakes.rate_limited += 1
            return
        suite = self._policy(header)
        window = self._pairing_window(now) if header.kind == HandshakeKind.PAIRING else None
        mac_key = self._window_mac_key if window else self._mac_key_of(header)
        if isinstance(suite, RefusalCode):
            self.handshakes.refused += 1
            self._responder.reply(self._framing.refused(suite, header.sender, mac_key), None)
            return
        if header.kind == HandshakeKind.PAIRING and window is None:
            self.handshakes.pairing_closed += 1
            return
        if continued is not None and continued.suite != suite:
            raise MalformedError("a rekey with another suite")
        expected = lengths(suite, HandshakeKind(header.kind)).initiation - 2 * MAC_BYTES
        if len(body) != expected:
            raise MalformedError("an initiation of the wrong length")
        if not window:
            mac_key = self._session_mac_keys[suite.dh]
        self._begin(
            header, suite, body[INITIATION_HEADER_BYTES:],
            mac_key=mac_key, address=None, tag=_NO_TAG, continued=continued, now=now,
        )  # fmt: skip

    def _mac_key_of(self, header: InitiationHeader) -> bytes:
        """Return the key that the initiator checks a refusal with: of the static key that its suite needs."""
        dh = SUITES[header.suite].dh if header.suite in SUITES else ""
        return self._session_mac_keys.get(dh) or next(iter(self._session_mac_keys.values()))

    def _finish_untrusted(self, body: bytes, now: float) -> None:
        header = codec.parse_untrusted(FINISH_HEADER, body[:REPLY_HEADER_BYTES])
        pending = self._responder.by_index(header.receiver)
        if pending is None or header.sender != pending.header.sender:
            raise MalformedError("a finish of another handshake")
        if len(body) != lengths(pending.offer.suite, pending.offer.kind).finish - MAC_BYTES:
            raise MalformedError("a finish of the wrong length")
        self._responder.finish(pending, body[REPLY_HEADER_BYTES:], now)

    def _data_untrusted(self, record: Bytes, now: float) -> None:
        connection = self._connection
        if connection is not None and record[3] == connection.sessions[0].epoch:
            connection.packet_untrusted(connection.sessions[0], record, None, now)
            return
        pending = self._responder.newest()
        if pending is not None and pending.offer.kind is HandshakeKind.PAIRING:
            self._fail(DownReason.CLOSED)  # the initiator's close, or nothing that matters: the pairing is over
        elif pending is None or record[3] != pending.epoch or pending.session is None:
            raise MalformedError("a record of an epoch that has no key")
        else:
            self._prove_untrusted(pending, record, None, now)

    def _establish(self, pending: Pending, session: Session, address: Address | None, now: float) -> Connection:
        self._deadline_s = None
        if self._connection is not None:
            self._connection.install(session, now)
            return self._connection
        self._connection = self._new_connection(pending, session, address, now)
        return self._connection

    def _fail(self, reason: DownReason) -> None:
        if self._connection is not None:
            self._connection.end(reason)
        elif not self._over:
            self._over = True
            self._emit(LinkDown(reason))
        self._responder.drop_pairings()  # with their claim on the code (PR-32); a session is judged, for the alarm
