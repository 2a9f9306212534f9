"""The pages for people: their programs run, their links lead somewhere, the commands that they name exist."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import pytest

from nodes.cli import aerolink
from protocols.events import AlarmKind
from protocols.link.peers import PeerState

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    page
    for folder in (".", "docs", "docs/adr", "specs", "specs/vectors", "examples")
    for page in (ROOT / folder).glob("*.md")
)
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND: Final = re.compile(r"`aerolink ([^`\n]+)`|^ +(?:\$ )?(?:\.venv/bin/)?aerolink (.+)$", re.MULTILINE)


def programs(name: str) -> list[str]:
    """Return the programs of a page."""
    return _BLOCK.findall((ROOT / name).read_text())


@pytest.mark.parametrize("number", range(len(programs("docs/embed.md"))))
def test_programs_run_as_they_stand(number: int, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(programs("docs/embed.md")[number])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_there_are_programs() -> None:
    assert len(programs("docs/embed.md")) > 4


def test_the_fragment_of_the_readme_is_python() -> None:
    for fragment in programs("README.md"):
        compile(fragment, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), f"{page.name}: {target}"


def commands(page: Path) -> list[list[str]]:
    """Return the command lines of a page: in code, or indented."""
    found = [spoken or shown for spoken, shown in _COMMAND.findall(page.read_text())]
    return [line.partition("#")[0].split() for line in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    for words in commands(page):
        command: click.Command = aerolink
        context = click.Context(aerolink)
        for word in words:
            if isinstance(command, click.Group) and word.isalpha() and word.islower():
                inner = command.get_command(context, word)
                assert inner is not None, f"{page.name}: {' '.join(words)}"
                command = inner
            elif word.startswith("--"):
                known = {option for each in command.params for option in each.opts}
                assert word.rstrip("`,;.") in known | {"--help"}, f"{page.name}: {' '.join(words)}"


def test_commands_are_found() -> None:
    assert ["keys", "generate", "--state-dir", "state"] in commands(ROOT / "README.md")
    assert len(commands(ROOT / "docs" / "operate.md")) > 9


def test_operators_find_every_alarm_and_every_state() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    for name in [kind.name for kind in AlarmKind] + [state.value for state in PeerState]:
        assert f"| `{name}` |" in page
