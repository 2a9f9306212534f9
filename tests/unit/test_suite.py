"""The suite itself: what ``tests/conftest.py`` says of it."""

from pathlib import Path

import pytest

from tests.conftest import BARE

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", BARE)
def test_what_is_not_traced_is_there(name: str) -> None:
    """A name that is out of date would be traced again, and nobody would notice but by the time that it takes."""
    assert (TESTS / name).exists()
