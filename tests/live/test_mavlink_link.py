"""Live MAVLink from port to port: a drone with an autopilot, ground ends, a real link between them on the loopback."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from nodes.config import parse
from nodes.flight.mavlink import frame_checks
from nodes.stations.notes import Line, Note, RightsTold
from nodes.working import Errands, work
from protocols.mavlink import FrameSplitter
from protocols.mavlink.head import head_untrusted
from tests.helpers.mavlink import PX4, dialect, heartbeat, link, pack
from tests.live.kit import DEADLINE_S, state_with_key, until
from tests.live.processes import DH, free_ports, introduce

HOST = "127.0.0.1"
BURST = 2_000


@dataclass
class Wires:
    """Nodes at work; TCP to either end, so that nothing is lost outside of them."""

    folder: Path
    carrier: str = "udp"
    authority: str = ""
    rc_has_ports: bool = True
    ports: list[int] = field(default_factory=lambda: free_ports(5))
    notes: list[Note] = field(default_factory=list[Note])

    def __post_init__(self) -> None:
        states = {role: state_with_key(self.folder / role, DH) for role in ("drone", "rc", "mobile")}
        introduce(states)
        for state in states.values():
            state.close()

    @property
    def autopilot(self) -> int:
        return self.ports[1]

    @property
    def station(self) -> int:
        return self.ports[2]

    @property
    def phone(self) -> int:
        return self.ports[4]

    def configs(self) -> dict[str, str]:
        link_port, autopilot, station, ground, phone = self.ports
        linked = f'[link]\ncarrier = "{self.carrier}"\n'
        return {
            "drone": f'{linked}listen = "{HOST}:{link_port}"\n{self.authority}'
            f'[mavlink]\nports = ["tcpin:{HOST}:{autopilot}"]\n',
            "rc": f'{linked}connect = "{HOST}:{link_port}"\n[ground]\nlisten = "{HOST}:{ground}"\n'
            + f'[mavlink]\nports = ["tcpin:{HOST}:{station}"]\n' * self.rc_has_ports,
            "mobile": f'[ground]\nconnect = "{HOST}:{ground}"\n[cloud]\nenabled = false\n'
            f'[mavlink]\nports = ["tcpin:{HOST}:{phone}"]\n',
        }

    @asynccontextmanager
    async def at_work(self, *roles: str) -> AsyncGenerator[None]:
        async with trio.open_nursery() as nursery:
            for role in roles:
                head = f'[node]\nrole = "{role}"\nstate_dir = "{role}"\n'
                config = parse((head + self.configs()[role]).encode(), self.folder / "node.toml")
                nursery.start_soon(work, config, Errands(), self.notes.append)
            yield
            nursery.cancel_scope.cancel()

    async def flies(self, times: int = 1, who: str = "rc") -> None:
        """Wait until somebody has been told so many times that he may fly."""
        await until(lambda: self._told(who) >= times)

    def _told(self, who: str) -> int:
        return sum(isinstance(note, RightsTold) and note.node == who and bool(note.flight_id) for note in self.notes)

    async def told(self, words: str) -> str:
        def found() -> list[str]:
            return [note.text for note in self.notes if isinstance(note, Line) and words in note.text]

        await until(lambda: bool(found()))
        return found()[-1]


async def opened(number: int) -> trio.SocketStream:
    """A connection, as soon as somebody listens."""
    while True:
        try:
            return await trio.open_tcp_stream(HOST, number)
        except OSError:
            await trio.sleep(0.02)


class Reader:
    """What a stream has brought."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def run(self, stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            self.data += data

    def only(self, frame: bytes) -> bool:
        """Whether it was this frame, again and again."""
        return bytes(self.data) == frame * (len(self.data) // len(frame))


@asynccontextmanager
async def read(stream: trio.SocketStream) -> AsyncGenerator[Reader]:
    reader = Reader()
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(reader.run, stream)
        yield reader
        nursery.cancel_scope.cancel()


def parameters(count: int) -> list[bytes]:
    vehicle = link()
    return [
        pack(vehicle, dialect().MAVLink_param_value_message(f"P{number}".encode(), number, 9, count, number))
        for number in range(count)
    ]


async def beat(sender: trio.SocketStream, frame: bytes, *heard_by: Reader) -> None:
    """Send a frame again and again, until it has come at the other end: there may be no way yet."""
    marks = [len(each.data) for each in heard_by]
    while any(len(each.data) == mark for each, mark in zip(heard_by, marks, strict=True)):
        await sender.send_all(frame)
        await trio.sleep(0.05)


@pytest.mark.parametrize("carrier", ["udp", "tcp"])
async def test_mv_13_20_24_a_burst_arrives_whole_and_as_it_was(tmp_path: Path, carrier: str) -> None:
    wires, frames, hello = Wires(tmp_path, carrier), parameters(BURST), heartbeat()
    whole = b"".join(frames)
    with trio.fail_after(DEADLINE_S):
        async with wires.at_work("drone", "rc"):
            vehicle, a, b = [await opened(number) for number in (wires.autopilot, wires.station, wires.station)]
            async with vehicle, read(a) as first, read(b) as second:
                await beat(vehicle, hello, first, second)
                await vehicle.send_all(whole)
                await until(lambda: first.data.endswith(frames[-1]) and second.data.endswith(frames[-1]))
            for each in (first, second):
                assert bytes(each.data).replace(hello, b"") == whole


async def test_mv_20_23_what_is_sent_without_a_link_never_arrives(tmp_path: Path) -> None:
    wires, late, now = Wires(tmp_path), heartbeat(link(254, 190)), heartbeat(link(253, 190))
    with trio.fail_after(DEADLINE_S):
        async with wires.at_work("rc"), await opened(wires.station) as station:
            await station.send_all(late)
            async with wires.at_work("drone"), read(await opened(wires.autopilot)) as vehicle:
                await wires.flies()
                await beat(station, now, vehicle)
            for _ in range(20):
                await station.send_all(late)
            async with wires.at_work("drone"), read(await opened(wires.autopilot)) as again:
                await wires.flies(2)
                await beat(station, now, again)
            assert vehicle.only(now)
            assert again.only(now)


async def test_a_phone_behind_a_controller_is_a_ground_end_too(tmp_path: Path) -> None:
    """Frames come down by the controller, which may read them, and go up end to end, by it as well."""
    wires, down, up = Wires(tmp_path, rc_has_ports=False), heartbeat(), heartbeat(link(255, 190))
    with trio.fail_after(DEADLINE_S):
        async with wires.at_work("drone", "rc", "mobile"):
            vehicle, phone = await opened(wires.autopilot), await opened(wires.phone)
            async with read(vehicle) as at_vehicle, read(phone) as at_phone:
                await wires.flies(who="mobile")
                await beat(vehicle, down, at_phone)
                await beat(phone, up, at_vehicle)
            assert at_phone.only(down)
            assert at_vehicle.only(up)


async def test_the_failsafe_holds_and_then_brings_the_autopilot_home(tmp_path: Path) -> None:
    """And what was flown is a flight, as soon as the motors stop."""
    wires = Wires(tmp_path, authority="[authority]\nhold_after_s = 0.3\nact_after_s = 0.8\n")
    sender = link(7)
    flying, landed = heartbeat(sender, armed=True, autopilot=PX4), heartbeat(sender, autopilot=PX4)
    with trio.fail_after(DEADLINE_S):
        async with wires.at_work("drone"), await opened(wires.autopilot) as vehicle:
            async with wires.at_work("rc"):
                await wires.flies()
                await vehicle.send_all(flying)
            splitter = FrameSplitter(frame_checks())
            commands: list[int] = []
            while commands[-1:] != [20]:
                for frame in splitter.feed_untrusted(bytes(await vehicle.receive_some()), trio.current_time()):
                    head = head_untrusted(frame)
                    assert (head.system, head.component, head.message) == (7, 191, 76)
                    commands.append(int.from_bytes(head.payload[28:30], "little"))
            assert set(commands[:-1]) == {176}
            await vehicle.send_all(landed)
            await wires.told("a flight waits: no cloud has given a key")
