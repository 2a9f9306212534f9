"""Commands for tests: ``aerolink ...`` in this process, as its entry point runs it, or in a process of its own."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from nodes.cli import main
from nodes.logs import take_down

COMMAND: Final = (sys.executable, "-W", "error", "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Ended:
    """What a command has left behind."""

    code: int
    out: str
    err: str


def run_here(*arguments: str | Path, typed: str = "") -> Ended:
    """Run a command in this process, with streams of its own; it costs no start of an interpreter."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.stdin", io.StringIO(typed))
        try:
            code = main([*map(str, arguments)])
        finally:
            take_down()
    return Ended(code, out.getvalue(), err.getvalue())


def run_apart(*arguments: str | Path, typed: str = "") -> Ended:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=typed, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)
