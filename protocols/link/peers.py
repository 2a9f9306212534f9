"""What a node remembers of a peer, and the counters that must survive a restart (specs/2-pairing.md, PR-30 ff.)."""

from dataclasses import dataclass, field
from enum import Enum

from specs.registry import Role


class PeerState(Enum):
    """Life of a pairing: two-phase, then until revoked."""

    PENDING = "pending"
    """Both ends know the pair secret; the first session has not confirmed it yet."""
    PAIRED = "paired"
    """A session was confirmed with this pair secret."""
    REVOKED = "revoked"
    """Refused; only forgetting the device lifts it (`aerolink keys forget`), never a pairing."""


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """One paired device."""

    key_id: bytes
    """16 bytes, ``key_id_of(dh, public)`` (LK-5)."""
    public: bytes = field(repr=False)
    """Static public key, encoded as the DH function's public key."""
    dh: str
    """DH function of the key: "P256" or "25519"."""
    role: Role
    """What the peer is."""
    pair_secret: bytes = field(repr=False)
    """32 bytes, psk2 of every session."""
    state: PeerState
    """Where the pairing stands."""
    initiation_counter: int
    """Highest initiation counter confirmed from this peer (0: none); compared by the responder."""
    counter_epoch: bytes = b""
    """Which life of our own counter file this pairing was made in (16 bytes; empty when we never initiate)."""
    name: str = ""
    """What the user calls the device; local, never sent."""


@dataclass(frozen=True, slots=True)
class CounterBlock:
    """Initiation counters that were reserved on disk before any of them is used (LK-41)."""

    first: int
    """First counter of the block, at least 1."""
    count: int
    """How many consecutive counters are reserved."""
    epoch: bytes
    """16 random bytes made with the counter file: a lost file gives another epoch."""
