"""docs/config.md, made from the dataclasses and the docstrings of their fields; and how such a page is made."""

import ast
import dataclasses
import inspect
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from nodes.config import tables
from nodes.config.reader import ByName, Shape, kinds_of
from nodes.config.tables import TABLES
from protocols.crypto.suites import Suite
from specs.registry import Role

PAGE: Final = Path(__file__).parents[2] / "docs" / "config.md"
"""Where the page stands in a working copy; ``python -m nodes.config.page`` writes it."""

_HEAD: Final = """\
# Configuration

A node reads one TOML file. `aerolink config check FILE` reports every problem in it with its line. A key or
table that is not listed here is an error. Relative paths start at the folder of the file. Only `role` is
required:

    [node]
    role = "drone"

This page is made from `nodes/config/tables.py` by `python -m nodes.config.page`.
"""


def page() -> str:
    """Return the key reference as Markdown."""
    return "\n".join([_HEAD, *sections(TABLES, tables)])


def sections(shape: Shape, module: ModuleType) -> list[str]:
    """Return a section for each table; ``module`` holds the classes."""
    docs = _field_docs(module)
    titles = {name: f"[{name}.NAME]" if isinstance(part, ByName) else f"[{name}]" for name, part in shape.items()}
    classes = {name: part.cls if isinstance(part, ByName) else part for name, part in shape.items()}
    return [_section(titles[name], cls, docs) for name, cls in classes.items()]


def _section(title: str, cls: type, docs: dict[tuple[str, str], str]) -> str:
    rows = [
        f"## {title}",
        "",
        inspect.getdoc(cls) or "",
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
    ]
    kinds = kinds_of(cls)
    for field in dataclasses.fields(cls):
        meaning = docs[cls.__name__, field.name]
        rows.append(f"| `{field.name}` | {kinds[field.name].text} | {_default(field.default)} | {meaning} |")
    return "\n".join([*rows, ""])


def _default(value: object) -> str:
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(_item, cast('tuple[object, ...]', value)))}]`"
    if isinstance(value, int | float):
        return f"`{value:.12g}`"
    return f"`{_item(value)}`"


def _item(value: object) -> str:
    if isinstance(value, Suite):
        return f'"{value.name}"'
    return f'"{value.name.lower()}"' if isinstance(value, Role) else f'"{value}"'


def _field_docs(module: ModuleType) -> dict[tuple[str, str], str]:
    """Return the string that stands below each field, by (class, field); Python itself does not keep it."""
    docs: dict[tuple[str, str], str] = {}
    for cls in ast.parse(inspect.getsource(module)).body:
        if isinstance(cls, ast.ClassDef):
            for field, text in zip(cls.body, cls.body[1:], strict=False):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                        docs[cls.name, name] = " ".join(doc.split())
                    case _:
                        pass
    return docs


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
