"""How large a datagram the path takes: datagram packetization layer path MTU discovery (RFC 8899; LK-85 to LK-89).

Theory of operation. A *probe* is a datagram of exactly the size that is tried, and the peer acknowledges it by its id.
What passed is what data may use; data are never larger. Behind each probe goes a *scout*, the smallest probe there is:
the scout's answer without the probe's says that the size is to blame, and says so after one round trip. If neither
comes, the path is down or full, which says nothing of sizes: that is not counted, and the timer doubles. An answer that
comes late counts as if it had been in time. One probe is under way at a time, so there is one per round trip.

``PMTU`` says what follows from what. Which size comes next is the search's business (:mod:`protocols.link.sizes`). A
result is questioned again after a while: a path can become wider, and luck was perhaps bad. Datagrams that pass no more
vanish, and nobody says so (a *black hole*): as long as large ones are sent, the size in use is probed at intervals,
unless an acknowledgement of data has proven it.

Sizes are those of whole protected datagrams. The connection sends what :meth:`PathMtu.next_probe` gives.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from protocols.channels.limits import MIN_FRAME_BYTES
from protocols.guards.address import Address
from protocols.link.batch import OVERHEAD_BYTES
from protocols.link.recovery import RttEstimator
from protocols.link.sizes import SizeSearch
from protocols.link.state import advance

MIN_PLPMTU: Final = MIN_FRAME_BYTES + OVERHEAD_BYTES
"""The least that channels can live with."""
SCOUT_BYTES: Final = OVERHEAD_BYTES + 8
"""A probe without padding."""
BLACK_HOLE_PROBES: Final = 6
"""Losses in a row after which the size in use counts as too large. Twice as many as in a search, since it is asked all
the time: at 20 % loss each way, three in a row would be a false alarm every two minutes."""
MIN_TIMER_S: Final = 0.2
"""How long a probe may take, at least; else the retransmission timeout."""
REORDERED_S: Final = 0.01
"""How much later than its scout's a probe's answer may come, at least."""
CONFIRM_S: Final = 2.0
"""How soon the size in use is probed while large datagrams are sent; and the least, when not even it passes."""
MAX_CONFIRM_S: Final = 8.0
"""The wait doubles up to this each time that it passes: a thousand links must not spend their time on large probes."""
FIRST_RAISE_S: Final = 30.0
"""How long the first result stands before more is tried again. Each wait is twice the one before, up to ..."""
RAISE_S: Final = 600.0
"""... this (RFC 8899, 5.1.1)."""
_MAX_OUTSTANDING: Final = 16
"""Probes and scouts whose late answer is still understood."""


class PmtuState(Enum):
    """RFC 8899, 5.2."""

    DISABLED = auto()
    """Not wanted, or the path has proven nothing yet."""
    BASE = auto()
    """Asks whether the size passes that every path should take."""
    SEARCHING = auto()
    """Asks for more."""
    SEARCH_COMPLETE = auto()
    """Asks nothing, but whether the size in use still passes."""
    ERROR = auto()
    """The base does not pass: data use the least size, and it is asked for."""


class PmtuEvent(Enum):
    """What moves the search."""

    START = auto()
    """The path works, or it is another one."""
    PASSED = auto()
    """A probe has passed that is larger than what was known to; in BASE and ERROR: any."""
    TOO_LARGE = auto()
    """Not even the base passes, or no more."""
    SETTLED = auto()
    """There is nothing left to learn."""
    RAISE = auto()
    """Time to look for more again."""
    BLACK_HOLE = auto()
    """The size in use passes no more."""


_S, _E = PmtuState, PmtuEvent
PMTU: Final[Mapping[tuple[PmtuState, PmtuEvent], PmtuState]] = {
    **{(state, _E.START): _S.BASE for state in PmtuState},
    (_S.BASE, _E.PASSED): _S.SEARCHING,
    (_S.BASE, _E.TOO_LARGE): _S.ERROR,
    (_S.SEARCHING, _E.PASSED): _S.SEARCHING,
    (_S.SEARCHING, _E.SETTLED): _S.SEARCH_COMPLETE,
    (_S.SEARCH_COMPLETE, _E.PASSED): _S.SEARCH_COMPLETE,  # a late answer
    (_S.SEARCH_COMPLETE, _E.RAISE): _S.SEARCHING,
    (_S.SEARCH_COMPLETE, _E.BLACK_HOLE): _S.BASE,
    (_S.SEARCH_COMPLETE, _E.TOO_LARGE): _S.ERROR,
    (_S.ERROR, _E.PASSED): _S.SEARCHING,
}


class SizeProbe(NamedTuple):
    """A probe, or a scout, to send now."""

    id: int
    """Its answer names it."""
    size: int
    """Bytes of the datagram."""


class _Sent(NamedTuple):
    size: int
    at_s: float
    is_scout: bool


class PathMtu:
    """The size of the datagrams of one connection. Without room above the base nothing ever happens."""

    __slots__ = (
        "_base", "_confirm_at_s", "_confirm_s", "_id", "_losses", "_outstanding", "_probe", "_probe_due", "_raise_at_s",
        "_raise_s", "_rtt", "_scout_due", "_scouted", "_search", "_silent", "_timer_s", "_used", "state",
    )  # fmt: skip

    def __init__(self, base_bytes: int, limit_bytes: int, address: Address) -> None:
        """``base_bytes``: what every path is taken to pass; ``limit_bytes``: the most that may be tried."""
        self.state = PmtuState.DISABLED
        self._base = base_bytes
        self._search = SizeSearch(base_bytes, limit_bytes, address)
        self._rtt = RttEstimator()
        self._id = 0
        self._outstanding: dict[int, _Sent] = {}
        self._probe = 0
        """The size that is asked about."""
        self._probe_due = self._scout_due = False
        self._timer_s: float | None = None
        """Until when the answers have time."""
        self._scouted = False
        """Whether the scout's has come."""
        self._silent = 0
        """Probes in a row of which nothing came back."""
        self._losses = 0
        """Losses of the size in use, in a row."""
        self._used = False
        """Whether large datagrams have left since the size in use was confirmed."""
        self._confirm_at_s = self._raise_at_s = float("inf")
        self._confirm_s = CONFIRM_S
        self._raise_s = FIRST_RAISE_S

    @property
    def size_bytes(self) -> int:
        """Largest datagram that data may use."""
        return self._search.low

    @property
    def is_due(self) -> bool:
        """Whether :meth:`next_probe` has one."""
        return self._probe_due or self._scout_due

    # --- what the connection says -----------------------------------------------------------------

    def start(self, now: float) -> None:
        """The peer was heard on this path: begin, unless that has been done."""
        if self.state is PmtuState.DISABLED and self._search.limit > self._base:
            self._begin(PmtuEvent.START, now)

    def moved(self, address: Address, now: float) -> None:
        """The path is another one, and all that is known was about the old one."""
        self._search.on_path(address)
        if self.state is not PmtuState.DISABLED:
            self._begin(PmtuEvent.START, now)

    def sent(self, size: int) -> bool:
        """Data have left in datagrams of this size: whether they arrive is worth knowing.

        Return whether :meth:`next_deadline` may be earlier now.
        """
        if self._used or size <= MIN_PLPMTU:
            return False
        self._used = True
        return True

    def next_probe(self, now: float) -> SizeProbe | None:
        """Return what is to be sent now, or None; it is taken to be sent."""
        if self._probe_due:
            self._probe_due, self._scouted = False, False
            patience_s = CONFIRM_S if self.state is PmtuState.ERROR else self._rtt.timeout(self._silent)
            self._timer_s = now + max(MIN_TIMER_S, patience_s)
            return self._leave(_Sent(self._probe, now, is_scout=False))
        if self._scout_due:
            self._scout_due = False
            return self._leave(_Sent(SCOUT_BYTES, now, is_scout=True))
        return None

    def on_ack(self, probe_id: int, now: float) -> float | None:
        """Note an answer; return the round trip that a scout's gives."""
        sent = self._outstanding.pop(probe_id, None)
        if sent is None:
            return None
        rtt_s = now - sent.at_s
        self._rtt.sample(rtt_s)
        self._silent = 0
        if not sent.is_scout:
            self._passed(sent.size, now)
            return None
        if probe_id == self._id and self._timer_s is not None and self.state is not PmtuState.ERROR:
            self._scouted = True
            self._timer_s = min(self._timer_s, now + max(REORDERED_S, 2 * self._rtt.variation_s))
        return rtt_s

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do."""
        if self._timer_s is not None or self.state is not PmtuState.SEARCH_COMPLETE or self._probe_due:
            return self._timer_s
        return min(self._raise_at_s, self._confirm_at_s) if self._used else self._raise_at_s

    def handle_deadline(self, now: float, delivered_bytes: Callable[[], int]) -> None:
        """Do what is due. ``delivered_bytes`` gives the largest chunk of data acknowledged since it was last asked."""
        due = self.next_deadline()
        if due is None or now < due:
            return
        is_complete = self.state is PmtuState.SEARCH_COMPLETE
        if self._timer_s is None and now >= self._raise_at_s:
            self._raise_s = min(2 * self._raise_s, RAISE_S)
            self._look(PmtuEvent.RAISE, now)
        elif is_complete and 16 * delivered_bytes() >= 15 * self.size_bytes:  # a full chunk may be a little smaller
            self._confirmed(now)
        elif self._timer_s is None:
            self._ask(self.size_bytes)
        elif is_complete:
            self._unconfirmed(now)
        else:
            self._lost(now)

    # --- what follows from it -----------------------------------------------------------------------

    def _leave(self, sent: _Sent) -> SizeProbe:
        self._id = (self._id + 1) & 0xFFFF_FFFF
        if len(self._outstanding) >= _MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        self._outstanding[self._id] = sent
        return SizeProbe(self._id, sent.size)

    def _ask(self, size: int) -> None:
        self._probe, self._probe_due, self._scout_due, self._timer_s = size, True, True, None

    def _begin(self, event: PmtuEvent, now: float) -> None:
        """Begin anew with the base; or, if that does not pass, with the least."""
        self.state = advance(PMTU, self.state, event)
        self._search.begin(self._base if self.state is PmtuState.BASE else MIN_PLPMTU)
        self._outstanding.clear()
        self._silent = 0
        self._raise_s = FIRST_RAISE_S
        self._confirm_s = CONFIRM_S
        self._confirmed(now)
        self._ask(self.size_bytes)

    def _look(self, event: PmtuEvent, now: float) -> None:
        """Look for more than what passes."""
        self.state = advance(PMTU, self.state, event)
        self._search.begin(self.size_bytes)
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        size = self._search.candidate()
        if size is not None:
            self._ask(size)
            return
        self.state = advance(PMTU, self.state, PmtuEvent.SETTLED)
        self._confirm_s = CONFIRM_S
        self._raise_at_s = now + self._raise_s
        self._confirmed(now)

    def _passed(self, size: int, now: float) -> None:
        if self.state in {PmtuState.BASE, PmtuState.ERROR}:
            self._look(PmtuEvent.PASSED, now)  # nothing else was asked there
            return
        if self._search.passed(size):
            self.state = advance(PMTU, self.state, PmtuEvent.PASSED)
        if self.state is PmtuState.SEARCH_COMPLETE and size == self.size_bytes:
            self._confirmed(now)
        elif self.state is PmtuState.SEARCHING and self._probe <= self.size_bytes:
            self._go_on(now)

    def _confirmed(self, now: float) -> None:
        """The size in use passes; ask nothing for a while."""
        self._probe_due, self._scout_due, self._timer_s = False, False, None
        self._used = False
        self._losses = 0
        self._confirm_at_s = now + self._confirm_s
        self._confirm_s = min(2 * self._confirm_s, MAX_CONFIRM_S)  # a path that held will hold

    def _unconfirmed(self, now: float) -> None:
        """The size in use was lost."""
        self._confirm_s = CONFIRM_S
        self._losses += self._scouted
        self._silent += not self._scouted
        if self._losses < BLACK_HOLE_PROBES:
            self._ask(self.size_bytes)
        else:
            self._begin(PmtuEvent.BLACK_HOLE if self.size_bytes > self._base else PmtuEvent.TOO_LARGE, now)

    def _lost(self, now: float) -> None:
        """A size that was asked about was lost."""
        if not self._scouted:
            self._silent += 1
            self._ask(self._probe)
        elif self._search.lost(self._probe) and self.state is PmtuState.BASE:
            self._begin(PmtuEvent.TOO_LARGE, now)
        elif self.state is PmtuState.SEARCHING:
            self._go_on(now)
        else:
            self._ask(self._probe)
