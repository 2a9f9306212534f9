"""The pages of docs/reference: one for each module of ``nodes.api``, with what it offers, for autodoc."""

import inspect
from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Final

from nodes.api import PUBLIC

_FOREIGN: Final = "object, BaseException, Exception, Enum, IntEnum, IntFlag, int, str, bytes, tuple, dict"
"""Classes whose members Python documents."""


def write_reference(folder: Path) -> None:
    """Write a page for each module; one that has not changed keeps its time, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    wanted = {f"{module}.rst": _page(module, names) for module, names in PUBLIC.items()}
    for old in folder.glob("*.rst"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _page(module_name: str, names: Sequence[str]) -> str:
    parts = [module_name, "=" * len(module_name), "", f".. automodule:: {module_name}", "   :no-members:", ""]
    for name in names:
        parts += [*_entry(module_name, name), ""]
    return "\n".join(parts)


def _entry(module_name: str, name: str) -> list[str]:
    each = getattr(import_module(module_name), name)
    if inspect.isclass(each):
        numbers = ["   :undoc-members:"] if issubclass(each, Enum) else []
        return [f".. autoclass:: {module_name}.{name}", "   :members:", f"   :inherited-members: {_FOREIGN}", *numbers]
    kind = "function" if callable(each) else "data"
    return [f".. auto{kind}:: {module_name}.{name}"]
