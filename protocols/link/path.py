"""Where the peer is: one address in use, and the challenges that decide a change (specs/1-link.md, LK-81 to LK-83).

Theory of operation. The newest valid datagram from another address makes that address a candidate. The address in use
and the candidate are challenged, each with a token of its own; traffic stays where it is. Who answers the token that
went to the address in use has received there, wherever the answer comes from, so the candidate is refused. Only
when that token stays unanswered for the grace time, and the candidate's was answered, the endpoint moves. Neither
re-sending genuine datagrams faster, nor spoofing an address, nor late copies decide anything: tokens are sealed.

At the beginning there is no address in use. When the same initiation came from several, one of them is the peer's and
the others re-send; all are challenged, and the first token that is answered decides.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from protocols.guards.address import Address
from specs.registry import AMPLIFICATION_LIMIT, DATA_HEADER_BYTES, TAG_BYTES

TOKEN_BYTES: Final = 8
GRACE_S: Final = 0.5
"""How long the address in use may leave its token unanswered, at least."""
GRACE_ROUND_TRIPS: Final = 3
CHALLENGES_IN_GRACE: Final = 3
GIVE_UP_S: Final = 3.0
MAX_RIVALS: Final = 3
"""Further addresses of an initiation that are looked at."""
_CHALLENGE_BYTES: Final = DATA_HEADER_BYTES + 12 + TAG_BYTES


@dataclass(slots=True)
class _Candidate:
    address: Address
    token: bytes
    received_bytes: int
    sent_bytes: int = 0
    answered: bool = False

    def may_send(self) -> bool:
        """Take the bytes of one challenge or answer from what may be sent here (LK-81)."""
        if self.sent_bytes + _CHALLENGE_BYTES > AMPLIFICATION_LIMIT * self.received_bytes:
            return False
        self.sent_bytes += _CHALLENGE_BYTES
        return True


@dataclass(slots=True)
class _Contest:
    home_token: bytes
    candidates: list[_Candidate]
    since_s: float
    grace_s: float
    opening: bool = False
    """No address was in use before: the first answer decides."""
    challenged_s: float = field(default=0.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """A challenge to send."""

    token: bytes
    """8 random bytes."""
    address: Address
    """Where to."""


class Path:
    """The peer's address, and what is known of a change."""

    __slots__ = ("_contest", "_entropy", "_quiet_until_s", "address", "moves_refused", "unanswered")

    def __init__(self, address: Address, entropy: Callable[[int], bytes]) -> None:
        self.address = address
        self.moves_refused = 0
        self.unanswered = 0
        self._entropy = entropy
        self._contest: _Contest | None = None
        self._quiet_until_s = float("-inf")

    def open(self, rivals: Iterable[Address], now: float, rtt_s: float | None) -> list[Probe]:
        """Find out at which of several addresses the peer receives; return challenges to send."""
        candidates = [self._candidate(rival, _CHALLENGE_BYTES) for rival in rivals]
        return self._begin(candidates, now, rtt_s, opening=True) if candidates else []

    def on_genuine(
        self, address: Address, size_bytes: int, now: float, *, newest: bool, rtt_s: float | None
    ) -> list[Probe]:
        """Note a datagram whose tag verified; return challenges to send. ``newest``: the highest counter so far."""
        if address == self.address:
            return []
        if self._contest is not None:
            for candidate in self._contest.candidates:
                if candidate.address == address:
                    candidate.received_bytes += size_bytes
            return []
        if not newest or now < self._quiet_until_s:
            return []
        return self._begin([self._candidate(address, size_bytes)], now, rtt_s, opening=False)

    def may_answer(self, address: Address) -> bool:
        """Whether a challenge's answer may go to an address: to a candidate within its limit (LK-81)."""
        for candidate in self._contest.candidates if self._contest else ():
            if candidate.address == address:
                return candidate.may_send()
        return True  # the address in use; or one answer for one challenge of the same size

    def on_response(self, token: bytes, now: float) -> bool:
        """Note the answer to a challenge, wherever it came from; return whether the address changed."""
        contest = self._contest
        if contest is None:
            return False
        if token == contest.home_token:
            self._contest = None
            self.moves_refused += 1
            self._quiet_until_s = now + GIVE_UP_S
            return False
        for candidate in contest.candidates:
            if candidate.token == token:
                candidate.answered = True
                return self._decide(contest, now)
        return False

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do."""
        contest = self._contest
        if contest is None:
            return None
        deadlines = [contest.since_s + GIVE_UP_S, contest.challenged_s + contest.grace_s / CHALLENGES_IN_GRACE]
        if any(candidate.answered for candidate in contest.candidates):
            deadlines.append(contest.since_s + contest.grace_s)
        return min(deadlines)

    def handle_deadline(self, now: float) -> tuple[bool, list[Probe]]:
        """Move, challenge again or give up; return whether the address changed, and challenges to send."""
        contest = self._contest
        if contest is None:
            return False, []
        if self._decide(contest, now):
            return True, []
        if now >= contest.since_s + GIVE_UP_S:
            self._contest = None
            self.unanswered += 1
            self._quiet_until_s = now + GIVE_UP_S
            return False, []
        if now >= contest.challenged_s + contest.grace_s / CHALLENGES_IN_GRACE:
            return False, self._challenge(contest, now)
        return False, []

    def _candidate(self, address: Address, received_bytes: int) -> _Candidate:
        return _Candidate(address, self._entropy(TOKEN_BYTES), received_bytes)

    def _begin(self, candidates: list[_Candidate], now: float, rtt_s: float | None, *, opening: bool) -> list[Probe]:
        grace_s = min(GIVE_UP_S, max(GRACE_S, GRACE_ROUND_TRIPS * (rtt_s or 0.0)))
        self._contest = _Contest(self._entropy(TOKEN_BYTES), candidates, now, grace_s, opening)
        return self._challenge(self._contest, now)

    def _challenge(self, contest: _Contest, now: float) -> list[Probe]:
        contest.challenged_s = now
        away = [Probe(each.token, each.address) for each in contest.candidates if not each.answered and each.may_send()]
        return [*away, Probe(contest.home_token, self.address)]

    def _decide(self, contest: _Contest, now: float) -> bool:
        """Move to a candidate that answered, at once at the beginning, else when the grace has passed."""
        winner = next((each for each in contest.candidates if each.answered), None)
        if winner is None or not (contest.opening or now >= contest.since_s + contest.grace_s):
            return False
        self.address, self._contest = winner.address, None
        return True
