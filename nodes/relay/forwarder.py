"""Who lies between: flows of one neighbour that go on to another (specs/5-relay.md).

A *passage* is a flow that a neighbour opened here, and the flow that we opened for it at the next. When the next has
forgotten its flow, or its link was replaced, we open it anew; what comes meanwhile is lost, as on any path.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from nodes.ports import RelayHop
from nodes.relay.flows import FlowState, IncomingFlow, OutgoingFlow
from protocols.events import RelayDatagram, RelayOpen, RelayOpened
from protocols.guards.ratelimit import SourceLimiter
from specs.registry import LinkType, RelayRefusal, Role

if TYPE_CHECKING:
    from nodes.relay.station import RelayStation

Ways = Mapping[tuple[Role, Role], frozenset[LinkType]]
WAYS: Final[Mapping[Role, Ways]] = {
    Role.RC: {
        (Role.MOBILE, Role.DRONE): frozenset((LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD)),
        (Role.CLOUD, Role.DRONE): frozenset((LinkType.REMOTE_CLOUD,)),
    },
    Role.MOBILE: {(Role.CLOUD, Role.RC): frozenset((LinkType.REMOTE_CLOUD,))},
}
"""What a relay of one role forwards from a neighbour of one role to one of another (RL-21); all else is refused."""

Route = Callable[[RelayHop, RelayOpen], bytes | None]
"""From an opener and what it wants to the key id of the neighbour that is next; None: there is none."""


class RelayForwarder:
    """Takes flows from neighbours of a station to others of it."""

    def __init__(self, station: "RelayStation", role: Role, *, route: Route | None = None) -> None:
        """``role`` is the relay's own.

        ``route``: by default to the destination, if that is a neighbour, or to the newest one that may relay.
        """
        self.station: Final = station
        """Where the neighbours are."""
        self.ways: Final = WAYS.get(role, {})
        """What is forwarded here."""
        limits = station.limits
        self.rates: Final = SourceLimiter(limits.datagrams_per_s, limits.burst)
        """Datagrams of each neighbour, both ways."""
        self._route = route or self._next

    def passage(self, hop: RelayHop, wanted: RelayOpen) -> "Passage | RelayRefusal":
        """Return what takes a flow of ``hop`` further, or why nothing does."""
        if not any(wanted.link_type in types for (role, _), types in self.ways.items() if role is hop.role):
            return RelayRefusal.NOT_ALLOWED
        key_id = self._route(hop, wanted)
        after = None if key_id is None else self.station.neighbour(key_id)
        if after is None:
            return RelayRefusal.NO_WAY
        if not self._may(hop, after, wanted.link_type) or after.key_id == hop.key_id:
            return RelayRefusal.NOT_ALLOWED
        return Passage(self, after.key_id)

    def _next(self, hop: RelayHop, wanted: RelayOpen) -> bytes | None:
        if self.station.neighbour(wanted.destination) is not None:
            return wanted.destination
        relays = [
            each.key_id
            for each in self.station.neighbours()
            if each.role is not Role.DRONE and self._may(hop, each, wanted.link_type)
        ]
        return relays[-1] if relays else None

    def _may(self, hop: RelayHop, after: RelayHop, link_type: LinkType) -> bool:
        if hop.role is None or after.role is None:
            return False
        return link_type in self.ways.get((hop.role, after.role), ())


class Passage:
    """A flow of one neighbour, joined to a flow at the next."""

    def __init__(self, forwarder: RelayForwarder, after: bytes) -> None:
        self._station = forwarder.station
        self._rates = forwarder.rates
        self._after = after
        self._incoming: IncomingFlow | None = None
        self._outgoing: OutgoingFlow | None = None

    # --- from the opener ------------------------------------------------------------------------

    def on_open(self, flow: IncomingFlow) -> None:
        """Open the flow at the next neighbour, which answers; or answer, if it is open."""
        outgoing = self._outgoing
        if outgoing is None:
            self._incoming = flow
            outgoing = self._outgoing = self._station.open(self._after, flow.destination, flow.link_type)
            outgoing.sink = self
            outgoing.ask(at_once=True)
        elif self._station.neighbour(self._after) is None:
            self._station.refuse(flow, RelayRefusal.NO_WAY)
        elif outgoing.state is FlowState.OPEN:
            self._station.answer(flow, RelayOpened(flow.number))
        else:
            outgoing.ask()

    def on_datagram(self, flow: IncomingFlow, data: bytes) -> None:
        """Pass a datagram on."""
        if self._may_pass(flow.key_id) and self._outgoing is not None:
            self._count(self._outgoing.send(data))

    def on_closed(self, flow: IncomingFlow) -> None:  # noqa: ARG002  # there is one
        """End the flow at the next neighbour."""
        if self._outgoing is not None:
            self._outgoing.close()

    # --- from the next neighbour ----------------------------------------------------------------

    def on_reply(self, data: bytes) -> None:
        """Pass a datagram back."""
        flow = self._incoming
        if flow is not None and self._may_pass(self._after):
            self._count(self._station.answer(flow, RelayDatagram(flow.number, by_opener=False, data=data)))

    def on_answer(self, refusal: RelayRefusal | None) -> None:
        """Tell the opener."""
        flow = self._incoming
        if flow is None:
            return
        if refusal is None:
            self._station.answer(flow, RelayOpened(flow.number))
        else:
            self._station.refuse(flow, refusal)

    # --- both -----------------------------------------------------------------------------------

    def _may_pass(self, key_id: bytes) -> bool:
        may = self._rates.allow(key_id, self._station.now())
        self._station.counts.over_rate += not may
        return may

    def _count(self, passed: bool) -> None:
        self._station.counts.forwarded += passed
        self._station.counts.no_way += not passed
