"""The mobile at work: it shows what the drone does, flies when it may, and brings everything to the cloud.

It needs no cloud to fly: what is for the cloud waits, durably, until it is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.link import Link
from nodes.mobile import Mobile
from nodes.ports import LogStore
from nodes.stations.base import RELAY, Station, answer_to
from nodes.stations.cloudway import CloudDesk, CloudWay
from nodes.stations.hands import Fly, Hands
from nodes.stations.intake import Intake, Shown
from nodes.stations.keep import Keeper
from nodes.stations.logs import LogDesk
from nodes.stations.notes import Say
from nodes.stations.passing import Passing, is_item
from nodes.uplink.uplink import Uplink
from nodes.wakeup import Wakeup
from protocols.airlink import AIRLINK
from protocols.errors import MalformedError
from protocols.events import CommandReceived
from protocols.groundlink import GROUNDLINK
from protocols.messages import MessageTable
from protocols.ownmessages import OwnMessage
from protocols.remotelink import REMOTE_MOBILE
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import FIRST_USER_MESSAGE, Direction
from specs.groundlink import LinkQuality, ShownDrone
from specs.registry import LinkType, Role


@dataclass(frozen=True, slots=True)
class MobileSetup:
    """How a mobile is set up."""

    rc_id: bytes
    """Key id of its remote controller."""
    rc: Endpoint
    """Where that is."""
    drone_id: bytes | None = None
    """Key id of its drone; None: it is not paired with one."""
    cloud: Endpoint | None = None
    """Where its cloud is; None: it has none."""
    cloud_name: str | None = None
    """The name in the cloud's certificate, where it is not the host of ``cloud``."""
    own: tuple[OwnMessage, ...] = ()
    """Messages of the user's own: ``station.see`` is given those that come, ``hands.request`` sends requests."""


class MobileStation(Station):
    """``nursery.start_soon(station.run)`` inside of the mobile's block."""

    def __init__(
        self, mobile: Mobile, setup: MobileSetup, logs: LogStore, way: CloudWay | None, say: Say, name: str = ""
    ) -> None:
        super().__init__(mobile, say, name)
        self.desk: Final = LogDesk(logs)
        """Sealed flights on their way."""
        self.see: Callable[[object], None] = lambda _: None
        """Given everything that the drone shows, itself or through the remote controller, and how good links are."""
        self.fly: Fly = Hands.beat
        """What the user does on each link to the drone, heartbeats included."""
        self.hands: Hands | None = None
        """The link to the drone, while there is one."""
        self.drone_id = setup.drone_id
        """Whose telemetry it is."""
        self.cloud: Final = CloudDesk(self, mobile, self.desk)
        """What is for the cloud."""
        self._mobile = mobile
        self._setup = setup
        self._way = way
        self._table: MessageTable[Any] = REMOTE_MOBILE.extended_by_fitting(setup.own)
        passed_on: MessageTable[Any] = GROUNDLINK.extended_by_fitting(setup.own)
        self._passing = Passing(passed_on, self._look)
        self._intake = Intake(passed_on, self, self.desk, self._take_untrusted, self.cloud.log_added)
        self._shown: bytes | None = None
        self._shown_news = trio.Event()
        self._drone_there = False
        self._way_to_drone = Wakeup()
        self._kept: trio.CancelScope | None = None

    async def run(self) -> None:
        """Work for ever."""
        setup = self._setup
        connect = partial(self._mobile.connect, setup.rc_id, setup.rc, "tcp")
        async with self.cloud.open(self._way, setup.cloud, setup.cloud_name), trio.open_nursery() as nursery:
            nursery.start_soon(self.watch)
            missed = self.misses("rc-mobile", setup.rc_id, Role.RC)
            nursery.start_soon(Keeper(connect, self._serve_rc, self.tell, "rc-mobile", miss=missed).run)
            if self.drone_id is not None:
                nursery.start_soon(self.keep_drone, self.drone_id)
            await trio.sleep_forever()

    @property
    def uplink(self) -> Uplink | None:
        """The way to the cloud, if there is one."""
        return self.cloud.uplink

    def all_hands(self) -> list[Hands]:
        """Return the hands on each drone that has a link now."""
        return [] if self.hands is None else [self.hands]

    # --- remote controller ----------------------------------------------------------------------

    async def _serve_rc(self, link: Link) -> None:
        try:
            await self.serve(link, "rc-mobile", "tcp", self._intake.run, self.cloud.tell_quality)
        finally:
            self._passing.forget()
            self._shown, self._drone_there = None, False

    def _take_untrusted(self, event: Shown) -> None:
        data = self._passing.take_untrusted(event)
        number = int.from_bytes(event.data[:2], "big")
        is_drones = number in AIRLINK.rows or number >= FIRST_USER_MESSAGE  # CL-12
        if data is not None and is_drones:
            self.cloud.telemetry(data, self._shown if self._shown == self.drone_id and self._shown else b"")  # GL-4

    def _look(self, message: object) -> None:
        if isinstance(message, ShownDrone):
            self._shown = message.peer
            self._shown_news.set()
            self._shown_news = trio.Event()
        elif isinstance(message, LinkQuality):
            self._look_for_way(message)
        elif self.drone_id not in {None, self._shown}:  # of another drone (GL-4)
            return
        self.see(message)

    def _look_for_way(self, quality: LinkQuality) -> None:
        if quality.link is LinkType.AIRLINK and quality.peer == self.drone_id:
            if quality.up and not self._drone_there:
                self._way_to_drone.set()
            self._drone_there = quality.up

    async def shown_drone(self) -> bytes:
        """Wait until the remote controller says which drone it shows, and return its key id: a hint, no proof."""
        while self._shown is None:
            await self._shown_news.wait()
        return self._shown

    # --- drone ----------------------------------------------------------------------------------

    async def keep_drone(self, drone_id: bytes) -> None:
        """Keep a link to the drone for ever; :meth:`run` does so if it was paired before.

        There is one drone: nothing happens if its link is kept already, and an earlier one's is kept no more.
        """
        if self._kept is not None and self.drone_id == drone_id:
            return
        before, hands = self._kept, self.hands
        self.drone_id = drone_id
        connect = partial(self._mobile.connect_over, self._setup.rc_id, drone_id)
        with trio.CancelScope() as self._kept:
            if before is not None:
                before.cancel()
            if hands is not None:
                await hands.link.close()
            missed = self.misses("mobile-drone", drone_id, Role.DRONE)
            await Keeper(connect, self._serve_drone, self.tell, "mobile-drone", self._way_to_drone, missed).run()

    async def _serve_drone(self, link: Link) -> None:
        hands = self.hands = Hands(link, self._table, self._mobile.key_id(), self.tell)
        try:
            await self.serve(link, "mobile-drone", RELAY, self._take_from_drone, hands.used_by(self.fly))
        finally:
            self.hands = None

    async def _take_from_drone(self, link: Link) -> None:
        async for event in link:
            if isinstance(event, CommandReceived):
                answer_to(link, event.id, event.channel, REMOTE_MOBILE.encode(Answer(Result.UNSUPPORTED)))
            elif isinstance(event, Shown):
                self._see_drone_untrusted(event)

    def _see_drone_untrusted(self, event: Shown) -> None:
        try:
            message = self._table.decode_untrusted(event.channel, event.data, Direction.DOWN)
        except MalformedError:
            return
        if self.hands is not None:
            self.hands.see(message)
            self.tell_rights(self.hands.drone_id, message)
            if self._shown != self.hands.drone_id and is_item(event):  # nobody else brings it
                self.cloud.telemetry(event.data, self.hands.drone_id)
        self.see(message)
