"""Ground stations at a remote controller or a mobile: what comes down goes to all of them, what they send goes up.

Who may send up is decided at the drone (specs/7-authority.md). What it would refuse is not sent at all (MV-43): a drone
does not answer streams, so this end says to its operator why nothing happens.
"""

from collections.abc import Callable, Iterable
from typing import Final

import trio

from nodes.config.mavlink import MavlinkEndpoint
from nodes.config.tables import MavlinkTable
from nodes.mavlink.opening import open_ports
from nodes.mavlink.port import MavlinkPort
from nodes.service import Service
from nodes.stations.base import send_or_drop
from nodes.stations.hands import Fly, Hands
from protocols.admission import is_read_only_untrusted
from protocols.airlink import AIRLINK
from protocols.events import SendStream
from specs.airlink.authority import Right
from specs.airlink.numbers import NOBODY
from specs.airlink.stream import MavlinkFrame
from specs.registry import ChannelId

FRESH_S: Final = 3.0
"""Drones tell of their rights once a second (AU-14): one that has told nothing for so long is not reached (MV-41)."""
PATIENCE_S: Final = 2.0
"""Frames are refused for so long before it is told: a right that was just asked for may be on its way."""
AGAIN_S: Final = 30.0
"""It is told no more often."""
_TAKE_AGAIN_S: Final = (1.0, 30.0)


class GroundPorts(Service):
    """``async with GroundPorts(...) as ground``; ``attach`` a station as soon as there is one (MV-40)."""

    def __init__(self, endpoints: Iterable[MavlinkEndpoint], tell: Callable[[str], None]) -> None:
        self.ports: list[MavlinkPort] = []
        """Open ones."""
        self.sent_up = 0
        """Frames that went up to at least one drone."""
        self.refused = 0
        """Frames that did not, since another holds the right, or nobody."""
        self.unreached = 0
        """Frames that did not, since no drone was reached. They are not kept."""
        self._endpoints = tuple(endpoints)
        self._tell = tell
        self._hands: Callable[[], Iterable[Hands]] = list
        self._refused_since_s: float | None = None
        self._told_of: bytes | None = None
        self._told_s = -AGAIN_S

    async def _begin(self) -> None:
        """Open the ports and serve them; ConfigError."""
        if self._nursery is not None:
            await self._nursery.start(self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_ports(self._endpoints, self._tell) as self.ports, trio.open_nursery() as nursery:
            for port in self.ports:
                self._tell(f"MAVLink for ground stations at {port.where}")
                nursery.start_soon(port.run, self.take_untrusted)
            task_status.started()

    def attach(self, hands: Callable[[], Iterable[Hands]]) -> None:
        """Send up over these links from now on."""
        self._hands = hands

    def see(self, message: object) -> None:
        """Give a frame that came down to every ground station; anything else is none of ours."""
        if isinstance(message, MavlinkFrame):
            for port in self.ports:
                port.send(message.frame)

    def take_untrusted(self, frame: bytes) -> None:
        """Send a frame of a ground station up to every drone that would take it."""
        reached = [hands for hands in self._hands() if _is_fresh(hands)]
        reads = is_read_only_untrusted(frame)
        links = [hands.link for hands in reached if reads or hands.holds(Right.FLIGHT)]
        if not reached:
            self.unreached += 1
        elif not links:
            self.refused += 1
            self._tell_refused(reached[0])
        else:
            self.sent_up += 1
            if not reads:
                self._refused_since_s = self._told_of = None
            data = AIRLINK.encode(MavlinkFrame(frame))
            for link in links:
                send_or_drop(link, SendStream(ChannelId.MAVLINK, data))

    def _tell_refused(self, hands: Hands) -> None:
        """Tell it once for each holder, and again when the right has been ours meanwhile."""
        now, holder = trio.current_time(), hands.holder(Right.FLIGHT)
        if self._refused_since_s is None:
            self._refused_since_s = now
        if holder != self._told_of and now >= max(self._refused_since_s + PATIENCE_S, self._told_s + AGAIN_S):
            self._told_of, self._told_s = holder, now
            who = "nobody holds" if holder == NOBODY else "another device holds"
            self._tell(f"ground stations are only heard, not obeyed: {who} the right to fly")


def _is_fresh(hands: Hands) -> bool:
    return trio.current_time() - hands.told_s <= FRESH_S


async def fly(hands: Hands) -> None:
    """Beat, and take the right to fly whenever nobody has it; how often it is asked for in vain grows less.

    One that was taken from us is left alone for as long: whoever took it means somebody else to have it, and asks.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hands.beat)
        first_s, longest_s = _TAKE_AGAIN_S
        wait_s = first_s
        while True:
            await hands.take_free(Right.FLIGHT)
            failed = hands.holder(Right.FLIGHT) == NOBODY
            wait_s = min(2 * wait_s, longest_s) if failed else first_s
            had = hands.holds(Right.FLIGHT)
            await trio.sleep(wait_s)
            if had and hands.holder(Right.FLIGHT) == NOBODY:
                await trio.sleep(longest_s)


def fly_with_ground(table: MavlinkTable) -> Fly | None:
    """Return what the user of a station with ground stations does on its links; None: what it did without them."""
    return fly if table.ports and table.fly else None
