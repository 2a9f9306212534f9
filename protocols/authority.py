"""Who may make the drone act: two rights, one holder each (specs/7-authority.md).

How a right moves stands in the tables of :mod:`protocols.rights`. A right has one field for its holder, so two holders
cannot be written down; a hand-over is the assignment of that field.

No clock: ``now`` (seconds, monotonic) is a parameter, and every entry point lets first happen what time alone has
brought about, so a late timer makes no late offer acceptable. Who calls is the authenticated key id of a link (AU-1).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from protocols.errors import UsageError
from protocols.link.peers import PeerRecord, PeerState
from protocols.rights import AUTHORITY, WHO, RightEvent, RightState, Who
from specs.airlink.authority import AuthorityAction, AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import NOBODY
from specs.registry import KEY_ID_BYTES, Role

_MAX_EVENTS: Final = 1_000
_MAX_HANDED_OVER: Final = 1_000
_MAX_SHOWN: Final = 255


_NAMES_A_PEER: Final = frozenset({AuthorityAction.OFFER, AuthorityAction.ACCEPT})
_EVENTS: Final = {action: RightEvent[action.name] for action in AuthorityAction}


class Reason(Enum):
    """Why a right changed its holder."""

    REQUESTED = "it was free, and asked for"
    HANDED_OVER = "offered by the one, accepted by the other"
    RELEASED = "given up"
    REVOKED = "revoked by the owner"
    OVERRIDDEN = "taken by the owner"
    HOLDER_SILENT = "the holder was not heard, and somebody waits"
    PEER_REVOKED = "the holder's pairing was revoked"


@dataclass(frozen=True, slots=True)
class AuthorityChanged:
    """A right has another holder."""

    right: Right
    """Which."""
    before: bytes | None
    """Key id of who had it; None: nobody."""
    after: bytes | None
    """Key id of who has it; None: nobody."""
    reason: Reason
    """Why."""
    at_s: float
    """When, on the clock of ``now``."""


_DEFAULT_ROLES: Final[Mapping[Right, frozenset[Role]]] = {right: frozenset({Role.RC, Role.MOBILE}) for right in Right}


@dataclass(frozen=True, slots=True)
class AuthorityPolicy:
    """What the drone's configuration says; UsageError for numbers that make no sense."""

    roles: Mapping[Right, frozenset[Role]] = field(default_factory=lambda: _DEFAULT_ROLES)
    """Which roles may hold which right; a right that is missing here is held by nobody (AU-3)."""
    owner: bytes | None = None
    """The owner's key id (AU-4)."""
    offer_s: float = 10.0
    """How long an offer stands (AU-7)."""
    holder_timeout_s: float = 10.0
    """Silence after which a holder loses a right that another waits for (AU-8)."""
    waiting_s: float = 60.0
    """How long a wish stands (AU-13)."""

    def __post_init__(self) -> None:
        if min(self.offer_s, self.holder_timeout_s, self.waiting_s) <= 0:
            raise UsageError("authority: times are more than 0")
        if self.owner is not None and len(self.owner) != KEY_ID_BYTES:
            raise UsageError("authority: the owner is a key id")
        if any(Role.DRONE in roles for roles in self.roles.values()):
            raise UsageError("authority: a drone holds no rights")


def owner_among(records: Iterable[PeerRecord], linked: bytes | None = None) -> bytes | None:
    """The owner when none is configured: the only remote controller that is paired and not revoked (AU-4).

    ``linked`` has a link: its pairing is committed, even if that has not been written yet.
    """
    rcs = [each for each in records if each.role is Role.RC and each.state is not PeerState.REVOKED]
    found = [each.key_id for each in rcs if each.state is PeerState.PAIRED or each.key_id == linked]
    return found[0] if len(found) == 1 else None


@dataclass(slots=True)
class _Standing:
    """How one right stands."""

    state: RightState = RightState.FREE
    """Row of the table."""
    holder: bytes | None = None
    """None exactly when FREE."""
    candidate: bytes | None = None
    """Not None exactly when OFFERED."""
    offer_ends_s: float = 0.0
    """While OFFERED."""
    heard_s: float = 0.0
    """When something that counts was last heard of the holder (AU-8)."""
    waiting: dict[bytes, float] = field(default_factory=dict[bytes, float])
    """Who waits, and until when; first come first."""


class Authority:
    """The rights of one drone.

    A node tells it of links (:meth:`attach`, :meth:`detach`), of what it heard (:meth:`heard`), of revoked pairings
    (:meth:`forget`), and hands it requests; it asks :meth:`holds` before anything is done.
    """

    def __init__(self, policy: AuthorityPolicy | None = None) -> None:
        self.policy: Final = policy or AuthorityPolicy()
        """Roles and times."""
        self.owner: bytes | None = self.policy.owner
        """The owner's key id; a node may set it when the first remote controller is paired (AU-4)."""
        self.changes = 0
        """How often anything that peers can see has changed."""
        self.handed_over: Final[deque[AuthorityChanged]] = deque(maxlen=_MAX_HANDED_OVER)
        """Every hand-over that took place, newest last."""
        self._roles: dict[bytes, Role] = {}
        self._rights: Final = {right: _Standing() for right in Right}
        self._events: deque[AuthorityChanged] = deque(maxlen=_MAX_EVENTS)

    # --- what is asked ----------------------------------------------------------------------------

    def holder(self, right: Right) -> bytes | None:
        """Key id of who holds a right; None: nobody."""
        return self._rights[right].holder

    def holds(self, key_id: bytes, right: Right, now: float) -> bool:
        """Whether this peer holds the right at this moment (AU-20)."""
        self.handle_deadline(now)
        return self._rights[right].holder == key_id

    def state(self) -> AuthorityState:
        """The message that tells every peer how things stand (AU-14)."""
        flight, payload = self._rights[Right.FLIGHT], self._rights[Right.PAYLOAD]
        return AuthorityState(
            flight_waiting=min(len(flight.waiting), _MAX_SHOWN),
            payload_waiting=min(len(payload.waiting), _MAX_SHOWN),
            changes=self.changes & 0xFFFF_FFFF,
            flight_holder=flight.holder or NOBODY,
            flight_candidate=flight.candidate or NOBODY,
            payload_holder=payload.holder or NOBODY,
            payload_candidate=payload.candidate or NOBODY,
        )

    def next_event(self) -> AuthorityChanged | None:
        """What has changed, one after the other, and then None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_deadline` has something to do; None: not before something else happens."""
        times = [time for standing in self._rights.values() for time in self._deadlines(standing)]
        return min(times, default=None)

    # --- what happens -----------------------------------------------------------------------------

    def attach(self, key_id: bytes, role: Role, now: float) -> None:
        """A link to this peer came up; ``role`` is the one that it was paired with."""
        self.handle_deadline(now)
        self._roles[key_id] = role

    def detach(self, key_id: bytes, now: float) -> None:
        """The last link to this peer has ended (AU-10)."""
        self.handle_deadline(now)
        self._roles.pop(key_id, None)
        for standing in self._rights.values():
            self._wait_no_more(standing, key_id)
            if standing.candidate == key_id:
                self._move(standing, RightEvent.OFFER_OVER)

    def heard(self, key_id: bytes, now: float) -> None:
        """A heartbeat or sticks of this peer were delivered within their lifetime (AU-8)."""
        self.handle_deadline(now)
        for standing in self._rights.values():
            if standing.holder == key_id:
                standing.heard_s = now

    def forget(self, key_id: bytes, now: float) -> None:
        """The pairing of this peer is revoked (AU-9, AU-4)."""
        self.detach(key_id, now)
        if self.owner == key_id:
            self.owner = None
        for right, standing in self._rights.items():
            if standing.holder == key_id:
                self._set_free(right, RightEvent.HOLDER_REVOKED, Reason.PEER_REVOKED, now)

    def handle_deadline(self, now: float) -> None:
        """Let happen what time alone brings about: offers and wishes end, a silent holder loses its right."""
        for right, standing in self._rights.items():
            for key_id in [each for each, until_s in standing.waiting.items() if now >= until_s]:
                self._wait_no_more(standing, key_id)
            if standing.state is RightState.OFFERED and now >= standing.offer_ends_s:
                self._move(standing, RightEvent.OFFER_OVER)
            if standing.waiting and self._is_silent(standing, now):
                self._set_free(right, RightEvent.HOLDER_SILENT, Reason.HOLDER_SILENT, now)

    def request(self, key_id: bytes, message: AuthorityRequest, now: float) -> Answer:
        """Do what this peer asks for, if it may; the answer for it (AU-5 to AU-13)."""
        self.handle_deadline(now)
        standing = self._rights[message.right]
        if (message.peer != NOBODY) != (message.action in _NAMES_A_PEER):
            return Answer(Result.INVALID, "an offer and its acceptance name a peer, and nothing else does")
        if message.action is AuthorityAction.CANCEL and standing.holder != key_id:
            return self._withdraw_wish(standing, key_id)
        if not self._may_ask(key_id, message.action, message.right):
            return Answer(Result.NOT_ALLOWED)
        if message.action is AuthorityAction.REQUEST and standing.holder is not None:
            return self._wish(message.right, key_id, now)
        refusal = self._refusal(message)
        if refusal is None:
            self._do(key_id, message, now)
        return refusal or Answer(Result.DONE)

    def _refusal(self, message: AuthorityRequest) -> Answer | None:
        """What stands against it, though its sender may ask: the other peer, or the state of the right."""
        standing = self._rights[message.right]
        if message.action is AuthorityAction.OFFER and not self._is_candidate(message.peer, message.right):
            return Answer(Result.INVALID, "not a peer with a link that may hold this right")
        if message.action is AuthorityAction.ACCEPT and message.peer != standing.holder:
            return Answer(Result.NOT_NOW, "there is no such offer")
        if (standing.state, _EVENTS[message.action]) not in AUTHORITY:
            return Answer(Result.NOT_NOW, "not while the right stands as it does")
        return None

    # --- who may ----------------------------------------------------------------------------------

    def _may_hold(self, key_id: bytes, right: Right) -> bool:
        """AU-3: the role of a peer that has a link."""
        return self._roles.get(key_id) in self.policy.roles.get(right, frozenset())

    def _is_candidate(self, key_id: bytes, right: Right) -> bool:
        return self._may_hold(key_id, right) and key_id != self._rights[right].holder

    def _may_ask(self, key_id: bytes, action: AuthorityAction, right: Right) -> bool:
        """AU-6."""
        standing = self._rights[right]
        may: Mapping[Who, bool] = {
            Who.ELIGIBLE: self._may_hold(key_id, right),
            Who.HOLDER: standing.holder == key_id,
            Who.CANDIDATE: standing.candidate == key_id,
            Who.OWNER: self.owner == key_id
            and (action is not AuthorityAction.OVERRIDE or self._may_hold(key_id, right)),
        }
        return may[WHO[action]]

    # --- what is done -----------------------------------------------------------------------------

    def _do(self, key_id: bytes, message: AuthorityRequest, now: float) -> None:
        """An admitted action that the table has."""
        right, event = message.right, _EVENTS[message.action]
        standing = self._rights[right]
        match message.action:
            case AuthorityAction.REQUEST:
                self._give(right, event, key_id, Reason.REQUESTED, now)
            case AuthorityAction.ACCEPT:
                self._give(right, event, key_id, Reason.HANDED_OVER, now)
            case AuthorityAction.OVERRIDE:
                self._give(right, event, key_id, Reason.OVERRIDDEN, now)
            case AuthorityAction.RELEASE:
                self._set_free(right, event, Reason.RELEASED, now)
            case AuthorityAction.REVOKE:
                self._set_free(right, event, Reason.REVOKED, now)
            case AuthorityAction.OFFER:
                self._move(standing, event, candidate=message.peer)
                standing.offer_ends_s = now + self.policy.offer_s
            case AuthorityAction.DECLINE | AuthorityAction.CANCEL:
                self._move(standing, event)

    def _wish(self, right: Right, key_id: bytes, now: float) -> Answer:
        """Somebody holds the right already: the sender itself, one that is gone, or one that is asked to wait for."""
        standing = self._rights[right]
        if standing.holder == key_id:
            return Answer(Result.DONE)
        if self._is_silent(standing, now):  # the asking one waits: what AU-8 says happens now
            self._set_free(right, RightEvent.HOLDER_SILENT, Reason.HOLDER_SILENT, now)
            self._give(right, RightEvent.REQUEST, key_id, Reason.REQUESTED, now)
            return Answer(Result.DONE)
        self.changes += key_id not in standing.waiting
        standing.waiting[key_id] = now + self.policy.waiting_s
        return Answer(Result.STARTED, "another holds it, and sees that you wait")

    def _withdraw_wish(self, standing: _Standing, key_id: bytes) -> Answer:
        if key_id not in standing.waiting:
            return Answer(Result.NOT_ALLOWED)
        self._wait_no_more(standing, key_id)
        return Answer(Result.DONE)

    def _wait_no_more(self, standing: _Standing, key_id: bytes) -> None:
        self.changes += standing.waiting.pop(key_id, None) is not None

    def _give(self, right: Right, event: RightEvent, key_id: bytes, reason: Reason, now: float) -> None:
        standing = self._rights[right]
        before = standing.holder
        self._wait_no_more(standing, key_id)
        self._move(standing, event, holder=key_id)
        standing.heard_s = now
        if before != key_id:
            self._tell(AuthorityChanged(right, before, key_id, reason, now))

    def _set_free(self, right: Right, event: RightEvent, reason: Reason, now: float) -> None:
        standing = self._rights[right]
        before = standing.holder
        self._move(standing, event)
        self._tell(AuthorityChanged(right, before, None, reason, now))

    def _move(
        self, standing: _Standing, event: RightEvent, *, holder: bytes | None = None, candidate: bytes | None = None
    ) -> None:
        """By the table; a right that is held afterwards keeps its holder unless it is given to ``holder``."""
        standing.state = AUTHORITY[standing.state, event]
        standing.holder = None if standing.state is RightState.FREE else holder or standing.holder
        standing.candidate = candidate
        self.changes += 1

    def _tell(self, changed: AuthorityChanged) -> None:
        self._events.append(changed)
        if changed.reason is Reason.HANDED_OVER:
            self.handed_over.append(changed)

    # --- time -------------------------------------------------------------------------------------

    def _is_silent(self, standing: _Standing, now: float) -> bool:
        return standing.holder is not None and now >= standing.heard_s + self.policy.holder_timeout_s

    def _deadlines(self, standing: _Standing) -> list[float]:
        times = list(standing.waiting.values())
        if standing.state is RightState.OFFERED:
            times.append(standing.offer_ends_s)
        if standing.waiting and standing.holder is not None:
            times.append(standing.heard_s + self.policy.holder_timeout_s)
        return times
