"""The tutorial, typed as it stands (docs/tutorial.md): every command does what the page says."""

from pathlib import Path
from typing import Final

from tests.live.pagerunner import Reader

PAGE: Final = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    Reader(PAGE, tmp_path).follow()
