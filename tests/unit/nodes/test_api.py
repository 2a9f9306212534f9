"""What users may import is listed once, exists, says what it is, and suffices for examples and pages."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import nodes
from nodes.api import PUBLIC

ROOT = Path(__file__).resolve().parents[3]
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_OURS = {"specs", "protocols", "nodes", "tests"}


def described(module: str) -> set[str]:
    """Return the names of a module that have words: a docstring inside, or a string behind an assignment."""
    source = import_module(module).__file__
    assert source is not None
    body = ast.parse(Path(source).read_text()).body
    names = set[str]()
    for each, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(each):
            names.add(each.name)
        elif isinstance(each, ast.AnnAssign | ast.Assign) and isinstance(after, ast.Expr):
            targets = [each.target] if isinstance(each, ast.AnnAssign) else each.targets
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Yield what a program imports of ours: module and name; "" for a whole module."""
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ImportFrom) and each.module and each.module.split(".")[0] in _OURS:
            yield from ((each.module, name.name) for name in each.names)
        elif isinstance(each, ast.Import):
            yield from ((name.name, "") for name in each.names if name.name.split(".")[0] in _OURS)


def programs() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of everything that a user may take as a model."""
    for script in sorted((ROOT / "examples").glob("*.py")):
        yield script.name, script.read_text()
    pages = set((ROOT / "docs").glob("*.md")) - {ROOT / "docs/benchmarks.md"}  # that is for who works on a clone
    for page in (ROOT / "README.md", *sorted(pages)):
        for number, source in enumerate(_BLOCK.findall(page.read_text())):
            yield f"{page.name}-{number}", source


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_exists(module: str) -> None:
    assert PUBLIC[module], "a module without names is not public"
    assert len(set(PUBLIC[module])) == len(PUBLIC[module])
    for name in PUBLIC[module]:
        assert hasattr(import_module(module), name), f"{module} has no {name} any more"


@pytest.mark.parametrize("module", [each for each in PUBLIC if each not in {"nodes", "nodes.embed", "nodes.testing"}])
def test_every_public_name_says_what_it_is(module: str) -> None:
    offered = {name: getattr(import_module(module), name) for name in PUBLIC[module]}
    elsewhere = {name for name, each in offered.items() if isinstance(each, type) and each.__module__ != module}
    assert all(offered[name].__doc__ for name in elsewhere)
    assert set(offered) - elsewhere - described(module) - _BY_THEIR_NAME == set()


_BY_THEIR_NAME = {"u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"}


def test_what_packages_offer_says_what_it_is() -> None:
    for module in ("nodes", "nodes.embed", "nodes.testing"):
        for name in PUBLIC[module]:
            assert getattr(import_module(module), name).__doc__, name
    assert PUBLIC["nodes"] == tuple(nodes.__all__)


@pytest.mark.parametrize(("name", "source"), [pytest.param(*each, id=each[0]) for each in programs()])
def test_examples_and_pages_import_public_names_only(name: str, source: str) -> None:
    for module, imported in imports(source):
        assert imported in PUBLIC.get(module, ()), f"{name}: {module}.{imported} is in no list of nodes/api.py"


def test_there_is_something_to_look_at() -> None:
    """A search that finds nothing makes everything above green."""
    found = [each for _, source in programs() for each in imports(source)]
    assert len(found) > 50
    assert len(list(programs())) > 12
