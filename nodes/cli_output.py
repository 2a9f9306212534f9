"""Lines on stdout. While a node runs they leave from a thread of their own, so that nobody holds it up by not reading.

A pipe whose reader has stopped takes 64 KiB, and then blocks whoever writes: with the loop, that would be everything
that flies. So lines wait, bounded; what does not fit is counted, and told when there is room again.
"""

import io
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, TextIO, cast

from nodes.cli_errors import close_output

MAX_LINES: Final = 4_000
"""Lines that wait; one has some hundred bytes."""
END_S: Final = 1.0
"""For what still waits when the command ends."""


class Outlet:
    """A descriptor that is written to by a thread."""

    def __init__(self, descriptor: int, *, as_json: bool, most: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._as_json = as_json
        self._most = most
        self._lines: deque[str] = deque()
        self._lost = 0
        self._over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Take a line; never waits."""
        with self._changed:
            if len(self._lines) >= self._most:
                self._lost += 1
            else:
                self._lines.append(line)
                self._changed.notify()

    def close(self, within_s: float = END_S) -> None:
        """Let what waits leave, for a moment; a reader that has stopped gets no more."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            while (text := self._next()) is not None:
                data = text.encode("utf-8", "replace")
                while data:
                    data = data[os.write(self._descriptor, data) :]
        except OSError:  # the reader has gone: nobody is told any more
            with self._changed:
                self._most = 0
                self._lines.clear()

    def _next(self) -> str | None:
        """Return all that waits, or None at the end."""
        with self._changed:
            while not self._lines and not self._over:
                self._changed.wait()
            if self._lost and self._lines:
                self._lines.append(self._omitted())
                self._lost = 0
            text = "".join(f"{line}\n" for line in self._lines)
            self._lines.clear()
            return text or None

    def _omitted(self) -> str:
        if self._as_json:
            return json.dumps({"event": "Omitted", "lines": self._lost})
        return f"({self._lost} lines are left out: nobody read)"


_outlets: Final[list[Outlet]] = []


@contextmanager
def own_thread(*, as_json: bool) -> Generator[None]:
    """Let :func:`write_line` write from a thread inside of the block; where stdout is no file, it writes itself."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError, io.UnsupportedOperation):
        yield
        return
    sys.stdout.flush()
    outlet = Outlet(descriptor, as_json=as_json)
    _outlets.append(outlet)
    try:
        yield
    finally:
        _outlets.remove(outlet)
        outlet.close()


class _Text(io.TextIOBase):
    """An outlet as a text file, for what draws."""

    encoding = "utf-8"

    def __init__(self, outlet: Outlet, terminal: bool) -> None:
        self._outlet = outlet
        self._terminal = terminal
        self._begun = ""

    def isatty(self) -> bool:
        return self._terminal

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._outlet.put(line)
        return len(text)


def text_output() -> TextIO:
    """Return stdout for what writes to files, in its turn with :func:`write_line`."""
    return cast("TextIO", _Text(_outlets[-1], sys.stdout.isatty())) if _outlets else sys.stdout


def write_line(line: str) -> None:
    """Write a line; a node goes on when whoever read its output has gone."""
    if _outlets:
        _outlets[-1].put(line)
        return
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()
