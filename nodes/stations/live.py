"""A live autopilot behind a port, as the deck and the station see it (specs/11-mavlink.md, 11.5 and 11.6)."""

from typing import Final

from nodes.mavlink.port import MavlinkPort
from nodes.stations.observed import Observed
from nodes.stations.vehicle import Give
from protocols.airlink import Message
from specs.airlink.command import Answer, CommandCode, Result
from specs.airlink.control import Sticks


class LiveVehicle:
    """What flies is the autopilot; here its frames pass."""

    def __init__(self, port: MavlinkPort) -> None:
        self.port: Final = port
        """An open one."""
        self.armed = False
        """Whether the motors may turn."""
        self._observed = Observed()

    async def play(self, give: Give) -> None:
        """Give what the autopilot sends, for ever."""

        def take_untrusted(frame: bytes) -> None:
            self._observed.feed_untrusted(frame)
            give(frame)

        await self.port.run(take_untrusted)

    def take_mavlink(self, frame: bytes) -> None:
        """Hand one frame to the autopilot."""
        self.port.send(frame)

    def telemetry(self) -> list[Message]:
        return self._observed.telemetry()

    def command(self, code: CommandCode) -> Answer:  # noqa: ARG002
        return Answer(Result.UNSUPPORTED, "a ground station commands this autopilot")

    def steer(self, sticks: Sticks) -> None:
        """Sticks of ours are not translated: a ground station sends MANUAL_CONTROL itself (MV-53)."""

    def hold(self) -> None:
        """Failsafe."""

    def return_home(self) -> None:
        """Failsafe."""

    def land(self) -> None:
        """Failsafe."""
