"""``aerolink bench``: the benchmark, which stands in the source tree (``tests/bench``) beside its peers."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from nodes.cli_options import common_options

_HARNESS: Final = "tests.bench.harness.command"


def _harness() -> Any:  # noqa: ANN401  # a module that is no part of what is installed
    """Import the harness of this source tree; a wheel has none."""
    from nodes.packages import home
    from protocols.errors import ConfigError

    root = home()
    if not (root / "tests" / "bench" / "harness").is_dir():
        raise ConfigError("the benchmark is not part of the installed package: clone the repository, then `make bench`")
    sys.path.insert(0, str(root))  # another `tests` must not be taken for ours
    return importlib.import_module(_HARNESS)


@click.command(epilog="Example: aerolink bench --quick --only rtt-vs-trio-plaintext")
@click.option("--only", multiple=True, metavar="NAME", help="Run this case only; may be given more than once.")
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds: under 100 s in all.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the results into a file (PNG, SVG)."
)
@click.option("--profile", metavar="NAME", help="Profile our side of a case instead.")
@click.option("--list", "list_cases", is_flag=True, help="List the cases and what they compare.")
@common_options
def bench(
    only: tuple[str, ...], quick: bool, plot: Path | None, profile: str | None, list_cases: bool, as_json: bool
) -> int:
    """Measure Aerolink beside its peers, in the same run.

    Each figure is a ratio: ours and the peer in alternating rounds, medians with least and most. A peer that cannot run
    here is reported as absent. It takes some minutes: leave the machine alone meanwhile. Exit code 1: a case of ours
    failed.
    """
    harness = _harness()
    if list_cases:
        sys.stdout.write("".join(f"{name}: {what}\n" for name, what in harness.listed()))
        return 0
    if profile is not None:
        harness.profiled(profile, sys.stdout)
        return 0
    report: dict[str, Any] = harness.measured(only, quick=quick, plot=plot, show=not as_json)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    return 1 if any("error" in entry for entry in report["figures"] + report["more"]) else 0
