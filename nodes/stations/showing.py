"""What a drone's own vehicle does, told to whoever looks at the drone."""

from collections.abc import Callable
from typing import Final, NoReturn

import trio

from nodes.stations.notes import Say, Shown
from nodes.stations.telemetry import described
from protocols.airlink import Message
from specs.airlink.telemetry import Battery, FlightState, Gnss

SHOW_S: Final = 1.0


async def show_vehicle(name: str, telemetry: Callable[[], list[Message]], say: Say) -> NoReturn:
    """Say once a second what telemetry says, if that is something else than before."""
    told = ""
    while True:
        line = _line_of(telemetry())
        if line != told:
            say(Shown(name, vehicle=line))
        told = line
        await trio.sleep(SHOW_S)


def _line_of(messages: list[Message]) -> str:
    flights = [each for each in messages if isinstance(each, FlightState)]
    batteries = [each for each in messages if isinstance(each, Battery)]
    fixes = [each for each in messages if isinstance(each, Gnss)]
    return described(
        flights[-1] if flights else None, batteries[-1] if batteries else None, fixes[-1] if fixes else None
    )
