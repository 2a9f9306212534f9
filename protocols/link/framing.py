"""How handshake messages and sealed frames become bytes of a carrier: with MACs as datagrams, or as records.

Both framings speak of *packets*: a whole datagram, or a whole record with its header. ``body`` is a handshake
message without MACs and record header; its first byte is its packet type in either case (LK-54).
"""

from typing import Final, Protocol

from protocols import codec
from protocols.errors import DecryptError, MalformedError
from protocols.guards import cookie as guard
from protocols.link.config import LinkConfig
from protocols.link.handshake import REFUSED_BYTES, SessionKeys
from protocols.link.session import DatagramSession, RecordSession, Session
from specs.datagram import REFUSED, Refused
from specs.record import RECORD_HEADER
from specs.registry import MAC_BYTES, RECORD_HEADER_BYTES, PacketType, RefusalCode

_RECORD_STRUCT: Final = codec.derive_struct(RECORD_HEADER)
_NO_MAC2: Final = bytes(MAC_BYTES)


class Framing(Protocol):
    """One carrier kind's way of wrapping."""

    datagram: bool

    def initiation(self, body: bytes, key: bytes, cookie: bytes | None) -> bytes:
        """Wrap header and Noise message 1."""
        ...

    def reply(self, body: bytes, key: bytes) -> bytes:
        """Wrap a response or finish."""
        ...

    def open_reply_untrusted(self, packet: bytes, key: bytes) -> bytes:
        """Return the body of a response or finish; MalformedError, DecryptError (wrong mac1)."""
        ...

    def refused(self, code: RefusalCode, receiver: int, key: bytes) -> bytes:
        """Wrap a refusal (LK-60)."""
        ...

    def session(
        self, keys: SessionKeys, config: LinkConfig, *, index: int, peer_index: int, epoch: int, now: float
    ) -> Session:
        """Put a key pair to use."""
        ...


def _refused_body(code: RefusalCode, receiver: int, key: bytes) -> bytes:
    unsigned = codec.build(REFUSED, Refused(code, receiver, bytes(MAC_BYTES)))[:-MAC_BYTES]
    return unsigned + guard.mac1(key, unsigned)


def open_refused_untrusted(body: bytes, key: bytes) -> Refused:
    """Return a refusal; MalformedError, DecryptError (wrong mac1). ``body`` has no record header."""
    refused = codec.parse_untrusted(REFUSED, body)
    if not guard.verify_mac1(key, body[: REFUSED_BYTES - MAC_BYTES], refused.mac):
        raise DecryptError("refused: wrong mac1")
    return refused


class DatagramFraming:
    """UDP and relay: MACs, no lengths (LK-20 f.)."""

    datagram = True

    def initiation(self, body: bytes, key: bytes, cookie: bytes | None) -> bytes:
        signed = body + guard.mac1(key, body)
        return signed + (guard.mac2(cookie, signed) if cookie else _NO_MAC2)

    def reply(self, body: bytes, key: bytes) -> bytes:
        return body + guard.mac1(key, body)

    def open_reply_untrusted(self, packet: bytes, key: bytes) -> bytes:
        body, mac = packet[:-MAC_BYTES], packet[-MAC_BYTES:]
        if not guard.verify_mac1(key, body, mac):
            raise DecryptError("wrong mac1")
        return body

    def refused(self, code: RefusalCode, receiver: int, key: bytes) -> bytes:
        return _refused_body(code, receiver, key)

    def session(
        self, keys: SessionKeys, config: LinkConfig, *, index: int, peer_index: int, epoch: int, now: float
    ) -> DatagramSession:
        return DatagramSession(keys, config, index=index, peer_index=peer_index, epoch=epoch, now=now)


class RecordFraming:
    """TCP: a header with the length, no MACs (LK-54)."""

    datagram = False

    def _record(self, body: bytes) -> bytes:
        return _RECORD_STRUCT.pack(len(body), PacketType(body[0]), 0) + body

    def initiation(self, body: bytes, key: bytes, cookie: bytes | None) -> bytes:  # noqa: ARG002  # no MACs here
        return self._record(body)

    def reply(self, body: bytes, key: bytes) -> bytes:  # noqa: ARG002
        return self._record(body)

    def open_reply_untrusted(self, packet: bytes, key: bytes) -> bytes:  # noqa: ARG002
        return handshake_body_untrusted(packet)

    def refused(self, code: RefusalCode, receiver: int, key: bytes) -> bytes:
        return self._record(_refused_body(code, receiver, key))

    def session(
        self, keys: SessionKeys, config: LinkConfig, *, index: int, peer_index: int, epoch: int, now: float
    ) -> RecordSession:
        return RecordSession(keys, config, index=index, peer_index=peer_index, epoch=epoch, now=now)


def handshake_body_untrusted(packet: bytes) -> bytes:
    """Return the body of a handshake record; its header's type and epoch must fit (LK-54)."""
    body = packet[RECORD_HEADER_BYTES:]
    if not body or body[0] != packet[2] or packet[3] != 0:
        raise MalformedError("handshake record: header and body differ")
    return body
