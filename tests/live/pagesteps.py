"""A page as a reader follows it: what its blocks tell him to save, to type, and to see, in order.

====================================  ============================================================================
in a page                             means
====================================  ============================================================================
```` ```toml drone.toml ````          save the block as this file (any language; a second word with a dot is a name)
```` ```console drone ````            the terminal ``drone``; every name is a shell of its own in the same folder
``$ command``                         type it; ``> `` before a line continues it
any other line                        is shown next, whole; ``...`` stands for any text in it, alone for any lines
``<name>`` for the first time         whatever stands there, to be remembered by this name
``<name>`` after that                 what was remembered: typed, where a line ends with it; in commands, put in
``^C``                                press Ctrl-C
```` ```console drone stays ````      its last command goes on; the next block of this terminal continues there
```` ```console fails ````            its last command ends with another exit code than 0
```` ```console skip ````             not to be followed by the tests
====================================  ============================================================================

Without ``stays`` a block ends when its command has ended. A command with no line after it may say anything. Blank lines
do not count.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_WORDS: Final = frozenset({"stays", "fails", "skip"})


@dataclass(frozen=True)
class Save:
    """Make a file."""

    line: int
    name: str
    text: str


@dataclass(frozen=True)
class Type:
    """Give a shell a command."""

    line: int
    terminal: str
    command: str


@dataclass(frozen=True)
class See:
    """Wait for a line."""

    line: int
    terminal: str
    text: str


@dataclass(frozen=True)
class Interrupt:
    """Press Ctrl-C."""

    line: int
    terminal: str


@dataclass(frozen=True)
class End:
    """Wait until the command has ended."""

    line: int
    terminal: str
    fails: bool


Step = Save | Type | See | Interrupt | End


@dataclass(frozen=True)
class Block:
    """A fenced block: the words behind its fence, its lines, the number of the first one."""

    words: tuple[str, ...]
    lines: tuple[str, ...]
    line: int


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    opened: tuple[str, int, tuple[str, ...]] | None = None
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, found = (fence["indent"], number + 1, tuple(fence["info"].split())), []
        elif opened and fence and not fence["info"]:
            yield Block(opened[2], tuple(found), opened[1])
            opened = None
        elif opened:
            found.append(line.removeprefix(opened[0]))


def steps(page: Path) -> list[Step]:
    """Return what a reader of the page does."""
    return [step for block in blocks(page.read_text()) for step in _steps(block)]


def _steps(block: Block) -> Iterator[Step]:
    kind, *words = block.words or ("",)
    if kind == "console":
        if "skip" not in words:
            yield from _session(block, words)
    elif words and "." in words[0]:
        yield Save(block.line, words[0], "\n".join(block.lines) + "\n")


def _session(block: Block, words: list[str]) -> Iterator[Step]:
    terminal = next((word for word in words if word not in _WORDS), "")
    began = False
    lines = list(enumerate(block.lines, block.line))
    while lines:
        number, line = lines.pop(0)
        if line.startswith("$ "):
            if began:
                yield End(number, terminal, fails=False)
            began, parts = True, [line[2:]]
            while lines and lines[0][1].startswith("> "):
                parts.append(lines.pop(0)[1][2:])
            yield Type(number, terminal, "\n".join(parts))
        elif line.strip() == "^C":
            yield Interrupt(number, terminal)
        elif line.strip():
            yield See(number, terminal, line.rstrip())
    if "stays" not in words:
        yield End(block.line + len(block.lines), terminal, fails="fails" in words)
