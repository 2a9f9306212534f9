"""Every page with something to type is typed, line by line, and does what it says."""

import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import require_or_skip
from tests.live.pagerunner import Reader
from tests.live.pagesteps import Type, steps

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    page
    for folder in (".", "docs", "specs", "examples")
    for page in sorted((ROOT / folder).glob("*.md"))
    if any(isinstance(step, Type) for step in steps(page))
]
"""Blocks that begin with ```` ```console ````; those with ``skip`` are for other machines than this one."""


@pytest.fixture
def inside() -> Generator[list[str]]:
    """What runs a shell in a network of its own, where the ports of a page are free; nothing without the right to."""
    if shutil.which("unshare") is None or shutil.which("ip") is None or shutil.which("nsenter") is None:
        require_or_skip("unshare, nsenter and ip (Debian: util-linux, iproute2)")
    script = "ip link set lo up && echo in && exec sleep 600"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as sleeper:
        assert sleeper.stdout
        is_in = sleeper.stdout.readline() == b"in\n"
        yield ["nsenter", f"--net=/proc/{sleeper.pid}/ns/net"] if is_in else []
        sleeper.kill()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_reader_sees_what_the_page_says(page: Path, tmp_path: Path, inside: list[str]) -> None:
    Reader(page, tmp_path, inside=inside).follow()
