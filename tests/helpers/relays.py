"""Relays between machines: stations in a row, what is between them, and links that run through all of it.

A :class:`Line` joins two stations directly, for tests of flows. A :class:`RelayWorld` puts the relay channels of two
ends of an outer link between them, with weather, so that a whole link can run through, by the clock of its world.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.relay import RelayForwarder, RelayInitiator, RelayStation
from nodes.relay.carriers import RelayCarrier
from nodes.relay.flows import FlowState
from protocols.channels import Channels
from protocols.crypto.suites import DEFAULT_SUITE, Suite
from protocols.events import CommandReceived, RelayMessage, RelayReceived, SendCommand, SendRelay
from protocols.link.config import over_relay
from protocols.link.train import one
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import CHANNELS, LINK_ROLES, ChannelId, LinkType, Role
from tests.helpers.devices import Device, Drbg, acquaint, config
from tests.helpers.nodes import Node, make_client, make_listener
from tests.helpers.worlds import CALM, Weather, World

UDP_FRAME: Final = 1_168
TCP_FRAME: Final = 65_519
MessageTap = Callable[[RelayMessage], Iterable[RelayMessage]]
FrameTap = Callable[[bytes], Iterable[bytes]]


class Hop:
    """One end of a line, or of an outer link (port ``RelayHop``)."""

    def __init__(self, key_id: bytes, role: Role | None, carry: Callable[["Hop", RelayMessage], None]) -> None:
        self.key_id: Final = key_id
        """The neighbour."""
        self.role: Final[Role | None] = role
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

    _restarts = 0

    def __init__(self, *devices: Device, latency_s: float = 0.01, seed: int = 0) -> None:
        super().__init__(latency_s=latency_s)
        self.places = {device.role: self.place(device) for device in devices}
        """One for each device, by role."""
        self.outers: list[Outer] = []
        self.ends: list[End] = []
        self._drbg = Drbg(f"weather {seed}")

    def place(self, device: Device) -> Place:
        """Return a place for a device."""
        key_id = device.key_id("P256")
        return Place(key_id, device.role, self._station(key_id, device.seed))

    def _station(self, key_id: bytes, seed: str) -> RelayStation:
        return RelayStation({key_id}, entropy=Drbg(f"station {seed}"), clock=lambda: self.now)

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

    def remove(self, node: Node) -> None:
        """Take a machine away, and end its flows."""
        self.nodes.remove(node)
        (gone,) = [end for end in self.ends if end.node is node]
        self.ends.remove(gone)
        trio.run(gone.carrier.aclose)

    def restart(self, role: Role) -> None:
        """Let a relay begin anew: its flows are gone, and its links come up again."""
        self._restarts += 1
        place = self.places[role]
        place.station = self._station(place.key_id, f"{role.name} {self._restarts}")
        place.station.forwarder = RelayForwarder(place.station, role)
        for outer in self.outers:
            if place in outer.places:
                outer.join()

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
class Remote:
    """Mobile, RC and drone in a row (before them a cloud, if the link is the cloud's), and a link from end to end."""

    suite: Suite = DEFAULT_SUITE
    link_type: LinkType = LinkType.REMOTE_MOBILE
    changes: dict[str, object] = field(default_factory=dict[str, object])
    """Of the configuration."""
    is_paired: bool = True
    seed: str = "one"

    def __post_init__(self) -> None:
        role, _ = LINK_ROLES[self.link_type]
        self.drone, self.rc, self.mobile, self.cloud = (
            Device(each, f"{self.seed} {each.name}") for each in (Role.DRONE, Role.RC, Role.MOBILE, Role.CLOUD)
        )
        self.initiator = {Role.MOBILE: self.mobile, Role.CLOUD: self.cloud}[role]
        if self.is_paired:
            acquaint(self.initiator, self.drone)
        self.settings = over_relay(config(self.suite, **self.changes), self.link_type)
        self.world = RelayWorld(self.drone, self.rc, self.mobile, self.cloud)
        for each in (Role.RC, Role.MOBILE):
            station = self.world.places[each].station
            station.forwarder = RelayForwarder(station, each)
        self.air = self.world.join(Role.RC, Role.DRONE)
        self.ground = self.world.join(Role.MOBILE, Role.RC, reliable=True)
        self.http = self.world.join(Role.CLOUD, Role.MOBILE, reliable=True)
        self.answers = self.world.places[Role.DRONE].station.responder(self.link_type)
        self.there = self.world.add(make_listener(self.drone, self.settings), self.answers)

    @property
    def relay(self) -> Role:
        """The initiator's neighbour."""
        return Role.RC if self.link_type is LinkType.REMOTE_MOBILE else Role.MOBILE

    def client(self, code: LinkingCode | None = None) -> Node:
        """Open a flow, and put a client of the initiator on it."""
        key_id = self.drone.key_id("P256")
        carrier = self.world.open(self.initiator.role, self.relay, key_id, self.link_type)
        node = make_client(self.initiator, self.drone, self.settings, to=carrier.address, at=None, code=code)
        return self.world.add(node, carrier)

    def connect(self, limit_s: float = 30.0) -> Node:
        """Make the link."""
        here = self.client()
        here.client.start(self.world.now)
        links = len(self.there.links)
        self.world.run_until(lambda: here.links and len(self.there.links) > links, limit_s)
        return here

    def pair(self, limit_s: float = 120.0) -> Node:
        """Run a pairing to its end; the node that ran it."""
        code = LinkingCode.generate(Drbg("code"))
        self.there.server.open_pairing(PairingWindow(code, self.world.now))
        here = self.client(code)
        here.client.start(self.world.now)
        self.world.run_until(here.downs, limit_s)
        self.world.run_for(1.0)
        self.world.remove(here)
        return here

    def say(self, node: Node, data: bytes) -> None:
        """Send a command."""
        node.link.send(SendCommand(ChannelId.COMMAND, data), self.world.now)

    def heard(self, node: Node) -> list[bytes]:
        """The commands that a node received."""
        return [message.data for message in node.received(CommandReceived)]


@dataclass
class Seen:
    """A tap that keeps what it sees."""

    messages: list[RelayMessage] = field(default_factory=list[RelayMessage])

    def __call__(self, message: RelayMessage) -> Iterable[RelayMessage]:
        self.messages.append(message)
        return (message,)


__all__ = [
    "TCP_FRAME", "UDP_FRAME", "End", "FrameTap", "Hop", "Line", "MessageTap", "Outer", "Place", "RelayWorld", "Remote",
    "Seen", "Weather", "settle",
]  # fmt: skip
