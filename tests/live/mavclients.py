"""Ground stations that are programs of their own: MAVProxy, MAVSDK and node-mavlink."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from tests.conftest import require_or_skip
from tests.helpers.netns import Namespace
from tests.live.autopilot import Item
from tests.live.groundstations import LIMIT_S

ROOT: Final = Path(__file__).resolve().parents[2]
MAVPROXY: Final = Path(sys.executable).with_name("mavproxy.py")
NODE_MODULES: Final = ROOT / ".venv/node/node_modules"
NODE_SCRIPT: Final = ROOT / "tests/tools/node/listen.cjs"
_END_S: Final = 5.0


# --- MAVProxy -----------------------------------------------------------------------------------


class MavProxy:
    """MAVProxy with its shell on a pipe, and all that it writes in a file; it opens no window."""

    def __init__(self, master: str, folder: Path) -> None:
        if not MAVPROXY.exists():
            require_or_skip("MAVProxy is not installed: make .venv/.dev")
        folder.mkdir()
        self.folder: Final = folder
        self._screen = folder / "screen"
        options = ["--default-modules=param,wp,arm", f"--state-basedir={folder}", "--cmd=set param_ftp 0"]
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        with self._screen.open("wb") as screen:
            self._process = subprocess.Popen(
                [sys.executable, MAVPROXY, f"--master={master}", *options],
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=subprocess.STDOUT,
                env=surroundings,
                cwd=folder,
            )

    @property
    def screen(self) -> str:
        """What it has written."""
        return self._screen.read_text(errors="replace")

    def type(self, line: str) -> None:
        """Type a line into its shell."""
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    async def shows(self, text: str, limit_s: float = LIMIT_S) -> None:
        """Wait until it has written something."""
        with trio.fail_after(limit_s):
            while text not in self.screen:
                assert self._process.poll() is None, self.screen
                await trio.sleep(0.01)

    def close(self) -> None:
        """End it: its shell ends with its input."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def mavproxy(master: str, folder: Path) -> Generator[MavProxy]:
    """MAVProxy while the block runs; what it has written is shown if the block fails."""
    program = MavProxy(master, folder)
    try:
        yield program
    except BaseException:
        sys.stdout.write(program.screen)
        raise
    finally:
        program.close()


def waypoint_file(items: Sequence[Item]) -> str:
    """Write a mission as ground stations keep it (https://mavlink.io/en/file_formats/)."""
    lines = ["QGC WPL 110"]
    for number, item in enumerate(items):
        place = f"{item.x / 1e7:.7f}\t{item.y / 1e7:.7f}\t{item.z}"
        params = "\t".join(str(param) for param in item.params)
        lines.append(f"{number}\t{int(not number)}\t{item.frame}\t{item.command}\t{params}\t{place}\t1")
    return "\n".join(lines) + "\n"


def read_waypoint_file(text: str) -> list[Item]:
    """Read what :func:`waypoint_file` writes, and what MAVProxy saves."""
    items: list[Item] = []
    for line in text.splitlines()[1:]:
        words = line.split("\t")
        p1, p2, p3, p4, latitude_deg, longitude_deg, z = (float(word) for word in words[4:11])
        x, y = round(latitude_deg * 1e7), round(longitude_deg * 1e7)
        items.append(Item(int(words[3]), int(words[2]), (p1, p2, p3, p4), x, y, z))
    return items


def alike(some: Sequence[Item], others: Sequence[Item]) -> bool:
    """Whether missions differ by no more than MAVProxy's arithmetic: it cuts coordinates off where it should round."""
    near = [abs(one.x - other.x) <= 1 and abs(one.y - other.y) <= 1 for one, other in zip(some, others, strict=True)]
    return all(near) and [replace(each, x=0, y=0) for each in some] == [replace(each, x=0, y=0) for each in others]


# --- MAVSDK and node-mavlink --------------------------------------------------------------------


async def run_mavsdk(inside: Namespace, address: str, items: Sequence[Item]) -> dict[str, Any]:
    """Let MAVSDK do its round in a namespace, since its server binds all addresses; return what it has seen."""
    command = [sys.executable, "-m", "tests.live.mavsdk_child", address, json.dumps([_plain(item) for item in items])]
    return await _report(["nsenter", f"--net=/proc/{inside.pid}/ns/net", *command])


def _plain(item: Item) -> list[Any]:
    return [item.frame, item.command, *item.params, item.x, item.y, item.z]


async def run_node(kind: str, port: int, key: bytes | None = None) -> dict[str, Any]:
    """Let node-mavlink fetch the parameters from a port of the loopback; return what it has seen."""
    node = shutil.which("node")
    if node is None or not NODE_MODULES.exists():
        require_or_skip("node-mavlink is not installed: it needs npm, and make .venv/node/.done")
    command = [node, str(NODE_SCRIPT), kind, "127.0.0.1", str(port), *([key.hex()] if key else [])]
    return await _report(command)


async def _report(command: list[str]) -> dict[str, Any]:
    """Run a program that says at its end what it has seen, as JSON."""
    surroundings = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    began_s = time.monotonic()
    with trio.fail_after(LIMIT_S):
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, env=surroundings, cwd=ROOT
        )
    assert done.returncode == 0, done.stderr.decode()
    return {**json.loads(done.stdout), "took_s": time.monotonic() - began_s}
