"""``aerolink node`` as processes: four nodes with folders of their own, provisioned by hand, killed and started again.

What a node says is read from the file that its stdout goes to, so nothing that it said before a kill is lost.
"""

import json
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from nodes.flight.container import encode_flight
from nodes.flight.source import FlightFrame
from nodes.pki.authority import DeviceAuthority
from nodes.pki.credentials import DeviceCredentials
from nodes.stations.openings import LOGS, PKI
from nodes.stores.logspool import LogSpool
from nodes.stores.spoolrules import SpoolLimits
from nodes.stores.statedir import StateDir
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.suites import DEFAULT_SUITE
from protocols.link.peers import PeerRecord, PeerState
from protocols.sealing import CloudKey, LogSealer, seal_log
from specs.registry import Role
from tests.live.kit import state_with_key

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
ROLES: Final = ("drone", "rc", "mobile", "cloud")
DH: Final = DEFAULT_SUITE.dh
_POLL_S: Final = 0.01
_END_S: Final = 10.0
"""For a node that was asked to end."""
PAIRS: Final = (("rc", "drone"), ("mobile", "rc"), ("mobile", "drone"), ("cloud", "drone"))
"""Who goes to whom: the four links but HTTPS."""


# --- one process --------------------------------------------------------------------------------


@dataclass
class Life:
    """A node from its start to its end."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    as_json: bool
    began_s: float = field(default_factory=time.monotonic)
    _asked: bool = False
    _read: int = 0
    _notes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What it has said with --json, whole lines; ``at_s``: when that was seen here, since its start."""
        with self.out.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        for line in whole.splitlines():
            self._notes.append(json.loads(line) | {"at_s": time.monotonic() - self.began_s})
        self._read += len(whole) + 1 if whole else 0
        return self._notes

    @property
    def errors(self) -> str:
        return self.err.read_text()

    @property
    def output(self) -> str:
        """Everything, as it came."""
        return self.out.read_text()

    def texts(self) -> list[str]:
        """Lines of things that have happened."""
        return [note["text"] for note in self.notes if note.get("event") == "Line"]

    def links(self, name: str) -> list[float]:
        """When a link of this name came up."""
        return [note["at_s"] for note in self.notes if note.get("event") == "LinkIsUp" and note["link"] == name]

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        self.process.kill()
        self.process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM, once: a second one would end it at once."""
        if self.is_running and not self._asked:
            self.process.terminate()
        self._asked = True

    def end(self) -> int:
        """SIGTERM, once, and SIGKILL if that does not help; its exit code."""
        self.ask_to_end()
        try:
            return self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()


@dataclass
class Node:
    """A role with its folder, which outlives its processes."""

    role: str
    folder: Path
    lives: list[Life] = field(default_factory=list[Life])

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def now(self) -> Life:
        return self.lives[-1]

    def start(self, *options: str, typed: str = "", as_json: bool = True) -> Life:
        """Begin a life; ``typed`` comes over stdin."""
        number = len(self.lives)
        out, err = self.folder / f"out.{number}", self.folder / f"err.{number}"
        command = [*COMMAND, "node", self.role, "--config", str(self.config), *options, *(["--json"] * as_json)]
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out_file, stderr=err_file)
        assert process.stdin
        with process.stdin:
            process.stdin.write(typed.encode())
        self.lives.append(Life(process, out, err, as_json))
        return self.now

    def kill(self) -> None:
        assert self.now.is_running, f"the {self.role} has ended by itself: {self.now.errors}"
        self.now.kill()

    def shown(self) -> str:
        """All that it said, for whoever looks why a test has failed."""
        parts = [
            f"--- {self.role}, life {number}, {life.process.returncode}\n{life.output}{life.errors}"
            for number, life in enumerate(self.lives)
        ]
        return "\n".join(parts)


@contextmanager
def shown_if_failed(*nodes: Node) -> Generator[None]:
    """End every process of the nodes, and show what they said if the block has failed."""
    failed = True
    try:
        yield
        failed = False
    finally:
        lives = [life for node in nodes for life in node.lives]
        for life in lives:
            life.ask_to_end()
        for life in lives:
            life.end()
        if failed:
            for node in nodes:
                sys.stdout.write(node.shown() + "\n")


async def until(condition: Callable[[], bool], *nodes: Node) -> None:
    """Wait for something that has no event; at once an error if a node has ended meanwhile.

    What the nodes say is read all the while, so that the times at which it was seen are about right.
    """
    while True:
        for node in nodes:
            if node.now.as_json:
                _ = node.now.notes
        if condition():
            return
        for node in nodes:
            assert node.now.is_running, f"the {node.role} has ended by itself: {node.now.errors}"
        await trio.sleep(_POLL_S)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody has, UDP or TCP, below those that the system gives to clients."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(12_000, 32_000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found


# --- four of them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ports:
    drone: int
    rc: int
    cloud: int
    enrolment: int

    @classmethod
    def free(cls) -> "Ports":
        return cls(*free_ports(4))


def configure(folder: Path, ports: Ports, extra: str = "") -> dict[str, Node]:
    """Make four folders with their configurations; ``extra`` stands in each."""
    where = "127.0.0.1"
    tables = {
        "drone": f'[link]\nlisten = "{where}:{ports.drone}"\n[flight]\nmodel = true\n',
        "rc": f'[link]\nconnect = "{where}:{ports.drone}"\n[ground]\nlisten = "{where}:{ports.rc}"\n',
        "mobile": (
            f'[ground]\nconnect = "{where}:{ports.rc}"\n'
            f'[cloud]\nconnect = "{where}:{ports.cloud}"\nenrolment = "{where}:{ports.enrolment}"\n'
        ),
        "cloud": f'[cloud]\nlisten = "{where}:{ports.cloud}"\nenrolment = "{where}:{ports.enrolment}"\n',
    }
    nodes = {role: Node(role, folder / role) for role in ROLES}
    for role, node in nodes.items():
        node.folder.mkdir(mode=0o700)
        node.config.write_text(f'[node]\nrole = "{role}"\n{tables[role]}{extra}')
    return nodes


@dataclass(frozen=True)
class Chain:
    """Four nodes that know each other, and a flight that the drone has sealed."""

    nodes: dict[str, Node]
    drone_id: bytes
    flight_id: bytes
    frames: list[FlightFrame]
    sealed_sha256: bytes
    sealed_bytes: int

    def __getitem__(self, role: str) -> Node:
        return self.nodes[role]

    def all(self) -> list[Node]:
        return list(self.nodes.values())


async def provision(folder: Path, frames: list[FlightFrame], extra: str = "") -> Chain:
    """Do what persons with codes and tokens would, and put a sealed flight into the drone's folder."""
    nodes = configure(folder, Ports.free(), extra)
    states = {role: state_with_key(node.state, DH) for role, node in nodes.items()}
    try:
        ids = introduce(states)
        await _enrol(nodes)
        cloud_key = await states["cloud"].cloud_sealing.newest_key()
        drone_keys = states["drone"].drone_sealing
        signing = await drone_keys.signing_keys()
        await drone_keys.pin_cloud_key(CloudKey(ids["cloud"], cloud_key.public))
        await states["cloud"].cloud_sealing.pin_drone(signing.verifying(ids["drone"]))
    finally:
        for state in states.values():
            state.close()
    flight_id = secrets.token_bytes(16)
    sealer = LogSealer(
        drone_id=ids["drone"],
        flight_id=flight_id,
        cloud_public=cloud_key.public,
        signing=signing,
        entropy=secrets.token_bytes,
    )
    sealed = await trio.to_thread.run_sync(seal_log, encode_flight(frames), sealer)
    with LogSpool.open(nodes["drone"].state / LOGS, SpoolLimits(10**9, keep_handed_over=True)) as logs:
        writer = await logs.create()
        await writer.write(sealed)
        entry = await writer.finish()
    return Chain(nodes, ids["drone"], flight_id, frames, entry.sha256, entry.size_bytes)


def introduce(states: dict[str, StateDir]) -> dict[str, bytes]:
    """Write the pairings that linking codes would have made between these roles; return the key ids."""
    keys = {role: state.key_files.load(DH) for role, state in states.items()}
    pairs = [pair for pair in PAIRS if set(pair) <= states.keys()]
    initiators = {initiator for initiator, _ in pairs}
    epochs = {role: states[role].counter_file.reserve(DH, 1, create=True).epoch for role in initiators}
    for initiator, responder in pairs:
        secret = secrets.token_bytes(32)
        states[responder].peer_files.put(_record(keys[initiator], initiator, secret))
        states[initiator].peer_files.put(_record(keys[responder], responder, secret, epochs[initiator]))
    return {role: key_id_of(DH, key.public) for role, key in keys.items()}


def _record(key: SoftwareKey, role: str, secret: bytes, epoch: bytes = b"") -> PeerRecord:
    key_id = key_id_of(DH, key.public)
    return PeerRecord(key_id, key.public, DH, Role[role.upper()], secret, PeerState.PAIRED, 0, epoch)


async def _enrol(nodes: dict[str, Node]) -> None:
    """Give the mobile a certificate of the cloud, without a connection."""
    authority = await DeviceAuthority.open(nodes["cloud"].state / PKI, ["127.0.0.1", "localhost"], time.time())
    credentials = await DeviceCredentials.open(nodes["mobile"].state / PKI)
    try:
        token = await authority.make_token(time.time(), name="mobile")
        issued = await authority.enrol(token.text(), await credentials.request(), time.time())
        await credentials.accept(issued.certificate_der, issued.ca_der, token)
    finally:
        await credentials.aclose()
        await authority.aclose()


@asynccontextmanager
async def running(chain: Chain) -> AsyncGenerator[Chain]:
    """Start all four; end them in any case."""
    with shown_if_failed(*chain.all()):
        for node in chain.all():
            node.start()
        yield chain
