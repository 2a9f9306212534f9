"""The autopilot as a drone sees it (specs/11-mavlink.md, 11.5 and 11.6)."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from nodes.config.endpoint import Endpoint
from nodes.config.mavlink import MavlinkEndpoint, PortKind
from nodes.flight import FlightFrame
from nodes.flight.mavlink import frame_checks
from nodes.mavlink.port import MavlinkPort, Take
from nodes.stations import live
from nodes.stations.camera import CameraStand
from nodes.stations.craft import Craft
from nodes.stations.live import LiveVehicle
from protocols.mavlink.head import head_untrusted
from specs.airlink.command import Answer, CameraAction, CameraControl, ChangeSettings, CommandCode, GoTo, Result
from specs.airlink.control import Sticks
from specs.airlink.telemetry import Battery, FlightState
from tests.helpers.mavlink import PX4, dialect, heartbeat, link, pack
from tests.live.kit import virtual

PASSED_ON = {CommandCode.RETURN_HOME: 20, CommandCode.LAND: 21, CommandCode.HOLD: 176}


class NotedPort(MavlinkPort):
    """A port that writes down what is sent, and gives what a test says."""

    def __init__(self) -> None:
        super().__init__(MavlinkEndpoint(PortKind.TCP, Endpoint("x", 1)), frame_checks(), lambda _: None)
        self.sent: list[bytes] = []
        self.dropped = -1
        self.take: Take = lambda _: None

    @property
    def where(self) -> MavlinkEndpoint:
        return self.endpoint

    @property
    def peers(self) -> int:
        return 1

    async def open(self) -> None: ...

    async def run(self, take: Take) -> None:
        self.take = take
        await trio.sleep_forever()

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def drop_waiting(self) -> None:
        self.dropped = len(self.sent)

    def close(self) -> None: ...


@dataclass
class Flown:
    """A live vehicle, and what came of it."""

    vehicle: LiveVehicle
    port: NotedPort
    given: list[bytes] = field(default_factory=list[bytes])
    flights: list[list[FlightFrame]] = field(default_factory=list[list[FlightFrame]])
    lines: list[str] = field(default_factory=list[str])

    async def commands(self) -> list[int]:
        """What the autopilot is told now."""
        await trio.testing.wait_all_tasks_blocked()
        told = [int.from_bytes(head_untrusted(each).payload[28:30], "little") for each in self.port.sent]
        self.port.sent.clear()
        return told


@asynccontextmanager
async def flown(*frames: bytes, commands: bool = True) -> AsyncGenerator[Flown]:
    port, lines = NotedPort(), list[str]()
    found = Flown(LiveVehicle(port, lines.append, commands=commands), port, lines=lines)
    found.vehicle.on_flight = found.flights.append
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.vehicle.play, found.given.append)
        await trio.testing.wait_all_tasks_blocked()
        for frame in frames:
            port.take(frame)
        yield found
        nursery.cancel_scope.cancel()


@virtual
async def test_mv_13_frames_go_on_as_they_are_in_both_directions() -> None:
    frames = [heartbeat(), heartbeat(link(255, 190)), heartbeat(link(version=1))]
    async with flown(*frames) as found:
        for frame in frames:
            found.vehicle.take_mavlink(frame)
        assert found.given == found.port.sent == frames


@virtual
async def test_mv_40_it_is_told_when_the_autopilot_is_heard_and_when_it_is_not() -> None:
    async with flown() as found:
        await trio.sleep(5)
        assert found.lines == []
        for _ in range(3):
            found.port.take(heartbeat(link(7), autopilot=PX4))
            await trio.sleep(5)
        await trio.sleep(10)
        found.port.take(heartbeat(link(8)))
        await trio.sleep(5)
        assert found.lines == [
            "PX4, system 7, is heard at tcp:x:1",
            "PX4, system 7, is not heard any more at tcp:x:1",
            "ArduPilot copter, system 8, is heard at tcp:x:1",
        ]


@virtual
async def test_mv_42_telemetry_is_read_from_the_autopilot_alone() -> None:
    sender, other = link(1), link(2)
    battery = [
        pack(each, dialect().MAVLink_sys_status_message(0, 0, 0, 0, 12_600, 100, left, 0, 0, 0, 0, 0, 0))
        for each, left in ((sender, 80), (other, 10))
    ]
    place = pack(
        sender, dialect().MAVLink_global_position_int_message(5, 470_000_000, 80_000_000, 1, 2_000, 3, 4, 5, 6)
    )
    async with flown(heartbeat(sender, armed=True), *battery, place) as found:
        assert found.vehicle.armed
        told = {type(each): each for each in found.vehicle.telemetry()}
        assert told[Battery] == Battery(80, 12_600, 1_000, 0)
        state = told[FlightState]
        assert isinstance(state, FlightState)
        assert (state.armed, state.latitude_deg_e7, state.height_mm) == (True, 470_000_000, 2_000)


@virtual
async def test_mv_43_a_flight_is_what_came_while_the_motors_might_turn() -> None:
    sender = link()
    ground, up, down = heartbeat(sender), heartbeat(sender, armed=True), heartbeat(sender)
    ping = pack(sender, dialect().MAVLink_ping_message(1, 2, 3, 4))
    async with flown(ground, ping, up) as found:
        await trio.sleep(1.5)
        found.port.take(ping)
        assert found.flights == []
        found.port.take(down)
        found.port.take(ping)
        assert found.flights == [[FlightFrame(0.0, up), FlightFrame(1.5, ping), FlightFrame(1.5, down)]]
        await trio.sleep(1)
        found.port.take(up)
        found.port.take(down)
        assert found.flights[1:] == [[FlightFrame(0.0, up), FlightFrame(0.0, down)]]


def test_mv_43_a_long_flight_is_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_PART_BYTES", 3 * (live.FRAME_COST_BYTES + 21))

    @virtual
    async def run() -> None:
        sender = link()
        up, down = heartbeat(sender, armed=True), heartbeat(sender)
        assert len(up) == 21
        async with flown(*[up] * 7, down) as found:
            assert [[frame.data for frame in part] for part in found.flights] == [[up] * 3, [up] * 3, [up, down]]
            assert [part[0].time_s for part in found.flights] == [0.0] * 3

    run()


@pytest.mark.parametrize("code", CommandCode)
def test_mv_44_what_brings_it_down_is_passed_on(code: CommandCode) -> None:
    @virtual
    async def run() -> None:
        async with flown() as found:
            expected = Result.NOT_NOW if code in PASSED_ON else Result.UNSUPPORTED
            assert found.vehicle.command(code).result is expected
            found.port.take(heartbeat(autopilot=PX4, armed=True))
            answer = found.vehicle.command(code)
            if code in PASSED_ON:
                assert answer == Answer(Result.STARTED)
                assert await found.commands() == [PASSED_ON[code]]
            else:
                assert answer == Answer(Result.UNSUPPORTED, "a ground station commands this autopilot")
                assert await found.commands() == []

    run()


@virtual
async def test_mv_44_45_the_rest_is_a_ground_stations() -> None:
    async with flown(heartbeat()) as found:
        craft = Craft(found.vehicle, CameraStand())
        assert craft.go_to(GoTo(1, 2, 3)).result is Result.UNSUPPORTED
        assert craft.change_settings(ChangeSettings(b"\x80")).result is Result.UNSUPPORTED
        assert craft.control_camera(CameraControl(CameraAction.TAKE_PHOTO, 0, 100)).result is Result.UNSUPPORTED
        craft.steer(Sticks(1, 2, 3, 4))
        assert await found.commands() == []
        assert craft.telemetry() == []
        craft.take_mavlink(heartbeat())
        assert craft.mavlink_frames == len(found.port.sent) == 1


@virtual
async def test_the_failsafe_commands_the_autopilot() -> None:
    async with flown(heartbeat(autopilot=PX4, armed=True)) as found:
        found.vehicle.hold()
        assert await found.commands() == [176]
        found.vehicle.return_home()
        assert await found.commands() == [20]
        found.vehicle.land()
        assert await found.commands() == [21]


@virtual
async def test_mv_51_a_return_goes_on() -> None:
    async with flown(heartbeat(autopilot=PX4, armed=True, mode=4 << 16 | 5 << 24)) as found:
        found.vehicle.hold()
        found.vehicle.land()
        assert await found.commands() == []
        assert found.vehicle.command(CommandCode.LAND) == Answer(Result.STARTED)  # somebody says so
        assert await found.commands() == [21]


@virtual
async def test_mv_52_a_failsafe_that_is_off_says_nothing() -> None:
    async with flown(heartbeat(armed=True), commands=False) as found:
        found.vehicle.hold()
        found.vehicle.return_home()
        assert await found.commands() == []
        found.vehicle.command(CommandCode.RETURN_HOME)
        assert await found.commands() == [20]


@virtual
async def test_mv_35_what_waits_does_not_wait_before_the_failsafe() -> None:
    async with flown(heartbeat(armed=True)) as found:
        found.vehicle.take_mavlink(heartbeat(link(255)))
        found.vehicle.return_home()
        await trio.testing.wait_all_tasks_blocked()
        assert len(found.port.sent) == 2
        assert found.port.dropped == 1  # before ours


@virtual
async def test_mv_35_who_flies_no_more_has_nothing_on_the_way() -> None:
    async with flown() as found:
        found.vehicle.take_mavlink(heartbeat(link(255)))
        Craft(found.vehicle, CameraStand()).drop_waiting()
        assert found.port.dropped == 1


@virtual
async def test_mv_51_what_the_failsafe_has_begun_ends_when_the_autopilot_returns_by_itself() -> None:
    async with flown(heartbeat(armed=True)) as found:
        found.vehicle.hold()
        await trio.testing.wait_all_tasks_blocked()
        assert len(found.port.sent) == 1
        found.port.take(heartbeat(armed=True, mode=6))
        await trio.sleep(10)
        assert len(found.port.sent) == 1
