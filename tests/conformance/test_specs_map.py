"""specs/README.md and specs/vectors/README.md: the map is whole, and what is written is what is there."""

import re
import sys
from pathlib import Path

import pytest

from tests.tools.make_vectors.files import FILES
from tests.tools.own_vectors import EXPECTS, KEYS, MESSAGES, OPTIONAL

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
MAP = (SPECS / "README.md").read_text("utf-8")
VECTORS = (SPECS / "vectors" / "README.md").read_text("utf-8")
LINKS = re.findall(r"\]\(([^)#]+)\)", MAP)


@pytest.mark.parametrize("link", sorted(set(LINKS)))
def test_every_file_of_the_map_exists(link: str) -> None:
    assert (SPECS / link).is_file()


def test_every_page_declaration_and_vector_is_in_the_map() -> None:
    found = {path for pattern in ("*.md", "*.py", "airlink/*.py", "vectors/*") for path in SPECS.glob(pattern)}
    wanted = {str(path.relative_to(SPECS)) for path in found if path.name != "__init__.py"} - {"README.md"}
    assert wanted - set(LINKS) == set()


def test_links_are_named_for_their_files() -> None:
    for text, link in re.findall(r"\[([^\]]+)\]\(([^)#]+)\)", MAP):
        assert Path(link).name in {text, f"{text}.json"} or link == text


def test_the_page_of_the_vectors_has_every_kind_and_key() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]*) \|", VECTORS.partition("## Expectations")[0], re.MULTILINE))
    assert rows.keys() == KEYS.keys() == FILES.keys()
    for kind, keys in KEYS.items():
        if kind != "handshake":  # its keys have a section
            assert set(re.findall(r"`([a-z0-9_]+)`", rows[kind])) == keys - {"name"} | OPTIONAL.get(kind, frozenset())
    section = VECTORS.partition("## Handshakes")[2]
    assert [key for key in KEYS["handshake"] | OPTIONAL["handshake"] if f"`{key}`" not in section] == ["name"]


def expectations() -> str:
    """Return the table of the closed lists."""
    rows = [f"| `{kind}` | {', '.join(f'`{each}`' for each in sorted(words))} |" for kind, words in EXPECTS.items()]
    return "\n".join(["| kind | `expect` |", "|---|---|", *rows, ""])


def test_the_page_of_the_vectors_has_every_expectation() -> None:
    block = VECTORS.partition("<!-- expectations -->\n")[2].partition("<!-- end -->")[0]
    assert block == expectations()
    assert MESSAGES.keys() <= EXPECTS.keys()


def test_the_program_shares_no_code_with_the_product() -> None:
    """Otherwise the vectors would only say that we are what we are."""
    for path in (ROOT / "tests" / "tools" / "make_vectors").glob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text("utf-8"), re.MULTILINE)
        assert not [name for name in imported if name.split(".")[0] in {"specs", "protocols", "nodes"}]
        ours = [name for name in imported if name.startswith("tests.")]
        assert all(name.startswith("tests.tools.make_vectors") for name in ours)
    assert "tests.tools.make_vectors.files" in sys.modules
