"""Pilots of the program's own: what they do with a drone, again and again, for topologies and for trying things out.

A pilot decides from what the drone tells, its phase of flight and who has the rights, and not from what it has done
itself: so it may be killed at any moment and started again, and goes on with the flight that it finds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import trio

from nodes.config.tables import PilotTable
from nodes.stations.hands import Fly, Hands
from nodes.stations.notes import DroneSeen, Say
from nodes.wakeup import Wakeup
from protocols.crypto.fingerprint import fingerprint_text
from specs.airlink.authority import AuthorityState, Right
from specs.airlink.command import Command, CommandCode
from specs.airlink.telemetry import FlightPhase, FlightState

SEEN_S: Final = 0.5
"""A drone is told of no more often."""
TURN_S: Final = 4.0
"""A pilot who plays by turns has had the right for so long when he offers it."""
AGAIN_S: Final = 2.0
"""A command that has changed nothing is given again."""
_LOOK_S: Final = 0.25
"""A pilot looks at his drone at least so often."""
_FLOWN: Final = frozenset({FlightPhase.FLYING, FlightPhase.RETURNING, FlightPhase.LANDING})
_ON_GROUND: Final = frozenset({FlightPhase.LANDED, FlightPhase.ARMED, FlightPhase.TAKING_OFF})


@dataclass(frozen=True, slots=True)
class Move:
    """What comes next."""

    after_s: float
    """Once the phase has lasted for so long."""
    code: CommandCode
    """What to command."""


CIRCUIT: Final[dict[tuple[FlightPhase, bool], Move]] = {
    (FlightPhase.LANDED, False): Move(1.0, CommandCode.TAKE_OFF),
    (FlightPhase.HOLDING, False): Move(0.5, CommandCode.FLY_ROUTE),
    (FlightPhase.FLYING, True): Move(3.0, CommandCode.HOLD),
    (FlightPhase.HOLDING, True): Move(1.0, CommandCode.LAND),
}
"""Phase, and whether something of the route was flown since take-off -> what comes next; otherwise just wait."""


def fly_by(pilot: PilotTable, node: str, say: Say) -> Fly:
    """Return what the user of a station does on each link to a drone, as its configuration says."""

    async def fly(hands: Hands) -> None:
        await Script(hands, pilot, node, say).run()

    return fly


class Script:
    """One link to one drone in the hands of a pilot who plays."""

    def __init__(self, hands: Hands, pilot: PilotTable, node: str, say: Say) -> None:
        self._hands = hands
        self._pilot = pilot
        self._rights: AuthorityState | None = None
        self._phase: FlightPhase | None = None
        self._flown = False
        self._since_s = 0.0
        self._held_since_s: float | None = None
        self._news = Wakeup()
        self._tell = _teller(hands, node, say)
        hands.on_seen = self._see

    async def run(self) -> NoReturn:
        """Play for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hands.beat)
            if self._pilot.plays != "none":
                nursery.start_soon(self._play)
            await trio.sleep_forever()

    def _see(self, message: object) -> None:
        if isinstance(message, AuthorityState):
            self._rights = message
            self._news.set()
        elif isinstance(message, FlightState):
            self._tell(message)
            if message.phase is not self._phase:
                self._take_phase(message.phase)

    def _take_phase(self, phase: FlightPhase) -> None:
        self._phase, self._since_s = phase, trio.current_time()
        self._flown = phase in _FLOWN or (self._flown and phase not in _ON_GROUND)
        self._news.set()

    async def _play(self) -> NoReturn:
        while True:
            await self._hands.take_free(Right.FLIGHT, Right.PAYLOAD)
            await self._one_thing()
            with trio.move_on_after(_LOOK_S):
                await self._news.wait()
            self._news.is_set = False

    async def _one_thing(self) -> None:
        """Do what is due, one request at most: while a right is under way nothing is commanded."""
        hands, now = self._hands, trio.current_time()
        if not hands.holds(Right.FLIGHT):
            self._held_since_s = None
            if self._is_offered:
                await hands.accept(Right.FLIGHT)
            return
        if self._held_since_s is None:
            self._held_since_s = now
        partner = self._pilot.partner
        if partner is not None and now - self._held_since_s >= TURN_S:
            self._held_since_s = now  # a partner who is not there is asked again after a turn
            await hands.offer(Right.FLIGHT, partner)
            return
        move = None if self._phase is None else CIRCUIT.get((self._phase, self._flown))
        if move is not None and now - self._since_s >= move.after_s:
            self._since_s = now + AGAIN_S - move.after_s
            await hands.ask(Command(move.code), move.code.name.lower().replace("_", " "))

    @property
    def _is_offered(self) -> bool:
        return self._rights is not None and self._rights.flight_candidate == self._hands.own


def _teller(hands: Hands, node: str, say: Say) -> Callable[[FlightState], None]:
    """Return what says a few times a second at most that a drone shows what it does."""
    drone = fingerprint_text(hands.drone_id)
    told_s: list[float] = []

    def tell(state: FlightState) -> None:
        now = trio.current_time()
        if not told_s or now >= told_s[0] + SEEN_S:
            told_s[:] = [now]
            phase = state.phase.name.lower().replace("_", " ")
            say(DroneSeen(node, drone, phase, round(state.height_mm / 1_000, 1)))

    return tell
