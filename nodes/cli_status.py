"""``aerolink status``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodes.cli_looking import targets_of, which_nodes
from nodes.cli_options import common_options, log_level

if TYPE_CHECKING:
    from nodes.looking.status import NodeStatus


@click.command(epilog="Example: aerolink status --config drone.toml --config rc.toml")
@which_nodes
@common_options
def status(configs: tuple[Path, ...], folders: tuple[Path, ...], as_json: bool) -> int:
    """Show how running nodes are: links and their locks, who may fly, alarms, what has happened last.

    Each is asked over the socket in its state folder, which only its owner (or root) may use, and which commands
    nothing. Exit code 1: one of them is not running, or does not answer.
    """
    from nodes.cli_async import run_async
    from nodes.looking.plain import to_plain
    from nodes.looking.watching import look_at_all

    log_level()
    targets = targets_of(configs, folders)
    nodes = run_async(look_at_all, targets)
    are_running = all(node.running for node in nodes)
    if as_json:
        found = [{"folder": str(target.folder), **to_plain(node)} for target, node in zip(targets, nodes, strict=True)]
        sys.stdout.write(json.dumps({"ok": are_running, "nodes": found}) + "\n")
    else:
        _show(nodes)
    return 0 if are_running else 1


def _show(nodes: "list[NodeStatus]") -> None:
    from nodes.looking.picture import draw
    from nodes.looking.sheet import sheet_of
    from nodes.screen import Screen

    console = Screen(file=sys.stdout, highlight=False)
    if len(nodes) > 1:
        console.print(draw(nodes, legend=False))
    for node in nodes:
        for line in sheet_of(node):
            console.print(line, soft_wrap=True)
