"""Which cases there are: every module of ``tests.bench.cases`` has one, as ``CASE``."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import tests.bench.cases
from tests.bench.harness.contract import FIGURES
from tests.bench.harness.model import Case, Sweep


class UnknownCaseError(Exception):
    """There is no case of that name."""


def module_of(name: str) -> str:
    """Return the module that holds a case: its name in Python's spelling."""
    return name.replace("-", "_")


def names() -> list[str]:
    """Return the names of all cases without importing any: the figures first, in their order."""
    found = [each.name.replace("_", "-") for each in iter_modules(tests.bench.cases.__path__)]
    return [name for name in FIGURES if name in found] + sorted(set(found) - set(FIGURES))


def chosen(only: Sequence[str]) -> list[str]:
    """Return what is to be run; UnknownCaseError for a name that there is not."""
    known = names()
    for name in only:
        if name not in known:
            raise UnknownCaseError(f"there is no case {name!r}; there are {', '.join(known)}")
    return [name for name in known if not only or name in only]


def load(name: str) -> Case | Sweep:
    """Import a case."""
    chosen([name])
    case = import_module(f"tests.bench.cases.{module_of(name)}").CASE
    if not isinstance(case, Case | Sweep) or case.name != name:
        raise TypeError(f"tests/bench/cases/{module_of(name)}.py must define CASE, named {name!r}")
    return case
