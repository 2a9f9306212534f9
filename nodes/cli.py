"""The ``aerolink`` command: its group, and the entry point.

Each sub-command stands in a module of its own, which is imported when the command is asked for; what is heavy is
imported when it runs. Errors, their lines and exit codes: ``nodes.cli_errors``.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from nodes.cli_errors import OUTPUT_CLOSED, close_output, report
from nodes.cli_options import LogLevelOption, show_version
from nodes.packages import home

_COMMANDS: Final = {
    "bench": "nodes.cli_bench",
    "cloud": "nodes.cli_cloud",
    "config": "nodes.cli_checks",
    "demo": "nodes.cli_demo",
    "keys": "nodes.cli_keyring",
    "monitor": "nodes.cli_monitor",
    "node": "nodes.cli_node",
    "pair": "nodes.cli_pair",
    "run": "nodes.cli_run",
    "status": "nodes.cli_status",
    "topology": "nodes.cli_topology",
    "tunnel": "nodes.cli_tunnel",
    "vectors": "nodes.cli_checks",
}
"""Command -> module; the click object has the name of the command."""


_HELP: Final = """Secure communication for a whole drone system.

\b
Exit codes: 0 done; 1 it ran, and the answer is no; 2 wrong usage;
3 configuration, files or this machine; 4 the other device or the link;
5 authentication; 6 refused by policy; 70 an error of ours;
130 Ctrl-C; 143 SIGTERM.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the interface of click
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        command = None if module is None else getattr(importlib.import_module(module), cmd_name)
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> object:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            close_output()
            return OUTPUT_CLOSED
        return result


@click.group(
    cls=LazyGroup,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Example: aerolink demo --carrier tcp",
)
@click.option(
    "--version", is_flag=True, callback=show_version, expose_value=False, is_eager=True, help="Show the version."
)
@LogLevelOption
def aerolink() -> None:
    """Everything happens in the sub-commands."""


def _have_streams() -> None:
    """Give a program that was started with closed streams empty ones: what Python calls None nobody looks out for."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # open for as long as the process


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; whatever goes wrong is one line on stderr."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _have_streams()
        home()  # another distribution's `specs` must not run in the place of ours (ADR 1)
        result: object = aerolink.main(args=given, prog_name="aerolink", standalone_mode=False)
    except SystemExit as stop:
        result = stop.code
    except BaseException as error:  # noqa: BLE001  # the one place that maps errors
        return report(error, as_json="--json" in given)
    return result if isinstance(result, int) else 0
