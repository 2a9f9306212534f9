"""Where the peer is: one address in use, and the challenges that decide a change (specs/1-link.md, LK-81 to LK-83).

Theory of operation. The newest valid datagram from another address makes that a candidate; there may be several.
Candidates are challenged, each with a token of its own; the address in use is challenged all the while, each time with
a new token; traffic stays where it is. Who answers a token that went to the address in use has received there,
wherever the answer comes from, so every candidate that is older than this token is refused. A candidate becomes the
address in use when its token was answered, and the grace time passed without such an answer. Neither re-sending
genuine datagrams faster, nor spoofing an address, nor late copies decide anything: tokens are sealed.

At the beginning there may be no address in use: the same initiation, or its proof, came from several. Then all are
candidates, the first whose token is answered becomes the address in use, and until then nothing else is sent (the
path is not *proven*); when none answers the link is over. Nobody makes us send to an address that never spoke.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from protocols.guards.address import Address
from specs.registry import AMPLIFICATION_LIMIT, DATA_HEADER_BYTES, TAG_BYTES

TOKEN_BYTES: Final = 8
GRACE_S: Final = 0.5
"""How long the address in use may leave its tokens unanswered, at least."""
GRACE_ROUND_TRIPS: Final = 3
HOME_AGAIN_S: Final = 1 / 30
"""How often the address in use is challenged: losing all of 15 tokens in a row takes more than a bad link."""
CANDIDATE_TRIES: Final = 3
"""Challenges to a candidate within its grace time."""
GIVE_UP_S: Final = 3.0
MAX_CANDIDATES: Final = 8
MAX_RIVALS: Final = MAX_CANDIDATES - 2
"""Further addresses of an initiation that are looked at; the first and that of the proof have their places."""
_MAX_QUIET: Final = 64
_CHALLENGE_BYTES: Final = DATA_HEADER_BYTES + 12 + TAG_BYTES


@dataclass(slots=True)
class _Candidate:
    address: Address
    token: bytes
    since_s: float
    grace_s: float
    received_bytes: int
    sent_bytes: int = 0
    challenged_s: float = float("-inf")
    answered: bool = False

    def may_send(self) -> bool:
        """Take the bytes of one challenge or answer from what may be sent here (LK-81)."""
        if self.sent_bytes + _CHALLENGE_BYTES > AMPLIFICATION_LIMIT * self.received_bytes:
            return False
        self.sent_bytes += _CHALLENGE_BYTES
        return True


@dataclass(frozen=True, slots=True)
class Probe:
    """A challenge to send."""

    token: bytes
    """8 random bytes."""
    address: Address
    """Where to."""


class Path:
    """The peer's address, and what is known of a change."""

    __slots__ = (
        "_candidates",
        "_entropy",
        "_home_s",
        "_home_tokens",
        "_quiet",
        "address",
        "is_proven",
        "moves_refused",
        "unanswered",
    )

    def __init__(self, address: Address, entropy: Callable[[int], bytes]) -> None:
        self.address = address
        self.is_proven = True
        """Whether anything but challenges may be sent."""
        self.moves_refused = 0
        self.unanswered = 0
        self._entropy = entropy
        self._candidates: dict[Address, _Candidate] = {}
        self._home_tokens: dict[bytes, float] = {}
        self._home_s = float("-inf")
        self._quiet: dict[Address, float] = {}

    @property
    def is_validating(self) -> bool:
        """Whether there is a candidate."""
        return bool(self._candidates)

    def is_quiet_at(self, address: Address) -> bool:
        """Whether a datagram from there tells nothing new: the peer is known to be there, and nobody claims another."""
        return (address is self.address or address == self.address) and self.is_proven and not self._candidates

    @property
    def is_lost(self) -> bool:
        """Whether no address has proven itself at the beginning: there is nobody to send to."""
        return not self.is_proven and not self._candidates

    def open(self, rivals: Sequence[Address], now: float) -> list[Probe]:
        """Begin with several addresses, of which one is the peer's; return challenges to send."""
        if not rivals:
            return []
        self.is_proven = False
        for address in (self.address, *rivals):
            if len(self._candidates) < MAX_CANDIDATES:
                self._add(address, _CHALLENGE_BYTES, now, None)
        return self._challenges(now)

    def on_genuine(
        self, address: Address, size_bytes: int, now: float, *, newest: bool, rtt_s: float | None
    ) -> list[Probe]:
        """Note a datagram whose tag verified; return challenges to send.

        ``newest``: it has the highest counter so far, or is a recent copy while there is a candidate.
        """
        candidate = self._candidates.get(address)
        if candidate is not None:
            candidate.received_bytes += size_bytes
            return []
        if (address == self.address and self.is_proven) or not newest or now < self._quiet.get(address, 0.0):
            return []
        if len(self._candidates) >= MAX_CANDIDATES and not self._evict():
            return []
        self._add(address, size_bytes, now, rtt_s)
        self._home_s = float("-inf")  # the address in use is asked at once whether it is still alive
        return self._challenges(now)

    def may_answer(self, address: Address) -> bool:
        """Whether a challenge's answer may go to an address: to a candidate within its limit (LK-81)."""
        candidate = self._candidates.get(address)
        return candidate is None or candidate.may_send()  # the address in use; or one answer for one challenge

    def on_response(self, token: bytes, now: float) -> bool:
        """Note the answer to a challenge, wherever it came from; return whether the address changed."""
        asked_s = self._home_tokens.get(token)
        if asked_s is not None:
            for candidate in [each for each in self._candidates.values() if each.since_s <= asked_s]:
                self.moves_refused += 1
                self._forget(candidate, now)
            return False
        for candidate in self._candidates.values():
            if candidate.token == token:
                candidate.answered = True
                return self._decide(now)
        return False

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do."""
        if not self._candidates:
            return None
        deadlines = [self._home_s + HOME_AGAIN_S] if self.is_proven else []
        for candidate in self._candidates.values():
            deadlines.append(candidate.since_s + GIVE_UP_S)
            if candidate.answered:
                deadlines.append(candidate.since_s + candidate.grace_s)
            else:
                deadlines.append(candidate.challenged_s + candidate.grace_s / CANDIDATE_TRIES)
        return min(deadlines)

    def handle_deadline(self, now: float) -> tuple[bool, list[Probe]]:
        """Move, challenge again or give up; return whether the address changed, and challenges to send."""
        if self._decide(now):
            return True, []
        for candidate in [each for each in self._candidates.values() if now >= each.since_s + GIVE_UP_S]:
            self.unanswered += 1
            self._forget(candidate, now)
        return False, self._challenges(now)

    def _add(self, address: Address, received_bytes: int, now: float, rtt_s: float | None) -> None:
        grace_s = min(GIVE_UP_S, max(GRACE_S, GRACE_ROUND_TRIPS * (rtt_s or 0.0)))
        token = self._entropy(TOKEN_BYTES)
        self._candidates[address] = _Candidate(address, token, now, grace_s, received_bytes)

    def _evict(self) -> bool:
        """Make room by the oldest candidate that has answered nothing; False if there is none."""
        for address, candidate in self._candidates.items():
            if not candidate.answered:
                del self._candidates[address]
                return True
        return False

    def _forget(self, candidate: _Candidate, now: float) -> None:
        del self._candidates[candidate.address]
        if len(self._quiet) >= _MAX_QUIET:
            del self._quiet[next(iter(self._quiet))]
        self._quiet[candidate.address] = now + GIVE_UP_S
        if not self._candidates:
            self._home_tokens.clear()

    def _challenges(self, now: float) -> list[Probe]:
        probes: list[Probe] = []
        for candidate in self._candidates.values():
            due = now >= candidate.challenged_s + candidate.grace_s / CANDIDATE_TRIES
            if due and not candidate.answered:
                candidate.challenged_s = now
                if candidate.may_send():
                    probes.append(Probe(candidate.token, candidate.address))
        if self.is_proven and self._candidates and now >= self._home_s + HOME_AGAIN_S:
            self._home_s = now
            token = self._entropy(TOKEN_BYTES)
            self._home_tokens[token] = now
            probes.append(Probe(token, self.address))
        return probes

    def _decide(self, now: float) -> bool:
        """Settle on a candidate that answered: at once at the beginning, else when its grace has passed."""
        for candidate in self._candidates.values():
            if candidate.answered and not (self.is_proven and now < candidate.since_s + candidate.grace_s):
                moved = candidate.address != self.address
                self.address, self.is_proven = candidate.address, True
                self._candidates.clear()
                self._home_tokens.clear()
                return moved
        return False
