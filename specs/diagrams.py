"""Diagrams of formats, 32 bits wide as in RFC 791, drawn from the declarations.

A field that does not fit its row goes on in the next. Where a size varies, or is more than 16 bytes, the edges are
ragged (``/``) and the drawn height means nothing; what follows a part of varying size begins a row of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final

from specs.strict import Field, Format, Variable, describe

_WIDTH: Final = 32
_MOST_BITS: Final = 128
_RULER: Final = (
    " 0                   1                   2                   3",
    " 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1",
)


@dataclass(frozen=True, slots=True)
class _Part:
    """A field, or the length in front of one."""

    label: str
    bits: int | None
    """None: varies."""


def bit_diagram(fmt: Format[Any]) -> str:
    """The diagram of a format; labels that find no room are numbered and explained below."""
    parts = [part for field in describe(fmt) for part in _parts(field)]
    cells, ragged = _lay_out(parts)
    rows = [cells[start : start + _WIDTH] for start in range(0, len(cells), _WIDTH)]
    labels, legend = _place_labels(rows, parts)
    lines: list[str] = list(_RULER)
    for number, row in enumerate(rows):
        lines.extend((_border(rows[number - 1] if number else [], row), _line(row, number, labels, ragged)))
    lines.append(_border(rows[-1], []))
    return "\n".join(line.rstrip() for line in [*lines, *legend])


# --- what is drawn ------------------------------------------------------------------------------


def _parts(field: Field) -> Iterator[_Part]:
    name = field.name or _constant_label(field)
    if field.variable:
        yield from _variable_parts(name, field.variable)
    elif field.size_bytes is None:
        yield _Part(name, None)
    else:
        size = f" ({field.size_bytes} bytes)" if field.size_bytes > 8 else ""
        yield _Part(name + size, 8 * field.size_bytes)


def _variable_parts(name: str, variable: Variable) -> Iterator[_Part]:
    if variable.prefix_bytes:
        what = "length" if variable.unit == "bytes" else "count"
        yield _Part(f"{what} of {name}", 8 * variable.prefix_bytes)
    yield _Part(f"{name} ({variable.low:,} to {variable.high:,} {variable.unit})", None)


def _constant_label(field: Field) -> str:
    value = field.constant
    if isinstance(value, bytes):
        if not any(value):
            return "zero"
        text = value.decode("ascii", "replace")
        return f'"{text}"' if text.isprintable() else f"0x{value.hex()}"
    digits = 2 * (field.size_bytes or 0)
    return f"0x{value:0{digits}x}" if value else "zero"


# --- where ---------------------------------------------------------------------------------------


def _lay_out(parts: list[_Part]) -> tuple[list[int | None], set[int]]:
    """For each bit drawn the number of its part (None: nothing), and which parts are ragged."""
    cells: list[int | None] = []
    ragged: set[int] = set()
    for number, part in enumerate(parts):
        rest_of_row = -len(cells) % _WIDTH
        if part.bits is None:
            cells += [number] * (rest_of_row + _WIDTH)
            ragged.add(number)
        elif part.bits > _MOST_BITS:
            end = (len(cells) + part.bits) % _WIDTH
            cells += [number] * (rest_of_row + _WIDTH + end)
            ragged.add(number)
        else:
            cells += [number] * part.bits
    return cells, ragged


def _segments(row: list[int | None]) -> list[tuple[int | None, int]]:
    return [(number, len(list(same))) for number, same in groupby(row)]


def _place_labels(rows: list[list[int | None]], parts: list[_Part]) -> tuple[dict[tuple[int, int], str], list[str]]:
    """Text by (row, part), in the middle of the widest segments of each part; and the legend."""
    labels: dict[tuple[int, int], str] = {}
    legend: list[str] = []
    for number, part in enumerate(parts):
        widths = {at: row.count(number) for at, row in enumerate(rows) if number in row}
        widest = [at for at, width in widths.items() if width == max(widths.values())]
        text = part.label
        if len(text) > 2 * max(widths.values()) - 1:
            text = f"({len(legend) + 1})"
            legend.append(f" {text} {part.label}")
        labels[widest[(len(widest) - 1) // 2], number] = text
    return labels, legend


# --- lines ---------------------------------------------------------------------------------------


def _line(row: list[int | None], at: int, labels: dict[tuple[int, int], str], ragged: set[int]) -> str:
    segments = _segments(row)
    left = "/" if segments[0][0] in ragged else "|"
    right = "/" if segments[-1][0] in ragged else "|"
    texts = [
        labels.get((at, number if number is not None else -1), "").center(2 * width - 1) for number, width in segments
    ]
    return left + "|".join(texts) + right


def _border(above: list[int | None], below: list[int | None]) -> str:
    """Between two rows: a line, open where a part goes on."""
    width = max(len(above), len(below))
    first, second = above + [None] * (width - len(above)), below + [None] * (width - len(below))
    drawn = ["-" if one != other else " " for one, other in zip(first, second, strict=True)]
    corners = ["+" if "-" in pair else " " for pair in pairwise(drawn)]
    return "+" + "".join(mark + corner for mark, corner in zip(drawn, [*corners, "+"], strict=True))
