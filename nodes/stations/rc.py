"""The remote controller at work: it flies, and passes on between drone and mobile what is theirs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.ports import CarrierName, LogStore
from nodes.remote import RemoteController
from nodes.stations.base import Station, answer_to
from nodes.stations.hands import Fly, Hands
from nodes.stations.keep import Keeper
from nodes.stations.logs import LogDesk, ask_over
from nodes.stations.notes import Say
from nodes.stations.passing import Passing
from nodes.stations.quality import quality_of
from protocols.airlink import AIRLINK
from protocols.events import BulkStatus, CommandReceived, StateReceived, StreamReceived
from protocols.groundlink import GROUNDLINK
from specs.airlink.command import Answer, Result
from specs.groundlink import LinkQuality
from specs.registry import LinkType

QUALITY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class RcSetup:
    """How a remote controller is set up."""

    drone_id: bytes
    """Key id of its drone."""
    drone: Endpoint
    """Where the drone is."""
    listen: Endpoint
    """Where mobiles find it."""
    carrier: CarrierName = "udp"
    """What carries the link to the drone."""


class RcStation(Station):
    """``nursery.start_soon(station.run)`` inside of the controller's block."""

    def __init__(self, rc: RemoteController, setup: RcSetup, logs: LogStore, say: Say, name: str = "") -> None:
        super().__init__(rc, say, name)
        self.desk: Final = LogDesk(logs)
        """Sealed flights on their way."""
        self.see: Callable[[object], None] = lambda _: None
        """Given everything that the drone shows."""
        self.fly: Fly = Hands.beat
        """What the pilot does on each link to the drone, heartbeats included."""
        self.hands: Hands | None = None
        """The link to the drone, while there is one."""
        self._rc = rc
        self._setup = setup
        self._passing = Passing(AIRLINK, self._look)

    @property
    def malformed(self) -> int:
        """Messages of the drone that said nothing."""
        return self._passing.malformed

    async def run(self) -> None:
        """Work for ever; mobiles must find the port open already (:meth:`listen`)."""
        setup = self._setup
        connect = partial(self._rc.connect, setup.drone_id, setup.drone, setup.carrier)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            nursery.start_soon(Keeper(connect, self._serve_drone, self.tell, "drone-rc").run)
            async for link in self._rc.each_link():
                nursery.start_soon(self._serve_mobile, link)

    async def listen(self) -> Endpoint:
        """Open the port for mobiles."""
        return await self._rc.listen(self._setup.listen, "tcp")

    # --- drone ----------------------------------------------------------------------------------

    async def _serve_drone(self, link: Link) -> None:
        hands = self.hands = Hands(link, AIRLINK, self._rc.key_id(), self.tell)
        try:
            await self.serve(
                link, "drone-rc", self._setup.carrier, self._take_from_drone, hands.used_by(self.fly), self._rate
            )
        finally:
            self.hands = None
            self._passing.forget()

    def _look(self, message: object) -> None:
        if self.hands is not None:
            self.hands.see(message)
        self.see(message)

    async def _take_from_drone(self, link: Link) -> None:
        async with trio.open_nursery() as nursery:
            async for event in link:
                if isinstance(event, StateReceived | StreamReceived):
                    self._passing.take_untrusted(event)
                elif isinstance(event, CommandReceived):
                    answer = await self.desk.answer_untrusted(event.channel, event.data, AIRLINK)
                    answer_to(link, event.id, event.channel, AIRLINK.encode(answer))
                elif isinstance(event, IncomingObject):
                    nursery.start_soon(self.desk.take, event, self.tell, partial(self.refuse_log, link))

    async def _rate(self, link: Link) -> None:
        """Show mobiles how good the link to the drone is, and that it is gone when it is."""
        before = link.stats()
        try:
            while True:
                await trio.sleep(QUALITY_S)
                self._show_quality(quality_of(link, LinkType.AIRLINK, before, QUALITY_S))
                before = link.stats()
        finally:
            self._show_quality(quality_of(link, LinkType.AIRLINK, before, QUALITY_S))

    def _show_quality(self, quality: LinkQuality) -> None:
        self._passing.show(GROUNDLINK.row(quality).id, GROUNDLINK.encode(quality))

    # --- mobiles --------------------------------------------------------------------------------

    async def _serve_mobile(self, link: Link) -> None:
        self._passing.attach(link)
        try:
            await self.serve(link, "rc-mobile", "tcp", self._take_from_mobile, self._hand_over)
        finally:
            self._passing.detach(link)

    async def _take_from_mobile(self, link: Link) -> None:
        async for event in link:
            if isinstance(event, CommandReceived):  # nothing is commanded here (specs/6-groundlink.md)
                answer_to(link, event.id, event.channel, GROUNDLINK.encode(Answer(Result.UNSUPPORTED)))
            elif isinstance(event, IncomingObject):
                event.end(BulkStatus.REFUSED)

    async def _hand_over(self, link: Link) -> None:
        await self.desk.hand_over(link, ask_over(link, GROUNDLINK), self.tell)
