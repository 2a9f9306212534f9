"""The failsafe's three words to the flight model (specs/7-authority.md, AU-35)."""

from typing import Final

from nodes.flight.model import FlightModel
from nodes.flight.phases import Command, Phase


class ModelSafety:
    """A part of every vehicle that is a :class:`FlightModel` (see ``nodes.vehicle.Vehicle``)."""

    def __init__(self, model: FlightModel) -> None:
        self._model: Final = model

    @property
    def armed(self) -> bool:
        """Whether the motors may turn."""
        return self._model.state.armed

    def hold(self) -> None:
        """Hold here, with the sticks as they are; on the ground the motors stop; a return or a landing goes on."""
        self._ask(Command.HOLD, unless={Phase.RETURNING, Phase.LANDING})

    def return_home(self) -> None:
        """Fly home and land there; a landing goes on."""
        self._ask(Command.RETURN_HOME, unless={Phase.RETURNING, Phase.LANDING})

    def land(self) -> None:
        """Land here; a return goes on."""
        self._ask(Command.LAND, unless={Phase.RETURNING, Phase.LANDING})

    def _ask(self, command: Command, unless: set[Phase]) -> None:
        if self._model.state.phase not in unless and not self._model.apply_command(command):
            self._model.apply_command(Command.LAND)  # of all phases only LANDED has no such row
