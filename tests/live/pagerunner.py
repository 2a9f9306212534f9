"""Follows a page as a reader does, and stops where the page is wrong.

By hand: ``python -m tests.live.pagerunner PAGE [FOLDER]``. What a page may say stands in :mod:`tests.live.pagesteps`.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from tests.live.pagesteps import End, Interrupt, Save, See, Step, Type, steps
from tests.live.terminals import Terminal, wait_for

_NAME: Final = re.compile(r"<([a-z][a-z0-9-]*)>")
_ANY: Final = "..."
_INTERRUPTED: Final = 130


class PageError(AssertionError):
    """A page and what happens differ."""


class Reader:
    """Somebody with a page, a folder and some terminals."""

    def __init__(self, page: Path, folder: Path, *, patience_s: float = 60, inside: Sequence[str] = ()) -> None:
        """``patience_s``: how long each line may take; ``inside``: what runs the shells, such as ``nsenter``."""
        self.page = page
        self.remembered: dict[str, str] = {}
        self._folder = folder
        self._patience_s = patience_s
        self._inside = inside
        self._terminals: dict[str, Terminal] = {}
        self._skips: set[str] = set()
        """Terminals in which any lines may come now."""
        self._heeds: set[str] = set()
        """Terminals whose command has shown something in the page."""
        self._runs: dict[str, Type] = {}
        """Commands that have not ended."""
        self._stack = ExitStack()

    def follow(self) -> None:
        """Do all that the page says; raise PageError at the first line that is not true."""
        with self._stack:
            for step in steps(self.page):
                self._do(step)
            for step in self._runs.values():
                raise self._error(step, "the page leaves this command running")

    def _do(self, step: Step) -> None:
        match step:
            case Save():
                (self._folder / step.name).write_text(step.text)
            case Type():
                self._type(step)
            case See(text="..."):
                self._heeds.add(step.terminal)
                self._skips.add(step.terminal)
            case See():
                self._see(step)
            case Interrupt():
                self._terminal(step).interrupt()
                self._skips.add(step.terminal)
            case End():
                self._end(step)

    def _terminal(self, step: Type | See | Interrupt | End) -> Terminal:
        name = step.terminal
        if name not in self._terminals:
            self._terminals[name] = self._stack.enter_context(closing(Terminal(self._folder, self._inside)))
            self._wait(step, lambda: self._terminals[name].status is not None, "for the shell")
            self._terminals[name].take_prompt()
        return self._terminals[name]

    def _type(self, step: Type) -> None:
        terminal = self._terminal(step)
        if step.terminal in self._runs:
            raise self._error(step, f"{self._runs[step.terminal].command!r} still runs in this terminal")
        self._runs[step.terminal] = step
        self._skips.discard(step.terminal)
        self._heeds.discard(step.terminal)
        terminal.type(_NAME.sub(lambda found: self.remembered.get(found[1], found[0]), step.command))

    def _see(self, step: See) -> None:
        self._heeds.add(step.terminal)
        named = _NAME.search(step.text)
        if named and named[1] in self.remembered and not step.text[named.end() :]:
            self._answer(step, step.text[: named.start()], self.remembered[named[1]])
            return
        terminal = self._terminal(step)
        lines: list[str] = []

        def came() -> bool:
            line = terminal.take_line()
            while line is not None and step.terminal in self._skips and not self._pattern(step.text).fullmatch(line):
                line = terminal.take_line()
            if line is not None:
                lines.append(line)
            return bool(lines) or terminal.status is not None

        self._wait(step, came, f"for {step.text!r}")
        found = self._pattern(step.text).fullmatch(lines[0]) if lines else None
        if found is None:
            raise self._error(step, f"{step.text!r} is to be seen, not {repr(lines[0]) if lines else 'the end'}")
        self._skips.discard(step.terminal)
        self.remembered |= {name.replace("_", "-"): value for name, value in found.groupdict().items()}

    def _answer(self, step: See, question: str, answer: str) -> None:
        """Wait for a line that does not end, and end it."""
        terminal = self._terminal(step)
        pattern = self._pattern(question.rstrip())
        self._wait(step, lambda: pattern.fullmatch(terminal.tail.rstrip()) is not None, f"to be asked {question!r}")
        while (line := terminal.take_line()) is not None:
            if step.terminal not in self._skips:
                raise self._error(step, f"{question!r} is to be seen, not {line!r}")
        terminal.take_tail()
        self._skips.discard(step.terminal)
        terminal.type(answer)

    def _end(self, step: End) -> None:
        if self._runs.pop(step.terminal, None) is None:
            raise self._error(step, "no command runs in this terminal")
        terminal = self._terminal(step)
        self._wait(step, lambda: terminal.status is not None, "for the command to end")
        status = terminal.status
        line = terminal.take_line()
        if line is not None and step.terminal in self._heeds - self._skips:
            raise self._error(step, f"the page does not show {line!r}")
        if (status not in {0, _INTERRUPTED}) != step.fails:
            raise self._error(step, f"the command ended with exit code {status}")
        while line is not None:
            line = terminal.take_line()
        terminal.take_prompt()

    def _pattern(self, text: str) -> re.Pattern[str]:
        """Return what a line of the page looks like on the screen."""

        def part(piece: str) -> str:
            named = _NAME.fullmatch(piece)
            if named is None:
                return ".*" if piece == _ANY else re.escape(piece)
            known = self.remembered.get(named[1])
            return rf"(?P<{named[1].replace('-', '_')}>\S+)" if known is None else re.escape(known)

        return re.compile("".join(part(piece) for piece in re.split(r"(<[a-z][a-z0-9-]*>|\.\.\.)", text)))

    def _wait(self, step: Step, condition: Callable[[], bool], what: str) -> None:
        if not wait_for(list(self._terminals.values()), condition, self._patience_s):
            raise self._error(step, f"waited {what}")

    def _error(self, step: Step, text: str) -> PageError:
        shown = "".join(f"\n--- terminal {name!r}:\n{each.shown}" for name, each in self._terminals.items())
        return PageError(f"{self.page.name}:{step.line}: {text}{shown}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        Reader(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else temporary)).follow()
