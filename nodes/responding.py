"""A node that others come to: it listens, shows linking codes, and carries the links that come up.

Each link type that it serves has machines and linking codes of its own: who knows the code for a remote controller
cannot pair as a mobile with it.
"""

from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.errors import LinkClosedError
from nodes.link import Link
from nodes.node import Node
from nodes.ports import Carrier, CarrierName, StreamListener
from nodes.runner import Pump
from nodes.trust import Approve
from protocols.errors import UsageError
from protocols.events import DownReason
from protocols.guards.address import Address, source_key
from protocols.guards.ratelimit import SourceLimiter
from protocols.link.config import LinkConfig
from protocols.link.listener import Listener
from protocols.link.server import ServerMachine
from protocols.link.stream_server import StreamServer
from protocols.pairing import LinkingCode, PairingWindow
from specs.registry import CODE_LIFETIME_S, LINK_ROLES, MAX_UNAUTHENTICATED_STREAMS, CloseCode, LinkType

_LOOK_S: Final = 0.1
"""How often it is looked whether a code has ended."""
_MAX_WAITING_LINKS: Final = 64
"""Links that nobody has taken with ``next_link``; one more, and the oldest of them is not given out."""


class Responding(Node):
    """Base of the roles that answer initiations. ``await node.listen(endpoint); link = await node.next_link()``."""

    serves: LinkType
    """The link type of :meth:`listen` and :meth:`open_pairing` where none is named."""

    max_unauthenticated_streams: int = MAX_UNAUTHENTICATED_STREAMS
    """TCP streams that have not proven themselves; for one more, the oldest silent one of the busiest source goes."""
    streams_refused: int = 0
    """How many had to go."""

    async def _begin(self) -> None:
        await super()._begin()
        self._new_links, self._links_taken = trio.open_memory_channel[Link](_MAX_WAITING_LINKS)
        self._windows: dict[LinkType, PairingWindow] = {}
        self._unproven: dict[Pump, bytes] = {}
        self._finished_handshakes: Counter[str] = Counter()
        limits = self.config
        self._stream_sources = SourceLimiter(limits.source_initiations_per_s, limits.source_initiations_burst)

    async def _goodbye(self) -> None:
        await super()._goodbye()
        self._new_links.close()

    async def listen(self, endpoint: Endpoint, carrier: CarrierName = "udp") -> Endpoint:
        """Open a port; return where it is (a port 0 was chosen by the system). ConfigError with one line."""
        if carrier == "udp":
            datagrams, where = await self._network.datagrams(endpoint)
            self._listen_on(datagrams, self.config_of(self.serves))
            return where
        listener = await self._network.streams(endpoint)
        self._start_soon(self._accept, listener)
        return listener.endpoint

    def _listen_on(self, datagrams: Carrier, config: LinkConfig) -> None:
        """Serve the link type of ``config`` on a carrier of datagrams."""
        machine = Listener(config, self.identity, key_source=self._key_source, entropy=self._entropy)
        self._adopt(machine)
        self._start(machine, datagrams)

    async def _accept(self, listener: StreamListener) -> None:
        try:
            while True:
                self._serve(*await listener.accept())
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    def _serve(self, carrier: Carrier, peer: Address) -> None:
        source = source_key(peer)
        if len(self._unproven) >= self.max_unauthenticated_streams:
            self._make_room()
        machine = StreamServer(
            self.config_of(self.serves),
            self.identity,
            key_source=self._key_source,
            entropy=self._entropy,
            now=trio.current_time(),
            may_begin=partial(self._stream_sources.allow, source),
        )
        self._adopt(machine)
        self._unproven[self._start(machine, carrier)] = source

    def _make_room(self) -> None:
        """Close a stream that has proven nothing: a silent one, of the source that has most, the oldest of them.

        So whoever opens streams and waits takes places from himself, and never keeps the owner out.
        """
        busy = Counter(self._unproven.values())

        def rank(pump: Pump) -> tuple[bool, int]:
            return not pump.machine.handshakes.initiations, busy[self._unproven[pump]]

        victim = max(self._unproven, key=rank)  # the first of equals: they stand in the order of their coming
        del self._unproven[victim]
        self.streams_refused += 1
        victim.stop()

    def _adopt(self, machine: ServerMachine) -> None:
        window = self._windows.get(machine.link_type)
        if window is not None:
            machine.open_pairing(window)

    # --- pairing --------------------------------------------------------------------------------

    def open_pairing(
        self,
        link_type: LinkType | None = None,
        *,
        lifetime_s: float = CODE_LIFETIME_S,
        approve: Approve | None = None,
    ) -> LinkingCode:
        """Make a linking code for a link type, and let whoever enters it there pair until its time is over.

        ``approve`` is the user's word on each device that knows the code (PR-20); without it the code suffices.
        """
        if not 0 < lifetime_s <= CODE_LIFETIME_S:
            raise UsageError(f"a linking code lives at most {CODE_LIFETIME_S:.0f} s")
        kind = self.serves if link_type is None else link_type
        code = LinkingCode.generate(self._entropy)
        window = self._windows[kind] = PairingWindow(code, trio.current_time(), lifetime_s)
        self._trust.approve[LINK_ROLES[kind][0]] = approve
        for machine in self._machines(kind):
            machine.open_pairing(window)
        return code

    async def pairing_over(self, link_type: LinkType | None = None) -> bool:
        """Wait until the linking code of a link type has ended; whether a device has paired with it."""
        kind = self.serves if link_type is None else link_type
        window = self._windows.get(kind)
        while window is not None and self._windows.get(kind) is window and window.is_open(trio.current_time()):  # noqa: ASYNC110
            await trio.sleep(_LOOK_S)
        return window is not None and window.is_used

    def close_pairing(self, link_type: LinkType | None = None) -> None:
        """End the linking code of a link type."""
        kind = self.serves if link_type is None else link_type
        self._windows.pop(kind, None)
        for machine in self._machines(kind):
            machine.close_pairing()

    @property
    def is_pairing(self) -> bool:
        """Whether a linking code is active, for any link type."""
        return any(window.is_open(trio.current_time()) for window in self._windows.values())

    def _machines(self, kind: LinkType | None = None) -> list[ServerMachine]:
        machines = [pump.machine for pump in self._pumps if isinstance(pump.machine, ServerMachine)]
        return [machine for machine in machines if kind in {None, machine.link_type}]

    # --- links ----------------------------------------------------------------------------------

    async def next_link(self) -> Link:
        """Return the next link that comes up; LinkClosedError when the node has ended."""
        try:
            return await self._links_taken.receive()
        except trio.EndOfChannel:
            raise LinkClosedError(f"the {self.role.name.lower()} has ended: no more links come up") from None

    def each_link(self) -> AsyncIterator[Link]:
        """Iterate over links as they come up, until the node ends."""
        return self._links_taken

    def handshake_counters(self) -> dict[str, int]:
        """Return what all ports together counted of handshakes, streams that ended included."""
        total = self._finished_handshakes.copy()
        for machine in self._machines():
            total.update(machine.handshakes.as_dict())
        return dict(total)

    def _on_finished(self, pump: Pump) -> None:
        super()._on_finished(pump)
        if not isinstance(pump.machine, ServerMachine):
            return
        self._unproven.pop(pump, None)
        pump.machine.drop_all()  # with their claim on the code (PR-38)
        self._finished_handshakes.update(pump.machine.handshakes.as_dict())

    def _on_link(self, pump: Pump, link: Link) -> None:
        super()._on_link(pump, link)
        if not isinstance(pump.machine, ServerMachine):
            return
        self._unproven.pop(pump, None)
        self._replace(pump, link)
        try:
            self._new_links.send_nowait(link)
        except trio.WouldBlock:  # nobody takes them: whoever begins to wants the newest
            self._links_taken.receive_nowait()
            self._new_links.send_nowait(link)
        except trio.ClosedResourceError:
            pass  # we are leaving

    def _replace(self, pump: Pump, newcomer: Link) -> None:
        """End the peer's older links on other streams and ports (LK-73); a listener does so among its own."""
        others = [each for each in self._pumps if each is not pump and isinstance(each.machine, ServerMachine)]
        for other, connection in [(each, one) for each in others for one in each.machine.connections()]:
            if connection.key_id == newcomer.key_id and connection.is_open:
                connection.close(CloseCode.REPLACED, DownReason.REPLACED)
                other.turn()
