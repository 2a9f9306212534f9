"""The table of a responder's pending handshakes: found by attempt, index, initiation or job; bounded (LK-27).

It knows nothing of what a handshake does; :mod:`protocols.link.responder` does.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from protocols.guards.address import Address
from protocols.link.config import LinkConfig
from protocols.link.handshake import AnyJob, Offer
from protocols.link.session import Session
from protocols.link.state import PendingState
from protocols.noise import HandshakeState
from protocols.pairing import PairingWindow
from specs.datagram import InitiationHeader
from specs.registry import HandshakeKind

MAX_PROVEN_PAIRINGS: Final = 16
"""Pairings whose message 3 has come (LK-27). They are never evicted: whoever began them knows the code."""
KNOWS_THE_CODE: Final = frozenset(
    {PendingState.READING_FINISH, PendingState.FINISH_IDENTIFIED, PendingState.STORING, PendingState.REFUSED,
     PendingState.CONFIRMED}
)  # fmt: skip
"""States of a pairing that a replayed message never reaches."""


@dataclass(slots=True, eq=False)
class Pending:
    """A handshake that nobody has proven yet."""

    attempt: int
    """Names it towards the node."""
    offer: Offer
    """What was proposed."""
    header: InitiationHeader
    """As it came."""
    index: int
    """Our index."""
    mac_key: bytes = field(repr=False)
    """For the MACs of our replies."""
    noise: HandshakeState = field(repr=False)
    """The handshake so far."""
    address: Address | None
    """Where the initiation came from, and the answer went."""
    created_s: float
    """When."""
    expires_s: float
    """When it is forgotten."""
    source: bytes = b""
    """Whom its place is counted to (``source_key`` of the address)."""
    rivals: list[Address] = field(default_factory=list[Address])
    """Other addresses that the very same initiation came from."""
    tag: bytes = b""
    """The initiation's mac1 (datagrams): finds duplicates."""
    expected_key_id: bytes | None = None
    """Rekey: whose association it claims to continue."""
    epoch: int = 0
    """Which key of its association this will be."""
    window: PairingWindow | None = None
    """Pairing: the code's window."""
    state: PendingState = PendingState.READING
    counter: int = 0
    """Initiation counter, authenticated."""
    key_id: bytes = b""
    """The peer, once known."""
    public: bytes = field(default=b"", repr=False)
    """Its static public key."""
    response: bytes | None = field(default=None, repr=False)
    """What was answered; given again to an identical initiation (LK-26)."""
    session: Session | None = None
    """Transport keys, unproven."""
    binding: bytes = b""
    """Channel binding, once the keys exist."""
    reply_key: bytes = field(default=b"", repr=False)
    """Session: for mac1 of the response, once the pair secret is known."""
    pair_secret: bytes = field(default=b"", repr=False)
    """Pairing: 32 bytes, once message 3 was read."""
    pair_id: bytes = b""
    """Which pair secret its keys prove, once it is known."""
    job: AnyJob | None = field(default=None, repr=False)


class PendingTable:
    """All pending handshakes of one machine, the oldest first."""

    __slots__ = ("_by_attempt", "_by_index", "_by_tag")

    def __init__(self) -> None:
        self._by_attempt: OrderedDict[int, Pending] = OrderedDict()
        self._by_index: dict[int, Pending] = {}
        self._by_tag: dict[bytes, Pending] = {}

    def __len__(self) -> int:
        return len(self._by_attempt)

    def add(self, pending: Pending) -> None:
        """Take a handshake in."""
        self._by_attempt[pending.attempt] = pending
        self._by_index[pending.index] = pending
        if pending.tag:
            self._by_tag[pending.tag] = pending

    def drop(self, pending: Pending) -> None:
        """Forget a handshake; a code that it held is free again."""
        if pending.window is not None and pending.state is PendingState.STORING:
            pending.window.release(pending.key_id)
        del self._by_attempt[pending.attempt]
        del self._by_index[pending.index]
        if self._by_tag.get(pending.tag) is pending:
            del self._by_tag[pending.tag]

    def by_attempt(self, attempt: int) -> Pending | None:
        """Return the handshake of an attempt."""
        return self._by_attempt.get(attempt)

    def by_index(self, index: int) -> Pending | None:
        """Return the handshake that answers to an index."""
        return self._by_index.get(index)

    def by_tag(self, tag: bytes) -> Pending | None:
        """Return the handshake that the identical initiation began."""
        return self._by_tag.get(tag)

    def by_job(self, job: object) -> Pending | None:
        """Return the handshake that waits for a job."""
        return next((each for each in self._by_attempt.values() if each.job is job), None)

    def newest(self) -> Pending | None:
        """Return the handshake that began last."""
        return next(reversed(self._by_attempt.values()), None)

    def select(self, wanted: Callable[[Pending], bool]) -> list[Pending]:
        """Return the handshakes that are wanted, the oldest first; the table may change meanwhile."""
        return [each for each in self._by_attempt.values() if wanted(each)]

    def next_deadline(self) -> float | None:
        """Return when the next handshake expires."""
        return min((pending.expires_s for pending in self._by_attempt.values()), default=None)

    def victim(self, kind: HandshakeKind, source: bytes, config: LinkConfig) -> Pending | None:
        """Return what must go before another handshake of a kind and source may come.

        Sessions and pairings are bounded each on their own: one never gives way to the other (LK-27).
        """
        mine = self.select(lambda each: each.offer.kind is kind and each.state not in KNOWS_THE_CODE)
        of_source = [each for each in mine if source and each.source == source]
        if len(of_source) >= config.max_pending_per_source:
            return of_source[0]
        return mine[0] if len(mine) >= config.max_pending else None

    def has_room_for_proven(self) -> bool:
        """Whether another pairing whose message 3 came may go on."""
        return len(self.select(lambda each: each.state in KNOWS_THE_CODE)) < MAX_PROVEN_PAIRINGS
