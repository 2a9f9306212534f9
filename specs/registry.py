"""Every wire number, once (specs/1-link.md, specs/3-channels.md).

Specification constants, which both ends must share, stand apart from implementation limits, which a build may
choose: the first part is the protocol, the second is tuning.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

# ================================================================================================
# Specification constants
# ================================================================================================

WIRE_VERSION: Final = 1
"""Frozen with specs/1-link.md; a change of any byte on the wire raises it. Not the package's version."""

PROLOGUE_LABEL: Final = b"Aerolink link v1"
"""16 bytes at the head of every prologue: domain separation from other users of the same Noise names."""


class Role(IntEnum):
    """Who a node is (design: drone, remote controller, mobile, cloud)."""

    DRONE = 1
    RC = 2
    MOBILE = 3
    CLOUD = 4


class LinkType(IntEnum):
    """Which pair of roles a link joins; it selects the channel table."""

    AIRLINK = 1
    """RC (initiator) to drone (responder)."""
    GROUNDLINK = 2
    """Mobile (initiator) to RC (responder)."""
    REMOTE_MOBILE = 3
    """Mobile (initiator) to drone (responder), end to end over relays."""
    REMOTE_CLOUD = 4
    """Cloud (initiator) to drone (responder), end to end over relays."""


class SuiteId(IntEnum):
    """Numbers of the suite table (protocols/crypto/suites.py holds the rows)."""

    P256_MLKEM768_AESGCM_SHA256 = 1
    X25519_MLKEM768_CHACHAPOLY_BLAKE2S = 2
    P256_AESGCM_SHA256 = 3
    X25519_CHACHAPOLY_BLAKE2S = 4


class HandshakeKind(IntEnum):
    """Which Noise pattern a handshake runs."""

    PAIRING = 1
    """XXpsk0 / XXhfs+psk0: first contact, authenticated by a linking code."""
    SESSION = 2
    """IKpsk2 / IKhfs+psk2: every later session, and every rekey."""


class PacketType(IntEnum):
    """First byte of a UDP or relay datagram; third byte of a TCP record."""

    INITIATION = 1
    RESPONSE = 2
    COOKIE_REPLY = 3
    DATA = 4
    FINISH = 5
    """Message 3 of a pairing."""
    REFUSED = 6


class RefusalCode(IntEnum):
    """What a responder may hint at, coarsely, in ``refused`` (LK-60 ff.)."""

    VERSION = 1
    SUITE = 2
    NOT_ALLOWED = 3
    """Not paired, revoked, wrong role or link type: one code for all, the peer need not know which."""
    BUSY = 4


class CloseCode(IntEnum):
    """Why a link was closed; travels inside the protected payload."""

    NORMAL = 0
    GOING_AWAY = 1
    REPLACED = 2
    REVOKED = 3
    PROTOCOL = 4
    BUSY = 5
    PAIRING_DONE = 6
    PAIRING_REFUSED = 7


class InnerType(IntEnum):
    """First byte of every protected payload (specs/inner.py)."""

    CHANNEL = 1
    ACK = 2
    PING = 3
    PONG = 4
    REKEY_REQUEST = 5
    PATH_CHALLENGE = 6
    PATH_RESPONSE = 7
    CLOSE = 8
    PAIRING_CONFIRM = 9
    BULK_ACK = 10
    BULK_OFFER = 11
    BULK_ACCEPT = 12
    BULK_DONE = 13
    PADDING = 14
    STREAM_BUNDLE = 15
    PROBE = 16
    PROBE_ACK = 17


class ChannelClass(IntEnum):
    """Class of service of a channel (specs/3-channels.md, where CH-3 gives the order of sending)."""

    CONTROL = 1
    COMMAND = 2
    STATE = 3
    STREAM = 4
    BULK = 5
    RELAY = 6


class ChannelId(IntEnum):
    """Channels of every link type; a link type's table names those that it has."""

    CONTROL = 1
    COMMAND = 2
    TELEMETRY = 3
    VIDEO = 4
    MAVLINK = 5
    LOG = 6
    RELAY = 7


@dataclass(frozen=True, slots=True)
class Channel:
    """A row of a link's channel table."""

    id: ChannelId
    """Number on the wire."""
    service: ChannelClass
    """Class of service."""


AIRLINK_CHANNELS: Final = (
    Channel(ChannelId.CONTROL, ChannelClass.CONTROL),
    Channel(ChannelId.COMMAND, ChannelClass.COMMAND),
    Channel(ChannelId.TELEMETRY, ChannelClass.STATE),
    Channel(ChannelId.VIDEO, ChannelClass.STREAM),
    Channel(ChannelId.MAVLINK, ChannelClass.STREAM),
    Channel(ChannelId.LOG, ChannelClass.BULK),
    Channel(ChannelId.RELAY, ChannelClass.RELAY),
)
REMOTE_CHANNELS: Final = (
    Channel(ChannelId.CONTROL, ChannelClass.CONTROL),
    Channel(ChannelId.COMMAND, ChannelClass.COMMAND),
    Channel(ChannelId.TELEMETRY, ChannelClass.STATE),
    Channel(ChannelId.MAVLINK, ChannelClass.STREAM),
)
"""Of the links over relays: what is large goes hop by hop, and a relay inside a relay has no purpose."""
CHANNELS: Final = {
    LinkType.AIRLINK: AIRLINK_CHANNELS,
    LinkType.GROUNDLINK: AIRLINK_CHANNELS,
    LinkType.REMOTE_MOBILE: REMOTE_CHANNELS,
    LinkType.REMOTE_CLOUD: REMOTE_CHANNELS,
}
"""Channel table per link type; its canonical bytes are hashed into the prologue (LK-12)."""

LINK_ROLES: Final = {
    LinkType.AIRLINK: (Role.RC, Role.DRONE),
    LinkType.GROUNDLINK: (Role.MOBILE, Role.RC),
    LinkType.REMOTE_MOBILE: (Role.MOBILE, Role.DRONE),
    LinkType.REMOTE_CLOUD: (Role.CLOUD, Role.DRONE),
}
"""(initiator, responder) of each link type."""


class CommandFlags(IntFlag):
    """Flags of a `command` unit."""

    MORE = 1
    """Another unit of the same message follows."""
    ANSWER = 2
    """This message answers the request named in ``reply_to``."""


class RelayKind(IntEnum):
    """What a frame of a `relay` channel is (specs/5-relay.md)."""

    OPEN = 1
    OPENED = 2
    REFUSED = 3
    CLOSED = 4
    DATA = 5


class RelaySide(IntEnum):
    """Who speaks of a flow: both ends of a hop number the flows that *they* open."""

    OPENER = 0
    ANSWERER = 1


class RelayRefusal(IntEnum):
    """Why a flow was not opened."""

    NOT_ALLOWED = 1
    """The destination, the link type or the way is not for this neighbour: one code for all."""
    NO_WAY = 2
    """The destination has no link to this relay now."""
    BUSY = 3


# --- handshake --------------------------------------------------------------------------------

LINKING_CODE_BYTES: Final = 16
PAIR_SECRET_BYTES: Final = 32
MAC_BYTES: Final = 16
COOKIE_BYTES: Final = 16
COOKIE_SALT_BYTES: Final = 32
COOKIE_LIFETIME_S: Final = 120.0
KEY_ID_BYTES: Final = 16
CODE_LIFETIME_S: Final = 300.0
CODE_TRIES: Final = 3
MAX_HANDSHAKE_DATAGRAM_BYTES: Final = 1_452
"""1,500-byte Ethernet path less IPv6 (40) and UDP (8): handshakes are never fragmented."""
MIN_PATH_BYTES: Final = 1_280
"""Path that classical suites need (IPv6's minimum); hybrid ones need 1,500."""

# --- protected traffic ------------------------------------------------------------------------

TAG_BYTES: Final = 16
DATA_HEADER_BYTES: Final = 16
RECORD_HEADER_BYTES: Final = 4
MAX_RECORD_PLAINTEXT_BYTES: Final = 65_519
REPLAY_WINDOW: Final = 2_048
REKEY_AFTER_MESSAGES: Final = 2**23
REKEY_AFTER_S: Final = 120.0
REKEY_AFTER_FAILED_OPENS: Final = 2**20
REFUSE_AFTER_MESSAGES: Final = 2**24
REFUSE_AFTER_S: Final = 180.0
OLD_KEY_RECEIVES_S: Final = 10.0
AMPLIFICATION_LIMIT: Final = 3

# --- channels ---------------------------------------------------------------------------------

MAX_COMMAND_BYTES: Final = 65_536
MAX_STREAM_MESSAGE_BYTES: Final = 1_048_576
MAX_STREAM_FRAGMENTS: Final = 4_096
MAX_BULK_NAME_BYTES: Final = 255

# --- relays -----------------------------------------------------------------------------------

RELAY_DATAGRAM_BYTES: Final = 1_156
"""Protected datagrams on relays are no larger: whole in a payload of a 1,200-byte path."""
MAX_RELAY_DATAGRAM_BYTES: Final = MAX_HANDSHAKE_DATAGRAM_BYTES
"""Whatever travels on a relay: handshakes are the largest."""
MAX_RELAY_PARTS: Final = 4
MAX_RELAY_PARTIALS: Final = 16
"""Datagrams of one flow of which some parts have arrived."""
RELAY_PARTIAL_S: Final = 2.0
"""How long the first part of a datagram waits for the others."""

# ================================================================================================
# Implementation limits (a build may choose others; the peer cannot tell)
# ================================================================================================

DEFAULT_MAX_DATAGRAM_BYTES: Final = 1_200
"""Protected datagrams until path MTU discovery knows better: fits every IPv6 path."""
MAX_PROBED_DATAGRAM_BYTES: Final = 65_507
"""Largest that path MTU discovery tries: what UDP carries over IPv4."""
MAX_PARTIAL_STREAM_MESSAGES: Final = 8
MAX_BULK_BYTES: Final = 2**40
MAX_PENDING_HANDSHAKES: Final = 256
MAX_PENDING_PER_SOURCE: Final = 8
MAX_UNAUTHENTICATED_STREAMS: Final = 64
HANDSHAKE_DEADLINE_S: Final = 10.0
HANDSHAKE_RETRY_S: Final = (1.0, 2.0, 3.0, 4.0)
"""Waits after the first, second ... initiation; then the attempt has timed out."""
LOAD_INITIATIONS_PER_S: Final = 100
SOURCE_INITIATIONS_PER_S: Final = 20
SOURCE_INITIATIONS_BURST: Final = 40
COUNTER_BLOCK: Final = 64
"""Initiation counters reserved by one write."""
