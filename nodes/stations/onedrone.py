"""One of the drones of a remote controller: its link is kept, what it shows is passed on, its logs are taken."""

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from nodes.config.endpoint import Endpoint
from nodes.link import Link
from nodes.ports import CarrierName
from nodes.remote import RemoteController
from nodes.stations.hands import Hands
from nodes.stations.intake import Intake, Shown
from nodes.stations.keep import Keeper
from nodes.stations.passing import Passing
from nodes.stations.quality import Rating
from protocols.airlink import AIRLINK
from protocols.messages import MessageTable
from specs.groundlink import LinkQuality
from specs.registry import LinkType, Role

if TYPE_CHECKING:
    from nodes.stations.rc import RcStation


@dataclass(frozen=True, slots=True)
class DronePlace:
    """Where a drone is."""

    key_id: bytes
    """Which drone, 16 bytes."""
    endpoint: Endpoint
    """Where it listens."""


class OneDrone:
    """``run`` keeps its link for ever."""

    def __init__(self, station: "RcStation", rc: RemoteController, place: DronePlace) -> None:
        self.hands: Hands | None = None
        """The link to it, while there is one."""
        self._table: MessageTable[Any] = AIRLINK.extended_by_fitting(station.setup.own)
        self.passing: Final = Passing(self._table, self._look)
        """Between the drone and those that it is shown to."""
        self._station = station
        self._rc = rc
        self._place = place
        self._carrier: CarrierName = station.setup.carrier
        self._rating: Rating | None = None
        self._quality = LinkQuality(LinkType.AIRLINK, False, place.key_id, 0, 0, 0, 0)
        self._intake = Intake(self._table, station, station.desk, self._take_untrusted, station.cloud.log_added)

    async def run(self) -> NoReturn:
        """Keep the link."""
        connect = partial(self._rc.connect, self._place.key_id, self._place.endpoint, self._carrier)
        missed = self._station.misses("drone-rc", self._place.key_id, Role.DRONE)
        await Keeper(connect, self._serve, self._station.tell, "drone-rc", miss=missed).run()

    def quality(self) -> LinkQuality:
        """Return how good its link is, or was, since this was asked last."""
        if self._rating is not None:
            self._quality = self._rating.quality()
        return self._quality

    async def _serve(self, link: Link) -> None:
        station = self._station
        hands = self.hands = Hands(link, self._table, self._rc.key_id(), station.tell)
        self._rating = Rating(link, LinkType.AIRLINK)
        try:
            await station.serve(link, "drone-rc", self._carrier, self._intake.run, hands.used_by(station.fly))
        finally:
            self.hands = None
            self._quality, self._rating = replace(self.quality(), up=False, received_bytes_s=0, sent_bytes_s=0), None
            station.show_quality(self)
            self.passing.forget()

    def _look(self, message: object) -> None:
        if self.hands is not None:
            self.hands.see(message)
            self._station.tell_rights(self.hands.drone_id, message)
        self._station.see(message)

    def _take_untrusted(self, event: Shown) -> None:
        data = self.passing.take_untrusted(event)
        if data is not None:
            self._station.cloud.telemetry(data, self._place.key_id)
