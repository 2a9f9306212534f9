"""``aerolink pair``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodes.cli_options import FiniteRange, common_options, log_level

if TYPE_CHECKING:
    from protocols.pairing import LinkingCode

_ATTEMPTS = 3
"""How often a person may mistype; a program gets one."""


@click.command(epilog="Example: aerolink pair --config drone.toml (there), then: aerolink pair --config rc.toml (here)")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    required=True,
    help="Configuration of this node.",
)
@click.option("--name", default="", help="What to call the other device in `aerolink keys list`.")
@click.option(
    "--minutes", type=FiniteRange(0.01, 5), default=5, show_default=True, help="How long the code lives (drone)."
)
@common_options
def pair(config_file: Path, name: str, minutes: float, as_json: bool) -> int:  # click's way
    """Make this node and another one known to each other.

    On the drone this shows a linking code, as text and as a QR code, and waits for the remote controller. On the remote
    controller it asks for that code (or reads it from stdin), pairs, and tries the new link out. A code is never an
    argument: the command line is there for everybody on the machine to read.
    """
    from nodes.cli_async import run_async
    from nodes.config import load
    from nodes.pairing import PairingScreen, check_name, pair_drone, pair_rc
    from specs.registry import Role

    config = load(config_file)
    log_level(config.node.log_level)
    check_name(name)
    screen = PairingScreen(sys.stdout, as_json=as_json)
    if config.node.role is Role.DRONE:
        run_async(pair_drone, config, name, minutes * 60, screen)
    else:
        run_async(pair_rc, config, name, ask_code(as_json=as_json), screen)
    return 0


def ask_code(shown_by: str = "drone", *, as_json: bool) -> "LinkingCode":
    """Read a linking code that another device shows, and see at once whether it is mistyped; CodeFormatError."""
    from protocols.errors import CodeFormatError, UsageError
    from protocols.pairing import LinkingCode

    if not sys.stdin.isatty():
        line = sys.stdin.readline(256)
        if not line.strip():
            raise UsageError("no linking code came on stdin: type it, or pass it as one line")
        return LinkingCode.parse(line)
    for left in reversed(range(_ATTEMPTS)):
        try:
            return LinkingCode.parse(click.prompt(f"Linking code that the {shown_by} shows", err=as_json))
        except CodeFormatError as error:
            if not left:
                raise
            click.echo(f"{error}; try again", err=True)
    raise UsageError("no linking code was typed")
