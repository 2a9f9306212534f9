"""Relays between machines: stations in a row, what is between them, and links that run through all of it.

A :class:`Line` joins two stations directly, for tests of flows. A :class:`RelayWorld` puts the relay channels of two
ends of an outer link between them, with weather, so that a whole link can run through, by the clock of its world.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from nodes.relay import RelayInitiator, RelayStation
from nodes.relay.carriers import RelayCarrier
from nodes.relay.flows import FlowState
from protocols.channels import Channels
from protocols.events import RelayMessage, RelayReceived, SendRelay
from protocols.link.train import one
from specs.registry import CHANNELS, ChannelId, LinkType, Role
from tests.helpers.devices import Device, Drbg
from tests.helpers.nodes import Node
from tests.helpers.worlds import CALM, Weather, World

UDP_FRAME: Final = 1_168
TCP_FRAME: Final = 65_519
MessageTap = Callable[[RelayMessage], Iterable[RelayMessage]]
FrameTap = Callable[[bytes], Iterable[bytes]]


class Hop:
    """One end of a line, or of an outer link (port ``RelayHop``)."""

    def __init__(self, key_id: bytes, role: Role, carry: Callable[["Hop", RelayMessage], None]) -> None:
        self.key_id: Final = key_id
        """The neighbour."""
        self.role: Final = role
        self.is_up = True
        self.on_message: Callable[[RelayMessage], None] | None = None
        self.sent: list[RelayMessage] = []
        """Everything that was said here."""
        self._carry = carry

    def send(self, message: RelayMessage) -> None:
        if self.is_up:
            self.sent.append(message)
            self._carry(self, message)

    def take(self, message: RelayMessage) -> None:
        if self.is_up and self.on_message is not None:
            self.on_message(message)

    def said(self, *kinds: type[RelayMessage]) -> list[RelayMessage]:
        """What was said of some kinds."""
        return [message for message in self.sent if isinstance(message, kinds)]


@dataclass
class Place:
    """A node as relays see it."""

    key_id: bytes
    role: Role
    station: RelayStation


class Line:
    """What two neighbours say to each other, in order; delivered by :func:`settle`."""

    def __init__(self, one: Place, other: Place) -> None:
        self.waiting: deque[tuple[Hop, RelayMessage]] = deque()
        self.tap: Callable[[Hop, RelayMessage], Iterable[RelayMessage]] = lambda _, message: (message,)
        """What becomes of a message that a hop sends."""
        self.places: Final = (one, other)
        self.hops: tuple[Hop, Hop]
        """The hop at the one, towards the other; and at the other, towards the one."""
        self.join()

    def join(self) -> None:
        """Let a new link come up, in the place of the one that there is."""
        here, there = self.places
        self.waiting.clear()
        self.hops = (Hop(there.key_id, there.role, self._carry), Hop(here.key_id, here.role, self._carry))
        here.station.attach(self.hops[0])
        there.station.attach(self.hops[1])

    def part(self) -> None:
        """The link goes down."""
        for hop in self.hops:
            hop.is_up = False

    def _carry(self, source: Hop, message: RelayMessage) -> None:
        target = self.hops[1] if source is self.hops[0] else self.hops[0]
        self.waiting.extend((target, each) for each in self.tap(source, message))


def settle(*lines: Line) -> None:
    """Deliver until nothing is on its way."""
    steps = 0
    while any(line.waiting for line in lines):
        for line in lines:
            if line.waiting:
                hop, message = line.waiting.popleft()
                hop.take(message)
        steps += 1
        assert steps < 10_000, "never quiet"


# --- whole links ----------------------------------------------------------------------------------


class Outer:
    """An outer link as its relay channels: two ends, frames between them."""

    def __init__(self, world: "RelayWorld", one: Place, other: Place, *, reliable: bool, frame: int) -> None:
        self.places: Final = (one, other)
        self.taps: list[MessageTap] = []
        """What a hostile relay makes of what it passes on: each turns a message into those that go on."""
        self.frame_taps: list[FrameTap] = []
        """What it makes of frames."""
        self.weather = CALM
        self.protocol_errors: list[Exception] = []
        """Frames that ended the outer link, which came up again at once."""
        self._world = world
        self._reliable, self._frame = reliable, frame
        self.join()

    def join(self) -> None:
        """Let the link come up, anew."""
        here, there = self.places
        self.hops = (Hop(there.key_id, there.role, self._carry), Hop(here.key_id, here.role, self._carry))
        self._ends = tuple(
            Channels(
                CHANNELS[LinkType.AIRLINK],
                now=self._world.now,
                entropy=Drbg("outer"),
                reliable=self._reliable,
                max_frame_bytes=self._frame,
            )
            for _ in self.hops
        )
        here.station.attach(self.hops[0])
        there.station.attach(self.hops[1])

    def part(self) -> None:
        """Let it go down."""
        for hop in self.hops:
            hop.is_up = False

    def _carry(self, source: Hop, message: RelayMessage) -> None:
        going = [message]
        for tap in self.taps:
            going = [after for each in going for after in tap(each)]
        for each in going:
            self._ends[self.hops.index(source)].send(SendRelay(ChannelId.RELAY, each), self._world.now)

    def exchange(self) -> None:
        """Let frames leave."""
        for side, channels in enumerate(self._ends):
            while (frame := channels.next_frame(self._world.now)) is not None:
                if not self.hops[side].is_up:
                    continue
                going = [frame]
                for tap in self.frame_taps:
                    going = [after for each in going for after in tap(each)]
                for each in going:
                    self._world.blow(self, 1 - side, each)

    def land(self, hop: Hop, frame: bytes) -> None:
        """Let a frame arrive; what ends an outer link is followed by a new one."""
        if hop not in self.hops or not hop.is_up:
            return  # of an earlier link
        channels = self._ends[self.hops.index(hop)]
        try:
            channels.receive_untrusted(frame, self._world.now)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test looks at it
            self.protocol_errors.append(error)
            self.join()
            return
        while (event := channels.next_event()) is not None:
            assert isinstance(event, RelayReceived)
            hop.take(event.message)


@dataclass
class End:
    """A machine and the carrier that it runs on."""

    node: Node
    carrier: RelayCarrier


class RelayWorld(World):
    """Stations in a row, and ends of links on some of them."""

    def __init__(self, *devices: Device, latency_s: float = 0.01, seed: int = 0) -> None:
        super().__init__(latency_s=latency_s)
        self.places = {device.role: self.place(device) for device in devices}
        """One for each device, by role."""
        self.outers: list[Outer] = []
        self.ends: list[End] = []
        self._drbg = Drbg(f"weather {seed}")

    def place(self, device: Device) -> Place:
        """Return a place for a device; a new one is a restart."""
        entropy = Drbg(f"station of {device.seed} {device.boots}")
        key_id = device.key_id("P256")
        return Place(key_id, device.role, RelayStation({key_id}, entropy=entropy, clock=lambda: self.now))

    def join(self, one: Role, other: Role, *, reliable: bool = False, frame: int | None = None) -> Outer:
        """Put an outer link between two places."""
        largest = frame or (TCP_FRAME if reliable else UDP_FRAME)
        outer = Outer(self, self.places[one], self.places[other], reliable=reliable, frame=largest)
        self.outers.append(outer)
        return outer

    def add(self, node: Node, carrier: RelayCarrier) -> Node:
        """Let a machine run on a carrier."""
        self.nodes.append(node)
        self.ends.append(End(node, carrier))
        return node

    def open(self, opener: Role, relay: Role, destination: bytes, link_type: LinkType) -> RelayInitiator:
        """Open a flow, and wait until it is."""
        flow = self.places[opener].station.open(self.places[relay].key_id, destination, link_type)
        carrier = RelayInitiator(flow)
        flow.ask(at_once=True)
        for _ in range(20):
            self.run_for(0.5)
            if flow.state is FlowState.OPEN:
                return carrier
            flow.ask()
        raise AssertionError("the flow did not open")

    def blow(self, outer: Outer, side: int, frame: bytes) -> None:
        """Let a frame fly, at the mercy of the weather."""
        weather, hop = outer.weather, outer.hops[side]
        if self._dice() < weather.drop:
            return
        for _ in range(1 + (self._dice() < weather.duplicate)):
            self._fly(self.latency_s + self._dice() * weather.jitter_s, lambda: outer.land(hop, frame))

    def _dice(self) -> float:
        return int.from_bytes(self._drbg(4), "big") / 2**32

    def _exchange(self) -> None:
        for end in self.ends:
            for data, _, address in end.carrier.take():
                end.node.machine.receive(bytes(data), self.now, address)
        super()._exchange()
        for outer in self.outers:
            outer.exchange()

    def _collect(self, node: Node) -> None:
        (carrier,) = [end.carrier for end in self.ends if end.node is node]
        for data, address in node.machine.data_to_send(self.now):
            assert carrier.send_now((one(data, address),)) == ()


@dataclass
class Seen:
    """A tap that keeps what it sees."""

    messages: list[RelayMessage] = field(default_factory=list[RelayMessage])

    def __call__(self, message: RelayMessage) -> Iterable[RelayMessage]:
        self.messages.append(message)
        return (message,)


__all__ = [
    "TCP_FRAME", "UDP_FRAME", "End", "FrameTap", "Hop", "Line", "MessageTap", "Outer", "Place", "RelayWorld", "Seen",
    "Weather", "settle",
]  # fmt: skip
