"""The ends of the demo with a peer that is paired and talks nonsense, or is late: neither ends them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from nodes import Link
from nodes.deck import AT_REST, FlightDeck
from nodes.demo.drone_end import DroneEnd
from nodes.demo.options import DemoOptions
from nodes.demo.rc_end import RcEnd
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.hands import Hands
from nodes.stations.notes import Line, Note, Ready
from nodes.stations.pilot import Pilot
from nodes.stations.vehicle import ModelVehicle
from nodes.testing import MemoryNetwork
from protocols.airlink import AIRLINK, Message, decode_untrusted, encode
from protocols.authority import Authority
from protocols.events import Alarm, ControlReceived, SendCommand, SendControl, SendState, SendStream
from protocols.failsafe import Failsafe
from protocols.maps import pack_map
from specs.airlink.authority import AuthorityAction, AuthorityRequest, Right
from specs.airlink.command import Answer, Command, CommandCode, LogOffer, Result
from specs.airlink.control import Sticks
from specs.airlink.numbers import Direction
from specs.airlink.telemetry import FlightPhase, FlightState
from specs.registry import ChannelId
from tests.live.kit import Scene, linked, virtual

NONSENSE = b"\xff\xff nothing"
AHEAD = Sticks(0, 500, 0, 0)


class Steered(ModelVehicle):
    """Remembers its sticks."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Sticks] = []

    def steer(self, sticks: Sticks) -> None:
        self.seen.append(sticks)


class BareDrone(DroneEnd):
    """A drone's end on a link that is there already; only what obeys runs."""

    def __init__(self, link: Link, said: list[Note]) -> None:
        super().__init__(DemoOptions(), Path(), said.append)
        self._link = link
        self._vehicle = self.steered = Steered()
        alarms: list[Alarm] = []
        self._deck = FlightDeck(Craft(self.steered, CameraStand()), Authority(), Failsafe(), alarms.append)
        self._seat = self._deck.attach(link.key_id, link.role, lambda _: None)

    async def obey(self) -> None:
        await self._obey()

    async def steer(self, event: ControlReceived) -> None:
        await self._steer_untrusted(event)

    async def offer(self, message: Message) -> None:
        await self._request(message)

    async def give_the_right(self) -> None:
        """Let the peer fly."""
        request = AuthorityRequest(AuthorityAction.REQUEST, Right.FLIGHT)
        assert await self._deck.take(self._seat, ChannelId.COMMAND, request) == Answer(Result.DONE)

    @property
    def steered_to(self) -> list[Sticks]:
        """Where the sticks have been, but for those at rest."""
        return [sticks for sticks in self.steered.seen if sticks != AT_REST]


async def _nobody() -> Ready:
    raise NotImplementedError


class BareRc(RcEnd):
    """Likewise: only what receives runs."""

    def __init__(self, link: Link, said: list[Note]) -> None:
        super().__init__(DemoOptions(), Path(), said.append, _nobody)
        self._link = link
        self._pilot = self.pilot = Pilot(Hands(link, AIRLINK, bytes(16), self.tell))

    async def receive(self) -> None:
        await self._receive()

    @property
    def flight(self) -> FlightState | None:
        """What telemetry has said."""
        return self._flight


@asynccontextmanager
async def beside(task: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Run an end beside the test; it must still run at the end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        yield
        nursery.cancel_scope.cancel()


async def ask(link: Link, data: bytes) -> Message:
    """Send a request as bytes, and read its answer."""
    return decode_untrusted(ChannelId.COMMAND, await link.request(data), Direction.UP)


def lines(said: list[Note]) -> list[str]:
    return [note.text for note in said if isinstance(note, Line)]


async def _nonsense_to_drone(scene: Scene) -> None:
    scene.down.send_now(SendControl(ChannelId.CONTROL, NONSENSE))
    await trio.sleep(0.1)
    scene.down.send_now(SendControl(ChannelId.CONTROL, b""))
    await trio.sleep(0.1)
    assert await ask(scene.down, NONSENSE) == Answer(Result.INVALID)


@virtual
async def test_a_drone_goes_on_when_its_pilot_talks_nonsense() -> None:
    said: list[Note] = []
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        drone = BareDrone(scene.up, said)
        async with beside(drone.obey):
            await _nonsense_to_drone(scene)
            await drone.give_the_right()
            scene.down.send_now(SendControl(ChannelId.CONTROL, encode(AHEAD)))
            taken_off = await ask(scene.down, encode(Command(CommandCode.TAKE_OFF)))
            assert taken_off == Answer(Result.STARTED)
        assert drone.steered_to == [AHEAD]
        assert scene.up.down is None
    assert lines(said) == ["a message on CONTROL says nothing and is left out, as will be all that follow"]


@virtual
async def test_a_drone_goes_on_when_its_request_is_answered_with_nonsense() -> None:
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        drone = BareDrone(scene.up, [])

        async def answer() -> None:
            request = await scene.down.receive()
            scene.down.send_now(SendCommand(ChannelId.COMMAND, NONSENSE, getattr(request, "id", 0)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            await drone.offer(LogOffer("log", 1, bytes(32), pack_map({})))


@pytest.mark.parametrize(("late_s", "steers"), [(-0.1, True), (0.1, False)])
@virtual
async def test_sticks_that_have_expired_move_nothing(late_s: float, steers: bool) -> None:
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        drone = BareDrone(scene.up, [])
        await drone.give_the_right()
        late = ControlReceived(ChannelId.CONTROL, encode(AHEAD), 0.0, trio.current_time() - late_s)
        await drone.steer(late)
        assert drone.steered_to == [AHEAD] * steers


@virtual
async def test_a_controller_goes_on_when_its_drone_talks_nonsense() -> None:
    said: list[Note] = []
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        rc = BareRc(scene.down, said)
        async with beside(rc.receive):
            scene.up.send_now(SendState(ChannelId.TELEMETRY, 1, NONSENSE))
            scene.up.send_now(SendStream(ChannelId.MAVLINK, NONSENSE))
            scene.up.send_now(SendStream(ChannelId.VIDEO, NONSENSE))
            assert await ask(scene.up, NONSENSE) == Answer(Result.INVALID)
            offer = encode(LogOffer("log", 1, bytes(32), pack_map({"flight_ms": 1})))
            assert await ask(scene.up, offer[:-1]) == Answer(Result.INVALID)
            state = ModelVehicle().telemetry()[0]
            scene.up.send_now(SendState(ChannelId.TELEMETRY, 1, encode(state)))
            await trio.sleep(0.1)
            assert rc.flight == state
            assert rc.flight is not None
            assert rc.flight.phase is FlightPhase.LANDED
        assert len(lines(said)) == 1


@virtual
async def test_a_pilot_goes_on_when_its_command_is_answered_with_nonsense() -> None:
    async with linked(network=MemoryNetwork(delay_s=0.001)) as scene:
        rc = BareRc(scene.down, [])

        async def answer() -> None:
            request = await scene.up.receive()
            scene.up.send_now(SendCommand(ChannelId.COMMAND, NONSENSE, getattr(request, "id", 0)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            await rc.pilot.finish()
        assert (rc.pilot.hands.requests, rc.pilot.hands.answers) == (1, 1)
