"""Ctrl-C by real signals, in a process of its own: the call ends first, then contexts, then the thread."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EXPECTED = {
    "in_a_call": "enter it, begin wait, end wait, saw KeyboardInterrupt, leave it, interrupted",
    "in_an_iteration": "begin wait, end wait, interrupted",
    "in_entering": "begin wait, end wait, interrupted",
    "in_leaving": "begin wait, end wait, interrupted",
    "in_waiting_for_a_task": "begin wait, end wait, interrupted",
    "at_the_end": "begin wait, end wait, interrupted",
    "in_the_users_own_code": "begin wait, begin wait, end wait, end wait, interrupted",
    "twice": "did not wait, end stubborn, interrupted",
    "with_nodes": "the peer said GOING_AWAY, interrupted",
    "in_asyncio": "enter it, begin wait, end wait, saw CancelledError, leave it, interrupted",
}


def test_whatever_is_interrupted_ends_in_order_and_leaves_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.unit.embed.interrupted"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{name}: {what}; left: [], 0 sockets" for name, what in EXPECTED.items()]
    assert done.returncode == 0
