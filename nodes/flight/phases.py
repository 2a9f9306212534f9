"""The phases of a flight, as a table.

A flight is always in one :class:`Phase`. A *command* comes from whoever holds authority; a *sense* is
something the model notices about itself. Both lead on by the one table below, and a missing entry is the
answer: a command that is not in it is refused, a sense that is not in it is not looked for.
"""

from enum import StrEnum, unique
from typing import Final


@unique
class Phase(StrEnum):
    """What the vehicle is doing."""

    LANDED = "landed"
    """On the ground, motors off."""
    ARMED = "armed"
    """On the ground, motors spinning up."""
    TAKING_OFF = "taking off"
    """Climbing to the planned height."""
    FLYING = "flying"
    """On its way along the planned route."""
    HOLDING = "holding"
    """Keeping its place, or moved about by the sticks."""
    RETURNING = "returning"
    """Flying back to where it took off."""
    LANDING = "landing"
    """Descending where it is."""


@unique
class Command(StrEnum):
    """What a pilot or an application may ask for."""

    TAKE_OFF = "take_off"
    FLY_ROUTE = "fly_route"
    HOLD = "hold"
    RETURN_HOME = "return_home"
    LAND = "land"


@unique
class Sense(StrEnum):
    """What the vehicle notices by itself."""

    SPUN_UP = "motors at speed"
    AT_HEIGHT = "height reached"
    ROUTE_DONE = "route flown"
    AT_HOME = "home reached"
    TOUCHED_DOWN = "touched down"
    BATTERY_LOW = "battery low"


AIRBORNE: Final = frozenset({Phase.TAKING_OFF, Phase.FLYING, Phase.HOLDING, Phase.RETURNING, Phase.LANDING})
"""Phases in which the vehicle is off the ground."""

NEXT: Final[dict[tuple[Phase, Command | Sense], Phase]] = {
    (Phase.LANDED, Command.TAKE_OFF): Phase.ARMED,
    (Phase.ARMED, Sense.SPUN_UP): Phase.TAKING_OFF,
    (Phase.ARMED, Command.LAND): Phase.LANDED,
    (Phase.TAKING_OFF, Sense.AT_HEIGHT): Phase.HOLDING,
    (Phase.TAKING_OFF, Command.HOLD): Phase.HOLDING,
    (Phase.TAKING_OFF, Command.RETURN_HOME): Phase.RETURNING,
    (Phase.TAKING_OFF, Command.LAND): Phase.LANDING,
    (Phase.HOLDING, Command.FLY_ROUTE): Phase.FLYING,
    (Phase.HOLDING, Command.HOLD): Phase.HOLDING,
    (Phase.HOLDING, Command.RETURN_HOME): Phase.RETURNING,
    (Phase.HOLDING, Command.LAND): Phase.LANDING,
    (Phase.HOLDING, Sense.BATTERY_LOW): Phase.RETURNING,
    (Phase.FLYING, Sense.ROUTE_DONE): Phase.RETURNING,
    (Phase.FLYING, Command.HOLD): Phase.HOLDING,
    (Phase.FLYING, Command.RETURN_HOME): Phase.RETURNING,
    (Phase.FLYING, Command.LAND): Phase.LANDING,
    (Phase.FLYING, Sense.BATTERY_LOW): Phase.RETURNING,
    (Phase.RETURNING, Sense.AT_HOME): Phase.LANDING,
    (Phase.RETURNING, Command.RETURN_HOME): Phase.RETURNING,
    (Phase.RETURNING, Command.HOLD): Phase.HOLDING,
    (Phase.RETURNING, Command.LAND): Phase.LANDING,
    (Phase.LANDING, Sense.TOUCHED_DOWN): Phase.LANDED,
    (Phase.LANDING, Command.LAND): Phase.LANDING,
    (Phase.LANDING, Command.HOLD): Phase.HOLDING,
    (Phase.LANDING, Command.RETURN_HOME): Phase.RETURNING,
}
"""Phase and what happened -> next phase."""
