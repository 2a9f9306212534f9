"""What flies in a demo: the built-in model, which obeys, or a recording, which does not."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import trio

from nodes.flight import Command as FlightCommand
from nodes.flight import FlightFrame, FlightModel, FlightPlan, Telemetry, pace
from nodes.flight import Sticks as ModelSticks
from nodes.flight.safety import ModelSafety
from nodes.flight.telemetry import TICK_S
from nodes.stations import telemetry
from nodes.stations.observed import Observed
from protocols.airlink import Message
from specs.airlink.command import Answer, CommandCode, Result
from specs.airlink.control import Sticks

PLAN: Final = FlightPlan(side_m=12.0, height_m=4.0)
"""A flight that is over in the time of a demo."""
LAG_S: Final = 1.0
"""A model that is later than this (the machine slept) goes on from now instead of catching up."""

_COMMANDS: Final = {
    CommandCode.TAKE_OFF: FlightCommand.TAKE_OFF,
    CommandCode.LAND: FlightCommand.LAND,
    CommandCode.HOLD: FlightCommand.HOLD,
    CommandCode.RETURN_HOME: FlightCommand.RETURN_HOME,
    CommandCode.FLY_ROUTE: FlightCommand.FLY_ROUTE,
}

Give = Callable[[bytes], None]
"""Takes a MAVLink frame that is due."""


class Vehicle(Protocol):
    """What the drone's end carries."""

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        ...

    async def play(self, give: Give) -> None:
        """Give frames when they are due, until the flight is over or this is cancelled."""
        ...

    def telemetry(self) -> list[Message]:
        """Messages of the `telemetry` channel, as of now."""
        ...

    def command(self, code: CommandCode) -> Answer:
        """Do what the pilot says, if it is possible now."""
        ...

    def steer(self, sticks: Sticks) -> None:
        """Take the sticks."""
        ...

    def hold(self) -> None:
        """Failsafe (AU-35): hold here."""
        ...

    def return_home(self) -> None:
        """Failsafe (AU-35): fly home."""
        ...

    def land(self) -> None:
        """Failsafe (AU-35): land here."""
        ...


class ModelVehicle(ModelSafety):
    """The built-in model at real pace; ``recorded`` is its flight so far."""

    def __init__(self) -> None:
        super().__init__(FlightModel(PLAN))
        self.recorded: list[FlightFrame] = []
        self._telemetry = Telemetry()

    async def play(self, give: Give) -> None:
        started = trio.current_time()
        state = self._model.state
        while True:
            for data in self._telemetry.due(state):
                self.recorded.append(FlightFrame(state.time_s, data))
                give(data)
            state = self._model.step(TICK_S)
            lag_s = trio.current_time() - started - state.time_s
            started += lag_s if lag_s > LAG_S else 0.0
            await trio.sleep_until(started + state.time_s)

    def telemetry(self) -> list[Message]:
        return telemetry.of_model(self._model.state, PLAN)

    def command(self, code: CommandCode) -> Answer:
        known = _COMMANDS.get(code)
        if known is None:
            return Answer(Result.UNSUPPORTED, "the model arms by itself")
        if self._model.apply_command(known):
            return Answer(Result.STARTED)
        return Answer(Result.NOT_NOW, f"not while {self._model.state.phase.value}")

    def steer(self, sticks: Sticks) -> None:
        parts = (sticks.pitch_permille, sticks.roll_permille, sticks.throttle_permille, sticks.yaw_permille)
        self._model.set_sticks(ModelSticks(*(part / 1_000 for part in parts)))


class RecordedVehicle:
    """A recording at the pace at which it was made: it shows what it did, and cannot do anything else."""

    def __init__(self, frames: Iterable[FlightFrame]) -> None:
        self._frames = frames
        self._observed = Observed()

    async def play(self, give: Give) -> None:
        async for batch in pace(self._frames, "real"):
            for frame in batch:
                self._observed.feed_untrusted(frame.data)
                give(frame.data)

    def telemetry(self) -> list[Message]:
        return self._observed.telemetry()

    def command(self, code: CommandCode) -> Answer:  # noqa: ARG002  # whatever it is
        return Answer(Result.UNSUPPORTED, "a recorded flight goes as it went")

    def steer(self, sticks: Sticks) -> None:
        """Sticks arrive, and move nothing."""

    @property
    def armed(self) -> bool:
        """No: what it shows was flown long ago, and nothing of it can be guarded."""
        return False

    def hold(self) -> None:
        """Nothing moves."""

    def return_home(self) -> None:
        """Nothing moves."""

    def land(self) -> None:
        """Nothing moves."""


class ParkedVehicle:
    """A drone without an autopilot: it stands where it is, and shows nothing."""

    @property
    def armed(self) -> bool:
        """Never."""
        return False

    async def play(self, give: Give) -> None:  # noqa: ARG002  # nothing to give
        """Nothing comes."""
        await trio.sleep_forever()

    def telemetry(self) -> list[Message]:
        return []

    def command(self, code: CommandCode) -> Answer:  # noqa: ARG002  # whatever it is
        return Answer(Result.UNSUPPORTED, "this drone has no vehicle")

    def steer(self, sticks: Sticks) -> None:
        """Nothing moves."""

    def hold(self) -> None:
        """Nothing moves."""

    def return_home(self) -> None:
        """Nothing moves."""

    def land(self) -> None:
        """Nothing moves."""
