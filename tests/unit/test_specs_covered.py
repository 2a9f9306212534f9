"""Every numbered MUST of the specification is named by a test: in its name, its docstring or a comment beside it."""

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
_DECLARED: Final = re.compile(r"^- \*\*([A-Z]{2}-\d+)\*\*", re.MULTILINE)
_NAMED: Final = re.compile(r"\b([A-Z]{2})-(\d{1,3})\b((?:(?:, | and | to )(?:\1-)?\d{1,3}\b)*)")
_IN_A_NAME: Final = re.compile(r"\bdef test_((?:[a-z]{2}_\d+_)(?:\d+_)*)")
PREFIXES: Final = ("AL", "AU", "CH", "CL", "CS", "GL", "HF", "KL", "LK", "MP", "MV", "NH", "NP", "PR", "RL", "SL")


def declared() -> dict[str, str]:
    """Return each id and the page that it stands on."""
    return {
        found: page.name
        for page in sorted((ROOT / "specs").glob("*.md"))
        for found in _DECLARED.findall(page.read_text())
    }


def named(*, ranges: bool = True) -> set[str]:
    """Return each id that the source of a test names; ``ranges``: those between "LK-1 to LK-5" too."""
    names = set[str]()
    for source in sorted((ROOT / "tests").rglob("test_*.py")):
        if source == Path(__file__):
            continue
        text = source.read_text()
        for prefix, first, more in _NAMED.findall(text):
            numbers = [first, *re.findall(r"\d+", more)]
            if ranges and " to " in more:
                numbers = [str(each) for each in range(int(first), int(numbers[-1]) + 1)]
            names |= {f"{prefix}-{number}" for number in numbers}
        for run in _IN_A_NAME.findall(text):
            prefix, *numbers = run.strip("_").split("_")
            names |= {f"{prefix.upper()}-{number}" for number in numbers}
    return names


def test_the_pages_have_numbered_musts() -> None:
    """An empty search would make everything below green."""
    ids = declared()
    assert {each.split("-")[0] for each in ids} == set(PREFIXES)
    assert len(ids) > 120


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_must_has_a_test(prefix: str) -> None:
    """A MUST that no test names is a MUST that nobody holds."""
    missing = {each: page for each, page in declared().items() if each.startswith(prefix)}
    for each in named():
        missing.pop(each, None)
    assert missing == {}


def test_no_test_names_a_must_that_is_none() -> None:
    """A number that the pages no longer have is a test that nobody reads."""
    ids = declared()
    unknown = sorted(each for each in named(ranges=False) if each.split("-")[0] in PREFIXES and each not in ids)
    assert unknown == []
