"""Pieces that both panels are drawn with."""

from rich.progress_bar import ProgressBar
from rich.table import Table


def grid() -> Table:
    """Return a table of names, values and remarks."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=8)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(style="dim", no_wrap=True, overflow="ellipsis")
    return table


def bar(done: int, total: int) -> ProgressBar:
    """Return a bar that shows how much is done."""
    return ProgressBar(total=max(total, 1), completed=min(done, total), width=30)
