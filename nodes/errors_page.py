"""docs/errors.md, made from the error classes: ``python -m nodes.errors_page``.

Each class says itself what it means (its docstring) and what a person does about it (``advice``); its exit code comes
from ``nodes.cli_errors``.
"""

import inspect
import pkgutil
import re
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from nodes.cli_errors import SignalledError, exit_code
from nodes.errors import BugError
from protocols import errors
from protocols.errors import AerolinkError

PAGE: Final = Path(__file__).parents[1] / "docs" / "errors.md"
"""Where the page stands in a working copy."""

_HEAD: Final = """\
# Errors

Every error that you can meet: by its name, as `--json` and Python say it, by whose fault it is, and with its exit code.
A command that fails says one line on stderr: what is wrong, and with what; with `--json` the last line of stdout is an
object ([cli.md](cli.md#errors)). From Python each is an exception below `protocols.errors.AerolinkError`: catch one of
the four families, or one by its name. Some of them only programs meet, or the log of a node, which goes on after
whatever concerns one link.

No error has a key, a code or a message in its text. What the other device is told is coarser: a number of
[the registry](../specs/registry.md), or nothing ([1-link.md](../specs/1-link.md)). What a node wants its operator to
see while it goes on is an alarm: [operate.md](operate.md#alarms).

This page is made from the classes by `python -m nodes.errors_page`.
"""
_FAMILIES: Final = {
    errors.LocalError: "This side: the command, its configuration, this machine",
    errors.PeerError: "The other device, or the way to it",
    errors.AuthenticationError: "Authentication: what came does not prove what it should",
    errors.PolicyError: "Policy: understood and genuine, and the answer is no",
}
_OTHERS: Final[tuple[tuple[str, BaseException, str, str], ...]] = (
    (
        "`UsageError`, `BadParameter` and others of click",
        click.UsageError(""),
        "An option or argument that is not there, or cannot be what was given.",
        "The line says which; `--help` shows what there is.",
    ),
    (
        "`KeyboardInterrupt`, `Abort`",
        KeyboardInterrupt(),
        "Ctrl-C, or the end of the input at a question. Everything was closed.",
        "Nothing.",
    ),
    (
        "`SignalledError`",
        SignalledError(signal.SIGTERM),
        "SIGTERM (SIGHUP: 129) has ended it. Everything was closed.",
        "Nothing.",
    ),
    (
        "`BugError`, any other",
        BugError(),
        "Something that no error of ours describes, in any process of ours. Its text stays out: it may hold anything.",
        "`--log-level debug` shows where; please report it, as [SECURITY.md](../SECURITY.md) says if it may be a hole.",
    ),
)


def page() -> str:
    """Return the table of errors as Markdown."""
    parts = [_HEAD]
    for family, title in _FAMILIES.items():
        rows = [_row(f"`{kind.__name__}`", kind.__new__(kind), _meaning(kind), kind.advice) for kind in leaves(family)]
        parts += [f"## {title}", "", *_table(rows)]
    parts += ["## Others", "", *_table([_row(*each) for each in _OTHERS])]
    return "\n".join(parts)


def leaves(family: type[AerolinkError]) -> list[type[AerolinkError]]:
    """Return the errors of a family, its root left out, by name."""
    import_all()
    return sorted(_below(family), key=lambda kind: kind.__name__)


def import_all() -> None:
    """Import every module, so that every class is known."""
    for package in ("nodes", "protocols"):
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            import_module(module.name)


def _below(kind: type[AerolinkError]) -> Iterator[type[AerolinkError]]:
    for each in kind.__subclasses__():
        if each.__module__.partition(".")[0] in {"nodes", "protocols"}:
            yield each
        yield from _below(each)


def _table(rows: list[str]) -> list[str]:
    return ["| error | exit code | means | do |", "|---|---|---|---|", *rows, ""]


def _row(name: str, error: BaseException, meaning: str, advice: str) -> str:
    return f"| {name} | {exit_code(error)} | {meaning} | {_linked(advice)} |"


def _meaning(kind: type[AerolinkError]) -> str:
    """Return the first paragraph of a docstring, as Markdown."""
    text = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    return _linked(re.sub(r"``(.+?)``", r"`\1`", text))


def _linked(text: str) -> str:
    """Make links of the pages that a text names, seen from docs/."""
    text = re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", text)
    return re.sub(r"(?<!/)\bspecs/([\w-]+\.md)", r"[\1](../specs/\1)", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
