"""A live autopilot behind a port, as the deck and the station see it (specs/11-mavlink.md, 11.5 and 11.6)."""

from collections.abc import Callable
from typing import Final

import trio

from nodes.flight import FlightFrame
from nodes.mavlink.orders import Orders
from nodes.mavlink.port import MavlinkPort
from nodes.stations.observed import Observed
from nodes.stations.vehicle import Give
from protocols.airlink import Message
from protocols.mavlink.autopilot import LAND, RETURN_HOME, SILENT_S, AutopilotView, Order
from protocols.mavlink.head import head_untrusted
from specs.airlink.command import Answer, CommandCode, Result
from specs.airlink.control import Sticks

MAX_PART_BYTES: Final = 32 * 2**20
"""Memory that a part of a recorded flight takes."""
FRAME_COST_BYTES: Final = 200
"""What a recorded frame takes beside its bytes."""
_WATCH_S: Final = 1.0


class LiveVehicle:
    """What flies is the autopilot; here its frames pass, and are read a little."""

    def __init__(self, port: MavlinkPort, tell: Callable[[str], None], *, commands: bool = True) -> None:
        """``commands``: whether the failsafe tells the autopilot anything (MV-52)."""
        self.port: Final = port
        """An open one."""
        self.on_flight: Callable[[list[FlightFrame]], None] = lambda _: None
        """Given each flight, or part of one, when it is over."""
        self._commands = commands
        self._view = AutopilotView()
        self._observed = Observed()
        self._orders = Orders(self._view, self._send_first, tell)
        self._tell = tell
        self._told: tuple[int, bool] | None = None
        self._recorded: list[FlightFrame] = []
        self._recorded_bytes = 0
        self._began_s = 0.0

    @property
    def armed(self) -> bool:
        """Whether the motors may turn, as the autopilot has said last."""
        return self._view.armed

    async def play(self, give: Give) -> None:
        """Give what comes from the port, for ever."""

        def take_untrusted(frame: bytes) -> None:
            self._look_untrusted(frame)
            give(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._orders.run)
            nursery.start_soon(self._watch)
            await self.port.run(take_untrusted)

    def take_mavlink(self, frame: bytes) -> None:
        """Hand one frame to the autopilot."""
        self.port.send(frame)

    def drop_waiting(self) -> None:
        """Drop what has not reached the autopilot yet: whoever sent it flies no more (MV-35)."""
        self.port.drop_waiting()

    def _send_first(self, frame: bytes) -> None:
        """Send a frame of our own; what others have sent may be more than the line carries in seconds."""
        self.port.drop_waiting()
        self.port.send(frame)

    def telemetry(self) -> list[Message]:
        return self._observed.telemetry()

    def command(self, code: CommandCode) -> Answer:
        """Pass on what brings the vehicle down or stops it (MV-44)."""
        orders = {
            CommandCode.RETURN_HOME: RETURN_HOME,
            CommandCode.LAND: LAND,
            CommandCode.HOLD: self._view.hold,
        }
        order = orders.get(code)
        if order is None:
            return Answer(Result.UNSUPPORTED, "a ground station commands this autopilot")
        if self._view.heartbeat is None:
            return Answer(Result.NOT_NOW, "no autopilot has been heard")
        self._orders.give(order)
        return Answer(Result.STARTED)

    def steer(self, sticks: Sticks) -> None:
        """Sticks of ours are not translated: a ground station sends MANUAL_CONTROL itself (MV-45)."""

    # --- failsafe (AU-35) -------------------------------------------------------------------------

    def hold(self) -> None:
        """Hold here; on the ground stop the motors."""
        self._order(self._view.hold)

    def return_home(self) -> None:
        """Fly home."""
        self._order(RETURN_HOME)

    def land(self) -> None:
        """Land here."""
        self._order(LAND)

    def _order(self, order: Order) -> None:
        if self._commands and not self._view.is_going_home:
            self._orders.give(order, yields=True)

    async def _watch(self) -> None:
        """Tell when the autopilot is heard, and when it is no more (MV-40)."""
        while True:
            said = self._view.heartbeat
            if said is not None:
                is_heard = trio.current_time() - self._view.heard_s <= SILENT_S
                if (said.system, is_heard) != self._told:
                    self._told = said.system, is_heard
                    how = "is heard" if is_heard else "is not heard any more"
                    self._tell(f"{said.name}, system {said.system}, {how} at {self.port.where}")
            await trio.sleep(_WATCH_S)

    # --- what it says -----------------------------------------------------------------------------

    def _look_untrusted(self, frame: bytes) -> None:
        head, now = head_untrusted(frame), trio.current_time()
        before = self._view.armed
        self._view.feed_untrusted(head, now)
        if self._view.is_from(head):
            self._observed.feed_untrusted(frame)
            self._orders.take_untrusted(head)
        if self._view.armed or before:
            self._record(frame, now)
        if before and not self._view.armed:
            self._cut()

    def _record(self, frame: bytes, now: float) -> None:
        if not self._recorded:
            self._began_s = now
        self._recorded.append(FlightFrame(round(now - self._began_s, 6), frame))
        self._recorded_bytes += len(frame) + FRAME_COST_BYTES
        if self._recorded_bytes >= MAX_PART_BYTES:
            self._cut()

    def _cut(self) -> None:
        """Hand out what is recorded: a flight that is over, or a part of one."""
        frames, self._recorded, self._recorded_bytes = self._recorded, [], 0
        if frames:
            self.on_flight(frames)
