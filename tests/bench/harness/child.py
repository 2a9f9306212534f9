"""Sides that run in processes of their own (the other end of ``serve``)."""

import json
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from tests.bench.harness.model import AbsentError, Json, Measure, Reading, Side
from tests.bench.harness.serve import PROFILE

ROOT: Final = Path(__file__).parents[3]
_LINE_BYTES: Final = 1 << 16
_LEAVE_S: Final = 0.5
"""A thousand nodes that say goodbye take longer, and nobody needs to wait for them."""
_LEAVE_PROFILED_S: Final = 60.0


class ChildError(Exception):
    """A process ended where an answer was due."""


def environment() -> dict[str, str]:
    """An environment in which this very source tree is imported."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Child:
    """A process that answers requests."""

    def __init__(self, module: str, process: trio.Process) -> None:
        self.ready: Json = {}
        """What it said of itself."""
        self.pid: Final = process.pid
        self._module = module
        self._process = process
        self._buffer = bytearray()

    async def ask(self, **request: object) -> Json:
        """Send a request and return its answer."""
        await self.say(request)
        return await self.expect("reply")

    async def say(self, line: Json) -> None:
        """Send a line. Never as an argument: keys are in some, and everybody may read command lines."""
        assert self._process.stdin is not None
        with suppress(trio.BrokenResourceError):  # whoever has ended says why, or is missed
            await self._process.stdin.send_all(json.dumps(line).encode() + b"\n")

    async def expect(self, key: str) -> Json:
        """Return what the next line says; AbsentError, ChildError."""
        line = json.loads(await self._line())
        if "absent" in line:
            raise AbsentError(line["absent"])
        if "failed" in line:
            raise ChildError(f"{self._module}: {line['failed']}")
        answer: Json = line[key]
        return answer

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while (end := self._buffer.find(b"\n")) < 0:
            data = await self._process.stdout.receive_some(_LINE_BYTES)
            if not data:
                raise ChildError(f"{self._module} ended early")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


@asynccontextmanager
async def child(
    module: str, arguments: Json, python: Path | str = sys.executable, prefix: Sequence[str] = ()
) -> AsyncGenerator[Child]:
    """A process that runs ``module`` until the block ends; ``prefix`` is a command that runs commands."""
    command = [*prefix, str(python), "-m", module]
    try:
        process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, cwd=ROOT, env=environment())
    except OSError as error:
        raise AbsentError(f"{python}: {error.strerror}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        it = Child(module, process)
        await it.say(arguments)
        it.ready = await it.expect("ready")
        yield it
        await process.stdin.aclose()
        with trio.move_on_after(_LEAVE_PROFILED_S if PROFILE in os.environ else _LEAVE_S):
            await process.wait()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


def reading(reply: Json) -> Reading:
    """Return what a process measured."""
    return Reading(float(reply["value"]), reply["notes"])


def in_child(module: str, arguments: Json, python: Path | str = sys.executable) -> Side:
    """A side that is measured whole in a process of its own."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with child(module, arguments, python) as process:

            async def measure(seconds: float) -> Reading:
                return reading(await process.ask(seconds=seconds))

            yield measure

    return side


def between(receiver: str, sender: str, arguments: Json) -> Side:
    """Messages from one process to another; what the receiver says of itself, the sender is told.

    The receiver counts: from the first that arrives in a round to the last.
    """

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        async with (
            child(receiver, arguments) as taking,
            child(sender, arguments | taking.ready) as giving,
        ):
            yield count_at(taking, giving)

    return side


def count_at(taking: Child, giving: Child) -> Measure:
    """A round of messages from one process to another."""

    async def measure(seconds: float) -> Reading:
        await taking.ask(op="mark")
        given = await giving.ask(op="send", seconds=seconds)
        found = reading(await taking.ask(op="report", sent=given["sent"]))
        return Reading(found.value, found.notes | given.get("notes", {}))

    return measure
