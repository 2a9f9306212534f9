"""The pages for people: their programs run, their links lead somewhere, the commands that they name exist."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import pytest

from nodes import config, topology
from nodes.cli import aerolink
from protocols.errors import ConfigError
from protocols.events import AlarmKind
from protocols.link.peers import PeerState
from specs.registry import ChannelClass, Role

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    page
    for folder in (".", "docs", "docs/adr", "docs/reference", "specs", "specs/vectors", "examples")
    for page in (ROOT / folder).glob("*.md")
)
FRAGMENT: Final = "<!-- fragment -->"
"""In the line above a block: part of a program or of a file, not the whole of one."""
_BLOCK: Final = re.compile(r"^(?P<mark>.*)\n+```(?P<info>(?:python|toml)\b.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND: Final = re.compile(r"`aerolink ([^`\n]+)`|^(?: +(?:\$ )?|\$ )(?:\.venv/bin/)?aerolink (.+)$", re.MULTILINE)
_TWO_FILES: Final = re.compile(r"^ +# \w+\.toml +# \w+\.toml\n(?:^ +.*\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A block of a page."""

    page: str
    line: int
    info: str
    text: str
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets(language: str) -> list[Snippet]:
    """Return the blocks of a language on all pages."""
    found: list[Snippet] = []
    for page in PAGES:
        text = page.read_text()
        for block in _BLOCK.finditer(text):
            if block["info"].split()[0] == language:
                line = text.count("\n", 0, block.start("text")) + 1
                whole = block["mark"].strip() != FRAGMENT
                found.append(Snippet(str(page.relative_to(ROOT)), line, block["info"], block["text"], whole))
    return found


PYTHON: Final = snippets("python")
PROGRAMS: Final = [each for each in PYTHON if each.whole and each.info == "python"]
"""Those with a file name behind the language are run by tests/live/test_pages.py."""


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_programs_run_as_they_stand(program: Snippet, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program.text)
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
    assert len([each for each in PROGRAMS if each.page == "docs/embed.md"]) > 4


@pytest.mark.parametrize("snippet", [each for each in PYTHON if each not in PROGRAMS], ids=str)
def test_fragments_are_python(snippet: Snippet) -> None:
    compile(snippet.text, str(snippet), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("snippet", snippets("toml"), ids=str)
def test_configurations_and_topologies_can_be_used(snippet: Snippet) -> None:
    if {"topology", "nodes"} & tomllib.loads(snippet.text).keys():
        topology.parse(snippet.text.encode(), str(snippet))
        return
    heads = [""] if snippet.whole else [f'[node]\nrole = "{role.name.lower()}"\n' for role in Role]
    errors: list[str] = []
    for head in heads:
        try:
            config.parse((head + snippet.text).encode(), Path(str(snippet)))
        except ConfigError as error:
            errors.append(str(error))
    assert len(errors) < len(heads), errors


def test_configurations_side_by_side_can_be_used() -> None:
    found = _TWO_FILES.findall((ROOT / "docs" / "operate.md").read_text())
    assert len(found) == 2
    for block in found:
        column = block.index("#", block.index("#") + 1)
        lines = block.splitlines()
        for text in ("\n".join(line[:column] for line in lines), "\n".join(line[column:] for line in lines)):
            config.parse("\n".join(map(str.strip, text.splitlines())).encode(), Path("page.toml"))


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
                assert word.partition("=")[0].rstrip("`,;.") in known | {"--help"}, f"{page.name}: {' '.join(words)}"


def test_commands_are_found() -> None:
    assert ["keys", "list", "--state-dir", "drone-state"] in commands(ROOT / "docs" / "operate.md")
    assert len(commands(ROOT / "README.md")) > 4
    assert len(commands(ROOT / "docs" / "operate.md")) > 9


def test_operators_find_every_alarm_and_every_state() -> None:
    page = (ROOT / "docs" / "operate.md").read_text()
    for name in [kind.name for kind in AlarmKind] + [state.value for state in PeerState]:
        assert f"| `{name}` |" in page


def test_every_decision_is_in_its_list() -> None:
    listed = (ROOT / "docs" / "adr" / "README.md").read_text()
    pages = [page for page in PAGES if page.parent.name == "adr" and page.name != "README.md"]
    assert len(pages) >= 14
    for number, page in enumerate(pages, 1):
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        assert page.name.startswith(f"{number:04}-")
        assert title.startswith(f"{number}. ")
        assert f"- [{title}]({page.name})" in listed


def test_the_comparison_names_its_sources() -> None:
    text, _, sources = (ROOT / "docs" / "comparison.md").read_text().partition("\n## Sources\n")
    named = set(re.findall(r"\b([MWDF]\d)\b", " ".join(re.findall(r"\[([^\]]+)\](?!\()", text))))
    listed = re.findall(r"^\| ([MWDF]\d) \|.*\]\(https://", sources, re.MULTILINE)
    assert named == set(listed)
    assert len(listed) == len(named) > 15


def test_rules_that_a_page_names_exist() -> None:
    rules = {
        rule
        for page in (ROOT / "specs").glob("*.md")
        for rule in re.findall(r"\*\*([A-Z]{2}-\d+)\*\*", page.read_text())
    }
    kinds = {rule.partition("-")[0] for rule in rules}
    assert len(rules) > 200
    for page in PAGES:
        named = {rule for rule in re.findall(r"\b[A-Z]{2}-\d+\b", page.read_text()) if rule.partition("-")[0] in kinds}
        assert named <= rules, f"{page.name}: {named - rules}"


def test_the_glossary_is_sorted_and_whole() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \| \[.+?\]\((.+?)\) \|$", page, re.MULTILINE)
    terms = [term for term, _, _ in rows]
    assert terms == sorted(terms, key=lambda term: (term.casefold(), term))
    assert len(set(terms)) == len(terms) == page.count("\n| ") - 1
    wanted = {"Node", "Link", "Carrier", "Channel", "Suite", "Pairing", "Authority", "Sealed"}
    wanted |= {kind.name.capitalize() for kind in (*ChannelClass, Role.DRONE, Role.MOBILE, Role.CLOUD)}
    assert wanted <= set(terms)
