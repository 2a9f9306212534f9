"""All nodes of a demo in this process."""

from pathlib import Path

import trio

from nodes.demo.casts import CHAIN
from nodes.demo.drone_end import DroneEnd
from nodes.demo.mailbox import Mailbox
from nodes.demo.options import DemoOptions
from nodes.demo.rc_end import RcEnd
from nodes.stations.notes import Carry, Note, Ready, Say


async def run_inside(options: DemoOptions, folder: Path, say: Say) -> None:
    """Run a whole demo; what people carry goes to the node that it is for, and nowhere else."""
    await (_run_two if options.two else _run_chain)(options, folder, say)


async def _run_chain(options: DemoOptions, folder: Path, say: Say) -> None:
    mailboxes = {name: Mailbox() for name in CHAIN}

    def hear(note: Note) -> None:
        if isinstance(note, Carry):
            mailboxes[note.to].put(note)
        else:
            say(note)

    async with trio.open_nursery() as nursery:
        for name, end in CHAIN.items():
            nursery.start_soon(end(options, folder / name, hear, mailboxes[name]).run)


async def _run_two(options: DemoOptions, folder: Path, say: Say) -> None:
    give, take = trio.open_memory_channel[Ready](1)

    def hear(note: Note) -> None:
        if isinstance(note, Ready):
            give.send_nowait(note)
        else:
            say(note)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(DroneEnd(options, folder / "drone", hear).run)
        nursery.start_soon(RcEnd(options, folder / "rc", hear, take.receive).run)
