"""Who is there, and who has to go when somebody else comes (HF-30 to HF-32). Time is the parameter ``now``.

Nobody is turned away for want of room while somebody is there who has proven less, or has done nothing for longer: so
slow connections, however many, keep no good client out. The search for that one is linear, in a table of bounded size.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from nodes.https.limits import HttpLimits


class Stage(IntEnum):
    """How far a connection has come; the lower, the sooner it goes."""

    CLOSING = 0
    """It has had its last answer."""
    HANDSHAKE = 1
    """It has proven nothing yet."""
    HEAD = 2
    """It has done the TLS handshake, and asked for nothing yet."""
    IDLE = 3
    """It has had an answer, and may ask again."""
    BODY = 4
    """It has asked, and we wait for more of the body."""
    BUSY = 5
    """It waits for us; it never has to go."""


@dataclass(eq=False, slots=True)
class Seat:
    """One connection in the table."""

    source: bytes
    """Whom the limit per source counts (``guards.address.source_key``)."""
    leave: Callable[[], None]
    """Ends the connection at once."""
    stage: Stage = Stage.HANDSHAKE
    """How far it has come."""
    since: float = 0.0
    """When it came so far."""

    def enter(self, stage: Stage, now: float) -> None:
        """Take a stage."""
        if stage is not self.stage:
            self.stage, self.since = stage, now


class ConnectionTable:
    """All connections of a server."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._seats: dict[Seat, None] = {}
        self._per_source = Counter[bytes]()

    def __len__(self) -> int:
        """How many are there."""
        return len(self._seats)

    def admit(self, seat: Seat, now: float) -> tuple[bool, list[Seat]]:
        """Return whether there is room for one more, and who had to go for it (they have been told)."""
        gone: list[Seat] = []
        limits, seats = self._limits, self._seats
        seat.since = now
        if self._per_source[seat.source] >= limits.connections_per_source and not self._drop_one(
            [each for each in seats if each.source == seat.source], gone
        ):
            return False, gone
        handshaking = [each for each in seats if each.stage is Stage.HANDSHAKE]
        if len(handshaking) >= limits.handshakes:
            self._drop_one(handshaking, gone)
        if len(seats) >= limits.connections and not self._drop_one(seats, gone):
            return False, gone
        seats[seat] = None
        self._per_source[seat.source] += 1
        return True, gone

    def remove(self, seat: Seat) -> None:
        """Forget one; harmless if it has had to go."""
        if seat in self._seats:
            del self._seats[seat]
            self._per_source[seat.source] -= 1
            if not self._per_source[seat.source]:
                del self._per_source[seat.source]

    def drop_worst(self) -> Seat | None:
        """Make room, because the machine has none; return who had to go."""
        gone: list[Seat] = []
        return gone[0] if self._drop_one(self._seats, gone) else None

    def drop_body(self) -> Seat | None:
        """Make room in memory: return who has kept us waiting for more of a body for longest, and had to go."""
        gone: list[Seat] = []
        waiting = [each for each in self._seats if each.stage is Stage.BODY]
        return gone[0] if self._drop_one(waiting, gone) else None

    def up_to(self, stage: Stage) -> list[Seat]:
        """Return those that have not come further than that."""
        return [each for each in self._seats if each.stage <= stage]

    def _drop_one(self, candidates: Iterable[Seat], gone: list[Seat]) -> bool:
        worst = min(
            (each for each in candidates if each.stage < Stage.BUSY),
            key=lambda each: (each.stage, each.since),
            default=None,
        )
        if worst is None:
            return False
        self.remove(worst)
        worst.leave()
        gone.append(worst)
        return True
