"""wireguard-go between two network namespaces, and ours over the same cable without it.

It is configured as its protocol for that says (a socket per interface); no other tool is needed. Without the program,
or the rights for namespaces, it is absent.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from socket import AF_UNIX
from typing import Final

import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.bench.harness.child import child, count_at, reading
from tests.bench.harness.crowd import DRONE, RC
from tests.bench.harness.model import AbsentError, Measure, Reading, Side

NAME: Final = "TCP through wireguard-go"
_PROGRAM: Final = "wireguard-go"
_STREAM: Final = "tests.bench.peers.plain_stream"
_SOCKETS: Final = Path("/var/run/wireguard")
_PORT: Final = 51_820
_WAIT_S: Final = 5
_PAIRS: Final = count()


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace with one end of a cable."""

    id: str
    """Of the pair: no two at once share it."""
    number: int

    @property
    def name(self) -> str:
        return f"aerolink-bench-{self.id}-{self.number}"

    @property
    def end(self) -> str:
        return f"v{self.id}-{self.number}"

    @property
    def cable(self) -> str:
        return f"10.211.77.{self.number}"

    @property
    def tunnel(self) -> str:
        return f"10.211.78.{self.number}"

    @property
    def interface(self) -> str:
        return f"w{self.id}-{self.number}"

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        raise AbsentError(f"there is no `{command[0]}` here") from None
    except subprocess.CalledProcessError as error:
        raise AbsentError(f"`{' '.join(command)}`: {' '.join(str(error.stderr).split())}") from None


@contextmanager
def cabled() -> Generator[tuple[Place, Place]]:
    """Two namespaces with a cable between them, as Ethernet has it."""
    pair = f"{os.getpid()}{next(_PAIRS)}"
    one, other = places = Place(pair, 1), Place(pair, 2)
    try:
        for place in places:
            _run("ip", "netns", "add", place.name)
        ends = ("type", "veth", "peer", "name", other.end, "netns", other.name)
        _run("ip", "-n", one.name, "link", "add", one.end, *ends)
        for place in places:
            _run("ip", "-n", place.name, "addr", "add", f"{place.cable}/24", "dev", place.end)
            for interface in (place.end, "lo"):
                _run("ip", "-n", place.name, "link", "set", interface, "up")
        yield one, other
    finally:
        for place in places:
            subprocess.run(["ip", "netns", "del", place.name], check=False, capture_output=True)


async def _configure(place: Place, other: Place, own: X25519PrivateKey, theirs: X25519PrivateKey) -> None:
    lines = {
        "private_key": own.private_bytes_raw().hex(), "listen_port": _PORT,
        "public_key": theirs.public_key().public_bytes_raw().hex(), "endpoint": f"{other.cable}:{_PORT}",
        "allowed_ip": f"{other.tunnel}/32",
    }  # fmt: skip
    path = _SOCKETS / f"{place.interface}.sock"
    with trio.fail_after(_WAIT_S):
        while not path.exists():  # noqa: ASYNC110  # of another program
            await trio.sleep(0.02)
        with trio.socket.socket(AF_UNIX) as sock:
            await sock.connect(str(path))
            stream = trio.SocketStream(sock)
            await stream.send_all("".join(f"{key}={value}\n" for key, value in {"set": 1, **lines}.items()).encode())
            await stream.send_all(b"\n")
            answer = await stream.receive_some(1_024)
    if b"errno=0" not in answer:
        raise AbsentError(f"wireguard-go refuses its configuration: {answer.decode().strip()}")
    _run("ip", "-n", place.name, "addr", "add", f"{place.tunnel}/24", "dev", place.interface)
    _run("ip", "-n", place.name, "link", "set", place.interface, "mtu", "1420", "up")


@asynccontextmanager
async def _tunnel() -> AsyncGenerator[tuple[Place, Place]]:
    program = shutil.which(_PROGRAM)
    if program is None:
        raise AbsentError("there is no `wireguard-go` here")
    keys = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    with cabled() as places:
        async with trio.open_nursery() as nursery:
            for place in places:
                command = [*place.prefix, program, "-f", place.interface]
                run = partial(trio.run_process, command, capture_stdout=True, capture_stderr=True, check=False)
                await nursery.start(run)
            for place, other, own, theirs in zip(places, places[::-1], keys, keys[::-1], strict=True):
                await _configure(place, other, own, theirs)
            yield places
            nursery.cancel_scope.cancel()


def tunnelled_flow() -> Side:
    """Gbit/s of a TCP stream through the tunnel, one process to another."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with AsyncExitStack() as stack:
            one, other = await stack.enter_async_context(_tunnel())
            place = {"host": other.tunnel}
            taking = await stack.enter_async_context(child(_STREAM, place, prefix=other.prefix))
            giving = await stack.enter_async_context(child(_STREAM, taking.ready, prefix=one.prefix))
            yield count_at(taking, giving)

    return side


def our_objects() -> Side:
    """Gbit/s of our objects over the cable, one process to another."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        with cabled() as (one, other):
            arguments = {"host": other.cable, "objects": True}
            async with (
                child(DRONE, arguments, prefix=other.prefix) as drone,
                child(RC, arguments | drone.ready, prefix=one.prefix) as rc,
            ):

                async def measure(seconds: float) -> Reading:
                    return reading(await rc.ask(seconds=seconds))

                yield measure

    return side
