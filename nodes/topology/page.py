"""docs/topology.md, made from the dataclasses of a topology and the docstrings of their fields."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from nodes.config.page import sections
from nodes.topology import find, shipped, tables
from nodes.topology.alarms import AFTER_RESTART
from nodes.topology.nodeconfig import TIMES
from nodes.topology.tables import TABLES

PAGE: Final = Path(__file__).parents[2] / "docs" / "topology.md"
"""Where the page stands in a working copy; ``python -m nodes.topology.page`` writes it."""
_HEAD: Final = "head.md"


def page() -> str:
    """Return the reference as Markdown."""
    head = files("nodes.topology").joinpath(_HEAD).read_text(encoding="utf-8")
    return "\n".join([head, *_shipped(), *sections(TABLES, tables), *_times(), *_alarms()])


def _shipped() -> list[str]:
    rows = [f"| `{name}` | {find(name).topology.description} |" for name in shipped()]
    return ["## Those that come with the program", "", "| name | what it is |", "|---|---|", *rows, ""]


def _times() -> list[str]:
    rows = [f"| `{key}` in `[{table}]` | {value:g} | {why} |" for (table, key), (value, why) in TIMES.items()]
    head = "Every node of a topology has these, so that its links come back a few seconds after a node was killed."
    return ["## Times", "", head, "", "| key | seconds | why |", "|---|---|---|", *rows, ""]


def _alarms() -> list[str]:
    head = "An alarm makes a run not `ok`, but for these when a node was started again meanwhile:"
    rows = [f"| `{kind.name}` | {why} |" for kind, why in AFTER_RESTART.items()]
    return ["## Alarms after a restart", "", head, "", "| alarm | why it is no fault |", "|---|---|", *rows, ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
