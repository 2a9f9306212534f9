"""What counts as a command of the holder when a ground station sends it (MV-46, AU-33)."""

import struct

import pytest

from protocols.admission import COMMANDS_MAVLINK, commands_flight_untrusted
from protocols.failsafe import FailsafeConfig
from specs.airlink.authority import AuthorityAction
from specs.airlink.command import Result
from specs.airlink.stream import MavlinkFrame
from specs.registry import ChannelId
from tests.helpers.decks import RC, DeckWorld
from tests.helpers.mavlink import by_hand
from tests.live.kit import virtual

CONFIG = FailsafeConfig(1.0, 5.0)
MANUAL_CONTROL = by_hand(69, bytes(11))
REQUEST_MESSAGE = 512


def command(number: int, message: int = 76, version: int = 2) -> bytes:
    """COMMAND_LONG or COMMAND_INT; the target system stands behind the command."""
    return by_hand(message, struct.pack("<7fHBB", *range(7), number, 1, 1), version=version)


@pytest.mark.parametrize("number", COMMANDS_MAVLINK)
@pytest.mark.parametrize(("message", "version"), [(76, 2), (75, 2), (76, 1), (75, 1)])
def test_mv_46_commands_that_fly(number: int, message: int, version: int) -> None:
    assert commands_flight_untrusted(command(number, message, version))


@pytest.mark.parametrize(
    "frame",
    [
        command(REQUEST_MESSAGE),
        command(REQUEST_MESSAGE, 75),
        MANUAL_CONTROL,
        by_hand(76, struct.pack("<7f", *range(7))),  # the command is 0, and left out
        by_hand(76, b""),
        by_hand(0, bytes(9)),
        by_hand(76, bytes(27) + b"\x01", flags=1),  # the checksum and the signature are no payload
        b"",
        command(20)[:-1],
    ],
)
def test_mv_46_and_nothing_else(frame: bytes) -> None:
    assert not commands_flight_untrusted(frame)
    assert commands_flight_untrusted(by_hand(11, bytes(6)))


@virtual
async def test_mv_46_sticks_inside_of_mavlink_move_again_after_a_command_inside_of_it() -> None:
    world = DeckWorld(config=CONFIG)
    assert await world.want(RC, AuthorityAction.REQUEST) is Result.DONE
    world.vehicle.armed = True

    async def send(frame: bytes) -> bool:
        before = len(world.vehicle.done)
        await world.deck.take(world.seats[RC], ChannelId.MAVLINK, MavlinkFrame(frame))
        return frame in world.vehicle.done[before:]

    await world.beat(RC)
    assert await send(MANUAL_CONTROL)
    world.deck.failsafe.handle_deadline(10.0)  # the holder was not heard
    assert not await send(MANUAL_CONTROL)
    assert not await send(command(20))
    await world.beat(RC)
    assert not await send(MANUAL_CONTROL)
    assert await send(command(REQUEST_MESSAGE))
    assert not await send(MANUAL_CONTROL)
    assert await send(command(176))
    assert await send(MANUAL_CONTROL)
