"""Diagrams: drawn right, and the pages show what is declared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from construct import Struct

from specs.airlink import FORMATS
from specs.diagrams import bit_diagram
from specs.strict import (
    Format,
    bounded_array,
    bounded_text,
    constant,
    f32,
    finite,
    fixed_bytes,
    nested,
    reserved,
    rest_bytes,
    u8,
    u16,
    u64,
)
from tests.tools import write_diagrams


@dataclass(frozen=True, slots=True)
class Everything:
    first: int
    wide: int
    a_name_that_finds_no_room: int
    ratio: float
    digest: bytes
    text: str
    items: tuple[int, ...]
    rest: bytes


EVERYTHING = Format(
    "everything",
    Everything,
    Struct(
        constant(b"AB"),
        "first" / u8,
        reserved(1),
        constant(b"\x07"),
        constant(bytes(3)),
        "wide" / u64,
        "a_name_that_finds_no_room" / u8,
        "ratio" / finite(f32),
        "digest" / fixed_bytes(32),
        "text" / bounded_text(u8, 9, 1),
        "items" / bounded_array(u16, u8, 3),
        "rest" / rest_bytes(1_000),
    ),
)

DRAWN = """\
 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|              "AB"             |     first     |      zero     |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      0x07     |                      zero                     |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                              wide                             |
+                                                               +
|                                                               |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|      (1)      |                     ratio                     |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|               |                                               /
+-+-+-+-+-+-+-+-+                                               +
/                       digest (32 bytes)                       /
+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/               | length of text|                               /
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
/                      text (1 to 9 bytes)                      /
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|         count of items        |                               /
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+                               +
/                      items (0 to 3 items)                     /
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/                    rest (0 to 1,000 bytes)                    /
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 (1) a_name_that_finds_no_room"""


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Everything


def test_every_kind_of_part() -> None:
    assert bit_diagram(EVERYTHING) == DRAWN


def test_a_format_inside_a_format_varies_with_it() -> None:
    outer = Format("outer", Outer, Struct("inner" / nested(EVERYTHING)))
    assert bit_diagram(outer).splitlines()[3].strip("/ ") == "inner"


@pytest.mark.parametrize("page", write_diagrams.pages(), ids=lambda page: page.name)
def test_pages_show_what_is_declared(page: Path) -> None:
    text = page.read_text()
    stale = write_diagrams.fill(text) != text
    assert not stale, f"{page.name}: run python -m tests.tools.write_diagrams"


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
def test_every_airlink_message_is_drawn(fmt: Format[Any]) -> None:
    assert bit_diagram(fmt) in (write_diagrams.PAGES / "4-airlink.md").read_text()


def test_the_program_rewrites_what_is_stale_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- diagram: airlink.control.STICKS -->\nold\n<!-- end -->\nB\n")
    write_diagrams.main([str(page)])
    written = page.read_text()
    assert "throttle_permille" in written
    assert "old" not in written
    assert capsys.readouterr().out == "page.md: diagrams written\n"
    write_diagrams.main([str(page)])
    assert page.read_text() == written
    assert not capsys.readouterr().out
