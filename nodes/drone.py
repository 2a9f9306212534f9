"""The drone: it listens, pairs remote controllers, and carries their links."""

import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final, Literal

import trio

from nodes.carriers import TcpCarrier, TcpListener, UdpCarrier
from nodes.config.endpoint import Endpoint
from nodes.link import Link
from nodes.node import Node
from nodes.runner import Pump
from nodes.trust import Approve
from protocols.errors import UsageError
from protocols.link.listener import Listener
from protocols.link.server import ServerMachine
from protocols.link.stream_server import StreamServer
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import CODE_LIFETIME_S, MAX_UNAUTHENTICATED_STREAMS, Role

CarrierName = Literal["udp", "tcp"]
_MAX_WAITING_LINKS: Final = 64


class Drone(Node):
    """``async with Drone(stores) as drone: await drone.listen(endpoint); link = await drone.next_link()``."""

    role = Role.DRONE

    max_unauthenticated_streams: int = MAX_UNAUTHENTICATED_STREAMS
    """TCP streams that have not proven themselves; one more is closed at once."""
    streams_refused: int = 0
    """How many were closed so."""
    _window: PairingWindow | None = None

    async def _begin(self) -> None:
        await super()._begin()
        self._new_links, self._links_taken = trio.open_memory_channel[Link](math.inf)
        self._listeners: list[TcpListener] = []
        self._finished_handshakes: Counter[str] = Counter()

    async def listen(self, endpoint: Endpoint, carrier: CarrierName = "udp") -> Endpoint:
        """Open a port; return where it is (a port 0 was chosen by the system). ConfigError with one line."""
        if carrier == "udp":
            udp = await UdpCarrier.bind(endpoint)
            machine = Listener(self.config, self.identity, key_source=self._key_source, entropy=self._entropy)
            self._adopt(machine)
            self._start(machine, udp)
            return udp.endpoint
        listener = await TcpListener.bind(endpoint)
        self._listeners.append(listener)
        self._start_soon(self._accept, listener)
        return listener.endpoint

    async def _accept(self, listener: TcpListener) -> None:
        try:
            while True:
                carrier = await listener.accept()
                if self._unproven() >= self.max_unauthenticated_streams:
                    self.streams_refused += 1
                    await carrier.aclose()
                    continue
                self._serve(carrier)
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    def _serve(self, carrier: TcpCarrier) -> None:
        machine = StreamServer(
            self.config,
            self.identity,
            key_source=self._key_source,
            entropy=self._entropy,
            now=trio.current_time(),
        )
        self._adopt(machine)
        self._start(machine, carrier)

    def _unproven(self) -> int:
        machines = (pump.machine for pump in self._pumps)
        return sum(isinstance(each, StreamServer) and each.connection is None for each in machines)

    def _adopt(self, machine: ServerMachine) -> None:
        if self._window is not None:
            machine.open_pairing(self._window)

    # --- pairing --------------------------------------------------------------------------------

    def open_pairing(self, *, lifetime_s: float = CODE_LIFETIME_S, approve: Approve | None = None) -> LinkingCode:
        """Make a linking code, show it to the user, and let whoever enters it pair until its time is over.

        ``approve`` is the user's word on each device that knows the code (PR-20); without it the code suffices.
        """
        if not 0 < lifetime_s <= CODE_LIFETIME_S:
            raise UsageError(f"a linking code lives at most {CODE_LIFETIME_S:.0f} s")
        code = LinkingCode.generate(self._entropy)
        self._window = PairingWindow(code, trio.current_time(), lifetime_s)
        self._trust.approve = approve
        for machine in self._machines():
            machine.open_pairing(self._window)
        return code

    def close_pairing(self) -> None:
        """End the linking code."""
        self._window = None
        for machine in self._machines():
            machine.close_pairing()

    @property
    def is_pairing(self) -> bool:
        """Whether a linking code is active."""
        return self._window is not None and self._window.is_open(trio.current_time())

    def _machines(self) -> list[ServerMachine]:
        return [pump.machine for pump in self._pumps if isinstance(pump.machine, ServerMachine)]

    # --- links ----------------------------------------------------------------------------------

    async def next_link(self) -> Link:
        """Return the next link that comes up."""
        return await self._links_taken.receive()

    async def each_link(self) -> AsyncIterator[Link]:
        """Yield links as they come up."""
        async for link in self._links_taken:
            yield link

    def handshake_counters(self) -> dict[str, int]:
        """Return what all ports together counted of handshakes, streams that ended included."""
        total = self._finished_handshakes.copy()
        for machine in self._machines():
            total.update(machine.handshakes.as_dict())
        return dict(total)

    def _on_finished(self, pump: Pump) -> None:
        self._finished_handshakes.update(pump.machine.handshakes.as_dict())

    def _on_link(self, pump: Pump, link: Link) -> None:  # noqa: ARG002  # links of all pumps go one way
        self._new_links.send_nowait(link)
