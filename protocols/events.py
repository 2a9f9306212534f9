"""What the core tells its node, and what the node asks of it: frozen dataclasses (design, section 2).

Messages that travel have two classes: ``Send...`` goes into ``Connection.send``, ``...Received`` comes out of
``next_event``. Everything else is about the link itself. One is a named tuple: a stream has many
:class:`StreamReceived`, and of named tuples C makes many at once.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from specs.registry import ChannelId, CloseCode, LinkType, RefusalCode, RelayRefusal, Role

# --- relay messages: sent and received alike (specs/5-relay.md) ----------------------------------


@dataclass(frozen=True, slots=True)
class RelayOpen:
    """From who opens a flow: carry it to this node."""

    flow: int
    """The opener's number for the flow, u32."""
    destination: bytes
    """Key id of the node at the other end."""
    link_type: LinkType
    """What link will run in it."""


@dataclass(frozen=True, slots=True)
class RelayOpened:
    """To the opener: the other end takes the flow."""

    flow: int
    """The opener's number."""


@dataclass(frozen=True, slots=True)
class RelayRefused:
    """To the opener: there will be no such flow."""

    flow: int
    """The opener's number."""
    code: RelayRefusal
    """Why, coarsely."""


@dataclass(frozen=True, slots=True)
class RelayClosed:
    """From either side: the flow is over, or was never known here."""

    flow: int
    """The opener's number."""
    by_opener: bool
    """Whether who says this has opened the flow."""


@dataclass(frozen=True, slots=True)
class RelayDatagram:
    """From either side: a datagram of the link that runs in the flow, opaque."""

    flow: int
    """The opener's number."""
    by_opener: bool
    """Whether who sends this has opened the flow."""
    data: bytes = field(repr=False)
    """1 to 1,452 bytes."""


RelayMessage = RelayOpen | RelayOpened | RelayRefused | RelayClosed | RelayDatagram

# --- messages to send ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendControl:
    """Newest wins; dropped when it could not be sent within its lifetime (CH-10 ff.)."""

    channel: ChannelId
    """A channel of class ``control``."""
    data: bytes
    """One payload's worth at most."""
    lifetime_s: float = 0.5
    """0.001 to 65.535; older messages are not delivered."""


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Reliable, ordered, exactly once (CH-20 ff.)."""

    channel: ChannelId
    """A channel of class ``command``."""
    data: bytes
    """At most 65,536 bytes."""
    reply_to: int | None = None
    """Id of the request that this answers; None for a request."""


@dataclass(frozen=True, slots=True)
class SendState:
    """Newest wins per key (CH-30 f.)."""

    channel: ChannelId
    """A channel of class ``state``."""
    key: int
    """Which item, u16."""
    data: bytes
    """One payload's worth at most."""


@dataclass(frozen=True, slots=True)
class SendStream:
    """Unreliable, fragmented (CH-40 ff.)."""

    channel: ChannelId
    """A channel of class ``stream``."""
    data: bytes
    """At most 1,048,576 bytes."""


@dataclass(frozen=True, slots=True)
class OfferBulk:
    """Begin a transfer (CH-50 ff.)."""

    channel: ChannelId
    """A channel of class ``bulk``."""
    name: str
    """At most 255 bytes of UTF-8; what the object is called."""
    data: bytes | memoryview = field(repr=False)
    """The object; the core slices it, so a memory-mapped file does as well."""
    sha256: bytes
    """SHA-256 of the object."""


@dataclass(frozen=True, slots=True)
class AcceptBulk:
    """Answer to :class:`BulkOffered`: send it, from this offset on."""

    channel: ChannelId
    """The offer's channel."""
    transfer: int
    """The offer's transfer number."""
    prefix: bytes | memoryview = field(default=b"", repr=False)
    """What the receiver has of the object already (hashed again; its length is the offset)."""


@dataclass(frozen=True, slots=True)
class EndBulk:
    """End a transfer from either side: the receiver's last word, or anybody's cancel."""

    channel: ChannelId
    """The transfer's channel."""
    transfer: int
    """The transfer's number."""
    incoming: bool
    """True for a transfer that the peer offered."""
    status: "BulkStatus"
    """OK only from the receiver, after :class:`BulkReceived`."""


@dataclass(frozen=True, slots=True)
class SendRelay:
    """Unreliable: the oldest waiting datagrams of its flow are dropped for it (RL-14)."""

    channel: ChannelId
    """A channel of class ``relay``."""
    message: RelayMessage
    """What the neighbour gets."""


class BulkStatus(Enum):
    """How a transfer ended; the values are the wire's."""

    OK = 0
    HASH_MISMATCH = 1
    CANCELLED = 2
    REFUSED = 3


Sendable = SendControl | SendCommand | SendState | SendStream | SendRelay | OfferBulk | AcceptBulk | EndBulk

# --- messages received --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ControlReceived:
    """The newest control message."""

    channel: ChannelId
    """Where it arrived."""
    data: bytes
    """As sent."""
    age_s: float
    """How much longer than the fastest of the association it took, drift of clocks allowed (CH-12)."""
    expires_s: float
    """On the clock of ``now``: act on it only before."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A request, in order, once."""

    channel: ChannelId
    """Where it arrived."""
    id: int
    """What an answer names in ``reply_to``."""
    data: bytes
    """As sent."""


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    """The answer to a request of ours."""

    channel: ChannelId
    """Where it arrived."""
    reply_to: int
    """Id of our request (what ``send`` returned)."""
    data: bytes
    """As sent."""


@dataclass(frozen=True, slots=True)
class StateReceived:
    """The newest value of an item."""

    channel: ChannelId
    """Where it arrived."""
    key: int
    """Which item."""
    data: bytes
    """As sent."""


class StreamReceived(NamedTuple):
    """A whole message of a stream."""

    channel: ChannelId
    """Where it arrived."""
    sequence: int
    """Gaps tell of lost messages."""
    data: bytes
    """As sent."""


@dataclass(frozen=True, slots=True)
class RelayReceived:
    """A neighbour speaks of a flow, or in it."""

    channel: ChannelId
    """Where it arrived."""
    message: RelayMessage
    """Well-formed; what it claims is the receiver's to judge."""


@dataclass(frozen=True, slots=True)
class BulkOffered:
    """The peer wants to send an object; answer with AcceptBulk or EndBulk(REFUSED)."""

    channel: ChannelId
    """Where it was offered."""
    transfer: int
    """The peer's number for it."""
    name: str
    """Peer's name for the object; never use it as a path."""
    size_bytes: int
    """Size of the whole object."""
    sha256: bytes
    """SHA-256 of the whole object."""


@dataclass(frozen=True, slots=True)
class BulkChunkReceived:
    """The next bytes of an object, in order."""

    channel: ChannelId
    """Where it arrived."""
    transfer: int
    """Which transfer."""
    offset_bytes: int
    """Offset of the first byte in the object."""
    data: bytes
    """The bytes."""


@dataclass(frozen=True, slots=True)
class BulkReceived:
    """All bytes arrived and the hash is right; answer EndBulk(OK) when they are stored (CH-56)."""

    channel: ChannelId
    """Where it arrived."""
    transfer: int
    """Which transfer."""


@dataclass(frozen=True, slots=True)
class BulkAccepted:
    """The peer takes our object, from this offset on."""

    channel: ChannelId
    """Where it was offered."""
    transfer: int
    """Our number for it."""
    offset_bytes: int
    """Where sending begins."""


@dataclass(frozen=True, slots=True)
class BulkEnded:
    """A transfer is over, for whatever reason."""

    channel: ChannelId
    """Which channel."""
    transfer: int
    """Which transfer."""
    incoming: bool
    """True when the peer offered it."""
    status: BulkStatus
    """How it ended."""


# --- the link itself ----------------------------------------------------------------------------


class Job(Protocol):
    """Public-key work: shares no mutable state with the core; may run in a thread (design, section 2)."""

    def run(self) -> None:
        """Do the work and keep the outcome inside; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class WorkNeeded:
    """Run ``job.run()`` inline or in a thread, then call ``complete(job, now)``; a late one is discarded."""

    job: Job
    """The work."""


@dataclass(frozen=True, slots=True)
class PeerIdentified:
    """A handshake has revealed who asks; it waits for ``accept`` or ``reject`` (trust is an event)."""

    attempt: int
    """Names the handshake in ``accept`` and ``reject``."""
    key_id: bytes
    """16 bytes."""
    public: bytes = field(repr=False)
    """Static public key."""
    dh: str
    """Its DH function."""
    role: Role
    """The role it claims, authenticated with the handshake."""
    pairing: bool
    """True for a pairing: the peer knows the linking code."""
    counter: int
    """Its initiation counter."""
    address: object = None
    """Where it came from (the carrier's address value), for the log."""


@dataclass(frozen=True, slots=True)
class PairingStored:
    """Store this peer now (pending), durably, then call ``pairing_stored`` (PR-30)."""

    attempt: int
    """Names the handshake."""
    key_id: bytes
    """16 bytes."""
    public: bytes = field(repr=False)
    """Static public key."""
    dh: str
    """Its DH function."""
    role: Role
    """What it is."""
    pair_secret: bytes = field(repr=False)
    """32 bytes."""
    counter: int
    """Initiation counter of this pairing: the floor for what comes (0 at the initiator)."""


@dataclass(frozen=True, slots=True)
class CountersNeeded:
    """Few initiation counters are left: reserve a block and call ``add_counters``."""


@dataclass(frozen=True, slots=True)
class PeerConfirmed:
    """A session with this peer is proven live: commit a pending pairing, store the counter (LK-43)."""

    key_id: bytes
    """16 bytes."""
    counter: int
    """Its confirmed initiation counter (0 at the initiator: nothing to store)."""
    pair_id: bytes
    """Which pair secret it has proven (``protocols.pairing.pair_id_of``): an older one commits nothing (PR-37)."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link carries messages from now on."""

    key_id: bytes
    """The peer."""
    role: Role
    """The peer's role."""
    suite: str
    """Name of the suite."""
    handshake_s: float
    """From the first message of this handshake to now."""
    channel_binding: bytes
    """Handshake hash of the first session: public, binds what the user binds to the link."""


class DownReason(Enum):
    """Why a link ended, for the operator."""

    CLOSED = "closed by us"
    PEER_CLOSED = "closed by the peer"
    TIMEOUT = "nothing heard from the peer"
    TRUNCATED = "the stream ended without a close"
    PROTOCOL = "the peer broke the protocol"
    AUTHENTICATION = "a record failed authentication"
    REPLACED = "the peer began a new association"
    NO_ANSWER = "no answer"
    REFUSED = "refused by policy"
    KEY_EXHAUSTED = "the key reached its limit and no rekey succeeded"


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is over; nothing more will come."""

    reason: DownReason
    """Why, for the operator."""
    code: CloseCode | None = None
    """The peer's close code, if it sent one."""
    hint: RefusalCode | None = None
    """What a refusal said, if one came: unauthenticated enough to be a hint only."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """Both ends are on a new key."""

    count: int
    """How many rekeys this association has seen."""


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """The peer's address changed, and the new path was validated."""

    address: object
    """The new address."""


class AlarmKind(Enum):
    """What an operator must see; each attack that is noticed raises its own."""

    PAIRING_TRIES_USED = "linking code ended: too many refused tries"
    LOAD_MODE = "too many initiations: cookies are required"
    STALE_COUNTER = "an initiation with an old counter was refused"
    KEY_UNDER_ATTACK = "too many datagrams failed authentication"
    REVOKED_PEER = "a revoked device asked for a link"
    UNKNOWN_PEER = "a device that is not paired asked for a link"
    ROLE_REFUSED = "a device asked for a link that its role may not have"
    COUNTER_LOST = "an initiation counter is lost: pair the devices again"
    KEY_FAILED = "our own key could not be used"
    STORE_FAILED = "a store could not be written"
    APPROVE_FAILED = "the user could not be asked about a device"
    AUTHORITY_REFUSED = "a device asked the drone for what it has no right to"
    AUTHORITY_TAKEN = "a right was taken from the device that held it"
    RELAY_TAMPERS = "what a relay brought failed authentication, or came twice"
    LOG_REFUSED = "a sealed log was refused"
    FOREIGN_RESOURCE = "a device asked the cloud for what is another's"
    HTTPS_REFUSED = "somebody was refused at the cloud's door"
    FLIGHT_HOLDER_LOST = "nothing is heard of the device that flies: the failsafe acts"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator must see."""

    kind: AlarmKind
    """What."""
    detail: str
    """One line; holds no secret and no peer-controlled text."""


ChannelEvent = (
    ControlReceived
    | CommandReceived
    | AnswerReceived
    | StateReceived
    | StreamReceived
    | RelayReceived
    | BulkOffered
    | BulkChunkReceived
    | BulkReceived
    | BulkAccepted
    | BulkEnded
)
Event = (
    ChannelEvent
    | WorkNeeded
    | PeerIdentified
    | PairingStored
    | CountersNeeded
    | PeerConfirmed
    | LinkUp
    | LinkDown
    | Rekeyed
    | PeerMoved
    | Alarm
)
