"""Each end of a demo in a process of its own: this one starts them, carries the linking code, and listens.

A child is given everything over its stdin, the linking code too: command lines and environments are there for
everybody on the machine to read. It is in a session of its own, so that Ctrl-C in a terminal reaches this process
alone, which then ends both.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from nodes.demo.lines import LineReader
from nodes.demo.options import DemoOptions
from nodes.errors import ChildLostError, LinkClosedError, error_named
from nodes.stations.notes import Failed, Finished, Note, Ready, Say, from_line, to_line

_CAUSE_S: Final = 1.0
"""When one end lost the link, the other may be about to say why."""


async def run_processes(options: DemoOptions, folder: Path, say: Say) -> None:
    """Run a whole demo; what a child could not do is raised here as its own error."""
    give, take = trio.open_memory_channel[Ready](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_Child("drone", options, folder, say).run, give, None)
        nursery.start_soon(_Child("rc", options, folder, say).run, None, take)


class _Child:
    def __init__(self, name: str, options: DemoOptions, folder: Path, say: Say) -> None:
        self._name = name
        self._options = options
        self._command = [sys.executable, "-P", "-m", "nodes.demo.child", name, str(folder / name)]
        self._say = say
        self._finished = False

    async def run(
        self, give: "trio.MemorySendChannel[Ready] | None", take: "trio.MemoryReceiveChannel[Ready] | None"
    ) -> None:
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
            nursery.start_soon(self._tell, process.stdin, take)
            await self._listen(LineReader(process.stdout), give)
            code = await process.wait()
            nursery.cancel_scope.cancel()
        if not self._finished or code:
            raise ChildLostError(f"the process of the {self._name} ended early ({_ending(code)})")

    async def _tell(self, stdin: trio.abc.SendStream, take: "trio.MemoryReceiveChannel[Ready] | None") -> None:
        """Hand over options and, to the rc, the linking code; a child that is gone shows on its stdout."""
        try:
            await stdin.send_all(f"{self._options.to_json()}\n".encode())
            if take is not None:
                await stdin.send_all(f"{to_line(await take.receive())}\n".encode())
        except trio.BrokenResourceError:
            return

    async def _listen(self, lines: LineReader, give: "trio.MemorySendChannel[Ready] | None") -> None:
        while (line := await lines.next_line()) is not None:
            note: Note = from_line(line)
            if isinstance(note, Ready):
                if give is not None:
                    give.send_nowait(note)
                continue
            if isinstance(note, Failed):
                error = error_named(note.kind, note.message)
                if isinstance(error, LinkClosedError):
                    await trio.sleep(_CAUSE_S)
                raise error
            self._finished = self._finished or isinstance(note, Finished)
            self._say(note)


def _ending(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
