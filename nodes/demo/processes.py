"""Each node of a demo in a process of its own: this one starts them, carries the linking code, and listens.

A child is given everything over its stdin, linking codes too: command lines and environments are there for
everybody on the machine to read. It is in a session of its own, so that Ctrl-C in a terminal reaches this process
alone, which then ends all.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.demo.casts import CHAIN
from nodes.demo.lines import LineReader
from nodes.demo.options import DemoOptions
from nodes.errors import ChildLostError, LinkClosedError, error_named
from nodes.stations.notes import Carry, Failed, Finished, Note, Ready, Say, from_line, to_line

_MAX_CARRIED: Final = 64
"""What is carried to one child, at most."""
_CAUSE_S: Final = 1.0
"""When one end lost the link, the other may be about to say why."""


async def run_processes(options: DemoOptions, folder: Path, say: Say) -> None:
    """Run a whole demo; what a child could not do is raised here as its own error."""
    names = ("drone", "rc") if options.two else tuple(CHAIN)
    children: dict[str, _Child] = {}

    def hear(note: Note) -> None:
        if isinstance(note, Ready):
            children["rc"].tell(note)
        elif isinstance(note, Carry):
            children[note.to].tell(note)
        else:
            say(note)

    children |= {name: _Child(name, options, folder, hear) for name in names}
    async with trio.open_nursery() as nursery:
        for child in children.values():
            nursery.start_soon(child.run)


class _Child:
    def __init__(self, name: str, options: DemoOptions, folder: Path, say: Say) -> None:
        self._name = name
        self._options = options
        self._command = [sys.executable, "-P", "-m", "nodes.demo.child", name, str(folder / name)]
        self._say = say
        self._finished = False
        self._give, self._take = trio.open_memory_channel[Note](_MAX_CARRIED)

    def tell(self, note: Note) -> None:
        """Hand something to the child that is for it alone."""
        self._give.send_nowait(note)

    async def run(self) -> None:
        """Run the child to its end; cancelled, it is terminated and waited for."""
        async with trio.open_nursery() as nursery:
            start = partial(
                trio.run_process,
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                check=False,
                start_new_session=True,
            )
            process = await nursery.start(start)
            assert process.stdin is not None  # noqa: S101  # both are pipes
            assert process.stdout is not None  # noqa: S101
            nursery.start_soon(self._write, process.stdin)
            await self._listen(LineReader(process.stdout))
            code = await process.wait()
            nursery.cancel_scope.cancel()
        if not self._finished or code:
            raise ChildLostError(f"the process of the {self._name} ended early ({_ending(code)})")

    async def _write(self, stdin: trio.abc.SendStream) -> None:
        """Hand over options and what is carried; a child that is gone shows on its stdout."""
        try:
            await stdin.send_all(f"{self._options.to_json()}\n".encode())
            async for note in self._take:
                await stdin.send_all(f"{to_line(note)}\n".encode())
        except trio.BrokenResourceError:
            return

    async def _listen(self, lines: LineReader) -> None:
        while (line := await lines.next_line()) is not None:
            note: Note = from_line(line)
            if isinstance(note, Failed):
                error = error_named(note.kind, note.message)
                if isinstance(error, LinkClosedError):
                    await trio.sleep(_CAUSE_S)
                raise error
            self._finished = self._finished or isinstance(note, Finished)
            self._say(note)


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
