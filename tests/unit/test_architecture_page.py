"""docs/architecture.md: what it names exists, and its pictures are drawn from its tables."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.tools import ways

ROOT = Path(__file__).parents[2]
TEXT = ways.PAGE.read_text()
NAMES = sorted(set(re.findall(r"`((?:nodes|protocols|specs)(?:\.\w+)+)`", TEXT)))
FOLDERS = sorted(set(re.findall(r"`((?:nodes|protocols|specs|tests)/[\w/.]*)`", TEXT)))


def test_there_is_something_to_look_at() -> None:
    assert len(NAMES) > 50
    assert len(FOLDERS) > 8


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_exists(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    pytest.fail(f"no module of {name}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_exist(folder: str) -> None:
    assert (ROOT / folder).exists()


@pytest.mark.parametrize("name", ["way-of-a-stick", "way-of-a-flight", "way-of-a-stranger"])
def test_pictures_are_drawn_from_the_tables(name: str) -> None:
    rows = ways.ways()[name]
    assert [row.number for row in rows if row.number] == [str(n + 1) for n in range(sum(bool(r.number) for r in rows))]
    drawn = (ways.IMAGES / f"{name}.svg").read_text()
    assert drawn == ways.picture(rows), "run python -m tests.tools.ways"
    assert f"](img/{name}.svg)" in TEXT
