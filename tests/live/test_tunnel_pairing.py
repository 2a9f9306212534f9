"""``aerolink tunnel`` as two persons start it for the first time: a key, a code, and then frames; nothing before."""

import os
import select
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import trio

from nodes.stores.statedir import StateDir
from protocols.crypto.suites import DEFAULT_SUITE
from tests.helpers.mavlink import heartbeat, link
from tests.live.groundstations import LIMIT_S
from tests.live.processes import COMMAND, until
from tests.live.tunnels import LOOPBACK, configured, ending

DOWN, UP = heartbeat(), heartbeat(link(255, 190))


def received(sock: socket.socket) -> set[bytes]:
    """Datagrams that are there."""
    found: set[bytes] = set()
    while True:
        try:
            found.add(sock.recv(1_000))
        except BlockingIOError:
            return found
        except ConnectionRefusedError:  # its port is not open yet
            continue


async def talk(vehicle: socket.socket, station: socket.socket) -> tuple[set[bytes], set[bytes]]:
    """Let both say something, and return what came to each."""
    for sock, frame in ((vehicle, DOWN), (station, UP)):
        with suppress(ConnectionRefusedError):
            sock.send(frame)
    await trio.sleep(0.05)
    return received(vehicle), received(station)


async def test_the_first_start_makes_keys_asks_for_a_code_and_goes_on(tmp_path: Path) -> None:
    made = configured(tmp_path, vehicle_calls=True)
    with (
        ending(made) as tunnel,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as vehicle,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as station,
        trio.fail_after(LIMIT_S),
    ):
        for sock, port in ((vehicle, tunnel.autopilot), (station, tunnel.stations)):
            sock.setblocking(False)
            sock.connect((LOOPBACK, port))
        drone, ground = tunnel.drone.start(), tunnel.ground.start()
        await until(lambda: any(note["event"] == "code" for note in drone.notes), tunnel.drone)
        await until(lambda: bool(ground.texts()), tunnel.ground)
        code = next(note for note in drone.notes if note["event"] == "code")
        assert (code["for"], len(code["key_id"])) == ("rc", 32)
        for _ in range(5):
            assert await talk(vehicle, station) == (set(), set())
        tunnel.ground.type(code["code"] + "\n")
        came = await talk(vehicle, station)
        while came != ({UP}, {DOWN}):
            assert came[0] <= {UP}
            assert came[1] <= {DOWN}
            came = await talk(vehicle, station)
        for life in (drone, ground):
            assert "made a key for this device" in life.texts()[0]
            assert life.end() == 143
        tunnel.start()  # from now on nobody is asked
        while await talk(vehicle, station) != ({UP}, {DOWN}):
            await trio.lowlevel.checkpoint()
        assert not any(note["event"] == "code" for note in tunnel.drone.now.notes)


def test_ctrl_c_at_the_prompt_ends_it_in_order(tmp_path: Path) -> None:
    made = configured(tmp_path)
    master, slave = os.openpty()
    command = [*COMMAND, "tunnel", "ground", "--config", str(made.ground.config)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True) as process:
        try:
            said = said_until(master, b"Linking code that the drone shows")
            assert b"made a key for this device" in said
            interrupt(process, master)
            assert said_until(master, b"interrupted").split() == [b"aerolink:", b"interrupted"]
            assert process.wait(LIMIT_S) == 130
        finally:
            process.kill()
            os.close(slave)
            os.close(master)
    with StateDir.open(made.ground.state) as state:  # nothing of it is locked, and the key is there
        assert state.key_files.exists(DEFAULT_SUITE.dh)


def interrupt(process: "subprocess.Popen[bytes]", terminal: int) -> None:
    """Press Ctrl-C, and again if nothing happens: readline does not see one that comes just before it waits."""
    assert os.read(terminal, 2) == b": "
    for _ in range(round(LIMIT_S)):
        process.send_signal(signal.SIGINT)
        if select.select([terminal], [], [], 1.0)[0]:
            return


def said_until(terminal: int, words: bytes) -> bytes:
    """What a program says, up to these words."""
    said = b""
    while words not in said:
        ready, _, _ = select.select([terminal], [], [], LIMIT_S)
        assert ready, said
        said += os.read(terminal, 1)
    return said
