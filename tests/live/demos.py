"""Demos for tests: in this process with everything that was said, and as a command with a folder of its own."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from nodes.demo.chain_report import ChainReport
from nodes.demo.lines import LineReader
from nodes.demo.options import DemoOptions
from nodes.demo.report import Report
from nodes.demo.run import run_demo
from nodes.flight import ModelFlight, tlog_record
from nodes.stations.notes import Note
from protocols.crypto.suites import SUITES
from tests.conftest import require_or_skip
from tests.live.kit import CARRIERS

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
PROC: Final = Path("/proc")
CODE_LIKE: Final = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}")
"""A linking code, or half of a token."""
_CROSSED: Final = {"P256_AESGCM_SHA256": "tcp", "25519+MLKEM768_ChaChaPoly_BLAKE2s": "tcp"}
SUITES_AND_CARRIERS: Final = [
    pytest.param(suite.name, carrier, marks=[] if carrier == _CROSSED.get(suite.name, "udp") else [pytest.mark.slow])
    for suite in SUITES.values()
    for carrier in CARRIERS
]
"""Each suite once, so that each curve, and hybrid or not, meets each carrier; the other half is slow."""
DEADLINE_S: Final = 60.0
"""For ``trio.fail_after``: far more than anything here takes, on a machine that others use too."""


def messy_log(folder: Path) -> Path:
    """A log with boot text and a broken frame between good ones."""
    records = [
        tlog_record(1_700_000_000_000_000 + round(frame.time_s * 1e6), frame.data) for frame in ModelFlight().frames()
    ]
    records.insert(10, b"ArduPilot booting ...\r\n")
    records.insert(50, records[50][:14])
    path = folder / "messy.tlog"
    path.write_bytes(b"".join(records))
    return path


async def chain(options: DemoOptions, *, processes: bool = False) -> tuple[ChainReport, list[Note]]:
    """Run a demo of four nodes; its report, and everything that was said."""
    notes: list[Note] = []
    with trio.fail_after(DEADLINE_S):
        report = await run_demo(options, notes.append, processes=processes)
    assert isinstance(report, ChainReport)
    return report, notes


async def pair(options: DemoOptions, *, processes: bool = False) -> tuple[Report, list[Note]]:
    """Run a demo of drone and remote controller; likewise."""
    notes: list[Note] = []
    with trio.fail_after(DEADLINE_S):
        report = await run_demo(replace(options, two=True), notes.append, processes=processes)
    assert isinstance(report, Report)
    return report, notes


class Running:
    """The command in a process, with a temporary folder of its own."""

    def __init__(self, process: trio.Process, folder: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines: list[str] = []
        """Everything that came on stdout so far."""
        self._out = LineReader(process.stdout)
        self._folder = folder

    async def _next_line(self) -> str | None:
        line = await self._out.next_line()
        if line is not None:
            self.lines.append(line)
        return line

    async def until(self, words: str) -> None:
        """Read on until a line has these words."""
        while (line := await self._next_line()) is not None:
            if words in line:
                return
        pytest.fail(f"the demo ended before it said {words!r}")

    async def end(self) -> tuple[int, str]:
        """Read to the end; the exit code, and what stands on stderr."""
        while await self._next_line() is not None:
            pass
        assert self.process.stderr is not None
        errors = b"".join([chunk async for chunk in self.process.stderr])
        return await self.process.wait(), errors.decode()

    def children(self) -> dict[str, int]:
        """Return the processes of the nodes, by name."""
        if not PROC.is_dir():
            require_or_skip("there is no /proc to look for child processes in")
        entries = [entry for entry in PROC.iterdir() if entry.name.isdecimal()]
        return {_node(entry): int(entry.name) for entry in entries if _parent(entry) == self.process.pid}

    def leftovers(self) -> list[Path]:
        """Return what is in the temporary folder."""
        return list(self._folder.iterdir())


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _node(entry: Path) -> str:
    """Return which node a process is: ``... -m nodes.demo.child NAME FOLDER``."""
    return (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-2].decode()


@asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncGenerator[Running]:
    """Run ``aerolink demo``; killed at the end if it still runs."""
    process = await trio.lowlevel.open_process(
        [*COMMAND, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        with trio.fail_after(DEADLINE_S):
            yield Running(process, folder)
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            await stream.aclose()
