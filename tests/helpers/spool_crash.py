"""Kills itself at every step of a spool's work, for tests/unit/stores/test_spool_crash.py.

    python -m tests.helpers.spool_crash FOLDER LOG LOG LOG LOG

For each number of steps a child is forked, which works in a folder of its own and ends by SIGKILL at that step: before
a write, a flush, a renaming or a removal, or in the middle of a write, at a place that follows from the number. What it
was told is done it writes to ``told``. The last child comes to its end. No threads, no trio: the parent only forks.
"""

import hashlib
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nodes.ports import LogState
from nodes.stores.spool import Spool
from nodes.stores.spoolfolder import SpoolFolder
from nodes.stores.spoolrules import SpoolLimits

LIMITS: Final = SpoolLimits(quota_bytes=10_000_000, max_remembered=1)
_CALLS: Final = ("write", "fsync", "replace", "unlink")
_SEED: Final = 20_240_517


class Countdown:
    """Ends the process at a step."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._random = random.Random(_SEED + steps)
        self._real = {name: getattr(os, name) for name in _CALLS}

    def arm(self) -> None:
        """Replace the calls that change a disk."""
        for name in _CALLS:
            setattr(os, name, self._counted(name))

    def _counted(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if not self._left:
                if name == "write":  # a part of it gets there
                    fd, data = arguments
                    self._real["write"](fd, data[: self._random.randrange(len(data) + 1)])
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
            return self._real[name](*arguments, **keywords)

        return call


def work(folder: Path, tell: Callable[[str], object], logs: list[bytes]) -> None:
    """Receive, resume, make, hand over, acknowledge."""
    one, two, three, four = logs
    names = [hashlib.sha256(log).digest() for log in logs]
    with SpoolFolder.open(folder, create=True) as opened:
        spool = Spool(opened, LIMITS)
        writer = spool.receive(names[0], len(one))
        for at in range(0, len(one), 2_000):
            writer.write(one[at : at + 2_000])
        spool.finish(writer)
        tell("one received")
        writer = spool.receive(names[1], len(two))
        writer.write(two[:40_000])
        spool.abandon(writer, keep=True)
        tell("two half")
        writer = spool.create()
        spool.reserve(writer, len(three))
        writer.write(three)
        spool.finish(writer)
        tell("three received")
        spool.mark(names[0], LogState.HANDED_OVER)
        tell("one handed over")
    with SpoolFolder.open(folder) as opened:
        spool = Spool(opened, LIMITS)
        writer = spool.receive(names[1], len(two))
        with spool.view_of(writer) as view:
            writer.resume(view)
        writer.write(two[writer.written_bytes :])
        spool.finish(writer)
        tell("two received")
        spool.mark(names[0], LogState.ACKNOWLEDGED)
        tell("one acknowledged")
        writer = spool.receive(names[3], len(four))
        writer.write(four)
        spool.finish(writer)
        tell("four received")
        spool.mark(names[2], LogState.ACKNOWLEDGED)
        tell("three acknowledged")


def child(folder: Path, steps: int, logs: list[bytes]) -> None:
    """Work until the step."""
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    write = os.write

    def tell(what: str) -> None:
        write(told, what.encode() + b"\n")

    Countdown(steps).arm()
    work(folder / "logs", tell, logs)
    tell("end")


def main(folder: Path, logs: list[bytes]) -> int:
    """One child per number of steps, until one comes to its end; return how that was."""
    steps = 0
    while True:
        place = folder / f"{steps:03}"
        place.mkdir()
        pid = os.fork()
        if pid == 0:
            try:
                child(place, steps, logs)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return os.waitstatus_to_exitcode(status)
        steps += 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]]))
