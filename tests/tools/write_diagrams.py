"""Fill the diagrams of the pages in specs/, and tables elsewhere: ``python -m tests.tools.write_diagrams [page ...]``.

A page says ``<!-- diagram: datagram.DATA_HEADER -->`` and ``<!-- end -->``; what stands between them is drawn from
``specs.datagram.DATA_HEADER``. A table that follows from the code stands in ``<!-- table: NAME -->`` likewise.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from specs.diagrams import bit_diagram
from specs.strict import Format
from tests.tools.tables import TABLES

PAGES = Path(__file__).parents[2] / "specs"
ELSEWHERE = (PAGES.parent / "docs" / "comparison.md",)
TABLE = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- diagram: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page, in order."""
    return [*sorted(PAGES.rglob("*.md")), *ELSEWHERE]


def diagram(name: str) -> str:
    """The diagram of ``module.FORMAT`` below ``specs``."""
    module, _, attribute = name.rpartition(".")
    fmt: Format[Any] = getattr(importlib.import_module(f"specs.{module}"), attribute)
    return bit_diagram(fmt)


def fill(text: str) -> str:
    """The page with every diagram and table made anew."""
    text = BLOCK.sub(lambda block: f"{block[1]}```\n{diagram(block[2])}\n```\n{block[4]}", text)
    return TABLE.sub(lambda block: f"{block[1]}{TABLES[block[2]]()}\n{block[4]}", text)


def main(names: list[str]) -> None:
    """Rewrite the named pages, or all."""
    for page in [Path(name) for name in names] or pages():
        text = page.read_text()
        if (filled := fill(text)) != text:
            page.write_text(filled)
            sys.stdout.write(f"{page.name}: diagrams written\n")


if __name__ == "__main__":
    main(sys.argv[1:])
