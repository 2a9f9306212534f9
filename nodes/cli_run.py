"""``aerolink run``."""

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodes.cli_options import FiniteRange, common_options, log_level
from nodes.cli_output import own_thread

if TYPE_CHECKING:
    from nodes.topology.runner import Restart


class RestartAt(click.ParamType["Restart | str", "Restart"]):
    """NAME@SECONDS."""

    name = "restart"

    def convert(self, value: "Restart | str", param: click.Parameter | None, ctx: click.Context | None) -> "Restart":
        from nodes.topology.runner import Restart

        if not isinstance(value, str):
            return value
        name, _, seconds = value.rpartition("@")
        try:
            at_s = float(seconds)
        except ValueError:
            at_s = math.nan
        if not name or not math.isfinite(at_s):
            self.fail(f"{value!r} must be NAME@SECONDS, for example rc@10", param, ctx)
        return Restart(name, at_s)


@click.command(epilog="Example: aerolink run single --seconds 60 --restart rc@10")
@click.argument("topology")
@click.option("--seconds", type=FiniteRange(1, 86_400), help="How long to run [default: what the topology says].")
@click.option("--processes", is_flag=True, help="Run each node in a process of its own.")
@click.option(
    "--restart",
    "restarts",
    type=RestartAt(),
    metavar="NAME@SECONDS",
    multiple=True,
    help="Kill a node after so many seconds; it starts again by itself. Repeat it as you like.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what the nodes keep here, and begin with it the next time [default: a temporary folder].",
)
@common_options
def run(
    topology: str,
    seconds: float | None,
    processes: bool,  # click's way
    restarts: "tuple[Restart, ...]",
    folder: Path | None,
    as_json: bool,
) -> int:
    """Run the nodes of a TOPOLOGY on this machine: a TOML file, or a name that `aerolink topology list` shows.

    First they get keys, and are paired and enrolled over loopback. A node that dies, or is killed by whomever, is
    started again. What becomes of them, and their processes, is told on stderr. Exit code 0: at the end all links are
    up, telemetry came, what the topology expects has happened, and no alarm but those that a restart brings.
    """
    from nodes.cli_async import run_async
    from nodes.topology import find
    from nodes.topology.lives import live_apart, live_inside
    from nodes.topology.run import run_topology
    from nodes.topology.runner import RunOptions
    from nodes.topology.view import open_view

    level = log_level("error")
    live = live_apart if processes else live_inside
    options = RunOptions(seconds, restarts, live, _tell)
    view = open_view(as_json=as_json, logging_much=level in {"debug", "info"})
    with own_thread(as_json=as_json):
        report = run_async(run_topology, find(topology), folder, options, view)
    view.conclude(report)
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    return 0 if report.ok else 1


def _tell(text: str) -> None:
    from nodes.config.reader import one_line

    sys.stderr.write(f"{one_line(text)}\n")
    sys.stderr.flush()
