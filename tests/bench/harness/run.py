"""A whole run: each chosen case in a process of its own, one after the other."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from subprocess import DEVNULL, PIPE
from typing import Final

import trio

from tests.bench.harness import machine
from tests.bench.harness.child import ROOT, environment
from tests.bench.harness.contract import FIGURES
from tests.bench.harness.model import Json
from tests.bench.harness.registry import chosen, names
from tests.bench.harness.rounds import FULL, QUICK, QUICK_MORE, Effort

WORKER: Final = "tests.bench.harness.worker"
_CASE_S: Final = 120.0
_QUICK_CASE_S: Final = 60.0
"""A case that takes longer hangs."""
_LEAVE_S: Final = 3.0
"""Until a case has taken down what it set up, for example network namespaces."""
Progress = Callable[[str, str], None]
"""Takes the name of a case, and what it is doing."""


@dataclass(slots=True)
class Report:
    """What a run gave."""

    figures: list[Json] = field(default_factory=list[Json])
    more: list[Json] = field(default_factory=list[Json])
    machine: Json = field(default_factory=dict[str, object])
    quick: bool = False
    seconds: float = 0.0

    def as_dict(self) -> Json:
        """Return the last line of ``--json``."""
        return {
            "figures": self.figures,
            "machine": self.machine,
            "more": self.more,
            "quick": self.quick,
            "seconds": round(self.seconds, 1),
        }

    @property
    def failed(self) -> list[str]:
        """Cases whose own side did not run."""
        return [each["name"] for each in self.figures + self.more if "error" in each]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    only: Sequence[str] = ()
    quick: bool = False
    worker: str = WORKER
    """The module that runs a case; tests have one that pretends."""
    known: Callable[[Sequence[str]], list[str]] = chosen
    """From the names that were asked for to those that there are."""

    def effort(self, name: str) -> Effort:
        """How much is measured."""
        if not self.quick:
            return FULL
        return QUICK if name in FIGURES else QUICK_MORE


async def run(plan: Plan, progress: Progress) -> Report:
    """Run every chosen case."""
    started = trio.current_time()
    report = Report(machine=machine.describe(), quick=plan.quick)
    for name in plan.known(plan.only):
        began = trio.current_time()
        entry = await _run_case(plan, name, progress)
        entry["seconds"] = round(trio.current_time() - began, 1)
        (report.figures if name in FIGURES else report.more).append(entry)
    report.seconds = trio.current_time() - started
    return report


def order(plan: Plan) -> list[str]:
    """Return the names that a run goes through."""
    return plan.known(plan.only)


def _broken(name: str, reason: str) -> Json:
    """The entry of a case that did not run."""
    entry: Json = {"name": name, "ours": None, "peer": None, "peer_name": None, "ratio": None, "error": reason}
    target = FIGURES.get(name)
    if target is not None:
        entry |= {"target": target.value, "targets_sense": target.sense, "met": False}
    return entry


async def _run_case(plan: Plan, name: str, progress: Progress) -> Json:
    effort = plan.effort(name)
    limit_s = _QUICK_CASE_S if plan.quick else _CASE_S
    command = [sys.executable, "-m", plan.worker, name, str(effort.rounds), str(effort.seconds)]
    process = await trio.lowlevel.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=None if "AEROLINK_BENCH_STDERR" in os.environ else DEVNULL,
        cwd=ROOT, env=environment(), start_new_session=True,
    )  # fmt: skip
    try:
        with trio.move_on_after(limit_s):
            return await _listen(process, name, progress)
        return _broken(name, f"it took more than {limit_s:.0f} s")
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _listen(process: trio.Process, name: str, progress: Progress) -> Json:
    assert process.stdout is not None
    buffer = b""
    failure = "its process ended without a word"
    while data := await process.stdout.receive_some(65_536):
        *lines, buffer = (buffer + data).split(b"\n")
        for line in map(json.loads, lines):
            if "result" in line:
                result: Json = line["result"]
                return result
            if "tell" in line:
                progress(name, line["tell"])
            failure = line.get("failed", failure)
    return _broken(name, failure)


async def _end(process: trio.Process) -> None:
    """End a case and whatever it started: it leads a session of its own."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    with trio.move_on_after(_LEAVE_S):
        await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await process.stdout.aclose()


__all__ = ["Plan", "Report", "names", "order", "run"]
