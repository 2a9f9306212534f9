"""``aerolink tunnel`` as processes: the end beside an autopilot, the end beside ground stations; what must be equal.

Of a tunnel tests know where a vehicle waits and where ground stations speak to, all of them ports of the loopback.
"""

import hashlib
import subprocess
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes import Endpoint
from tests.helpers.netns import Namespace
from tests.live.autopilot import Autopilot
from tests.live.groundstations import LIMIT_S, GroundStation
from tests.live.kit import state_with_key
from tests.live.processes import COMMAND, DH, Life, Node, free_ports, introduce, shown_if_failed, until

LOOPBACK: Final = "127.0.0.1"


@dataclass
class TunnelEnd(Node):
    """One end; its stdin stays open, for a person who has yet to type."""

    inside: Namespace | None = None
    """Where it runs."""

    def start(self, *options: str, typed: str = "", as_json: bool = True) -> Life:
        number = len(self.lives)
        out, err = self.folder / f"out.{number}", self.folder / f"err.{number}"
        end = "drone" if self.role == "drone" else "ground"
        enter = ["nsenter", f"--net=/proc/{self.inside.pid}/ns/net"] if self.inside else []
        command = [*enter, *COMMAND, "tunnel", end, "--config", str(self.config), *options, *(["--json"] * as_json)]
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out_file, stderr=err_file)
        self.lives.append(Life(process, out, err, as_json))
        self.type(typed)
        return self.now

    def type(self, text: str) -> None:
        """Type into its terminal."""
        stdin = self.now.process.stdin
        assert stdin
        stdin.write(text.encode())
        stdin.flush()

    def leave(self) -> None:
        """Let go of its terminal."""
        for life in self.lives:
            if life.process.stdin:
                life.process.stdin.close()


@dataclass
class Tunnel:
    """Both ends, and their outer sides."""

    drone: TunnelEnd
    ground: TunnelEnd
    autopilot: int
    """Where the drone's end speaks to its autopilot; UDP."""
    stations: int
    """Where the ground's end waits for stations; UDP."""
    tcp: int
    """The same for TCP."""

    def start(self) -> "Tunnel":
        self.drone.start()
        self.ground.start()
        return self

    def rights(self) -> list[str]:
        """Who may fly, as the drone has told the ground's end: each change; empty for nobody."""
        return [note["flight_id"] for note in self.ground.now.notes if note.get("event") == "RightsTold"]

    async def told(self) -> None:
        """Wait until the ground's end knows that it may not fly, and what only asks goes up."""
        with trio.fail_after(LIMIT_S):
            await until(lambda: self.rights() == [""], self.drone, self.ground)

    async def flies(self) -> None:
        """Wait until the ground's end knows that it may fly, and everything goes up."""
        with trio.fail_after(LIMIT_S):
            await until(lambda: any(self.rights()[-1:]), self.drone, self.ground)


def configured(
    folder: Path,
    *,
    fly: bool = True,
    station: Endpoint | None = None,
    vehicle_calls: bool = False,
    link: Endpoint | None = None,
    via: Endpoint | None = None,
) -> Tunnel:
    """Make two ends that do not know each other.

    ``station``: the one ground station, which waits to be spoken to; else they speak to the tunnel first.
    ``vehicle_calls``: so does the vehicle; else it waits. ``link``: where the drone's end is. ``via``: what the
    ground's end takes for it.
    """
    autopilot, stations, tcp, free = free_ports(4)
    link = link or Endpoint(LOOPBACK, free)
    drone, ground = TunnelEnd("drone", folder / "drone"), TunnelEnd("rc", folder / "ground")
    for end in (drone, ground):
        end.folder.mkdir()
    drone.config.write_text(
        f'[node]\nrole = "drone"\n[link]\nlisten = "{link}"\n'
        f'[mavlink]\nports = ["{"udpin" if vehicle_calls else "udpout"}:{LOOPBACK}:{autopilot}"]\n'
    )
    waiting = f'"udpin:{LOOPBACK}:{stations}", "tcpin:{LOOPBACK}:{tcp}"'
    calling = f'"udpout:{station}"'
    ground.config.write_text(
        f'[node]\nrole = "rc"\n[link]\nconnect = "{via or link}"\n[ground]\nlisten = "{LOOPBACK}:0"\n'
        f"[mavlink]\nports = [{calling if station else waiting}]\nfly = {str(fly).lower()}\n"
    )
    return Tunnel(drone, ground, autopilot, stations, tcp)


def acquaint(tunnel: Tunnel) -> Tunnel:
    """Write the pairing that a linking code would have made."""
    _introduce(tunnel.drone.state, tunnel.ground.state)
    return tunnel


def acquaint_with_others(tunnel: Tunnel) -> Tunnel:
    """Pair each end, but not with the other."""
    for end in (tunnel.drone, tunnel.ground):
        other = end.folder / "other"
        _introduce(*((end.state, other) if end.role == "drone" else (other, end.state)))
    return tunnel


def _introduce(drone: Path, rc: Path) -> None:
    states = {"drone": state_with_key(drone, DH), "rc": state_with_key(rc, DH)}
    introduce(states)
    for state in states.values():
        state.close()


@contextmanager
def ending(tunnel: Tunnel) -> Generator[Tunnel]:
    """End both ends afterwards, and show what they said if the block has failed."""
    try:
        with shown_if_failed(tunnel.drone, tunnel.ground):
            yield tunnel
    finally:
        tunnel.drone.leave()
        tunnel.ground.leave()


# --- what must be equal -------------------------------------------------------------------------


def digest(frames: Iterable[bytes]) -> tuple[int, str]:
    """How many bytes, and their hash: two records in short."""
    whole = b"".join(frames)
    return len(whole), hashlib.sha256(whole).hexdigest()


def check_same(what: str, came: Sequence[bytes], said: Sequence[bytes]) -> None:
    """Compare two records; what differs is said in frames."""
    if digest(came) != digest(said):
        lost = [number for number, frame in enumerate(said) if frame not in came]
        strange = [number for number, frame in enumerate(came) if frame not in said]
        raise AssertionError(f"{what}: {len(came)} of {len(said)} frames; lost {lost}, not said {strange}")


def system_of(frame: bytes) -> int:
    """Who has sent a frame (https://mavlink.io/en/guide/serialization.html)."""
    return frame[3] if frame[0] == 0xFE else frame[5]


def size(frames: Iterable[bytes]) -> int:
    return sum(map(len, frames))


def check_equal_bytes(vehicle: Autopilot, *stations: GroundStation) -> None:
    """Let all fall silent, take what is on its way, and compare: everything, in order, nothing else."""
    vehicle.hush()
    for station in stations:
        heard = station.wire.received
        with suppress(TimeoutError):
            station.listen(partial(_holds_all, heard, vehicle.wire.sent), beats=False)
        check_same(f"what station {station.wire.system} heard", heard, vehicle.wire.sent)
    with suppress(TimeoutError):
        vehicle.listen(lambda: size(vehicle.wire.received) >= sum(size(each.wire.sent) for each in stations), LIMIT_S)
    for station in stations:
        came = [frame for frame in vehicle.wire.received if system_of(frame) == station.wire.system]
        check_same(f"what the vehicle heard of station {station.wire.system}", came, station.wire.sent)


def _holds_all(came: list[bytes], said: list[bytes]) -> bool:
    return size(came) >= size(said)
