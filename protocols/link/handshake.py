"""What a handshake is made of: offer, prologue, exact lengths, outcome (specs/1-link.md, 1.2).

Nothing here keeps state; :mod:`protocols.link.initiator` and :mod:`protocols.link.responder` do. What every handshake
of a session needs is packed by ``struct``, derived from the declarations: construct takes 20 us for each.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, TypeVar

from protocols import codec
from protocols.crypto.suites import Suite
from protocols.errors import AerolinkError, MalformedError, UsageError
from protocols.noise import HandshakeState, NoiseProtocol
from specs.datagram import (
    COOKIE_REPLY,
    INITIATION_HEADER,
    INITIATION_PAYLOAD,
    PROLOGUE,
    REFUSED,
    RESPONSE_HEADER,
    RESPONSE_PAYLOAD,
    ReplyHeader,
)
from specs.registry import (
    CHANNELS,
    LINK_ROLES,
    MAC_BYTES,
    PROLOGUE_LABEL,
    WIRE_VERSION,
    HandshakeKind,
    LinkType,
    PacketType,
)

T = TypeVar("T")

NO_ASSOCIATION: Final = bytes(32)
PATTERNS: Final = {HandshakeKind.PAIRING: "XXpsk0", HandshakeKind.SESSION: "IKpsk2"}
PSK_POSITION: Final = {HandshakeKind.PAIRING: 0, HandshakeKind.SESSION: 2}

INITIATION_HEADER_BYTES: Final = codec.size_bytes(INITIATION_HEADER)
REPLY_HEADER_BYTES: Final = codec.size_bytes(RESPONSE_HEADER)
COOKIE_REPLY_BYTES: Final = codec.size_bytes(COOKIE_REPLY)
REFUSED_BYTES: Final = codec.size_bytes(REFUSED)
_PAYLOAD_BYTES: Final = codec.size_bytes(INITIATION_PAYLOAD)
_RESPONSE_PAYLOAD_BYTES: Final = codec.size_bytes(RESPONSE_PAYLOAD)
_prologue: Final = codec.derive_struct(PROLOGUE)
_initiation_header: Final = codec.derive_struct(INITIATION_HEADER)
_response_header: Final = codec.derive_struct(RESPONSE_HEADER)
_initiation_payload: Final = codec.derive_struct(INITIATION_PAYLOAD)
_response_payload: Final = codec.derive_struct(RESPONSE_PAYLOAD)
_unpack_response_header_untrusted: Final = codec.derive_unpack_untrusted(RESPONSE_HEADER)
_unpack_payload_untrusted: Final = codec.derive_unpack_untrusted(INITIATION_PAYLOAD)
_unpack_response_payload_untrusted: Final = codec.derive_unpack_untrusted(RESPONSE_PAYLOAD)
_INITIATION: Final = bytes((PacketType.INITIATION,))
_RESPONSE: Final = bytes((PacketType.RESPONSE,))


@dataclass(frozen=True, slots=True)
class Offer:
    """What an initiation proposes: everything that the prologue binds."""

    suite: Suite
    """Set of algorithms."""
    kind: HandshakeKind
    """Pairing or session."""
    link_type: LinkType
    """Roles and channels."""
    association: bytes = NO_ASSOCIATION
    """Channel binding of the association that is rekeyed, or zeros."""

    @property
    def is_rekey(self) -> bool:
        """Whether this continues an association."""
        return self.association != NO_ASSOCIATION

    def noise(self) -> NoiseProtocol:
        """Return the Noise protocol (LK-3)."""
        return noise_protocol(self.suite, self.kind)

    def prologue(self) -> bytes:
        """Return the prologue's bytes (LK-12)."""
        return _prologue.pack(
            PROLOGUE_LABEL, WIRE_VERSION, self.suite.id, self.kind, self.link_type, *LINK_ROLES[self.link_type],
            0, channels_sha256(self.link_type), self.association,
        )  # fmt: skip

    def header(self, sender: int, continues: int) -> bytes:
        """Return the initiation's header (LK-10)."""
        return _initiation_header.pack(
            _INITIATION, WIRE_VERSION, self.suite.id, self.kind, sender, self.link_type, *LINK_ROLES[self.link_type],
            0, continues,
        )  # fmt: skip


@cache
def noise_protocol(suite: Suite, kind: HandshakeKind) -> NoiseProtocol:
    """Return the parsed Noise protocol of a suite and kind."""
    return NoiseProtocol.parse(suite.noise_name(PATTERNS[kind]))


@cache
def channels_sha256(link_type: LinkType) -> bytes:
    """Return the hash of a link type's channel table: channel and class byte of each row, in order."""
    rows = b"".join(bytes((row.id, row.service)) for row in CHANNELS[link_type])
    return hashlib.sha256(rows).digest()


@dataclass(frozen=True, slots=True)
class Lengths:
    """The one length of each message of a suite and kind, in bytes (LK-14)."""

    payload: int
    """Payload of Noise message 1, padding included."""
    initiation: int
    """Datagram with both MACs."""
    response: int
    """Datagram with mac1."""
    finish: int
    """Datagram with mac1; 0 when there is no message 3."""


@cache
def lengths(suite: Suite, kind: HandshakeKind) -> Lengths:
    """Return the lengths; the padding makes the initiation at least as long as its response (LK-13)."""
    noise = noise_protocol(suite, kind)
    response = REPLY_HEADER_BYTES + noise.message_length(1, _RESPONSE_PAYLOAD_BYTES) + MAC_BYTES
    bare = INITIATION_HEADER_BYTES + noise.message_length(0, 0) + 2 * MAC_BYTES
    payload = max(_PAYLOAD_BYTES, response - bare)
    finish = 0
    if kind is HandshakeKind.PAIRING:
        finish = REPLY_HEADER_BYTES + noise.message_length(2, 0) + MAC_BYTES
    return Lengths(payload, bare + payload, response, finish)


def initiation_payload(suite: Suite, kind: HandshakeKind, counter: int, sender: int) -> bytes:
    """Return the padded payload of message 1."""
    payload = _initiation_payload.pack(counter, sender)
    return payload.ljust(lengths(suite, kind).payload, b"\0")


def read_initiation_payload_untrusted(payload: bytes, sender: int) -> int:
    """Return the counter of message 1's payload; MalformedError for a wrong index or padding."""
    counter, inner_sender = _unpack_payload_untrusted(payload, 0)
    if inner_sender != sender or any(payload[_PAYLOAD_BYTES:]):
        raise MalformedError("initiation payload: wrong sender index or padding")
    return int(counter)


def response_payload(sender: int) -> bytes:
    """Return the payload of message 2."""
    return _response_payload.pack(sender)


def check_response_payload_untrusted(payload: bytes, sender: int) -> None:
    """Refuse a payload of message 2 whose index is not the header's; MalformedError."""
    (inner_sender,) = _unpack_response_payload_untrusted(payload, 0)
    if inner_sender != sender or len(payload) != _RESPONSE_PAYLOAD_BYTES:
        raise MalformedError("response payload: wrong sender index or length")


def response_header(sender: int, receiver: int) -> bytes:
    """Return the header of message 2 (LK-11)."""
    return _response_header.pack(_RESPONSE, bytes(3), sender, receiver)


def response_header_untrusted(data: bytes) -> ReplyHeader:
    """Return the header at the start of a response; MalformedError."""
    return ReplyHeader(*_unpack_response_header_untrusted(data, 0))


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What a finished handshake leaves behind."""

    cipher: str
    """Name of the AEAD."""
    send: bytes = field(repr=False)
    """32 bytes."""
    receive: bytes = field(repr=False)
    """32 bytes."""
    binding: bytes
    """First 32 bytes of the handshake hash: public."""


def session_keys(state: HandshakeState, suite: Suite, *, initiator: bool) -> SessionKeys:
    """Split() a finished handshake."""
    first, second = (cipher.key_bytes() for cipher in state.split())
    send, receive = (first, second) if initiator else (second, first)
    return SessionKeys(suite.cipher, send, receive, state.handshake_hash[:32])


class HandshakeJob(Generic[T]):
    """Public-key work on a private copy of a handshake: the core's own state moves on only in ``complete``."""

    __slots__ = ("_result", "_step", "error", "state")

    def __init__(self, state: HandshakeState, step: Callable[[HandshakeState], T]) -> None:
        self.state = state.copy()
        self._step = step
        self._result: T | None = None
        self.error: AerolinkError | None = UsageError("the job was completed before it ran")

    def run(self) -> None:
        """Do the work; what goes wrong is kept for ``complete``."""
        try:
            self._result = self._step(self.state)
        except AerolinkError as error:
            self.error = error
        else:
            self.error = None

    def result(self) -> T:
        """Return what the step returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        assert self._result is not None  # noqa: S101  # a step never returns None
        return self._result


AnyJob = HandshakeJob[Any]
