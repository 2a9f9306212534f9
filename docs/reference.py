"""The pages of docs/reference: one for each public module, with everything that it offers, for autodoc."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Final

MODULES: Final = ("nodes", "nodes.testing", "protocols.errors")
"""Whose public names are documented: those of ``__all__``, or all that do not begin with an underscore."""


def write_reference(folder: Path) -> None:
    """Write a page for each module; one that has not changed keeps its time, so that Sphinx does not read it again."""
    folder.mkdir(exist_ok=True)
    wanted = {f"{module}.rst": _page(module) for module in MODULES}
    for old in folder.glob("*.rst"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def public_names(module_name: str) -> list[str]:
    """Return what a module offers."""
    module = import_module(module_name)
    own = [name for name, each in vars(module).items() if getattr(each, "__module__", "") == module_name]
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def _page(module_name: str) -> str:
    parts = [module_name, "=" * len(module_name), "", f".. automodule:: {module_name}", "   :no-members:", ""]
    for name in public_names(module_name):
        parts += [*_entry(module_name, name), ""]
    return "\n".join(parts)


def _entry(module_name: str, name: str) -> list[str]:
    each = getattr(import_module(module_name), name)
    if inspect.isclass(each):
        return [f".. autoclass:: {module_name}.{name}", "   :members:", "   :inherited-members: Exception, object"]
    kind = "function" if callable(each) else "data"
    return [f".. auto{kind}:: {module_name}.{name}"]
