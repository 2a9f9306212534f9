"""What a carrier that loses things needs: round-trip time, retransmission timeout, congestion window.

RFC 6298 for the timeout (with the numbers of CH-24), RFC 5681 / RFC 9002 section 7 (NewReno) for the window. Pure
arithmetic on ``now``; one object of each serves all channels of a link, since they share its path.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Final

INITIAL_RTO_S: Final = 0.5
MIN_RTO_S: Final = 0.05
MAX_RTO_S: Final = 2.0
"""CH-24; also the ceiling of the doubled timeout, so a repetition is never further away than this."""
GRANULARITY_S: Final = 0.001
OVERTAKEN_BY: Final = 3
"""Later packets that arrive before an earlier one counts as lost (RFC 5681: three duplicates)."""
INITIAL_WINDOW_PACKETS: Final = 32
MIN_WINDOW_PACKETS: Final = 2
MAX_WINDOW_BYTES: Final = 2**30
_MAX_BACKOFF: Final = 6


@dataclass(slots=True)
class RttEstimator:
    """RFC 6298 section 2, with the bounds of CH-24."""

    smoothed_s: float = 0.0
    """SRTT; 0 before the first sample."""
    variation_s: float = 0.0
    """RTTVAR."""
    rto_s: float = INITIAL_RTO_S
    """Timeout before any doubling."""

    def sample(self, rtt_s: float) -> None:
        """One measurement, of something that was sent once only (Karn: RFC 6298 section 3)."""
        if not isfinite(rtt_s) or rtt_s < 0.0:
            return
        if self.smoothed_s == 0.0:
            self.smoothed_s, self.variation_s = rtt_s, rtt_s / 2
        else:
            self.variation_s += (abs(self.smoothed_s - rtt_s) - self.variation_s) / 4
            self.smoothed_s += (rtt_s - self.smoothed_s) / 8
        rto = self.smoothed_s + max(GRANULARITY_S, 4 * self.variation_s)
        self.rto_s = min(max(rto, MIN_RTO_S), MAX_RTO_S)

    def timeout(self, expiries: int) -> float:
        """Timeout after so many expiries in a row: doubled by each, at most ``MAX_RTO_S`` (RFC 6298, 5.5)."""
        return min(self.rto_s * (1 << min(expiries, _MAX_BACKOFF)), MAX_RTO_S)


@dataclass(slots=True)
class CongestionWindow:
    """NewReno in bytes: slow start, congestion avoidance, one reduction per round trip.

    ``enabled`` is off on a reliable carrier, whose own control takes its place (CH-55): everything is counted, and
    nothing is held back.
    """

    packet_bytes: int
    """Size of a full packet; the window is counted in these."""
    enabled: bool = True
    """False: no limit."""
    window: int = 0
    """cwnd, bytes."""
    threshold: int = MAX_WINDOW_BYTES
    """ssthresh, bytes."""
    in_flight: int = 0
    """Bytes sent and neither acknowledged nor given up."""
    reduced_at: float = float("-inf")
    """What was sent before belongs to a loss that has been answered already."""
    resend_at_once: bool = False
    """A reduction lets one packet pass, whatever is in flight (RFC 6582 3.2, RFC 9002 7.3.2)."""
    delivered_bytes: int = 0
    """Largest packet that was acknowledged since somebody set this to 0: so much passes."""
    _credit: int = 0
    """Acknowledged bytes of congestion avoidance that have not yet made a packet."""

    def __post_init__(self) -> None:
        self.window = self.window or INITIAL_WINDOW_PACKETS * self.packet_bytes

    def allows(self, size: int) -> bool:
        """May so many bytes more be in flight? The only packet always may, and the one that a loss calls for."""
        return self.in_flight + size <= self.window or self.in_flight == 0 or self.resend_at_once or not self.enabled

    def sent(self, size: int) -> None:
        """A packet leaves."""
        self.in_flight += size
        self.resend_at_once = False

    def forget(self, size: int) -> None:
        """Bytes that count no more: their transfer ended, or they were given up."""
        self.in_flight -= size

    def acknowledged(self, size: int, fresh: int) -> None:
        """Packets arrived: ``size`` bytes in all, ``fresh`` of them sent after the last reduction."""
        limited = 2 * self.in_flight >= self.window  # RFC 9002, 7.8: a window that is not used does not grow
        self.in_flight -= size
        if not limited or not self.enabled or self.window >= MAX_WINDOW_BYTES:
            return
        if self.window < self.threshold:
            self.window += fresh
            return
        self._credit += fresh
        while self._credit >= self.window:
            self._credit -= self.window
            self.window += self.packet_bytes

    def lost(self, sent_at: float, now: float) -> None:
        """A packet sent then was overtaken: halve, once for all that was in flight (RFC 6582)."""
        if sent_at <= self.reduced_at:
            return
        self.reduced_at = now
        self.threshold = max(self.window // 2, MIN_WINDOW_PACKETS * self.packet_bytes)
        self.window = self.threshold
        self.resend_at_once = True
        self._credit = 0

    def expired(self, now: float) -> None:
        """The timer found packets missing: begin again from the smallest window (RFC 5681, 3.1)."""
        smallest = MIN_WINDOW_PACKETS * self.packet_bytes
        self.threshold = max(self.window // 2, smallest) if self.window > smallest else self.threshold
        self.window = smallest
        self.reduced_at = now
        self._credit = 0
