"""What a link may be told: policy, timing and limits (specs/1-link.md). Everything has a safe default."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.keys import StaticKey
from protocols.crypto.suites import DEFAULT_SUITE, Suite
from protocols.errors import UsageError
from specs.registry import (
    COUNTER_BLOCK,
    DEFAULT_MAX_DATAGRAM_BYTES,
    HANDSHAKE_DEADLINE_S,
    HANDSHAKE_RETRY_S,
    LINK_ROLES,
    LOAD_INITIATIONS_PER_S,
    MAX_HANDSHAKE_DATAGRAM_BYTES,
    MAX_PENDING_HANDSHAKES,
    MAX_PENDING_PER_SOURCE,
    MAX_PROBED_DATAGRAM_BYTES,
    REFUSE_AFTER_MESSAGES,
    REFUSE_AFTER_S,
    REKEY_AFTER_FAILED_OPENS,
    REKEY_AFTER_MESSAGES,
    REKEY_AFTER_S,
    RELAY_DATAGRAM_BYTES,
    SOURCE_INITIATIONS_BURST,
    SOURCE_INITIATIONS_PER_S,
    LinkType,
    Role,
)


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """One link type's rules. An invalid combination raises UsageError when it is made."""

    link_type: LinkType = LinkType.AIRLINK
    """Which roles, which channels."""
    suites: tuple[Suite, ...] = (DEFAULT_SUITE,)
    """Allow-list of the responder; the initiator proposes the first and no other (LK-4)."""
    keepalive_s: float = 2.0
    """A ping goes out this often (LK-80)."""
    dead_after_s: float = 10.0
    """The link is down after this much silence of the peer."""
    rekey_after_s: float = REKEY_AFTER_S
    """Age of a key at which the next is made; at most the specification's 120 s."""
    rekey_after_messages: int = REKEY_AFTER_MESSAGES
    """Messages on a key at which the next is made; at most 2^23."""
    rekey_after_failed_opens: int = REKEY_AFTER_FAILED_OPENS
    """Failed opens on a key at which the next is made; at most 2^20."""
    refuse_after_s: float = REFUSE_AFTER_S
    """Age at which a key is not used any more; at most 180 s."""
    refuse_after_messages: int = REFUSE_AFTER_MESSAGES
    """Messages after which a key is not used any more; at most 2^24."""
    handshake_retry_s: tuple[float, ...] = HANDSHAKE_RETRY_S
    """Waits after each initiation (UDP, relay); when all have passed the attempt has timed out."""
    finish_retry_s: tuple[float, ...] = (1.0, 2.0, 3.0, *[5.0] * 11)
    """Waits after each message 3 of a pairing: a person at the other end may be asked (PR-33)."""
    handshake_deadline_s: float = HANDSHAKE_DEADLINE_S
    """Life of a pending handshake, and the deadline of a stream's handshake."""
    max_datagram_bytes: int = DEFAULT_MAX_DATAGRAM_BYTES
    """Largest protected datagram that is sent, until a larger one is known to pass (LK-85)."""
    probe_max_bytes: int | None = None
    """The most that path MTU discovery tries (LK-87); at most ``max_datagram_bytes``: no discovery. None: all that UDP
    can carry, unless ``max_datagram_bytes`` is below its default: who makes datagrams small means it."""
    path_bytes: int = MAX_HANDSHAKE_DATAGRAM_BYTES
    """Largest datagram that the carrier takes whole; handshakes need it (LK-14)."""
    max_peers: int = 1_024
    """Associations that a listener holds at once."""
    max_pending: int = MAX_PENDING_HANDSHAKES
    """Pending handshakes of all sources."""
    max_pending_per_source: int = MAX_PENDING_PER_SOURCE
    """Pending handshakes of one source."""
    load_initiations_per_s: float = LOAD_INITIATIONS_PER_S
    """Above this rate cookies are required (LK-22)."""
    source_initiations_per_s: float = SOURCE_INITIATIONS_PER_S
    """Token bucket of one source, rate."""
    source_initiations_burst: float = SOURCE_INITIATIONS_BURST
    """Token bucket of one source, burst."""
    counter_block: int = COUNTER_BLOCK
    """Initiation counters asked for at once."""

    def __post_init__(self) -> None:
        """Refuse what the specification does not allow."""
        limits = (
            (self.rekey_after_s, REKEY_AFTER_S, "rekey_after_s"),
            (self.rekey_after_messages, REKEY_AFTER_MESSAGES, "rekey_after_messages"),
            (self.rekey_after_failed_opens, REKEY_AFTER_FAILED_OPENS, "rekey_after_failed_opens"),
            (self.refuse_after_s, REFUSE_AFTER_S, "refuse_after_s"),
            (self.refuse_after_messages, REFUSE_AFTER_MESSAGES, "refuse_after_messages"),
        )
        for value, limit, name in limits:
            if not 0 < value <= limit:
                raise UsageError(f"{name} is above 0 and at most {limit}")
        if not self.suites:
            raise UsageError("at least one suite must be allowed")
        if not 0 < self.keepalive_s < self.dead_after_s:
            raise UsageError("keepalive_s is above 0 and below dead_after_s")
        if self.probe_limit_bytes > MAX_PROBED_DATAGRAM_BYTES:
            raise UsageError(f"probe_max_bytes is at most {MAX_PROBED_DATAGRAM_BYTES}")

    @property
    def probe_limit_bytes(self) -> int:
        """The most that path MTU discovery tries."""
        if self.probe_max_bytes is not None:
            return self.probe_max_bytes
        wants_small = self.max_datagram_bytes < DEFAULT_MAX_DATAGRAM_BYTES
        return self.max_datagram_bytes if wants_small else MAX_PROBED_DATAGRAM_BYTES

    @property
    def roles(self) -> tuple[Role, Role]:
        """Roles of (initiator, responder)."""
        return LINK_ROLES[self.link_type]


def over_relay(config: LinkConfig, link_type: LinkType) -> LinkConfig:
    """The rules of a link of ``link_type`` that runs over relays: small datagrams, and no search for larger (RL-30)."""
    return replace(
        config,
        link_type=link_type,
        max_datagram_bytes=min(config.max_datagram_bytes, RELAY_DATAGRAM_BYTES),
        probe_max_bytes=0,
        path_bytes=MAX_HANDSHAKE_DATAGRAM_BYTES,
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are."""

    role: Role
    """Our role."""
    keys: Mapping[str, StaticKey] = field(repr=False)
    """Our static key per DH function."""
    agreements: StaticAgreements = field(default_factory=StaticAgreements, repr=False, compare=False)
    """What these keys have agreed with the peers that we know (LK-74): shared by all machines of a node."""

    def key(self, dh: str) -> StaticKey:
        """Return the static key for a DH function; UsageError when there is none."""
        if dh not in self.keys:
            raise UsageError(f"this node has no static key for {dh}")
        return self.keys[dh]
