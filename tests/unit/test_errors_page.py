"""docs/errors.md: every error is in it, with its exit code and something to do."""

import inspect
from typing import Final

import pytest

from nodes.cli_errors import exit_code
from nodes.errors_page import PAGE, import_all, leaves, page
from protocols.errors import AerolinkError, AuthenticationError, LocalError, PeerError, PolicyError

FAMILIES: Final[dict[type[AerolinkError], set[int]]] = {
    LocalError: {2, 3, 4},
    PeerError: {4},
    AuthenticationError: {5},
    PolicyError: {6},
}
INSIDE: Final = {
    "nodes.cli_errors.SignalledError",
    "nodes.config.kinds.BadValueError",
    "nodes.errors.BugError",
    "nodes.https.errors.HttpError",
    "nodes.https.outgoing.PeerGoneError",
    "nodes.looking.client.NotRunningError",
    "nodes.looking.control.RequestError",
    "nodes.ports.Interrupted",
}
"""Exceptions that are no error of the suite: caught where they are raised, or in the table of the others."""


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "`python -m nodes.errors_page` writes it"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_each_error_says_what_to_do(family: type[AerolinkError]) -> None:
    kinds = leaves(family)
    assert len(kinds) > 5
    for kind in kinds:
        assert kind.__name__.endswith("Error")
        assert len(vars(kind).get("advice", "")) >= 8, f"{kind.__name__} needs an `advice` of its own"
        assert inspect.getdoc(kind) != inspect.getdoc(kind.__base__), f"{kind.__name__} needs a docstring"
        assert exit_code(kind.__new__(kind)) in FAMILIES[family]
        assert f"| `{kind.__name__}` | {exit_code(kind.__new__(kind))} |" in page()


def test_no_error_stands_outside_of_the_families() -> None:
    import_all()
    ours = {
        kind
        for kind in _below(Exception)
        if kind.__module__.partition(".")[0] in {"nodes", "protocols", "specs"} and not kind.__name__.startswith("_")
    }
    known = {kind for family in FAMILIES for kind in leaves(family)} | set(FAMILIES) | {AerolinkError}
    assert {f"{kind.__module__}.{kind.__name__}" for kind in ours - known} <= INSIDE


def _below(kind: type[Exception]) -> set[type[Exception]]:
    found: set[type[Exception]] = set()
    for each in type.__subclasses__(kind):
        found |= {each} | _below(each)
    return found
