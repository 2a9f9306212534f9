"""MAVLink ports over loopback and pseudo-terminals (specs/11-mavlink.md, 11.1 and 11.3)."""

import itertools
import os
import socket
import struct
import termios
import tty
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from nodes.config.mavlink import MavlinkEndpoint, parse_mavlink_endpoint
from nodes.mavlink import tcp, udp
from nodes.mavlink.opening import open_ports
from nodes.mavlink.port import MAX_PEERS, RECEIVE_BYTES, MavlinkPort
from nodes.mavlink.queue import MAX_QUEUE_BYTES
from protocols.errors import ConfigError
from protocols.mavlink import MAX_FRAME_BYTES
from tests.helpers.mavlink import UNKNOWN_ID, by_hand, heartbeat, link
from tests.live.kit import DEADLINE_S, one_line, until

HOST = "127.0.0.1"
FRAME = heartbeat()
OTHER = heartbeat(link(255, 190))


def numbered(count: int, size: int = 40) -> list[bytes]:
    return [by_hand(UNKNOWN_ID, struct.pack("<I", number) + bytes(size - 5) + b"x", 7) for number in range(count)]


@dataclass
class Running:
    """A port at work."""

    port: MavlinkPort
    came: list[bytes]
    lines: list[str]

    @property
    def at(self) -> tuple[str, int]:
        where = self.port.where.where
        assert where
        return where.host, where.port


@asynccontextmanager
async def running(text: str) -> AsyncGenerator[Running]:
    lines: list[str] = []
    with trio.fail_after(DEADLINE_S):
        async with open_ports([parse_mavlink_endpoint(text)], lines.append) as (port,), trio.open_nursery() as nursery:
            found = Running(port, [], lines)
            nursery.start_soon(port.run, found.came.append)
            yield found
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def udp_socket(target: tuple[str, int] | None = None) -> AsyncGenerator[trio.socket.SocketType]:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        if target:
            await sock.connect(target)
        yield sock


async def fails(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        async with open_ports([parse_mavlink_endpoint(text)], lambda _: None):
            pass
    return one_line(caught.value)


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "sock_type"), [("udpin", socket.SOCK_DGRAM), ("tcpin", socket.SOCK_STREAM)])
async def test_mv_2_a_port_in_use(kind: str, sock_type: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, sock_type) as other:
        other.bind((HOST, 0))
        if sock_type is socket.SOCK_STREAM:
            other.listen()
        assert "the port is in use" in await fails(f"{kind}:{HOST}:{other.getsockname()[1]}")


@pytest.mark.parametrize("kind", ["udpin", "udpout", "tcp", "tcpin"])
async def test_mv_2_a_name_that_nobody_has(kind: str) -> None:
    assert "no such host" in await fails(f"{kind}:nobody.invalid:14550")


async def test_mv_2_a_device_that_is_not_there(tmp_path: Path) -> None:
    assert "no such device" in await fails(f"serial:{tmp_path}/ttyACM0:57600")
    (tmp_path / "file").write_bytes(b"no terminal")
    assert "cannot be opened as a serial device" in await fails(f"serial:{tmp_path}/file:57600")


async def test_mv_2_nothing_stays_open_when_a_later_port_fails() -> None:
    free = socket.socket()
    free.bind((HOST, 0))
    number = free.getsockname()[1]
    free.close()
    ends = [parse_mavlink_endpoint(f"tcpin:{HOST}:{number}"), parse_mavlink_endpoint("tcpin:nobody.invalid:1")]
    with pytest.raises(ConfigError):
        async with open_ports(ends, lambda _: None):
            pass
    async with running(f"tcpin:{HOST}:{number}") as one:
        assert one.at == (HOST, number)


async def test_mv_1_a_port_is_open_where_it_was_written() -> None:
    async with running(f"udpin:{HOST}:0") as one:
        assert one.at[0] == HOST
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.2", one.at[1]))  # free: nobody has taken every address


# --- UDP ------------------------------------------------------------------------------------------


async def test_mv_4_everybody_who_sent_a_frame_is_answered_and_nobody_else() -> None:
    async with running(f"udpin:{HOST}:0") as one, udp_socket(one.at) as a, udp_socket(one.at) as b:
        one.port.send(FRAME)
        assert one.port.counters.dropped == 1
        async with udp_socket(one.at) as stranger:
            await stranger.send(b"hello\n")
            for sock in (a, b):
                await sock.send(OTHER)
            await until(lambda: one.port.peers == 2)
            assert one.came == [OTHER, OTHER]
            one.port.send(FRAME)
            assert [await a.recv(1_000), await b.recv(1_000)] == [FRAME, FRAME]
            assert one.port.counters.skipped_bytes == 6
            with socket.socket(fileno=os.dup(stranger.fileno())) as raw, pytest.raises(BlockingIOError):
                raw.recv(1_000, socket.MSG_DONTWAIT)


def test_mv_4_a_sender_is_forgotten_after_a_minute_and_their_number_is_bounded() -> None:
    async def main() -> None:
        end = parse_mavlink_endpoint(f"udpin:{HOST}:0")
        async with open_ports([end], lambda _: None) as (port,):
            assert isinstance(port, udp.UdpIn)

            def hear(number: int, data: bytes) -> None:
                port.take_datagram_untrusted(data, (HOST, number), lambda _: None)

            for number in range(MAX_PEERS - 1):
                hear(number + 1, FRAME)
            hear(1_000, b"garbage")
            hear(1_001, FRAME)  # in the place of who sent no frame
            assert (port.peers, port.counters.strangers) == (MAX_PEERS, 0)
            hear(1_002, FRAME)
            assert (port.peers, port.counters.strangers) == (MAX_PEERS, 1)
            await trio.sleep(udp.FORGET_S - 1)
            hear(1, FRAME)
            hear(2, b"garbage")  # no frame: it does not count
            await trio.sleep(2)
            assert port.peers == 1
            hear(1_002, FRAME)
            assert (port.peers, port.counters.strangers) == (2, 1)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_mv_10_a_bridge_may_cut_frames_over_datagrams() -> None:
    async with running(f"udpin:{HOST}:0") as one, udp_socket(one.at) as bridge:
        data = FRAME + OTHER + FRAME
        for part in (data[:5], data[5:40], data[40:]):
            await bridge.send(part)
        await until(lambda: len(one.came) == 3)
        assert one.came == [FRAME, OTHER, FRAME]


async def test_udpout_speaks_first_and_hears_nobody_else() -> None:
    async with udp_socket() as station, udp_socket() as stranger:
        host, number = station.getsockname()
        async with running(f"udpout:{host}:{number}") as one:
            one.port.send(FRAME)
            data, where = await station.recvfrom(1_000)
            assert data == FRAME
            await stranger.sendto(OTHER, where)
            await station.sendto(FRAME, where)
            await until(lambda: bool(one.came))
            assert one.came == [FRAME]


async def test_mv_3_udpout_goes_on_when_nobody_is_there_yet() -> None:
    async with udp_socket() as station:
        host, number = station.getsockname()
    async with running(f"udpout:{host}:{number}") as one:
        for _ in range(3):
            one.port.send(FRAME)
            await trio.sleep(0.01)
        await until(lambda: bool(one.lines))
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            await late.bind((host, number))
            one.port.send(OTHER)
            data, where = await late.recvfrom(1_000)
            while data != OTHER:
                data, where = await late.recvfrom(1_000)
            await late.sendto(FRAME, where)
            await until(lambda: bool(one.came))
        assert one.lines == [
            f"{one.port.endpoint}: {why}" for why in ("nobody listens there; trying again", "works again")
        ]


async def test_mv_14_24_a_burst_arrives_whole_one_frame_a_datagram() -> None:
    frames = numbered(2_000)
    got: list[bytes] = []

    async def read(sock: trio.socket.SocketType) -> None:
        while len(got) < len(frames):
            got.append(await sock.recv(2_000))

    async with running(f"udpin:{HOST}:0") as one, udp_socket(one.at) as station:
        await station.send(OTHER)
        await until(lambda: one.port.peers == 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, station)
            for frame in frames:
                one.port.send(frame)
        assert got == frames
        assert (one.port.counters.sent, one.port.counters.dropped) == (len(frames), 0)


async def test_mv_25_marks_and_nothing_else_do_not_hold_up_others() -> None:
    """A datagram of 60,000 marks is a third of a second's work."""
    steps = [0]

    async def watch(one: Running) -> None:
        while not one.came:
            steps.append(one.port.counters.skipped_bytes)
            await trio.lowlevel.checkpoint()

    async with running(f"udpin:{HOST}:0") as one, udp_socket(one.at) as sock, trio.open_nursery() as nursery:
        nursery.start_soon(watch, one)
        await sock.send(b"\xfe" * 60_000)
        await sock.send(bytes(MAX_FRAME_BYTES) + FRAME)
        await until(lambda: bool(one.came))
    gaps = [after - before for before, after in itertools.pairwise(steps)]
    assert sum(gaps) > 50_000
    assert max(gaps) <= 2 * RECEIVE_BYTES + MAX_FRAME_BYTES  # trio's tasks have their turns in any order


# --- TCP ------------------------------------------------------------------------------------------


async def test_mv_5_several_connections_and_a_bound() -> None:
    async with running(f"tcpin:{HOST}:0") as one:
        streams = [await trio.open_tcp_stream(*one.at) for _ in range(MAX_PEERS)]
        await until(lambda: one.port.peers == MAX_PEERS)
        async with await trio.open_tcp_stream(*one.at) as more:
            assert await more.receive_some() == b""
        assert one.port.counters.strangers == 1
        await streams[0].send_all(OTHER)
        await until(lambda: one.came == [OTHER])
        one.port.send(FRAME)
        for stream in streams:
            assert await stream.receive_some() == FRAME
            await stream.aclose()
        await until(lambda: one.port.peers == 0)
        one.port.send(FRAME)
        assert one.port.counters.dropped == 1


async def test_mv_20_22_who_does_not_read_holds_up_nobody() -> None:
    """One of two connections reads nothing; the other gets every frame in its order."""
    frames = numbered(20_000, 250)
    size = len(frames[0])
    got = bytearray()

    def has(count: int) -> bool:
        return len(got) >= count * size

    async def read(stream: trio.SocketStream) -> None:
        while not has(len(frames)):
            got.extend(await stream.receive_some())

    async with running(f"tcpin:{HOST}:0") as one:
        slow, quick = [await trio.open_tcp_stream(*one.at) for _ in range(2)]
        await until(lambda: one.port.peers == 2)
        async with slow, quick, trio.open_nursery() as nursery:
            nursery.start_soon(read, quick)
            for start in range(0, len(frames), 100):
                for frame in frames[start : start + 100]:
                    one.port.send(frame)
                await until(partial(has, start - 3_000))
        assert bytes(got) == b"".join(frames)
        assert one.port.counters.dropped * size > MAX_QUEUE_BYTES


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system cannot end such a connection")
async def test_mv_26_a_connection_that_acknowledges_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads nothing for as long is ended in the same way, which needs no network that goes away."""
    assert dict(tcp.ALIVE)["TCP_USER_TIMEOUT"] == 3_000
    monkeypatch.setattr(tcp, "ALIVE", (("TCP_USER_TIMEOUT", 300),))
    async with running(f"tcpin:{HOST}:0") as one, await trio.open_tcp_stream(*one.at) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await until(lambda: one.port.peers == 1)
        while one.port.peers:
            for frame in numbered(200, 250):
                one.port.send(frame)
            await trio.sleep(0.01)


async def test_mv_3_tcp_connects_again() -> None:
    lines: list[str] = []
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    number = listeners[0].socket.getsockname()[1]
    async with running(f"tcp:{HOST}:{number}") as one:
        for _ in range(2):
            autopilot = await listeners[0].accept()
            await until(lambda: one.port.peers == 1)
            await autopilot.send_all(FRAME)
            one.port.send(OTHER)
            assert await autopilot.receive_some() == OTHER
            await autopilot.aclose()
            await until(lambda: one.port.peers == 0)
            one.port.send(OTHER)
        await listeners[0].aclose()
        await until(lambda: "nobody listens" in one.lines[-1])
        lines = list(one.lines)
        assert one.came == [FRAME, FRAME]
        assert one.port.counters.dropped == 2
    assert [line.split(": ", 1)[1] for line in lines] == [
        "the other end has closed the connection; trying again",
        "works again",
        "the other end has closed the connection; trying again",
        "nobody listens there; trying again",
    ]


# --- serial ---------------------------------------------------------------------------------------


@dataclass
class Terminal:
    """A pseudo-terminal; its master is the autopilot, the path is what a user would name."""

    path: Path
    master: int = -1
    slave: int = -1
    streams: list[trio.lowlevel.FdStream] = field(default_factory=list[trio.lowlevel.FdStream])

    def plug(self) -> trio.lowlevel.FdStream:
        self.master, self.slave = os.openpty()
        tty.setraw(self.master)
        self.path.symlink_to(os.ttyname(self.slave))
        self.streams.append(trio.lowlevel.FdStream(self.master))
        return self.streams[-1]

    async def pull(self) -> None:
        self.path.unlink()
        os.close(self.slave)
        await self.streams[-1].aclose()
        self.slave = -1


@contextmanager
def terminal(folder: Path) -> Generator[Terminal]:
    found = Terminal(folder / "ttyACM0")
    yield found
    if found.slave >= 0:
        os.close(found.slave)


async def read_some(stream: trio.lowlevel.FdStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await stream.receive_some()
    return bytes(data)


async def test_mv_6_a_serial_line(tmp_path: Path) -> None:
    with terminal(tmp_path) as tty_:
        autopilot = tty_.plug()
        async with autopilot, running(f"serial:{tty_.path}:57600") as one:
            await autopilot.send_all(b"boot text\r\n" + FRAME[:4])
            await autopilot.send_all(FRAME[4:] + OTHER)
            await until(lambda: len(one.came) == 2)
            assert one.came == [FRAME, OTHER]
            await until(lambda: one.port.peers == 1)
            one.port.send(OTHER)
            assert await read_some(autopilot, len(OTHER)) == OTHER
            flags = termios.tcgetattr(tty_.slave)
            assert flags[4] == flags[5] == termios.B57600
            assert not flags[2] & (termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
            assert flags[2] & termios.CSIZE == termios.CS8
            assert "in use" in await fails(f"serial:{tty_.path}:57600")


async def test_mv_3_a_device_that_is_pulled_out_is_opened_again(tmp_path: Path) -> None:
    with terminal(tmp_path) as tty_:
        tty_.plug()
        async with running(f"serial:{tty_.path}:115200") as one:
            await until(lambda: one.port.peers == 1)
            await tty_.pull()
            await until(lambda: any("no such device" in line for line in one.lines))
            one.port.send(FRAME)
            assert one.port.counters.dropped == 1
            autopilot = tty_.plug()
            await until(lambda: one.port.peers == 1)
            async with autopilot:
                await autopilot.send_all(FRAME)
                await until(lambda: one.came == [FRAME])
                one.port.send(OTHER)
                assert await read_some(autopilot, len(OTHER)) == OTHER
        assert [line.split(": ", 1)[1] for line in one.lines[:3]] == [
            "the device has gone; trying again",
            "there is no such device; trying again",
            "works again",
        ]


async def test_mv_2_a_baud_rate_that_a_device_does_not_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Failed to set custom baud rate")

    monkeypatch.setattr("serial.Serial", refuse)
    assert "does not take that baud rate" in await fails(f"serial:{tmp_path}:1234567")


async def test_mv_2_a_device_that_goes_while_it_is_set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def gone(*_: object, **__: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr("serial.Serial", gone)
    assert "it cannot be opened" in await fails(f"serial:{tmp_path}:57600")


async def test_at_its_end_a_port_tells_what_has_passed() -> None:
    async with running(f"udpin:{HOST}:0") as one, udp_socket(one.at) as station:
        await station.send(b"noise" + OTHER)
        await until(lambda: one.port.peers == 1)
        one.port.send(FRAME)
        assert await station.recv(1_000) == FRAME
    assert one.lines == [f"udpin:{HOST}:0: 1 frames in, 1 out, 0 dropped; 5 bytes skipped, 0 bad checksums"]


def test_ports_are_said_as_they_are_written() -> None:
    for text in ("udpin:127.0.0.1:1", "tcp:[::1]:2", "serial:/dev/tty:S0:9600"):
        assert str(parse_mavlink_endpoint(text)) == text
        assert isinstance(parse_mavlink_endpoint(text), MavlinkEndpoint)
