"""Terminals as a person has them: a shell on a pseudo-terminal each, all of them read together."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_MARK: Final = "\x1e"
"""Around the exit status that the shell shows when it is ready for the next command."""
_READY: Final = re.compile(f"{_MARK}(\\d+){_MARK}")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[=>()][0-9A-B]?")
_SHELL: Final = ("setsid", "--ctty", "bash", "--noprofile", "--norc", "--noediting", "-i")
_ROWS, _COLUMNS = 60, 250
"""So wide that no line is wrapped."""


class Terminal:
    """A shell, and what stands on its screen."""

    def __init__(self, folder: Path, inside: Sequence[str] = ()) -> None:
        """Start a shell in a folder; ``inside``: what runs it, such as ``nsenter``."""
        self._ours, theirs = pty.openpty()
        quiet = termios.tcgetattr(theirs)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, quiet)
        termios.tcsetwinsize(theirs, (_ROWS, _COLUMNS))
        self._process = subprocess.Popen(
            [*inside, *_SHELL], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=_environment(folder)
        )
        os.close(theirs)
        self._raw = b""
        self._seen = 0
        self._began = 0
        self._echo = ""
        self.is_open = True

    def fileno(self) -> int:
        """For select."""
        return self._ours

    def read(self) -> None:
        """Take what is there."""
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        self._raw += data
        self.is_open = bool(data)

    def type(self, text: str) -> None:
        """Type a line; what was shown until now is done with."""
        self._echo = text
        os.write(self._ours, f"{text}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    @property
    def _all(self) -> str:
        return _CONTROL.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def _text(self) -> str:
        return self._all[self._seen :]

    @property
    def shown(self) -> str:
        """What the last command has shown, taken or not."""
        return _READY.sub("", self._all[self._began :])

    @property
    def tail(self) -> str:
        """The line that has not ended, if a program shows one: a question, for example."""
        return "" if self.status is not None else _visible(self._text.rpartition("\n")[2])

    @property
    def status(self) -> int | None:
        """The exit status of the last command, or None while it runs."""
        found = _READY.search(self._text)
        return int(found[1]) if found else None

    def take_line(self) -> str | None:
        """Return the next line that is not blank, or None while there is none."""
        while True:
            head, ended, _ = self._text.partition("\n")
            ready = head.find(_MARK)
            if ready >= 0:
                head, ended = head[:ready], ""
            elif not ended:
                return None
            self._seen += len(head) + len(ended)
            line, echo, self._echo = _visible(head).rstrip(), self._echo, ""
            if line and line != echo:
                return line
            if ready >= 0:
                return None

    def take_tail(self) -> None:
        """Be done with the line that has not ended."""
        self._seen += len(self._text)

    def take_prompt(self) -> None:
        """Be done with the command that has ended."""
        found = _READY.search(self._text)
        self._seen += found.end() if found else 0
        self._began = self._seen

    def close(self) -> None:
        """Hang up; whoever does not end with that is ended."""
        try:
            group = os.tcgetpgrp(self._ours)
        except OSError:
            group = 0
        os.close(self._ours)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            for each in {group, self._process.pid} - {0}:
                os.killpg(each, signal.SIGKILL)
            self._process.wait()


def _visible(line: str) -> str:
    """Return what a screen shows of a line that began anew."""
    return line.rstrip("\r").rpartition("\r")[2]


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "HISTFILE": os.devnull,
        "PS1": "",
        "PS2": "",
        "PROMPT_COMMAND": f"printf '{_MARK}%d{_MARK}' $?; set +H",
    }


def wait_for(terminals: Sequence[Terminal], condition: Callable[[], bool], seconds: float) -> bool:
    """Read all terminals until the condition holds; False when that took too long, or nothing more can come."""
    until = time.monotonic() + seconds
    while not condition():
        ready, _, _ = select.select([each for each in terminals if each.is_open], [], [], until - time.monotonic())
        if not ready:
            return False
        for each in ready:
            each.read()
    return True
