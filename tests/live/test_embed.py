"""An asyncio script and a synchronous one embed a drone and a remote controller, and leave nothing behind.

They are the examples, run with all warnings as errors and Python's development mode: a task, a socket, a file or a
thread that was forgotten shows itself.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WATCHED = """
import gc, os, runpy, sys, threading
runpy.run_path(sys.argv[1], run_name="__main__")
gc.collect()
paths = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
left = [each for each in paths if os.path.exists(each) and not os.path.realpath(each).startswith("/dev")]
print("left:", [each.name for each in threading.enumerate()[1:]], len(left) - int(sys.argv[2]))
"""
PIPES = 2
"""Of the test itself: standard output and error."""


@pytest.mark.parametrize("name", ["embed_asyncio", "embed_sync"])
def test_a_program_embeds_a_drone_and_a_controller_and_closes_cleanly(name: str) -> None:
    script = ROOT / "examples" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", WATCHED, str(script), str(PIPES)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # In development mode asyncio tells of a slow machine; that is no warning of ours.
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert errors == []
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["take off: airborne", "closed cleanly", "left: [] 0"]
