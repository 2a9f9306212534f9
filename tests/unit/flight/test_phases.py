"""The table of phases, as a table."""

import pytest

from nodes.flight.phases import AIRBORNE, NEXT, Command, Phase, Sense


def test_every_phase_can_be_reached_and_left() -> None:
    assert {phase for phase, _ in NEXT} == set(NEXT.values()) == set(Phase)


def test_every_command_and_sense_means_something() -> None:
    assert {cause for _, cause in NEXT} == {*Command, *Sense}


@pytest.mark.parametrize("phase", sorted(AIRBORNE))
def test_in_the_air_the_pilot_can_always_land_and_return(phase: Phase) -> None:
    assert NEXT[phase, Command.LAND] is Phase.LANDING
    assert NEXT[phase, Command.RETURN_HOME] is Phase.RETURNING


def test_from_anywhere_the_flight_can_end() -> None:
    for start in Phase:
        seen, found = set[Phase](), {start}
        while not found <= seen:
            seen |= found
            found = {after for (before, _), after in NEXT.items() if before in seen}
        assert Phase.LANDED in seen | found
