"""The UDP and relay envelope: initiation, response, finish, cookie reply, refused, data (specs/1-link.md).

Each declaration is a fixed header; what follows it (Noise messages, ciphertext, MACs) has lengths that
specs/1-link.md gives exactly, so no length field travels.
"""

from dataclasses import dataclass
from typing import Any, Final

from construct import Construct, Struct

from specs.registry import (
    COOKIE_BYTES,
    COOKIE_SALT_BYTES,
    MAC_BYTES,
    PROLOGUE_LABEL,
    TAG_BYTES,
    HandshakeKind,
    LinkType,
    PacketType,
    RefusalCode,
    Role,
)
from specs.strict import (
    Format,
    constant,
    exact_enum,
    fixed_bytes,
    ranged,
    reserved,
    u8,
    u32,
    u64,
)

_NONZERO_INDEX: Final = ranged(u32, 1, 2**32 - 1)


def _type(kind: PacketType) -> "Construct[Any, Any]":
    return constant(bytes((kind,)))


@dataclass(frozen=True, slots=True)
class InitiationHeader:
    """First 16 bytes of an initiation (LK-10); bound by the prologue and the payload of message 1."""

    version: int
    """Wire version; parsed, not checked here, so that a refusal can name it."""
    suite: int
    """Suite number; likewise."""
    kind: HandshakeKind
    """Pairing or session."""
    sender: int
    """Index by which the initiator wants to be addressed."""
    link_type: LinkType
    """Which channel table."""
    initiator_role: Role
    """Who asks."""
    responder_role: Role
    """Whom it takes the responder for."""
    continues: int
    """0, or the responder's index of the session that this handshake rekeys."""


INITIATION_HEADER: Final = Format(
    "initiation header",
    InitiationHeader,
    Struct(
        _type(PacketType.INITIATION),
        "version" / u8,
        "suite" / u8,
        "kind" / exact_enum(u8, HandshakeKind),
        "sender" / _NONZERO_INDEX,
        "link_type" / exact_enum(u8, LinkType),
        "initiator_role" / exact_enum(u8, Role),
        "responder_role" / exact_enum(u8, Role),
        reserved(1),
        "continues" / u32,
    ),
)


@dataclass(frozen=True, slots=True)
class ReplyHeader:
    """First 12 bytes of a response or a finish (LK-11)."""

    sender: int
    """Index by which the sender wants to be addressed."""
    receiver: int
    """Index that the receiver gave itself."""


RESPONSE_HEADER: Final = Format(
    "response header",
    ReplyHeader,
    Struct(
        _type(PacketType.RESPONSE),
        reserved(3),
        "sender" / _NONZERO_INDEX,
        "receiver" / _NONZERO_INDEX,
    ),
)

FINISH_HEADER: Final = Format(
    "finish header",
    ReplyHeader,
    Struct(
        _type(PacketType.FINISH),
        reserved(3),
        "sender" / _NONZERO_INDEX,
        "receiver" / _NONZERO_INDEX,
    ),
)


@dataclass(frozen=True, slots=True)
class CookieReply:
    """A cookie, sealed for whoever sent the initiation (LK-24)."""

    receiver: int
    """The initiation's sender index."""
    salt: bytes
    """32 fresh random bytes."""
    sealed_cookie: bytes
    """Cookie and tag."""


COOKIE_REPLY: Final = Format(
    "cookie reply",
    CookieReply,
    Struct(
        _type(PacketType.COOKIE_REPLY),
        reserved(3),
        "receiver" / _NONZERO_INDEX,
        "salt" / fixed_bytes(COOKIE_SALT_BYTES),
        "sealed_cookie" / fixed_bytes(COOKIE_BYTES + TAG_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A coarse hint why there will be no response (LK-60)."""

    code: RefusalCode
    """Coarse reason."""
    receiver: int
    """The initiation's sender index."""
    mac: bytes
    """mac1 over the bytes before it."""


REFUSED: Final = Format(
    "refused",
    Refused,
    Struct(
        _type(PacketType.REFUSED),
        "code" / exact_enum(u8, RefusalCode),
        reserved(2),
        "receiver" / _NONZERO_INDEX,
        "mac" / fixed_bytes(MAC_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class DataHeader:
    """The 16 bytes before the ciphertext: associated data, and from byte 4 on the nonce (LK-51)."""

    receiver: int
    """Index that the receiver gave itself."""
    counter: int
    """Counts datagrams on this key in this direction, from 0."""


DATA_HEADER: Final = Format(
    "data header",
    DataHeader,
    Struct(_type(PacketType.DATA), reserved(3), "receiver" / u32, "counter" / u64),
)


@dataclass(frozen=True, slots=True)
class InitiationPayload:
    """Payload of Noise message 1, before its padding (LK-13)."""

    counter: int
    """Initiation counter, at least 1."""
    sender: int
    """The header's sender index again: here it is authenticated."""


INITIATION_PAYLOAD: Final = Format(
    "initiation payload", InitiationPayload, Struct("counter" / ranged(u64, 1, 2**64 - 1), "sender" / u32)
)


@dataclass(frozen=True, slots=True)
class ResponsePayload:
    """Payload of Noise message 2 (LK-13)."""

    sender: int
    """The header's sender index again: here it is authenticated."""


RESPONSE_PAYLOAD: Final = Format("response payload", ResponsePayload, Struct("sender" / u32))


@dataclass(frozen=True, slots=True)
class Prologue:
    """What both ends must agree on before the first key (LK-12); hashed, never sent."""

    version: int
    """Wire version."""
    suite: int
    """Suite number."""
    kind: HandshakeKind
    """Pairing or session."""
    link_type: LinkType
    """Which channel table."""
    initiator_role: Role
    """Who asks."""
    responder_role: Role
    """Who answers."""
    channels_sha256: bytes
    """SHA-256 of the link type's channel table."""
    association: bytes
    """Channel binding of the association that is rekeyed; zeros for a new one."""


PROLOGUE: Final = Format(
    "prologue",
    Prologue,
    Struct(
        constant(PROLOGUE_LABEL),
        "version" / u8,
        "suite" / u8,
        "kind" / exact_enum(u8, HandshakeKind),
        "link_type" / exact_enum(u8, LinkType),
        "initiator_role" / exact_enum(u8, Role),
        "responder_role" / exact_enum(u8, Role),
        reserved(2),
        "channels_sha256" / fixed_bytes(32),
        "association" / fixed_bytes(32),
    ),
)
