"""What a node has to do with relays: its neighbours, flows that end here, flows that pass (specs/5-relay.md).

Neighbours are known by key id, not by link: when a link is replaced, its flows go on in the new one. Everything that a
neighbour can make us hold is bounded: flows per neighbour here, what waits for a link in its channel, what waits for
the node in the carriers.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from nodes.ports import RelayHop
from nodes.relay.carriers import RelayInitiator, RelayResponder
from nodes.relay.flows import OPEN_AGAIN_S, Clock, FlowState, IncomingFlow, IncomingSink, OutgoingFlow
from protocols.errors import FlowRefusedError, LinkTimeoutError, UsageError
from protocols.events import RelayClosed, RelayDatagram, RelayMessage, RelayOpen, RelayOpened, RelayRefused
from protocols.guards.address import Address
from protocols.guards.ratelimit import TokenBucket
from specs.registry import LinkType, RelayRefusal

if TYPE_CHECKING:
    from nodes.relay.forwarder import RelayForwarder

_WAIT_S: Final = 10.0
"""How long ``towards`` waits for an answer, unless told otherwise."""
_LINES: Final = {
    RelayRefusal.NOT_ALLOWED: "the relay does not allow this flow",
    RelayRefusal.NO_WAY: "the device has no link to the relay now",
    RelayRefusal.BUSY: "the relay has as many flows as it may have",
}


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What one neighbour may have of us."""

    flows: int = 64
    """Flows to us that a neighbour has open at once; for one more, the one that was silent longest gives way."""
    forwarded_flows: int = 16
    """Likewise, flows that go on to others."""
    opens_per_s: float = 40.0
    """New flows to us in the long run: each is an address of its own to cookies and token buckets."""
    opens_burst: float = 128.0
    """... and at once."""
    forwarded_opens_per_s: float = 10.0
    """Likewise, flows that go on to others."""
    forwarded_opens_burst: float = 32.0
    """... and at once."""
    idle_s: float = 30.0
    """... if it was silent for so long: one in which a link lives never is."""
    datagrams_per_s: float = 2_000.0
    """What is forwarded for a neighbour in the long run."""
    burst: float = 1_000.0
    """What is forwarded at once."""


@dataclass(slots=True)
class RelayCounts:
    """What an operator may want to know."""

    opened: int = 0
    """Flows that neighbours opened here."""
    refused: int = 0
    """Flows that they wanted, and did not get."""
    evicted: int = 0
    """Flows that gave way to others."""
    unknown: int = 0
    """Datagrams and answers in flows that there are not."""
    forwarded: int = 0
    """Datagrams passed on, both ways."""
    over_rate: int = 0
    """Datagrams dropped, since their sender has sent too many."""
    no_way: int = 0
    """Datagrams dropped, since the next neighbour was not there, or has not opened the flow."""


@dataclass(slots=True)
class _Neighbour:
    """What we know of one."""

    hop: RelayHop
    opens: TokenBucket
    """New flows to us."""
    forwarded_opens: TokenBucket
    """New flows that go on to others."""
    incoming: dict[int, IncomingFlow] = field(default_factory=dict[int, IncomingFlow])
    outgoing: dict[int, OutgoingFlow] = field(default_factory=dict[int, OutgoingFlow])


class RelayStation:
    """One for each node that has to do with relays. It has no tasks; all is done when a message comes, or a call."""

    def __init__(
        self,
        own: Collection[bytes],
        *,
        limits: RelayLimits | None = None,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        clock: Clock = trio.current_time,
    ) -> None:
        """``own``: the key ids of this node, of all its static keys."""
        self.own: Final = frozenset(own)
        """Flows to these end here."""
        self.limits: Final = limits or RelayLimits()
        """What one neighbour may have."""
        self.counts: Final = RelayCounts()
        """What has happened."""
        self.forwarder: RelayForwarder | None = None
        """Takes flows to others; None: they are refused."""
        self.now: Final = clock
        """Seconds."""
        self._entropy = entropy
        self._neighbours: dict[bytes, _Neighbour] = {}
        self._responders: dict[LinkType, RelayResponder] = {}

    # --- neighbours -----------------------------------------------------------------------------

    def attach(self, hop: RelayHop) -> None:
        """Take a neighbour that is up; it replaces an earlier one of the same key, and its flows are opened anew."""
        known = self._neighbours.pop(hop.key_id, None)
        if known is None:
            limits = self.limits
            opens = TokenBucket(limits.opens_per_s, limits.opens_burst)
            known = _Neighbour(hop, opens, TokenBucket(limits.forwarded_opens_per_s, limits.forwarded_opens_burst))
        else:
            known.hop.on_message = None
            known.hop = hop
        self._neighbours[hop.key_id] = known  # the newest comes last
        hop.on_message = partial(self._on_message, known, hop)
        for flow in tuple(known.outgoing.values()):
            flow.ask(at_once=True)

    def detach(self, key_id: bytes) -> None:
        """Forget a neighbour and all its flows: it is revoked, or will not come back."""
        known = self._neighbours.pop(key_id, None)
        if known is None:
            return
        known.hop.on_message = None
        for incoming in tuple(known.incoming.values()):
            incoming.sink.on_closed(incoming)
        for outgoing in tuple(known.outgoing.values()):
            outgoing.on_answer(RelayRefusal.NO_WAY)

    def neighbour(self, key_id: bytes) -> RelayHop | None:
        """Return a neighbour that is up."""
        known = self._neighbours.get(key_id)
        return known.hop if known is not None and known.hop.is_up else None

    def neighbours(self) -> list[RelayHop]:
        """Return all neighbours that are up, the newest last."""
        return [known.hop for known in self._neighbours.values() if known.hop.is_up]

    # --- ends of flows --------------------------------------------------------------------------

    def responder(self, link_type: LinkType) -> RelayResponder:
        """Return the carrier of all flows that bring links of this type to us; UsageError if there is one already."""
        if link_type in self._responders:
            raise UsageError(f"flows of {link_type.name} have a carrier already")
        carrier = RelayResponder(self, link_type)
        self._responders[link_type] = carrier
        return carrier

    async def towards(
        self, relay: bytes, destination: bytes, link_type: LinkType, *, timeout_s: float = _WAIT_S
    ) -> tuple[RelayInitiator, Address]:
        """Open a flow at the neighbour ``relay`` to the node ``destination``: a carrier, and the address to use on it.

        FlowRefusedError when the relay says no or is not there, LinkTimeoutError when it says nothing.
        """
        if self.neighbour(relay) is None:
            raise FlowRefusedError("there is no link to the relay now")
        flow = self.open(relay, destination, link_type)
        carrier = RelayInitiator(flow)
        try:
            with trio.move_on_after(timeout_s):
                while flow.state is FlowState.OPENING:
                    flow.ask(at_once=True)
                    with trio.move_on_after(OPEN_AGAIN_S):
                        await carrier.answered.wait()
        except BaseException:
            flow.close()
            raise
        if flow.state is FlowState.OPEN:
            return carrier, carrier.address
        flow.close()
        if carrier.refusal is not None:
            raise FlowRefusedError(_LINES[carrier.refusal])
        raise LinkTimeoutError("no answer from the relay")

    def open(self, key_id: bytes, destination: bytes, link_type: LinkType) -> OutgoingFlow:
        """Make a flow at a neighbour that is known; its user says ``ask``."""
        known = self._neighbours[key_id]
        number = self._number(known)
        flow = known.outgoing[number] = OutgoingFlow(self, key_id, number, destination, link_type)
        return flow

    def forget(self, flow: OutgoingFlow) -> None:
        """Take a flow that we opened out of the table."""
        known = self._neighbours.get(flow.key_id)
        if known is not None:
            known.outgoing.pop(flow.number, None)

    def answer(self, flow: IncomingFlow, message: RelayOpened | RelayDatagram) -> bool:
        """Say something to the opener of a flow; False if it is not there."""
        hop = self.neighbour(flow.key_id)
        if hop is not None:
            hop.send(message)
        return hop is not None

    def incoming(self, key_id: bytes, number: int) -> IncomingFlow | None:
        """Return a flow that a neighbour opened."""
        known = self._neighbours.get(key_id)
        return None if known is None else known.incoming.get(number)

    def drop(self, flow: IncomingFlow) -> None:
        """End a flow that a neighbour opened, and tell it."""
        self._end(flow, RelayClosed(flow.number, by_opener=False))

    def refuse(self, flow: IncomingFlow, refusal: RelayRefusal) -> None:
        """End a flow that a neighbour opened, since it leads nowhere; and what it was joined to."""
        self.counts.refused += 1
        self._end(flow, RelayRefused(flow.number, refusal))
        flow.sink.on_closed(flow)

    def _end(self, flow: IncomingFlow, word: RelayClosed | RelayRefused) -> None:
        known = self._neighbours.get(flow.key_id)
        if known is not None and known.incoming.get(flow.number) is flow:
            del known.incoming[flow.number]
            if known.hop.is_up:
                known.hop.send(word)

    def close_responder(self, carrier: RelayResponder) -> None:
        """End a responder's carrier, and all its flows."""
        if self._responders.get(carrier.link_type) is carrier:
            del self._responders[carrier.link_type]
        for known in self._neighbours.values():
            for flow in [each for each in known.incoming.values() if each.sink is carrier]:
                self.drop(flow)

    def _number(self, known: _Neighbour) -> int:
        """Return a random number that names no flow: who had it before gets nothing of what follows."""
        while True:
            number = int.from_bytes(self._entropy(4), "big")
            if number not in known.outgoing:
                return number

    # --- from neighbours ------------------------------------------------------------------------

    def _on_message(self, known: _Neighbour, hop: RelayHop, message: RelayMessage) -> None:
        if isinstance(message, RelayDatagram):
            self._on_datagram(known, hop, message)
        elif isinstance(message, RelayOpen):
            self._on_open(known, hop, message)
        elif isinstance(message, RelayClosed) and message.by_opener:
            incoming = known.incoming.pop(message.flow, None)
            if incoming is not None:
                incoming.sink.on_closed(incoming)
        else:
            self._on_answer(known, hop, message)

    def _on_answer(self, known: _Neighbour, hop: RelayHop, message: RelayOpened | RelayRefused | RelayClosed) -> None:
        flow = known.outgoing.get(message.flow)
        if flow is None:
            self.counts.unknown += 1
            if isinstance(message, RelayOpened):
                hop.send(RelayClosed(message.flow, by_opener=True))
        elif isinstance(message, RelayClosed):
            flow.on_closed()
        else:
            flow.on_answer(message.code if isinstance(message, RelayRefused) else None)

    def _on_datagram(self, known: _Neighbour, hop: RelayHop, message: RelayDatagram) -> None:
        if message.by_opener:
            incoming = known.incoming.get(message.flow)
            if incoming is not None:
                incoming.heard_s = self.now()
                incoming.sink.on_datagram(incoming, message.data)
                return
        elif (outgoing := known.outgoing.get(message.flow)) is not None:
            outgoing.on_reply(message.data)
            return
        self.counts.unknown += 1
        hop.send(RelayClosed(message.flow, by_opener=not message.by_opener))

    def _on_open(self, known: _Neighbour, hop: RelayHop, message: RelayOpen) -> None:
        flow = known.incoming.get(message.flow)
        if flow is not None and (flow.destination, flow.link_type) == (message.destination, message.link_type):
            flow.heard_s = self.now()
            flow.sink.on_open(flow)
            return
        if flow is not None:  # the opener has begun anew, and uses the number for something else
            del known.incoming[message.flow]
            flow.sink.on_closed(flow)
        refusal = self._take(known, hop, message)
        if refusal is not None:
            self.counts.refused += 1
            hop.send(RelayRefused(message.flow, refusal))

    def _take(self, known: _Neighbour, hop: RelayHop, message: RelayOpen) -> RelayRefusal | None:
        """Let a flow in, or say why not."""
        sink: IncomingSink | RelayRefusal | None = None
        if message.destination in self.own:
            sink = self._responders.get(message.link_type)
        elif self.forwarder is not None:
            sink = self.forwarder.passage(hop, message)
        if sink is None:
            return RelayRefusal.NOT_ALLOWED
        if isinstance(sink, RelayRefusal):
            return sink
        ends_here = message.destination in self.own
        opens = known.opens if ends_here else known.forwarded_opens
        if not opens.allow(self.now()) or not self._make_room(known, ends_here=ends_here):
            return RelayRefusal.BUSY
        flow = IncomingFlow(hop.key_id, message.flow, message.destination, message.link_type, sink, self.now())
        known.incoming[message.flow] = flow
        self.counts.opened += 1
        sink.on_open(flow)
        return None

    def _make_room(self, known: _Neighbour, *, ends_here: bool) -> bool:
        """End the flow of a neighbour that was silent longest, if it has as many as it may have, and it was long."""
        rivals = [flow for flow in known.incoming.values() if (flow.destination in self.own) is ends_here]
        if len(rivals) < (self.limits.flows if ends_here else self.limits.forwarded_flows):
            return True
        oldest = min(rivals, key=lambda flow: flow.heard_s)
        if self.now() - oldest.heard_s < self.limits.idle_s:
            return False
        self.counts.evicted += 1
        self.drop(oldest)
        oldest.sink.on_closed(oldest)
        return True
