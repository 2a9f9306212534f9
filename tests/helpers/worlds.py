"""What is between nodes: time, datagrams with weather and attackers, streams whole or in pieces. Nothing sleeps.

A world carries what its nodes send and jumps to the next arrival or deadline. It asks nodes in a fixed order.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from protocols.guards.address import Address
from tests.helpers.nodes import START_S, Node

MAX_STEPS_AT_ONCE: Final = 20_000
"""Events at one instant; more is a machine that spins."""


@dataclass(frozen=True)
class Datagram:
    """One datagram on its way."""

    data: bytes
    source: Address
    target: Address
    delay_s: float = 0.0
    """On top of the world's latency."""


@dataclass(frozen=True)
class Weather:
    """What a bad network does, each with a probability."""

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    jitter_s: float = 0.0
    """Largest extra delay; it reorders."""


Tap = Callable[[Datagram], Iterable[Datagram]]
Cut = Callable[[bytes], Iterable[bytes]]
CALM: Final = Weather()


class World:
    """Time, nodes, and what is between them."""

    def __init__(self, *nodes: Node, latency_s: float = 0.01) -> None:
        self.now = START_S
        self.nodes = list(nodes)
        self.latency_s = latency_s
        self._flying: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def settle(self, limit_s: float = 5.0) -> None:
        """Deliver until nothing is on its way; time moves by latencies only."""
        end = self.now + limit_s
        self._exchange()
        while self._flying:
            self._step(end, deadlines=False)
            assert self.now < end, "never quiet"

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._step(end):
            pass

    def run_until(self, condition: Callable[[], object], limit_s: float = 60.0) -> None:
        """Let time pass until the condition holds; AssertionError when it does not in time."""
        end = self.now + limit_s
        self._exchange()
        while not condition():
            assert self._step(end), "the condition did not come true in time"

    def _step(self, end: float, *, deadlines: bool = True) -> bool:
        self._exchange()
        times = [self._flying[0][0]] if self._flying else []
        if deadlines:
            times += [due for node in self.nodes if (due := node.machine.next_deadline()) is not None]
        at = max(self.now, min(times)) if times else end
        if at >= end:
            self.now = max(end, self.now)
            return False
        self._steps_here = self._steps_here + 1 if at == self.now else 0
        assert self._steps_here < MAX_STEPS_AT_ONCE, "a machine spins"
        self.now = at
        while self._flying and self._flying[0][0] <= at:
            heapq.heappop(self._flying)[2]()
        if deadlines:
            for node in self.nodes:
                due = node.machine.next_deadline()
                if due is not None and due <= at:
                    node.machine.handle_deadline(at)
        self._exchange()
        return True

    _steps_here = 0

    def _fly(self, delay_s: float, land: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._flying, (self.now + delay_s, self._order, land))

    def _exchange(self) -> None:
        for node in self.nodes:
            node.turn(self.now)
            self._collect(node)
            node.turn(self.now)

    def _collect(self, node: Node) -> None:
        raise NotImplementedError


class DatagramWorld(World):
    """Datagrams between addresses, with weather and attackers."""

    def __init__(self, *nodes: Node, latency_s: float = 0.01, weather: Weather = CALM, seed: int = 0) -> None:
        super().__init__(*nodes, latency_s=latency_s)
        self.weather = weather
        self.random = random.Random(seed)
        self.taps: list[Tap] = []
        """Attackers on the path: each turns a datagram that is sent into those that go on."""
        self.log: list[Datagram] = []
        """Everything that a node sent, as it was sent."""
        self.carried: Counter[str] = Counter()
        """What the weather did."""

    def sent_by(self, source: Address, kind: int | None = None) -> list[bytes]:
        """What was sent from an address, of a packet type."""
        return [each.data for each in self.log if each.source == source and kind in {None, each.data[0]}]

    def sent_to(self, target: Address) -> list[bytes]:
        return [each.data for each in self.log if each.target == target]

    def inject(self, data: bytes, source: Address, target: Address, delay_s: float = 0.0) -> None:
        """Put a datagram on the wire, past weather and taps."""
        self._fly(delay_s, lambda: self.deliver(data, source, target))

    def deliver(self, data: bytes, source: Address, target: Address) -> None:
        """Hand a datagram to whoever has the address."""
        for node in self.nodes:
            if node.address == target:
                node.machine.receive(data, self.now, source)
                node.turn(self.now)

    def _collect(self, node: Node) -> None:
        for data, target in node.machine.data_to_send(self.now):
            assert node.address is not None
            assert target is not None
            self.transmit(Datagram(data, node.address, target))

    def transmit(self, sent: Datagram) -> None:
        """Send through attackers and weather."""
        self.log.append(sent)
        going: list[Datagram] = [sent]
        for tap in self.taps:
            going = [after for each in going for after in tap(each)]
        for each in going:
            self._blow(each)

    def _blow(self, each: Datagram) -> None:
        weather, dice = self.weather, self.random
        self.carried["datagrams"] += 1
        if dice.random() < weather.drop:
            self.carried["dropped"] += 1
            return
        copies = 1
        if dice.random() < weather.duplicate:
            self.carried["duplicated"] += 1
            copies = 2
        data = each.data
        if dice.random() < weather.corrupt:
            self.carried["corrupted"] += 1
            at = dice.randrange(len(data))
            data = data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]
        for _ in range(copies):
            delay = self.latency_s + each.delay_s + dice.random() * weather.jitter_s
            self.inject(data, each.source, each.target, delay)


def whole(data: bytes) -> Iterable[bytes]:
    """Give the bytes in one piece."""
    return (data,)


def bytewise(data: bytes) -> Iterable[bytes]:
    """Give the bytes one by one."""
    return (data[at : at + 1] for at in range(len(data)))


class StreamWorld(World):
    """One stream between a client and a server."""

    def __init__(self, client: Node, server: Node, *, cut: Cut = whole, latency_s: float = 0.01) -> None:
        super().__init__(client, server, latency_s=latency_s)
        self.cut = cut
        """How what is sent at once is given to the receiver."""
        self.tamper: Callable[[Node, bytes], bytes] = lambda _, data: data
        """What an attacker makes of what a node sends."""
        self.turns_between = True
        """Whether a node takes its events after each piece, as a pump does, or after the last."""
        self.sent: dict[Node, bytearray] = {client: bytearray(), server: bytearray()}

    def other(self, node: Node) -> Node:
        return self.nodes[1] if node is self.nodes[0] else self.nodes[0]

    def _collect(self, node: Node) -> None:
        data = b"".join(packet for packet, _ in node.machine.data_to_send(self.now))
        peer = self.other(node)
        if data:
            self.sent[node] += data
            arriving = self.tamper(node, data)
            self._fly(self.latency_s, lambda: self._pour(peer, arriving))
        if node.machine.is_over and not node.ended:
            node.ended = True
            self._fly(self.latency_s, lambda: self.end(peer))

    def _pour(self, peer: Node, data: bytes) -> None:
        for piece in self.cut(data):
            peer.machine.receive(piece, self.now)
            if self.turns_between:
                peer.turn(self.now)
        peer.turn(self.now)

    def end(self, peer: Node) -> None:
        """End the stream towards a node."""
        peer.machine.receive_end(self.now)
        peer.turn(self.now)
