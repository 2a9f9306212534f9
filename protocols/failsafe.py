"""What the drone does when it does not hear the peer that flies it (specs/7-authority.md, 7.4).

Theory of operation. The machine rests on the ground and guards in the air. Silence leads first to HOLDING, longer
silence to ACTING; a holder that is heard again leads to RECOVERED, where what was begun goes on until it commands. All
transitions stand in :data:`FAILSAFE`, what each makes the vehicle do in :data:`EFFECTS`. A missing entry means that the
event changes nothing here.

No clock: ``now`` (seconds, monotonic) is a parameter.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from protocols.errors import UsageError


class FailsafeState(Enum):
    """What the failsafe is at."""

    RESTING = auto()
    """On the ground with the motors off."""
    GUARDING = auto()
    """In the air, and the holder is heard."""
    HOLDING = auto()
    """The holder is silent: the vehicle holds."""
    ACTING = auto()
    """It is silent for long: the vehicle returns or lands."""
    RECOVERED = auto()
    """It is heard again, and has not commanded yet."""


class FailsafeEvent(Enum):
    """What moves it."""

    OFF_THE_GROUND = auto()
    """The motors may turn."""
    ON_THE_GROUND = auto()
    SILENT = auto()
    """For ``hold_after_s``."""
    STILL_SILENT = auto()
    """For ``act_after_s``."""
    HEARD = auto()
    """A heartbeat or sticks of the holder were delivered."""
    COMMANDED = auto()
    """A command of the holder was carried out."""


class Effect(Enum):
    """What the vehicle is to do."""

    HOLD = "hold"
    RETURN_HOME = "return home"
    LAND = "land"


_S, _E = FailsafeState, FailsafeEvent
FAILSAFE: Final[Mapping[tuple[FailsafeState, FailsafeEvent], FailsafeState]] = {
    (_S.RESTING, _E.OFF_THE_GROUND): _S.GUARDING,
    (_S.GUARDING, _E.SILENT): _S.HOLDING,
    (_S.HOLDING, _E.HEARD): _S.RECOVERED,
    (_S.HOLDING, _E.STILL_SILENT): _S.ACTING,
    (_S.ACTING, _E.HEARD): _S.RECOVERED,
    (_S.RECOVERED, _E.COMMANDED): _S.GUARDING,
    (_S.RECOVERED, _E.SILENT): _S.HOLDING,
    (_S.GUARDING, _E.ON_THE_GROUND): _S.RESTING,
    (_S.HOLDING, _E.ON_THE_GROUND): _S.RESTING,
    (_S.ACTING, _E.ON_THE_GROUND): _S.RESTING,
    (_S.RECOVERED, _E.ON_THE_GROUND): _S.RESTING,
}
"""State and what happens -> next state."""


@dataclass(frozen=True, slots=True)
class FailsafeConfig:
    """When to do what; UsageError for numbers that make no sense."""

    hold_after_s: float = 1.5
    """Silence after which the vehicle holds; heartbeats come every 0.2 s (AL-6)."""
    act_after_s: float = 10.0
    """Silence after which it does more than that."""
    action: Effect = Effect.RETURN_HOME
    """What: RETURN_HOME or LAND."""

    def __post_init__(self) -> None:
        if not 0 < self.hold_after_s < self.act_after_s:
            raise UsageError("failsafe: it holds before it does more, and both take time")
        if self.action is Effect.HOLD:
            raise UsageError("failsafe: the action is to return home or to land")


class Failsafe:
    """Watches the one peer that holds the flight right."""

    def __init__(self, config: FailsafeConfig | None = None) -> None:
        self.config: Final = config or FailsafeConfig()
        """Times and action."""
        self.state = FailsafeState.RESTING
        """See :class:`FailsafeState`."""
        self._holder: bytes | None = None
        self._heard_s = 0.0
        self._effects: deque[Effect] = deque()

    @property
    def obeys_sticks(self) -> bool:
        """Whether the sticks of the holder move anything (AU-33)."""
        return self.state in {FailsafeState.RESTING, FailsafeState.GUARDING}

    @property
    def obeys_commands(self) -> bool:
        """Whether the holder is heard, so that it may command more than what is safe in any case (AU-33)."""
        return self.state not in {FailsafeState.HOLDING, FailsafeState.ACTING}

    def next_effect(self) -> Effect | None:
        """What the vehicle is to do, one after the other, and then None."""
        return self._effects.popleft() if self._effects else None

    def next_deadline(self) -> float | None:
        """When :meth:`handle_deadline` has something to do; None: not before something else happens."""
        match self.state:
            case FailsafeState.GUARDING | FailsafeState.RECOVERED:
                return self._heard_s + self.config.hold_after_s
            case FailsafeState.HOLDING:
                return self._heard_s + self.config.act_after_s
            case _:
                return None

    def handle_deadline(self, now: float) -> None:
        """See how long it has been silent."""
        if now >= self._heard_s + self.config.hold_after_s:
            self._on(FailsafeEvent.SILENT)
        if now >= self._heard_s + self.config.act_after_s:
            self._on(FailsafeEvent.STILL_SILENT)

    def set_holder(self, holder: bytes | None, now: float) -> None:
        """The flight right has this holder from now on; None: nobody (AU-32)."""
        self.handle_deadline(now)
        if holder != self._holder:
            self._holder, self._heard_s = holder, now

    def heard(self, key_id: bytes, now: float) -> None:
        """A heartbeat or sticks of this peer were delivered within their lifetime; only the holder counts (AU-30)."""
        self.handle_deadline(now)
        if key_id == self._holder:
            self._heard_s = now
            self._on(FailsafeEvent.HEARD)

    def commanded(self, key_id: bytes, now: float) -> None:
        """A command of this peer was carried out."""
        self.handle_deadline(now)
        if key_id == self._holder:
            self._on(FailsafeEvent.COMMANDED)

    def observe(self, off_the_ground: bool, now: float) -> None:
        """Whether the motors may turn, as the vehicle says it; what was silent on the ground was so rightly."""
        if off_the_ground and self.state is FailsafeState.RESTING:
            self._heard_s = now
        self._on(FailsafeEvent.OFF_THE_GROUND if off_the_ground else FailsafeEvent.ON_THE_GROUND)
        self.handle_deadline(now)

    def _on(self, event: FailsafeEvent) -> None:
        after = FAILSAFE.get((self.state, event))
        if after is None:
            return
        self.state = after
        if after is FailsafeState.HOLDING:
            self._effects.append(Effect.HOLD)
        elif after is FailsafeState.ACTING:
            self._effects.append(self.config.action)
