"""Draws the pictures of docs/architecture.md from its tables: ``python -m tests.tools.ways``.

A row with a number is a step, and stands in the column of its storey; a row without one is where the next steps are, or
what is between two devices.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "architecture.md"
IMAGES: Final = PAGE.parent / "img"
_WAY: Final = re.compile(r"<!-- way: (\S+) -->\n\n((?:\|.*\n)+)")
_ROW: Final = re.compile(r"^\| (\d*) ?\| (?:`([\w.]+)`|\*(.+?)\*) \|")
_STOREYS: Final = ("nodes", "protocols")
_LEFT, _COLUMN, _BOX, _HEIGHT, _STEP = 150, 380, 330, 28, 44
_COLOURS: Final = {"nodes": ("#eaf2f8", "#1b4f72"), "protocols": ("#fdf2e0", "#b9770e")}
_FONT: Final = 'font-family="Helvetica, Arial, sans-serif" font-size="14"'
_ARROW_HEAD: Final = (
    '<marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" markerHeight="6" orient="auto">'
    '<path d="M0 0 L10 5 L0 10 z" fill="#566573"/></marker>'
)


@dataclass(frozen=True)
class Row:
    """A line of a table: a step, or (without a number) a place."""

    number: str
    name: str

    @property
    def storey(self) -> int | None:
        """Which column; None for a place."""
        return _STOREYS.index(self.name.partition(".")[0]) if self.number else None

    @property
    def label(self) -> str:
        """The last two parts of the name."""
        return ".".join(self.name.split(".")[-2:])


def ways() -> dict[str, list[Row]]:
    """Return the tables of the page, by the name of their picture."""
    return {way[1]: list(_rows(way[2])) for way in _WAY.finditer(PAGE.read_text())}


def _rows(table: str) -> Iterator[Row]:
    for line in table.splitlines()[2:]:
        row = _ROW.match(line)
        assert row, f"no step and no place: {line}"
        yield Row(row[1], row[2] or row[3])


def picture(rows: list[Row]) -> str:
    """Return the picture of a way."""
    width, height = _LEFT + len(_STOREYS) * _COLUMN, 60 + len(rows) * _STEP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f"<defs>{_ARROW_HEAD}</defs>",
        *(_heading(number) for number in range(len(_STOREYS))),
    ]
    before: tuple[float, float] | None = None
    for at, row in enumerate(rows):
        y = 56 + at * _STEP
        if row.storey is None:
            parts.append(_place(row, y, width))
        else:
            x = _LEFT + row.storey * _COLUMN
            if before:
                parts.append(_arrow(before, (x + _BOX / 2, y)))
            parts.append(_box(row, x, y))
            before = (x + _BOX / 2, y + _HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def _heading(number: int) -> str:
    x = _LEFT + number * _COLUMN + _BOX / 2
    return f'<text x="{x:g}" y="30" text-anchor="middle" font-weight="bold">{_STOREYS[number]}</text>'


def _place(row: Row, y: int, width: int) -> str:
    at = y + _HEIGHT / 2
    return (
        f'<path d="M10 {at:g} H{width - 10}" stroke="#aab7b8" stroke-dasharray="2 4"/>'
        f'<rect x="8" y="{at - 10:g}" width="{12 + 7.2 * len(row.name):.0f}" height="20" fill="#ffffff"/>'
        f'<text x="12" y="{at + 5:g}" fill="#566573" font-style="italic">{escape(row.name)}</text>'
    )


def _box(row: Row, x: int, y: int) -> str:
    fill, line = _COLOURS[row.name.partition(".")[0]]
    middle = y + _HEIGHT / 2 + 5
    return (
        f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="6" fill="{fill}" stroke="{line}"/>'
        f'<text x="{x + 12}" y="{middle:g}" fill="{line}" font-weight="bold">{row.number}</text>'
        f'<text x="{x + 40}" y="{middle:g}">{escape(row.label)}</text>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    return f'<path d="M{x:g} {y:g} L{to_x:g} {to_y - 1:g}" stroke="#566573" fill="none" marker-end="url(#a)"/>'


if __name__ == "__main__":
    for name, rows in ways().items():
        (IMAGES / f"{name}.svg").write_text(picture(rows))
