"""A grid of characters on which boxes, lines and texts are drawn; lines that meet are joined."""

from itertools import groupby
from typing import Final

from rich.cells import cell_len
from rich.text import Text

NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
_LIGHT: Final = " │─╰││╭├─╯─┴╮┤┬┼"
"""Indexed by where a line leaves a cell."""
_ASCII: Final = " |-+||++-+-+++++"


class Canvas:
    """``x`` grows to the right, ``y`` downwards; what is drawn later is seen."""

    def __init__(self, width: int, height: int) -> None:
        self.width: Final = width
        self.height: Final = height
        self._lines = [[0] * width for _ in range(height)]
        self._texts: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}

    def across(self, x1: int, x2: int, y: int, style: str = "") -> None:
        """Draw a line from left to right, or back, which begins and ends in the middle of a cell."""
        left, right = sorted((x1, x2))
        for x in range(left, right + 1):
            self._join(x, y, (EAST if x < right else 0) | (WEST if x > left else 0), style)

    def down(self, x: int, y1: int, y2: int, style: str = "") -> None:
        """Draw a line downwards, or back."""
        top, bottom = sorted((y1, y2))
        for y in range(top, bottom + 1):
            self._join(x, y, (SOUTH if y < bottom else 0) | (NORTH if y > top else 0), style)

    def box(self, x: int, y: int, width: int, height: int, style: str = "") -> None:
        """Draw a box."""
        for row in (y, y + height - 1):
            self.across(x, x + width - 1, row, style)
        for column in (x, x + width - 1):
            self.down(column, y, y + height - 1, style)

    def write(self, x: int, y: int, text: str, style: str = "", width: int | None = None) -> None:
        """Write a text, cut to ``width``."""
        room = self.width - x if width is None else width
        for at, character in enumerate(cut(text, room), x):
            self._texts[at, y] = character
            self._styles[at, y] = style

    def rows(self, *, ascii_only: bool) -> list[Text]:
        """Return what has been drawn, line by line."""
        glyphs = _ASCII if ascii_only else _LIGHT
        return [self._row(y, glyphs) for y in range(self.height)]

    def _row(self, y: int, glyphs: str) -> Text:
        row = Text(no_wrap=True, overflow="crop")
        for style, run in groupby(range(self.width), lambda x: self._styles.get((x, y), "")):
            row.append("".join(self._glyph(x, y, glyphs) for x in run), style)
        return row

    def _glyph(self, x: int, y: int, glyphs: str) -> str:
        glyph = self._texts.get((x, y)) or glyphs[self._lines[y][x]]
        return glyph if glyph.isascii() or glyphs is _LIGHT else "?"

    def _join(self, x: int, y: int, ways: int, style: str) -> None:
        self._lines[y][x] |= ways
        self._styles[x, y] = style


def cut(text: str, width: int) -> str:
    """Return a text that has at most so many columns: whatever does not take exactly one column becomes a "?"."""
    plain = "".join(each if each.isprintable() and cell_len(each) == 1 else "?" for each in text)
    if len(plain) <= width:
        return plain
    return plain[: max(0, width - 2)] + ".." if width > 3 else plain[: max(0, width)]
