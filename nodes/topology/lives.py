"""How a node of a topology lives: in this process, or in one of its own that can be killed like any other."""

import logging
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.config import load
from nodes.demo.lines import LineReader
from nodes.errors import root_cause, told
from nodes.stations.notes import Say
from nodes.working import Errands, work
from nodes.working.supervised import note_of
from protocols.errors import MalformedError

_log: Final = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
"""``aerolink``, of this very program."""
KILLS: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""With which somebody ends a process; one that dies of another signal has crashed."""
_BY_SIGNAL: Final = 128
"""The exit code of a node that a signal has ended in order is this and the signal."""
_KEPT: Final = 2_000
"""Characters of what a process says on stderr."""


@dataclass(frozen=True, slots=True)
class Life:
    """A node from one start to its end."""

    name: str
    """Which node."""
    role: str
    """Its role."""
    config: Path
    """Its configuration file."""
    say: Say
    """Told its notes."""
    began: Callable[[int], None]
    """Told that it has begun, and its process; 0: this one."""
    kill: trio.Event = field(default_factory=trio.Event)
    """Set it to end the node as if struck down."""


@dataclass(frozen=True, slots=True)
class End:
    """How a life has ended."""

    why: str
    """For people."""
    by_itself: bool
    """Whether the node ended of its own accord, and nobody killed it."""


Live = Callable[[Life], Awaitable[End]]
"""Lives a life; cancelled, it ends the node in order."""


async def live_inside(life: Life) -> End:
    """Live in this process."""
    life.began(0)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when, life.kill, nursery.cancel_scope)
            await work(load(life.config), Errands(), life.say)
            nursery.cancel_scope.cancel()
    except Exception as error:  # noqa: BLE001  # the border around a node: the others go on
        _log.debug("%s has failed", life.name, exc_info=error)
        return End(told(root_cause(error)), by_itself=True)
    return End("killed", by_itself=not life.kill.is_set())


async def _cancel_when(killed: trio.Event, scope: trio.CancelScope) -> None:
    await killed.wait()
    scope.cancel()


async def live_apart(life: Life) -> End:
    """Live in a process of its own, in a session of its own, so that Ctrl-C in a terminal reaches this one alone."""
    command = [*COMMAND, "node", life.role, "--config", str(life.config), "--json", "--supervised"]
    errors: list[str] = []
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            start_new_session=True,
        )
        process = await nursery.start(start)
        assert process.stdout is not None  # noqa: S101  # both are pipes
        assert process.stderr is not None  # noqa: S101
        life.began(process.pid)
        nursery.start_soon(_kill_when, life.kill, process)
        nursery.start_soon(_keep_errors, process.stderr, errors)
        await _listen(LineReader(process.stdout), life.say)
        code = await process.wait()
        nursery.cancel_scope.cancel()
    number = -code if code < 0 else code - _BY_SIGNAL
    if number in KILLS:
        return End(f"killed by signal {number}", by_itself=False)
    if code < 0:
        return End(f"crashed with signal {number}", by_itself=True)
    last = "".join(errors).strip().rpartition("\n")[2].removeprefix("aerolink: ")
    return End(f"exit code {code}{f': {last}' if last else ''}", by_itself=True)


async def _kill_when(killed: trio.Event, process: trio.Process) -> None:
    await killed.wait()
    process.kill()


async def _listen(lines: LineReader, say: Say) -> None:
    while (line := await lines.next_line()) is not None:
        try:
            note = note_of(line)
        except MalformedError:  # the last line of a node that failed is an object of another kind
            continue
        say(note)


async def _keep_errors(stream: trio.abc.ReceiveStream, errors: list[str]) -> None:
    """Keep the end of what a process says on stderr: the line that says why it could not go on."""
    async for data in stream:
        errors[:] = ["".join([*errors, data.decode("utf-8", "replace")])[-_KEPT:]]
