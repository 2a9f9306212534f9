"""The remote controller at work: it flies, and passes on between its drones and mobiles what is theirs.

With a way to a cloud of its own it is a dock: what its drones tell and record goes to the cloud from here.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.ports import CarrierName, LogStore
from nodes.remote import RemoteController
from nodes.stations.base import Station, answer_to, send_or_drop
from nodes.stations.cloudway import CloudDesk, CloudWay
from nodes.stations.hands import Fly, Hands
from nodes.stations.logs import LogDesk, ask_over
from nodes.stations.notes import Say
from nodes.stations.onedrone import DronePlace, OneDrone
from nodes.stations.quality import QUALITY_S
from protocols.errors import MalformedError, UsageError
from protocols.events import BulkStatus, CommandReceived, SendState, StateReceived
from protocols.groundlink import GROUNDLINK
from protocols.ownmessages import OwnMessage
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import Direction
from specs.groundlink import ShownDrone

__all__ = ["DronePlace", "RcSetup", "RcStation"]


@dataclass(frozen=True, slots=True)
class RcSetup:
    """How a remote controller is set up."""

    drones: tuple[DronePlace, ...]
    """Its drones; mobiles are shown what the first of them shows (GL-3)."""
    listen: Endpoint | None = None
    """Where mobiles find it; None: it has none."""
    carrier: CarrierName = "udp"
    """What carries the links to the drones."""
    cloud: Endpoint | None = None
    """Where its cloud is, if it is a dock; None: it has none."""
    cloud_name: str | None = None
    """The name in the cloud's certificate, where it is not the host of ``cloud``."""
    own: tuple[OwnMessage, ...] = ()
    """Messages of the user's own: ``station.see`` is given those that come, ``hands.request`` sends requests."""


class RcStation(Station):
    """``nursery.start_soon(station.run)`` inside of the controller's block."""

    def __init__(
        self,
        rc: RemoteController,
        setup: RcSetup,
        logs: LogStore,
        say: Say,
        name: str = "",
        way: CloudWay | None = None,
    ) -> None:
        """``way``: what a dock keeps for its cloud."""
        if not setup.drones:
            raise UsageError("a remote controller needs a drone: name one in its setup")
        if len({place.key_id for place in setup.drones}) < len(setup.drones):
            raise UsageError("the setup of a remote controller names a drone twice: two links to it end each other")
        super().__init__(rc, say, name)
        self.setup: Final = setup
        """How it is set up."""
        self.desk: Final = LogDesk(logs)
        """Sealed flights on their way."""
        self.cloud: Final = CloudDesk(self, rc, self.desk)
        """What is for the cloud."""
        self.see: Callable[[object], None] = lambda _: None
        """Given everything that any drone shows, and how good the ways of mobiles to a cloud are."""
        self.fly: Fly = Hands.beat
        """What the pilot does on each link to each drone, heartbeats included."""
        self._rc = rc
        self._way = way
        self._drones = [OneDrone(self, rc, place) for place in setup.drones]
        self._passing = self._drones[0].passing

    @property
    def hands(self) -> Hands | None:
        """The link to the first drone, while there is one."""
        return self._drones[0].hands

    def all_hands(self) -> list[Hands]:
        """Return the hands on each drone that has a link now, in the order of the setup."""
        return [drone.hands for drone in self._drones if drone.hands is not None]

    @property
    def malformed(self) -> int:
        """Messages of the drones that said nothing."""
        return sum(drone.passing.malformed for drone in self._drones)

    async def run(self) -> None:
        """Work for ever; mobiles must find the port open already (:meth:`listen`)."""
        setup = self.setup
        async with self.cloud.open(self._way, setup.cloud, setup.cloud_name), trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            nursery.start_soon(self._tell_quality)
            for drone in self._drones:
                nursery.start_soon(drone.run)
            async for link in self._rc.each_link():
                nursery.start_soon(self._serve_mobile, link)

    async def listen(self) -> Endpoint:
        """Open the port for mobiles; UsageError if it has none."""
        if self.setup.listen is None:
            raise UsageError("this remote controller has no mobiles: its setup has no address for them")
        return await self._rc.listen(self.setup.listen, "tcp")

    # --- mobiles --------------------------------------------------------------------------------

    async def _tell_quality(self) -> None:
        """Tell of one drone after the other: of two messages of one number that wait, the newer takes the place."""
        while True:
            for drone in self._drones:
                await trio.sleep(QUALITY_S / len(self._drones))
                self.show_quality(drone)

    def show_quality(self, drone: OneDrone) -> None:
        """Tell mobiles how good the link to a drone is, or that it is gone."""
        quality = drone.quality()
        self._passing.show(GROUNDLINK.row(quality).id, GROUNDLINK.encode(quality))

    async def _serve_mobile(self, link: Link) -> None:
        shown = ShownDrone(self.setup.drones[0].key_id)
        row = GROUNDLINK.row(shown)
        send_or_drop(link, SendState(row.channel, row.id, GROUNDLINK.encode(shown)))  # before anything else (GL-3)
        self._passing.attach(link)
        try:
            await self.serve(link, "rc-mobile", "tcp", self._take_from_mobile, self._hand_over)
        finally:
            self._passing.detach(link)

    async def _take_from_mobile(self, link: Link) -> None:
        async for event in link:
            if isinstance(event, CommandReceived):  # nothing is commanded here (specs/6-groundlink.md)
                answer_to(link, event.id, event.channel, GROUNDLINK.encode(Answer(Result.UNSUPPORTED)))
            elif isinstance(event, StateReceived):
                self._see_mobile_untrusted(event)
            elif isinstance(event, IncomingObject):
                event.end(BulkStatus.REFUSED)

    def _see_mobile_untrusted(self, event: StateReceived) -> None:
        with suppress(MalformedError):  # of all telemetry, LinkQuality alone travels up (GL-1)
            self.see(GROUNDLINK.decode_untrusted(event.channel, event.data, Direction.UP))

    async def _hand_over(self, link: Link) -> None:
        await self.desk.hand_over(link, ask_over(link, GROUNDLINK), self.tell)
