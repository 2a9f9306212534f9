"""Ground stations that are programs of their own: MAVProxy, MAVSDK and node-mavlink."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from tests.conftest import require_or_skip
from tests.helpers.netns import Namespace
from tests.live.groundstations import LIMIT_S
from tests.live.missions import Item

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
