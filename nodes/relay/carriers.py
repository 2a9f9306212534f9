"""Flows as carriers (port ``Carrier``): a link runs in them as it runs over UDP (specs/5-relay.md).

An address is the neighbour that a flow comes from and the flow's number there (``relay_address``): what cookies, token
buckets and path challenges of the link go by.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from nodes.ports import Interrupted
from nodes.relay.flows import IncomingFlow, OutgoingFlow
from nodes.wakeup import Wakeup
from protocols.channels.fair import FairQueue
from protocols.events import RelayDatagram, RelayOpened
from protocols.guards.address import Address, AddressKind, relay_address
from protocols.link.train import Train, one
from specs.registry import MAX_RELAY_DATAGRAM_BYTES, LinkType, RelayRefusal

if TYPE_CHECKING:
    from nodes.relay.station import RelayStation

_QUEUE_BYTES: Final = 1_048_576
"""What waits for the node; beyond, the oldest of the flow that has most is dropped."""
_FLOW_BYTES: Final = 262_144
"""... and of one flow."""
_MAX_TRAINS: Final = 64
"""What one ``receive`` takes: bounds how long others wait."""


class RelayCarrier(ABC):
    """What both carriers have in common: what arrives waits, in fair turns of the flows, and is bounded."""

    datagram = True

    def __init__(self) -> None:
        self.dropped: int = 0
        """Datagrams that the node did not take in time."""
        self.lost: int = 0
        """Datagrams that could not be sent: too large, or no flow to send them in."""
        self._arrived: FairQueue[Address] = FairQueue(_QUEUE_BYTES, _FLOW_BYTES)
        self._wakeup = Wakeup()
        self._closed = False
        self._interrupted = False

    async def receive(self) -> Sequence[Train]:
        """Return the datagrams that have arrived, at least one."""
        self._interrupted = False
        await trio.lowlevel.checkpoint()
        while not self._closed:
            if trains := self.take():
                return trains
            if self._interrupted:
                raise Interrupted
            await self._wakeup.wait()
        raise trio.ClosedResourceError

    def take(self) -> list[Train]:
        """Return what has arrived, without waiting; perhaps nothing."""
        trains: list[Train] = []
        while self._arrived and len(trains) < _MAX_TRAINS:
            address, data = self._arrived.pop()
            trains.append(one(data, address))
        return trains

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Send datagrams; what finds no room is lost, so there is never a rest."""
        for data, segment_bytes, address in trains:
            if address is None or self._closed:
                continue
            for start in range(0, len(data), segment_bytes):
                datagram = bytes(data[start : start + segment_bytes])
                if len(datagram) > MAX_RELAY_DATAGRAM_BYTES or not self._send(address, datagram):
                    self.lost += 1
        return ()

    async def send(self, trains: Sequence[Train]) -> None:
        """Send datagrams."""
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError
        self.send_now(trains)

    def interrupt(self) -> None:
        """End a pending ``receive`` with Interrupted."""
        self._interrupted = True
        self._wakeup.set()

    async def aclose(self) -> None:
        """Close, and end the flows."""
        if not self._closed:
            self._closed = True
            self._close()
        self._wakeup.set()
        await trio.lowlevel.checkpoint()

    def _deliver(self, address: Address, data: bytes) -> None:
        if not self._closed:
            self.dropped += self._arrived.add(address, data)
            self._wakeup.set()

    @abstractmethod
    def _send(self, address: Address, data: bytes) -> bool:
        """Send one datagram; whether there was a flow for it."""

    @abstractmethod
    def _close(self) -> None:
        """End the flows."""


class RelayInitiator(RelayCarrier):
    """The flow that an initiator has opened towards one node."""

    def __init__(self, flow: OutgoingFlow) -> None:
        super().__init__()
        self.address: Final = relay_address(flow.key_id, flow.number)
        """Where the other node is, as the link sees it."""
        self.answered: Final = Wakeup()
        """Set by each answer of the relay."""
        self.refusal: RelayRefusal | None = None
        """What the last answer was."""
        self._flow = flow
        flow.sink = self

    def on_reply(self, data: bytes) -> None:
        """Take a datagram from the other end."""
        self._deliver(self.address, data)

    def on_answer(self, refusal: RelayRefusal | None) -> None:
        """Note that the flow is open, or why not."""
        self.refusal = refusal
        self.answered.set()

    def _send(self, address: Address, data: bytes) -> bool:
        return address == self.address and self._flow.send(data)

    def _close(self) -> None:
        self._flow.close()


class RelayResponder(RelayCarrier):
    """All flows that bring links of one type to this node, from whichever neighbour."""

    def __init__(self, station: "RelayStation", link_type: LinkType) -> None:
        super().__init__()
        self.link_type: Final = link_type
        """What runs in them."""
        self._station = station

    def on_open(self, flow: IncomingFlow) -> None:
        """Take a flow: who is in it, the handshake will say."""
        self._station.answer(flow, RelayOpened(flow.number))

    def on_datagram(self, flow: IncomingFlow, data: bytes) -> None:
        """Take a datagram from the opener."""
        self._deliver(relay_address(flow.key_id, flow.number), data)

    def on_closed(self, flow: IncomingFlow) -> None:
        """Nothing hangs on a flow: a link whose flow is over falls silent, or moves to another."""

    def _send(self, address: Address, data: bytes) -> bool:
        if address.kind is not AddressKind.RELAY:
            return False
        flow = self._station.incoming(address.host, address.port)
        if flow is None or flow.sink is not self:
            return False
        return self._station.answer(flow, RelayDatagram(flow.number, by_opener=False, data=data))

    def _close(self) -> None:
        self._station.close_responder(self)
