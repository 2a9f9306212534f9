"""A path for :class:`~protocols.link.pmtu.PathMtu` alone: it passes datagrams up to a size, and loses some."""

import heapq
import random
from typing import Final

from protocols.guards.address import Address, ip_address
from protocols.link.pmtu import MIN_PLPMTU, SCOUT_BYTES, PathMtu, PmtuState

PEER: Final = ip_address("192.0.2.1", 7)
PEER_6: Final = ip_address("2001:db8::1", 7)
MAX_STEPS: Final = 100_000


class Way:
    """One end's view. ``size`` is the largest datagram that passes; change it and the path has changed."""

    def __init__(
        self,
        size: int,
        *,
        base: int = 1_200,
        limit: int = 65_507,
        address: Address = PEER,
        loss: float = 0.0,
        rtt_s: float = 0.02,
        jitter_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.mtu = PathMtu(base, limit, address)
        self.size = size
        self.base = base
        self.loss = loss
        """Each way."""
        self.rtt_s = rtt_s
        self.jitter_s = jitter_s
        self.uses = True
        """Whether the largest data that are allowed are sent all the time."""
        self.delivered = 0
        """What acknowledgements of data have proven."""
        self.now = 500.0
        self.probes: list[int] = []
        """Sizes of all probes so far, without scouts."""
        self.sizes: list[int] = [self.mtu.size_bytes]
        """Every size that data might use so far, in order."""
        self.states: list[PmtuState] = [self.mtu.state]
        """Every state so far, in order."""
        self.passed = {base, MIN_PLPMTU}
        """Sizes that have passed since the path was last another one, and those that need not have."""
        self._random = random.Random(seed)
        self._flying: list[tuple[float, int, int, int]] = []
        self._steps = 0

    def start(self) -> "Way":
        self.mtu.start(self.now)
        self._look()
        return self

    def run(self, seconds: float) -> "Way":
        """Let time pass."""
        end = self.now + seconds
        while self._step(end):
            self._steps += 1
            assert self._steps < MAX_STEPS, "it spins"
        self.now = end
        return self

    def settle(self, limit_s: float = 60.0) -> "Way":
        """Let time pass until the search is over."""
        end = self.now + limit_s
        while self.mtu.state is not PmtuState.SEARCH_COMPLETE:
            assert self._step(end), f"still {self.mtu.state.name}"
        return self

    def _step(self, end: float) -> bool:
        self._send()
        times = [self._flying[0][0]] if self._flying else []
        if (due := self.mtu.next_deadline()) is not None:
            times.append(max(due, self.now))
        if not times or min(times) >= end:
            return False
        self.now = min(times)
        while self._flying and self._flying[0][0] <= self.now:
            _, _, probe_id, size = heapq.heappop(self._flying)
            self.passed.add(size)
            self.mtu.on_ack(probe_id, self.now)
            self._look()
        due = self.mtu.next_deadline()
        if due is not None and due <= self.now:
            self.mtu.handle_deadline(self.now, lambda: self.delivered)
            self._look()
        return True

    def _send(self) -> None:
        while (probe := self.mtu.next_probe(self.now)) is not None:
            if probe.size != SCOUT_BYTES:
                self.probes.append(probe.size)
            lucky = self._random.random() >= self.loss and self._random.random() >= self.loss
            if lucky and probe.size <= self.size:
                at = self.now + self.rtt_s + self._random.random() * self.jitter_s
                heapq.heappush(self._flying, (at, len(self.probes), probe.id, probe.size))
        if self.uses:
            self.mtu.sent(self.mtu.size_bytes)

    def _look(self) -> None:
        if self.mtu.size_bytes != self.sizes[-1]:
            self.sizes.append(self.mtu.size_bytes)
        if self.mtu.state is not self.states[-1]:
            self.states.append(self.mtu.state)
