"""``aerolink monitor``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodes.cli_errors import OUTPUT_CLOSED, close_output
from nodes.cli_looking import targets_of, which_nodes
from nodes.cli_options import FiniteRange, common_options, log_level

if TYPE_CHECKING:
    from nodes.looking.watching import Target


@click.command(epilog="Example: aerolink monitor --config drone.toml --config rc.toml")
@which_nodes
@click.option("--seconds", type=FiniteRange(0.1, 86_400), help="How long [default: until Ctrl-C].")
@common_options
def monitor(configs: tuple[Path, ...], folders: tuple[Path, ...], seconds: float | None, as_json: bool) -> int:
    """Watch running nodes: how they are joined, the lock of each link, who may fly, and what happens.

    On a terminal a live picture, elsewhere a line for each thing that happens; with --json one object a line. A node
    that is not there, or ends, is waited for.
    """
    from nodes.cli_async import run_async

    log_level()
    gone = False
    try:
        run_async(_monitor, targets_of(configs, folders), seconds, as_json)
    except* BrokenPipeError:
        gone = True
    if gone:
        close_output()
        return OUTPUT_CLOSED
    return 0


async def _monitor(targets: "list[Target]", seconds: float | None, as_json: bool) -> None:
    import trio

    from nodes.looking.monitor import JsonLines, LivePicture, PlainLines, monitor_all
    from nodes.screen import Screen

    console = Screen(file=sys.stdout, highlight=False)
    with trio.move_on_after(float("inf") if seconds is None else seconds):
        if as_json:
            await monitor_all(targets, JsonLines().take)
        elif console.is_terminal and not console.is_dumb_terminal:
            picture = LivePicture(targets, console)
            await monitor_all(targets, picture.take, picture.run)
        else:
            await monitor_all(targets, PlainLines().take)
