"""The responder's machine for datagrams: many peers over one socket (specs/1-link.md, 1.3 and 1.4).

The way of an initiation: header, mac1, load and cookie, the cache of answered initiations, the source's rate,
policy, exact length - and only then public-key work. Data goes by its index to a connection, or to the pending
handshake that it proves.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Final

from protocols import codec
from protocols.crypto.keys import KeySource
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import PeerError
from protocols.events import Alarm, AlarmKind
from protocols.guards import cookie as guard
from protocols.guards.address import Address, source_key
from protocols.guards.ratelimit import SourceLimiter, TokenBucket
from protocols.link.config import Identity, LinkConfig
from protocols.link.connection import Connection
from protocols.link.framing import DatagramFraming
from protocols.link.handshake import INITIATION_HEADER_BYTES, REPLY_HEADER_BYTES, lengths
from protocols.link.machine import earliest
from protocols.link.path import MAX_RIVALS
from protocols.link.pending import Pending
from protocols.link.server import ServerMachine, continues_wrongly, initiation_header_untrusted
from protocols.link.session import Session
from protocols.link.train import Bytes
from specs.datagram import COOKIE_REPLY, FINISH_HEADER, CookieReply, InitiationHeader
from specs.registry import (
    COOKIE_SALT_BYTES,
    DATA_HEADER_BYTES,
    MAC_BYTES,
    TAG_BYTES,
    HandshakeKind,
    PacketType,
    RefusalCode,
)

_MACS_BYTES: Final = 2 * MAC_BYTES
_MIN_INITIATION_BYTES: Final = min(
    lengths(suite, kind).initiation for suite in SUITES.values() for kind in HandshakeKind
)
"""Whatever is shorter is none of any suite; so every answer is smaller than what it answers."""
_LOAD_ALARM_S: Final = 10.0
_LOAD_LASTS_S: Final = 2.0
"""Load mode goes on for so long after the last initiation above the limit: longer than the first retry takes."""


class Listener(ServerMachine):
    """Give it every datagram of its socket, with the address that it came from."""

    def __init__(
        self,
        config: LinkConfig,
        identity: Identity,
        *,
        key_source: KeySource,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(config, identity, DatagramFraming(), key_source=key_source, entropy=entropy)
        self._jar = guard.CookieJar(entropy)
        self._load = TokenBucket(config.load_initiations_per_s, max(1.0, config.load_initiations_per_s))
        self._sources = SourceLimiter(config.source_initiations_per_s, config.source_initiations_burst)
        self._proven_sources = SourceLimiter(config.source_initiations_per_s, config.source_initiations_burst)
        """Of those that own their address; whoever only writes it on his datagrams cannot use this up."""
        self._repeats = SourceLimiter(config.source_initiations_per_s, config.source_initiations_burst)
        """Of identical initiations: per source and initiation."""
        self._spent = guard.SpentInitiations()
        self._load_until_s = float("-inf")
        self._load_alarm_s = float("-inf")
        self._by_index: dict[int, tuple[Connection, Session]] = {}
        self._indices: dict[Connection, tuple[int, ...]] = {}
        self._connections: dict[bytes, Connection] = {}
        self._leaving: set[Connection] = set()

    # --- the pump's calls -----------------------------------------------------------------------

    def receive(self, data: Bytes, now: float, address: Address | None = None) -> None:
        handler = self._HANDLERS.get(data[0]) if data else None
        if handler is None or address is None:
            self.handshakes.malformed += 1
            return
        try:
            handler(self, data, address, now)
        except PeerError:
            self.handshakes.malformed += 1

    def _session_of_index(self, index: int) -> tuple[Connection, Session] | None:
        return self._by_index.get(index)

    def connections(self) -> Iterable[Connection]:
        return (*self._connections.values(), *self._leaving)

    def next_deadline(self) -> float | None:
        return earliest(self._responder.next_deadline(), self._schedule.next_deadline())

    @property
    def deadline_moved(self) -> bool:
        return self._schedule.has_moved or len(self._responder) > 0

    def handle_deadline(self, now: float) -> None:
        self._responder.handle_deadline(now)
        for connection in self._schedule.take_due(now):
            connection.handle_deadline(now)
            self._index(connection)
            self._quiet(connection)

    @property
    def is_over(self) -> bool:
        return False

    # --- initiations ----------------------------------------------------------------------------

    def _initiation_untrusted(self, data: bytes, address: Address, now: float) -> None:
        self.handshakes.initiations += 1
        if len(data) < _MIN_INITIATION_BYTES:
            self.handshakes.malformed += 1
            return
        header = initiation_header_untrusted(data)
        mac_key = self._mac_key(header, data, now)
        if mac_key is None:
            return
        if not self._admit(header, data, mac_key, address, now):
            return
        suite = self._policy(header)
        if isinstance(suite, RefusalCode):
            self._refuse(suite, header, mac_key, address)
            return
        self._admitted_untrusted(header, suite, data, mac_key, address, now)

    def _admitted_untrusted(
        self, header: InitiationHeader, suite: Suite, data: bytes, mac_key: bytes, address: Address, now: float
    ) -> None:
        continued = self._by_index.get(header.continues) if header.continues else None
        if len(data) != lengths(suite, HandshakeKind(header.kind)).initiation or continues_wrongly(header):
            self.handshakes.malformed += 1
        elif header.continues and continued is None:
            self.handshakes.unknown_index += 1
        elif continued is not None and continued[0].suite != suite:
            self.handshakes.malformed += 1  # a rekey changes keys, never algorithms (LK-4, LK-70)
        elif not header.continues and len(self._connections) >= self._config.max_peers:
            self._refuse(RefusalCode.BUSY, header, mac_key, address)
        else:
            self._begin(
                header,
                suite,
                data[INITIATION_HEADER_BYTES:-_MACS_BYTES],
                mac_key=mac_key,
                address=address,
                tag=_tag(data),
                continued=continued[0] if continued else None,
                now=now,
            )

    def _mac_key(self, header: InitiationHeader, data: bytes, now: float) -> bytes | None:
        """Return the key whose mac1 holds; None for strangers (LK-20)."""
        if header.kind == HandshakeKind.PAIRING:
            if self._pairing_window(now) is None:
                self.handshakes.pairing_closed += 1
                return None
            keys: Iterable[bytes] = (self._window_mac_key,)
        else:
            keys = self._session_mac_keys.values()
        for key in keys:
            if guard.verify_mac1(key, data[:-_MACS_BYTES], _tag(data)):
                return key
        self.handshakes.wrong_mac1 += 1
        return None

    def _admit(self, header: InitiationHeader, data: bytes, mac_key: bytes, address: Address, now: float) -> bool:
        """Ask load, rate, cookie and cache (LK-22 to LK-26): what came before uses up nobody's tokens."""
        source, tag = source_key(address), _tag(data)
        twin = self._responder.by_tag(tag)
        if twin is None and self._spent.holds(source, tag, now):
            self.handshakes.duplicates += 1
            return False
        needs_cookie = self._is_loaded(now) or (twin is None and not self._sources.allow(source, now))
        if needs_cookie and not self._jar.verify_mac2(data[:-MAC_BYTES], data[-MAC_BYTES:], address, now):
            self.handshakes.wrong_mac2 += 1
            self._send_cookie(header, data, mac_key, address, now)
            return False
        if twin is not None:
            self._answer_again(twin, source + tag, address, now)
            return False
        if needs_cookie and not self._proven_sources.allow(source, now):
            self.handshakes.rate_limited += 1
            return False
        if needs_cookie:
            self._spent.add(source, tag, now)
        return True

    def _is_loaded(self, now: float) -> bool:
        """Count an initiation; whether there are so many that each must show a cookie."""
        if not self._load.allow(now):
            self._load_until_s = now + _LOAD_LASTS_S
        loaded = now < self._load_until_s
        if loaded and now >= self._load_alarm_s + _LOAD_ALARM_S:
            self._load_alarm_s = now
            self._emit(Alarm(AlarmKind.LOAD_MODE, "more initiations than the limit"))
        return loaded

    def _answer_again(self, twin: Pending, bucket: bytes, address: Address, now: float) -> None:
        """Take an identical initiation while its handshake is pending (LK-26)."""
        if address not in {twin.address, *twin.rivals} and len(twin.rivals) < MAX_RIVALS:
            twin.rivals.append(address)
        if not self._repeats.allow(bucket, now):
            self.handshakes.rate_limited += 1
            return
        self.handshakes.duplicates += 1
        if twin.response is not None:
            self._responder.reply(twin.response, address)

    def _send_cookie(self, header: InitiationHeader, data: bytes, mac_key: bytes, address: Address, now: float) -> None:
        sealed = guard.make_reply(mac_key, _tag(data), self._jar.cookie(address, now), self._entropy(COOKIE_SALT_BYTES))
        reply = codec.build(COOKIE_REPLY, CookieReply(header.sender, sealed.salt, sealed.sealed))
        self.handshakes.cookies_sent += 1
        self._responder.reply(reply, address)

    def _refuse(self, code: RefusalCode, header: InitiationHeader, mac_key: bytes, address: Address) -> None:
        self.handshakes.refused += 1
        self._responder.reply(self._framing.refused(code, header.sender, mac_key), address)

    # --- message 3, data ------------------------------------------------------------------------

    def _finish_untrusted(self, data: bytes, address: Address, now: float) -> None:  # noqa: ARG002
        header = codec.parse_untrusted(FINISH_HEADER, data[:REPLY_HEADER_BYTES])
        pending = self._responder.by_index(header.receiver)
        if pending is None or header.sender != pending.header.sender:
            self.handshakes.unknown_index += 1
            return
        if len(data) != lengths(pending.offer.suite, pending.offer.kind).finish:
            self.handshakes.malformed += 1
            return
        if not guard.verify_mac1(pending.mac_key, data[:-MAC_BYTES], data[-MAC_BYTES:]):
            self.handshakes.wrong_mac1 += 1
            return
        self._responder.finish(pending, data[REPLY_HEADER_BYTES:-MAC_BYTES], now)

    def _data_untrusted(self, data: Bytes, address: Address, now: float) -> None:
        if len(data) < DATA_HEADER_BYTES + TAG_BYTES or any(data[1:4]):
            self.handshakes.malformed += 1
            return
        index = int.from_bytes(data[4:8], "big")
        entry = self._by_index.get(index)
        if entry is not None:
            connection, session = entry
            connection.packet_untrusted(session, data, address, now)
            return
        pending = self._responder.by_index(index)
        if pending is None:
            self.handshakes.unknown_index += 1
        else:
            self._prove_untrusted(pending, data, address, now)

    # --- connections ----------------------------------------------------------------------------

    def _may_establish(self, pending: Pending) -> bool:
        if not pending.offer.is_rekey:
            return True
        known = self._connections.get(pending.key_id)
        return known is not None and known.is_open and known.binding == pending.offer.association

    def _establish(self, pending: Pending, session: Session, address: Address | None, now: float) -> Connection:
        known = self._connections.get(pending.key_id)
        if pending.offer.is_rekey and known is not None:
            known.install(session, now)
            self._index(known)
            return known
        connection = self._new_connection(pending, session, address, now)
        if known is not None:
            self._replace((known,), connection)
            self._leaving.add(known)
            self._unindex(known)
        self._connections[pending.key_id] = connection
        self._index(connection)
        return connection

    def _index(self, connection: Connection) -> None:
        """Make the table say exactly which indices still receive for this connection."""
        self._unindex(connection)
        self._indices[connection] = tuple(session.index for session in connection.sessions)
        for session in connection.sessions:
            self._by_index[session.index] = (connection, session)

    def _unindex(self, connection: Connection) -> None:
        for index in self._indices.pop(connection, ()):
            del self._by_index[index]

    def _quiet(self, connection: Connection) -> None:
        """Forget a connection that is over; whoever holds it may still take its messages."""
        if not connection.is_down:
            return
        if self._connections.get(connection.key_id) is connection:
            del self._connections[connection.key_id]
            self._unindex(connection)
        self._leaving.discard(connection)
        self._schedule.forget(connection)

    def _index_taken(self, index: int) -> bool:
        return index in self._by_index or super()._index_taken(index)

    _HANDLERS: ClassVar[Mapping[int, Callable[..., None]]] = {
        PacketType.INITIATION: _initiation_untrusted,
        PacketType.FINISH: _finish_untrusted,
        PacketType.DATA: _data_untrusted,
    }


def _tag(data: bytes) -> bytes:
    return data[-_MACS_BYTES:-MAC_BYTES]
