"""Both ends of a demo in this process."""

from pathlib import Path

import trio

from nodes.demo.drone_end import DroneEnd
from nodes.demo.options import DemoOptions
from nodes.demo.rc_end import RcEnd
from nodes.stations.notes import Note, Ready, Say


async def run_inside(options: DemoOptions, folder: Path, say: Say) -> None:
    """Run a whole demo; the code goes from the drone to the rc as a person would carry it, and nowhere else."""
    give, take = trio.open_memory_channel[Ready](1)

    def hear(note: Note) -> None:
        if isinstance(note, Ready):
            give.send_nowait(note)
        else:
            say(note)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(DroneEnd(options, folder / "drone", hear).run)
        nursery.start_soon(RcEnd(options, folder / "rc", hear, take.receive).run)
