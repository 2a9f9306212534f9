"""Where the peer is: one validated address, at most one candidate (specs/1-link.md, LK-81 to LK-83).

Theory of operation. The newest valid datagram from another address makes a candidate. Both addresses are
challenged; traffic stays on the old one. Whoever merely re-sends genuine datagrams from elsewhere is betrayed by
the genuine ones, which arrive late, as duplicates, from the old address: that is a sign of life of the old path. The
endpoint moves only to a candidate that answered, when the old path stayed silent for the grace time.

At the beginning there is no old path. When the same initiation came from two addresses, one of them re-sends what the
other sent; both are challenged, and the one that receives what is sent there has the first token answered.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.guards.address import Address
from specs.registry import AMPLIFICATION_LIMIT, DATA_HEADER_BYTES, TAG_BYTES

TOKEN_BYTES: Final = 8
GRACE_S: Final = 0.5
"""How long the old path may stay silent before the endpoint moves."""
CHALLENGE_AGAIN_S: Final = 0.5
GIVE_UP_S: Final = 3.0
_CHALLENGE_BYTES: Final = DATA_HEADER_BYTES + 12 + TAG_BYTES


@dataclass(slots=True)
class _Candidate:
    address: Address
    token: bytes
    since_s: float
    counter: int
    """Counter of the datagram that named it: signs of life of the old path must not be older."""
    received_bytes: int = 0
    sent_bytes: int = 0
    challenged_s: float = 0.0
    answered: bool = False
    home_token: bytes = b""
    """At the beginning only: what the address in use was challenged with."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A challenge to send."""

    token: bytes
    """8 random bytes."""
    address: Address
    """Where to."""


class Path:
    """The peer's address, and what is known of a change."""

    __slots__ = ("_candidate", "_entropy", "_quiet_until_s", "address", "moves_refused", "unanswered")

    def __init__(self, address: Address, entropy: Callable[[int], bytes]) -> None:
        self.address = address
        self.moves_refused = 0
        self.unanswered = 0
        self._entropy = entropy
        self._candidate: _Candidate | None = None
        self._quiet_until_s = float("-inf")

    @property
    def is_validating(self) -> bool:
        """Whether a candidate is being looked at."""
        return self._candidate is not None

    def on_genuine(self, address: Address, size_bytes: int, counter: int, now: float, *, newest: bool) -> list[Probe]:
        """Note a datagram whose tag verified (a duplicate is not ``newest``); return challenges to send."""
        candidate = self._candidate
        if address == self.address:
            if candidate is not None and not candidate.home_token and counter >= candidate.counter:
                self._refuse(now)
            return []
        if candidate is not None:
            if address == candidate.address:
                candidate.received_bytes += size_bytes
            return []
        if not newest or now < self._quiet_until_s:
            return []
        candidate = _Candidate(address, self._entropy(TOKEN_BYTES), now, counter, size_bytes)
        self._candidate = candidate
        return [*self._challenge(candidate, now), Probe(self._entropy(TOKEN_BYTES), self.address)]

    def contest(self, rival: Address, now: float) -> list[Probe]:
        """Find out which of two addresses the peer receives at; return challenges to send."""
        home, away = self._entropy(TOKEN_BYTES), self._entropy(TOKEN_BYTES)
        candidate = _Candidate(rival, away, now, 0, _CHALLENGE_BYTES, home_token=home)
        self._candidate = candidate
        return self._challenge(candidate, now)

    def forget_candidate(self) -> None:
        """Look at nobody any more: a new key counts from 0, and signs of life are told by their counters."""
        self._candidate = None

    def may_answer(self, address: Address) -> bool:
        """Whether a challenge's answer may go to an address (LK-81)."""
        candidate = self._candidate
        if candidate is None or address != candidate.address:
            return True  # the address in use; or one answer for one challenge of the same size
        if candidate.sent_bytes + _CHALLENGE_BYTES > AMPLIFICATION_LIMIT * candidate.received_bytes:
            return False
        candidate.sent_bytes += _CHALLENGE_BYTES
        return True

    def on_response(self, token: bytes, address: Address) -> bool:
        """Note the answer to a challenge; return whether the address changed.

        Only the candidate's own address counts, since who merely re-sends could re-send the answer too. At the
        beginning each answer counts wherever it comes from: the token was sent to one address only.
        """
        candidate = self._candidate
        if candidate is None:
            return False
        if not candidate.home_token:
            candidate.answered |= token == candidate.token and address == candidate.address
            return False
        if token not in {candidate.token, candidate.home_token}:
            return False
        moved = token == candidate.token
        if moved:
            self.address = candidate.address
        else:
            self.moves_refused += 1
        self._candidate = None
        return moved

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do."""
        candidate = self._candidate
        if candidate is None:
            return None
        if candidate.answered:
            return candidate.since_s + GRACE_S
        return min(candidate.challenged_s + CHALLENGE_AGAIN_S, candidate.since_s + GIVE_UP_S)

    def handle_deadline(self, now: float) -> tuple[bool, list[Probe]]:
        """Move, challenge again or give up; return whether the address changed, and challenges to send."""
        candidate = self._candidate
        if candidate is None:
            return False, []
        if candidate.answered and now >= candidate.since_s + GRACE_S:
            self.address, self._candidate = candidate.address, None
            return True, []
        if now >= candidate.since_s + GIVE_UP_S:
            self._candidate = None
            self.unanswered += 1
            self._quiet_until_s = now + GIVE_UP_S
            return False, []
        if not candidate.answered and now >= candidate.challenged_s + CHALLENGE_AGAIN_S:
            return False, self._challenge(candidate, now)
        return False, []

    def _challenge(self, candidate: _Candidate, now: float) -> list[Probe]:
        candidate.challenged_s = now
        home = [Probe(candidate.home_token, self.address)] if candidate.home_token else []
        if candidate.sent_bytes + _CHALLENGE_BYTES > AMPLIFICATION_LIMIT * candidate.received_bytes:
            return home
        candidate.sent_bytes += _CHALLENGE_BYTES
        return [Probe(candidate.token, candidate.address), *home]

    def _refuse(self, now: float) -> None:
        self._candidate = None
        self.moves_refused += 1
        self._quiet_until_s = now + GIVE_UP_S
