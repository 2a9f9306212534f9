"""A run for people: a table that grows while it runs, in rich."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench.harness.model import Json
from tests.bench.harness.run import Progress as Tell
from tests.bench.harness.run import Report

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float | None) -> str:
    """A value with three digits that matter."""
    if value is None:
        return "-"
    for size, letter in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def spread(entry: Json, side: str) -> str:
    """Median, and from where to where the rounds went."""
    rounds = entry.get(f"{side}_rounds")
    if not rounds:
        return number(entry.get(side))
    return f"{number(rounds['median'])}\n[dim]{number(rounds['min'])} - {number(rounds['max'])}"


def verdict(entry: Json) -> str:
    """Whether the target was met, or why nobody knows."""
    if "error" in entry:
        return f"[red]failed: {entry['error']}"
    if "absent" in entry:
        return f"[yellow]absent: {entry['absent']}"
    if "met" not in entry:
        return ""
    return "[green]met" if entry["met"] else "[red]not met"


def _rows(entry: Json) -> Iterator[tuple[str, ...]]:
    target = f"{entry['targets_sense']} {entry['target']:g}" if "target" in entry else ""
    beside = f", beside {entry['peer_name']}" if entry["peer_name"] else ""
    title = f"{entry['name']}\n[dim]{entry.get('unit', '')}{beside}"
    yield title, spread(entry, "ours"), spread(entry, "peer"), _ratio(entry), target, verdict(entry)
    for point in entry.get("points", ()):
        at = f"  {point['x']} {entry['x_unit']}"
        yield at, number(point["ours"]), number(point["peer"]), _ratio(point), "", ""


def _ratio(entry: Json) -> str:
    return "" if entry["ratio"] is None else f"{entry['ratio']:.3g}"


def table_of(title: str, entries: list[Json]) -> Table:
    """The table of figures, or of further measurements."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for heading in ("name", "ours", "peer", "ratio", "target", ""):
        words = heading in {"name", ""}
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for entry in entries:
        for row in _rows(entry):
            table.add_row(*row)
    return table


def print_report(report: Report, console: Console) -> None:
    """Print the tables and the machine."""
    if report.figures:
        console.print(table_of("Figures", report.figures))
    if report.more:
        console.print(table_of("More", report.more))
    for entry in report.figures + report.more:
        if "explanation" in entry:
            console.print(f"[bold]{entry['name']}[/]: {entry['explanation']}")
    about = report.machine
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items() if number)
    console.print(f"{about['processor']}, {about['cores']} cores; {about['kernel']}; {about['python']}; {packages}")
    met = sum(1 for each in report.figures if each["met"])
    console.print(f"{met} of {len(report.figures)} targets met, in {report.seconds:.0f} s")


@contextmanager
def progress_of(total: int, console: Console) -> Generator[Tell]:
    """A bar of the cases; it moves when a case says something, and has no thread of its own."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=total)
        seen: list[str] = []

        def tell(name: str, line: str) -> None:
            if name not in seen:
                seen.append(name)
            bar.update(task, description=f"{name}: {line}", completed=len(seen) - 1, refresh=True)

        yield tell
