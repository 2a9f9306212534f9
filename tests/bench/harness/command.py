"""What ``aerolink bench`` calls (``nodes/cli_bench.py``)."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from rich.console import Console

from nodes.cli_async import run_async
from protocols.errors import ConfigError, UsageError
from tests.bench.harness.model import Json
from tests.bench.harness.registry import UnknownCaseError, load, names
from tests.bench.harness.run import Plan, order, run

_SUFFIXES = (".png", ".svg", ".pdf")


def listed() -> list[tuple[str, str]]:
    """Return every case, and what it compares."""
    return [(name, load(name).what) for name in names()]


def profiled(name: str, out: TextIO) -> None:
    """Print a profile of our side of a case."""
    from tests.bench.harness.profile import profile_case

    _check((name,), Plan())
    profile_case(name, out)


def _check(only: Sequence[str], plan: Plan) -> None:
    try:
        plan.known(only)
    except UnknownCaseError as error:
        raise UsageError(str(error)) from None


def _check_plot(plot: Path | None) -> None:
    """Say at once what would fail after minutes."""
    if plot is None:
        return
    if plot.suffix not in _SUFFIXES:
        raise UsageError(f"--plot: the file ends with {', '.join(_SUFFIXES)}")
    if not plot.absolute().parent.is_dir():
        raise ConfigError(f"{plot.parent}: no such folder")
    if not find_spec("matplotlib"):
        raise ConfigError("--plot needs matplotlib: `make bench` installs it, or pip install aerolink[bench]")


def measured(only: Sequence[str], *, quick: bool, plot: Path | None, show: bool, plan: Plan | None = None) -> Json:
    """Run, show, draw; return what ``--json`` prints."""
    from tests.bench.harness.report import print_report, progress_of

    plan = plan or Plan(tuple(only), quick)
    _check(plan.only, plan)
    _check_plot(plot)
    with progress_of(len(order(plan)), Console(stderr=True)) as tell:
        report = run_async(run, plan, tell)
    if show:
        print_report(report, Console())
    whole = report.as_dict()
    if plot is not None:
        from tests.bench.harness.plot import draw

        draw(whole, plot)
    return whole
