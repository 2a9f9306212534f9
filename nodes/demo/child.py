"""One node of a demo as a process: ``python -m nodes.demo.child NAME FOLDER``, started by ``processes``.

It reads its options from stdin as one line of JSON, and on further lines what is carried to it; it writes its notes to
stdout, and ends when stdin does: a parent that dies takes its children along.
"""

import contextlib
import logging
import sys
from pathlib import Path

import trio

from nodes import logs
from nodes.demo.casts import CHAIN
from nodes.demo.drone_end import DroneEnd
from nodes.demo.lines import LineReader
from nodes.demo.mailbox import Mailbox
from nodes.demo.options import DemoOptions
from nodes.demo.rc_end import RcEnd
from nodes.errors import root_cause, told
from nodes.stations.notes import Carry, Failed, Note, Ready, from_line, to_line

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
    mailbox = Mailbox()
    give, take = trio.open_memory_channel[Ready](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_hear, lines, mailbox, give, nursery.cancel_scope)
        if not options.two:
            await CHAIN[name](options, folder, _say, mailbox).run()
        elif name == "drone":
            await DroneEnd(options, folder, _say).run()
        else:
            await RcEnd(options, folder, _say, take.receive).run()
        nursery.cancel_scope.cancel()


async def _hear(
    lines: LineReader, mailbox: Mailbox, give: "trio.MemorySendChannel[Ready]", scope: trio.CancelScope
) -> None:
    """Take what is carried here, until the parent has gone."""
    while (line := await lines.next_line()) is not None:
        note: Note = from_line(line)
        if isinstance(note, Carry):
            mailbox.put(note)
        elif isinstance(note, Ready):
            give.send_nowait(note)
    scope.cancel()


def _say(note: Note) -> None:
    sys.stdout.write(to_line(note) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
