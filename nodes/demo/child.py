"""One end of a demo as a process: ``python -m nodes.demo.child drone|rc FOLDER``, started by ``processes``.

It reads its options from stdin as one line of JSON (the rc a second one, with the linking code, when the drone
shows it), writes its notes to stdout, and ends when stdin does: a parent that dies takes its children along.
"""

import contextlib
import logging
import sys
from functools import partial
from pathlib import Path

import trio

from nodes import logs
from nodes.demo.drone_end import DroneEnd
from nodes.demo.lines import LineReader
from nodes.demo.options import DemoOptions
from nodes.demo.rc_end import RcEnd
from nodes.errors import root_cause, told
from nodes.stations.notes import Failed, Note, Ready, from_line, to_line
from protocols.errors import MalformedError

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run one end; 0, or 1 after a note that says what failed."""
    name, folder = arguments
    try:
        trio.run(_run, name, Path(folder))
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent must hear of it
        return _fail(name, root_cause(error))
    return 0


def _fail(name: str, cause: BaseException) -> int:
    _log.debug("the %s failed", name, exc_info=cause)
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        _say(Failed(name, type(cause).__name__, told(cause)))
    return 1


async def _run(name: str, folder: Path) -> None:
    lines = LineReader(trio.lowlevel.FdStream(sys.stdin.fileno()))
    first = await lines.next_line()
    if first is None:
        return
    options = DemoOptions.from_json(first)
    logs.set_up(options.log_level, sys.stderr, rich=False)
    async with trio.open_nursery() as nursery:
        if name == "drone":
            nursery.start_soon(_end_with, lines, nursery.cancel_scope)
            await DroneEnd(options, folder, _say).run()
        else:
            get_ready = partial(_get_ready, lines, nursery)
            await RcEnd(options, folder, _say, get_ready).run()
        nursery.cancel_scope.cancel()


async def _get_ready(lines: LineReader, nursery: trio.Nursery) -> Ready:
    line = await lines.next_line()
    note = None if line is None else from_line(line)
    if not isinstance(note, Ready):
        raise MalformedError("the drone has shown no linking code")
    nursery.start_soon(_end_with, lines, nursery.cancel_scope)
    return note


async def _end_with(lines: LineReader, scope: trio.CancelScope) -> None:
    while await lines.next_line() is not None:
        pass
    scope.cancel()


def _say(note: Note) -> None:
    sys.stdout.write(to_line(note) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
