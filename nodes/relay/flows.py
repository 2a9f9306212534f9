"""The two ends of a flow at one node: a flow that we opened at a neighbour, and one that a neighbour opened here.

*Theory of operation.* Nothing here has a timer. An opener says OPEN again when it has something to send and no answer
has come for a while, when its neighbour comes back, or when the neighbour says that it does not know the flow. The
links that run in flows send something every two seconds, so a flow heals as soon as there is a way, and costs nothing
when there is no link in it any more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from nodes.ports import RelayHop
from protocols.events import RelayClosed, RelayDatagram, RelayOpen
from specs.registry import LinkType, RelayRefusal

OPEN_AGAIN_S: Final = 1.0
"""How long an opener waits for an answer before it asks again."""


class FlowState(Enum):
    """What an opener knows of its flow."""

    OPENING = auto()
    """Asked for."""
    OPEN = auto()
    """The other end takes it."""
    REFUSED = auto()
    """There was no way, when it was last asked for."""


class FlowEvent(Enum):
    """What happens to it."""

    OPENED = auto()
    """The answer is yes."""
    REFUSED = auto()
    """The answer is no."""
    CLOSED = auto()
    """The neighbour does not know the flow."""
    ASKED = auto()
    """We ask again."""


FLOW: Final[dict[tuple[FlowState, FlowEvent], FlowState]] = {
    (FlowState.OPENING, FlowEvent.OPENED): FlowState.OPEN,
    (FlowState.OPENING, FlowEvent.REFUSED): FlowState.REFUSED,
    (FlowState.OPENING, FlowEvent.CLOSED): FlowState.OPENING,
    (FlowState.OPENING, FlowEvent.ASKED): FlowState.OPENING,
    (FlowState.OPEN, FlowEvent.OPENED): FlowState.OPEN,
    (FlowState.OPEN, FlowEvent.REFUSED): FlowState.REFUSED,
    (FlowState.OPEN, FlowEvent.CLOSED): FlowState.OPENING,
    (FlowState.OPEN, FlowEvent.ASKED): FlowState.OPENING,
    (FlowState.REFUSED, FlowEvent.OPENED): FlowState.OPEN,
    (FlowState.REFUSED, FlowEvent.REFUSED): FlowState.REFUSED,
    (FlowState.REFUSED, FlowEvent.CLOSED): FlowState.REFUSED,
    (FlowState.REFUSED, FlowEvent.ASKED): FlowState.OPENING,
}
"""Whatever the neighbour says, in any state, has a row: he cannot break anything but his own flow."""


class Flows(Protocol):
    """What a flow needs of its station."""

    def now(self) -> float:
        """Return the time."""
        ...

    def neighbour(self, key_id: bytes) -> RelayHop | None:
        """Return a neighbour that is up."""
        ...

    def forget(self, flow: "OutgoingFlow") -> None:
        """Take it out of the table."""
        ...


class OutgoingSink(Protocol):
    """Who uses a flow that we opened."""

    def on_reply(self, data: bytes) -> None:
        """Take a datagram from the other end."""
        ...

    def on_answer(self, refusal: RelayRefusal | None) -> None:
        """Note that the flow is open, or refused."""
        ...


class IncomingSink(Protocol):
    """Who takes the flows that neighbours open."""

    def on_datagram(self, flow: "IncomingFlow", data: bytes) -> None:
        """Take a datagram from the opener."""
        ...

    def on_open(self, flow: "IncomingFlow") -> None:
        """Answer an OPEN, the first or one that was said again."""
        ...

    def on_closed(self, flow: "IncomingFlow") -> None:
        """Note that it is over."""
        ...


@dataclass(slots=True, eq=False)
class IncomingFlow:
    """A flow that a neighbour opened."""

    key_id: bytes
    """The neighbour."""
    number: int
    """Its number for the flow."""
    destination: bytes
    """Where it goes."""
    link_type: LinkType
    """What runs in it."""
    sink: IncomingSink
    """Who takes it."""
    heard_s: float
    """When the opener last sent something."""


class OutgoingFlow:
    """A flow that we opened at a neighbour; it outlives the neighbour's link, and goes on in the next one."""

    def __init__(self, flows: Flows, key_id: bytes, number: int, destination: bytes, link_type: LinkType) -> None:
        self.key_id: Final = key_id
        """The neighbour."""
        self.number: Final = number
        """Our number for the flow."""
        self.state = FlowState.OPENING
        """What we know of it."""
        self.sink: OutgoingSink | None = None
        """Who uses it."""
        self._flows = flows
        self._open: Final = RelayOpen(number, destination, link_type)
        self._asked_s = float("-inf")
        self._over = False

    def ask(self, *, at_once: bool = False) -> None:
        """Say OPEN, unless it was said a moment ago."""
        now, hop = self._flows.now(), self._flows.neighbour(self.key_id)
        if hop is None or self._over or (not at_once and now < self._asked_s + OPEN_AGAIN_S):
            return
        self._asked_s = now
        self._advance(FlowEvent.ASKED)
        hop.send(self._open)

    def send(self, data: bytes) -> bool:
        """Send a datagram; False if it is lost, since the flow is not open."""
        hop = self._flows.neighbour(self.key_id)
        if self.state is not FlowState.OPEN or hop is None or self._over:
            self.ask()
            return False
        hop.send(RelayDatagram(self.number, by_opener=True, data=data))
        return True

    def close(self) -> None:
        """End it."""
        if self._over:
            return
        self._over = True
        self._flows.forget(self)
        hop = self._flows.neighbour(self.key_id)
        if hop is not None:
            hop.send(RelayClosed(self.number, by_opener=True))

    # --- from the neighbour ---------------------------------------------------------------------

    def on_answer(self, refusal: RelayRefusal | None) -> None:
        """Take OPENED (None) or REFUSED."""
        self._advance(FlowEvent.OPENED if refusal is None else FlowEvent.REFUSED)
        if self.sink is not None:
            self.sink.on_answer(refusal)

    def on_closed(self) -> None:
        """Open it anew: the neighbour has forgotten it, or given it up for lack of room."""
        self._advance(FlowEvent.CLOSED)
        self.ask()

    def on_reply(self, data: bytes) -> None:
        """Take a datagram."""
        if self.sink is not None:
            self.sink.on_reply(data)

    def _advance(self, event: FlowEvent) -> None:
        self.state = FLOW[self.state, event]


Clock = Callable[[], float]
"""Seconds, monotonic."""
