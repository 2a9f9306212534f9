"""Two network namespaces with a cable between them: real sockets over a path of any MTU. It needs rights, and tools.

A namespace lives as long as a process in it: two sleepers hold ours, and everything is gone with them. Sockets stay in
the namespace in which they were made, so one program can have both ends.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from nodes.carriers import Offload, SystemNetwork, UdpCarrier
from nodes.config.endpoint import Endpoint
from protocols.guards.address import Address

HOSTS: Final = ("10.9.0.1", "10.9.0.2")
HOSTS_6: Final = ("fd09::1", "fd09::2")
_CLONE_NEWNET: Final = 0x4000_0000
_TOOLS: Final = ("ip", "unshare", "nsenter", "sleep")


class Namespace:
    """One end of the cable."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._path = Path(f"/proc/{process.pid}/ns/net")

    def run(self, *command: str) -> None:
        """Run a command inside."""
        subprocess.run(["nsenter", f"--net={self._path}", *command], check=True, capture_output=True)

    @contextmanager
    def entered(self) -> Generator[None]:
        """Make sockets in here."""
        with Path("/proc/self/ns/net").open() as home:
            _enter(self._path)
            try:
                yield
            finally:
                _set(home.fileno())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid


class Inside(SystemNetwork):
    """The network of a namespace (port ``Network``), for datagrams."""

    def __init__(self, namespace: Namespace, offload: Offload = Offload.AUTO) -> None:
        super().__init__(offload)
        self._namespace = namespace

    async def datagrams(self, endpoint: Endpoint) -> tuple[UdpCarrier, Endpoint]:
        with self._namespace.entered():
            return await super().datagrams(endpoint)

    async def datagrams_towards(self, endpoint: Endpoint) -> tuple[UdpCarrier, Address]:
        with self._namespace.entered():
            return await super().datagrams_towards(endpoint)


@contextmanager
def cable(mtu: int) -> Generator[tuple[Namespace, Namespace]]:
    """Give two namespaces with a virtual cable of an MTU; the test is skipped where that is not possible."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    ends: list[Namespace] = []
    try:
        ends.extend(Namespace(_sleeper()) for _ in HOSTS)
        _connect(ends, mtu)
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.close()


def set_mtu(ends: tuple[Namespace, Namespace], mtu: int) -> None:
    """Change the cable's MTU."""
    for end in ends:
        end.run("ip", "link", "set", "cable", "mtu", str(mtu))


def _sleeper() -> "subprocess.Popen[bytes]":
    """Return a process in a new network namespace; skip the test without the right to make one."""
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo in; exec sleep 120"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"in\n":
        process.kill()
        _, why = process.communicate()
        pytest.skip(f"no right to make a network namespace: {why.decode().strip()}")
    return process


def _connect(ends: list[Namespace], mtu: int) -> None:
    one, other = ends
    peer = ["peer", "name", "cable", "mtu", str(mtu), "netns", str(other.pid)]
    try:
        one.run("ip", "link", "add", "cable", "mtu", str(mtu), "type", "veth", *peer)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no virtual cable here: {error.stderr.decode().strip()}")
    for end, host, host_6 in zip(ends, HOSTS, HOSTS_6, strict=True):
        end.run("ip", "address", "add", f"{host}/24", "dev", "cable")
        end.run("ip", "-6", "address", "add", f"{host_6}/64", "dev", "cable", "nodad")
        end.run("ip", "link", "set", "cable", "up")


def _enter(path: Path) -> None:
    with path.open() as file:
        _set(file.fileno())


def _set(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
