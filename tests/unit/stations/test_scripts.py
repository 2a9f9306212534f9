"""Pilots that play: the flight model flies, real rules say who may, the pilot is killed whenever it suits the test."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import pytest
import trio

from nodes.config.tables import PilotTable
from nodes.link import Link
from nodes.stations.hands import Hands
from nodes.stations.notes import DroneSeen, Note
from nodes.stations.scripts import CIRCUIT, fly_by
from nodes.stations.vehicle import ModelVehicle
from protocols.airlink import AIRLINK, encode
from protocols.authority import Authority
from protocols.crypto.fingerprint import fingerprint_text
from protocols.events import SendControl
from specs.airlink.authority import AuthorityRequest, Right
from specs.airlink.command import Answer, Command, Result
from specs.airlink.control import Heartbeat
from specs.airlink.numbers import Direction
from specs.airlink.telemetry import FlightPhase, FlightState
from specs.registry import ChannelId, Role
from tests.live.kit import virtual

DRONE, LEFT, RIGHT = (bytes([number]) * 16 for number in (1, 2, 3))
CIRCLES: Final = PilotTable(plays="circuit")
TELL_S: Final = 0.1


@dataclass
class FakeDrone:
    """A drone that flies the model and obeys whoever holds the right."""

    vehicle: ModelVehicle = field(default_factory=ModelVehicle)
    authority: Authority = field(default_factory=Authority)
    hands: dict[bytes, Hands] = field(default_factory=dict[bytes, Hands])
    phases: list[FlightPhase] = field(default_factory=list[FlightPhase])
    refused: list[object] = field(default_factory=list[object])
    beats: int = 0
    frames: list[bytes] = field(default_factory=list[bytes])

    @property
    def phase(self) -> FlightPhase:
        return self._state().phase

    @property
    def landings(self) -> int:
        return sum(phase is FlightPhase.LANDED for phase in self.phases[1:])

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.vehicle.play, self.frames.append)
            while True:
                if not self.phases or self.phases[-1] is not self.phase:
                    self.phases.append(self.phase)
                for hands in list(self.hands.values()):
                    hands.see(self._state())
                    hands.see(self.authority.state())
                await trio.sleep(TELL_S)

    def _state(self) -> FlightState:
        return next(each for each in self.vehicle.telemetry() if isinstance(each, FlightState))

    def take(self, sender: bytes, message: object) -> Answer:
        now = trio.current_time()
        if isinstance(message, AuthorityRequest):
            answer = self.authority.request(sender, message, now)
        elif isinstance(message, Command) and self.authority.holds(sender, Right.FLIGHT, now):
            answer = self.vehicle.command(message.code)
        else:
            answer = Answer(Result.NOT_ALLOWED)
        if answer.result not in {Result.DONE, Result.STARTED}:
            self.refused.append((message, answer))
        return answer

    @asynccontextmanager
    async def flown_by(self, own: bytes, pilot: PilotTable, said: list[Note] | None = None) -> AsyncGenerator[None]:
        """Let a pilot fly until the end of the block, where he is killed."""
        notes: list[Note] = [] if said is None else said
        hands = self.hands[own] = Hands(cast("Link", FakeLink(self, own)), AIRLINK, own, lambda _: None)
        self.authority.attach(own, Role.RC, trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fly_by(pilot, "rc", notes.append), hands)
            yield
            nursery.cancel_scope.cancel()
        self.authority.detach(own, trio.current_time())
        del self.hands[own]


@dataclass
class FakeLink:
    """From a pilot to the drone."""

    drone: FakeDrone
    own: bytes
    key_id: bytes = DRONE

    async def request(self, data: bytes) -> bytes:
        await trio.sleep(0.01)
        answer = self.drone.take(self.own, AIRLINK.decode_untrusted(ChannelId.COMMAND, data, Direction.UP))
        await trio.sleep(0.01)
        return encode(answer)

    def send_now(self, message: SendControl) -> int:
        beat: Any = AIRLINK.decode_untrusted(message.channel, message.data, Direction.UP)
        self.drone.beats += isinstance(beat, Heartbeat)
        self.drone.authority.heard(self.own, trio.current_time())
        return 0


@asynccontextmanager
async def flying() -> AsyncGenerator[FakeDrone]:
    drone = FakeDrone()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drone.run)
        yield drone
        nursery.cancel_scope.cancel()


@virtual
async def test_a_circuit_is_flown_again_and_again() -> None:
    said: list[Note] = []
    async with flying() as drone, drone.flown_by(LEFT, CIRCLES, said):
        await trio.sleep(60)
        assert drone.landings >= 3
        assert drone.refused == []
        assert drone.authority.holder(Right.PAYLOAD) == LEFT
        cycle = [FlightPhase.LANDED, FlightPhase.ARMED, FlightPhase.TAKING_OFF, FlightPhase.HOLDING]
        cycle += [FlightPhase.FLYING, FlightPhase.HOLDING, FlightPhase.LANDING]
        assert drone.phases[: 2 * len(cycle)] == 2 * cycle
    seen = [note for note in said if isinstance(note, DroneSeen)]
    assert 100 <= len(seen) <= 121
    assert {(note.node, note.drone) for note in seen} == {("rc", fingerprint_text(DRONE))}
    assert {note.phase for note in seen} >= {"landed", "taking off", "flying", "landing"}
    assert max(note.height_m for note in seen) > 3


@pytest.mark.parametrize("phase", list(FlightPhase))
def test_a_pilot_may_be_killed_in_any_phase(phase: FlightPhase) -> None:
    @virtual
    async def killed() -> None:
        async with flying() as drone:
            with trio.fail_after(60):
                async with drone.flown_by(LEFT, CIRCLES):
                    if phase is FlightPhase.RETURNING:
                        await reached(drone, FlightPhase.FLYING)
                        drone.vehicle.return_home()
                    await reached(drone, phase)
                drone.vehicle.hold()  # as the failsafe does meanwhile
                before = drone.landings
                await trio.sleep(3)
                async with drone.flown_by(LEFT, CIRCLES):
                    while drone.landings < before + 2:  # noqa: ASYNC110
                        await trio.sleep(TELL_S)
            assert drone.refused == []

    killed()


async def reached(drone: FakeDrone, phase: FlightPhase) -> None:
    while drone.phase is not phase:  # noqa: ASYNC110
        await trio.sleep(TELL_S)


@virtual
async def test_a_drone_that_began_anew_is_taken_again() -> None:
    async with flying() as drone, drone.flown_by(LEFT, CIRCLES):
        await trio.sleep(8)
        drone.authority = Authority()
        drone.authority.attach(LEFT, Role.RC, trio.current_time())
        await trio.sleep(20)
        assert drone.authority.holder(Right.FLIGHT) == LEFT
        assert drone.landings >= 1


@virtual
async def test_two_pilots_fly_by_turns() -> None:
    left, right = PilotTable(plays="turns", partner=RIGHT), PilotTable(plays="turns", partner=LEFT)
    async with flying() as drone, drone.flown_by(LEFT, left), drone.flown_by(RIGHT, right):
        await trio.sleep(40)
        changes = list(drone.authority.handed_over)
        assert len(changes) >= 6
        assert {change.after for change in changes} == {LEFT, RIGHT}
        assert drone.landings >= 2
        assert drone.refused == []


@virtual
async def test_a_partner_who_is_not_there_is_asked_in_vain() -> None:
    async with flying() as drone, drone.flown_by(LEFT, PilotTable(plays="turns", partner=RIGHT)):
        await trio.sleep(40)
        assert drone.landings >= 2
        assert drone.authority.holder(Right.FLIGHT) == LEFT
        async with drone.flown_by(RIGHT, PilotTable(plays="turns", partner=LEFT)):
            await trio.sleep(10)
            assert drone.authority.handed_over[0].after == RIGHT


@virtual
async def test_who_does_not_play_only_beats_and_looks() -> None:
    said: list[Note] = []
    async with flying() as drone, drone.flown_by(LEFT, PilotTable(), said):
        await trio.sleep(5)
        assert drone.authority.holder(Right.FLIGHT) is None
        assert drone.phases == [FlightPhase.LANDED]
        assert drone.beats >= 45
    assert any(isinstance(note, DroneSeen) for note in said)


def test_every_move_is_one_that_the_model_knows() -> None:
    assert {phase for phase, _ in CIRCUIT} <= set(FlightPhase)
    assert all(move.after_s > 0 for move in CIRCUIT.values())
