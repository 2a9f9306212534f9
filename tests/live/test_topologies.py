"""``aerolink run``: every topology that is shipped, in this process and in processes that are killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from nodes.topology import find, shipped
from nodes.topology.alarms import AFTER_RESTART
from nodes.topology.report import TopologyReport
from nodes.topology.run import run_topology
from nodes.topology.runner import GRACE_S, Restart, RunOptions
from nodes.topology.view import View
from tests.live.kit import DEADLINE_S

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
SECRET_LIKE: Final = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}")
"""A linking code, or half of a token."""
SHORT_S: Final = 2.0
RESTARTS: Final = {"dock": (Restart("dock", 1.0),)}
WHOLE_S: Final = 30.0
KILL_AT_S: Final = 8.0
NODES: Final = [(name, node) for name in shipped() for node in find(name).nodes]


async def test_every_topology_in_this_process_and_a_node_that_comes_back() -> None:
    """All of them at once: most of it is waiting."""
    reports: dict[str, TopologyReport] = {}
    told: list[str] = []

    async def run(name: str, *restarts: Restart) -> None:
        options = RunOptions(SHORT_S, restarts, tell=told.append)
        reports[name] = await run_topology(find(name), None, options, View())

    with trio.fail_after(SHORT_S + GRACE_S + 4 * DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for name in shipped():
                nursery.start_soon(run, name, *RESTARTS.get(name, ()))
    for name, report in reports.items():
        assert (report.topology, report.problems) == (name, ())
        assert all(link.up and link.times for link in report.links)
        assert {node.pid for node in report.nodes} == {None}
        starts = {node.name: node.starts for node in report.nodes}
        assert starts == dict.fromkeys(starts, 1) | {restart.name: 2 for restart in RESTARTS.get(name, ())}
    folders = [Path(line.removeprefix("folder ")) for line in told if line.startswith("folder ")]
    assert len(folders) == len(shipped())
    assert not any(folder.exists() for folder in folders)
    assert not any(SECRET_LIKE.search(line) for line in told)


# --- processes ----------------------------------------------------------------------------------


@dataclass
class Command:
    """``aerolink run --processes --json``, and what it says."""

    process: subprocess.Popen[str]
    err: Path
    out: Path
    _pids: dict[str, int] = field(default_factory=dict[str, int])

    def pids(self) -> dict[str, int]:
        """Name of each node -> its newest process."""
        rows = [line.split() for line in self.err.read_text().splitlines() if line.startswith("started ")]
        return {row[1]: int(row[3].rstrip(")")) for row in rows}

    async def until_started(self, *names: str) -> None:
        while not set(names) <= self.pids().keys():
            assert self.process.poll() is None, self.err.read_text()
            await trio.sleep(0.05)

    async def end(self) -> dict[str, Any]:
        """Wait for the end; the last line, which is the report or an error."""
        while self.process.poll() is None:  # noqa: ASYNC110
            await trio.sleep(0.05)
        row: dict[str, Any] = json.loads(self.out.read_text().splitlines()[-1])
        return row


@contextmanager
def started(name: str, seconds: float, folder: Path, *options: str) -> Generator[Command]:
    """Run the command; nothing of it is left afterwards."""
    out, err = folder / "out", folder / "err"
    command = [*COMMAND, "run", name, "--processes", "--seconds", str(seconds), "--json", *options]
    with out.open("w") as out_file, err.open("w") as err_file:
        process = subprocess.Popen(command, stdout=out_file, stderr=err_file, text=True)
    found = Command(process, err, out)
    try:
        yield found
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_S)
        assert not any(map(is_there, found.pids().values())), err.read_text()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_killed_nodes_come_back_and_nothing_is_left(tmp_path: Path) -> None:
    """One for all that processes need: somebody kills one, --restart another, the folder stays and is used again."""
    folder = tmp_path / "folder"
    options = ("--folder", str(folder), "--restart", "left@1")
    with trio.fail_after(2 * DEADLINE_S), started("dual", 4.0, tmp_path, *options) as command:
        await command.until_started("drone", "left", "right")
        first = command.pids()
        os.kill(first["right"], signal.SIGKILL)
        report = await command.end()
    assert (report["ok"], report["problems"], command.process.returncode) == (True, [], 0)
    rows = {row["name"]: row for row in report["nodes"]}
    assert {name: row["starts"] for name, row in rows.items()} == {"drone": 1, "left": 2, "right": 2}
    assert {name: row["pid"] for name, row in rows.items()} == command.pids()
    assert rows["right"]["pid"] != first["right"]
    text = command.err.read_text()
    assert text.startswith(f"folder {folder}\nleft paired with drone\n")
    assert "right has ended (killed by signal 9); it starts again in 1 s\n" in text
    assert 'name = "left"' in (folder / "nodes" / "left" / "node.toml").read_text()
    with trio.fail_after(2 * DEADLINE_S), started("dual", 60.0, tmp_path, "--folder", str(folder)) as command:
        await command.until_started("drone", "left", "right")
        command.process.send_signal(signal.SIGINT)
        error = await command.end()
    assert (error["ok"], error["error"]["exit_code"], command.process.returncode) == (False, 130, 130)
    assert command.err.read_text().startswith(f"folder {folder}\nhas its nodes already: ")


async def test_nodes_end_when_their_runner_is_struck_down(tmp_path: Path) -> None:
    with trio.fail_after(2 * DEADLINE_S), started("dual", 60.0, tmp_path, "--folder", str(tmp_path / "f")) as command:
        await command.until_started("drone", "left", "right")
        command.process.kill()
        while any(map(is_there, command.pids().values())):  # noqa: ASYNC110
            await trio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
async def test_each_topology_for_its_whole_time(name: str, tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S + GRACE_S + 4 * DEADLINE_S), started(name, WHOLE_S, tmp_path) as command:
        report = await command.end()
    assert (report["ok"], report["problems"], report["alarms"]) == (True, [], [])
    assert {node["starts"] for node in report["nodes"]} == {1}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "node"), NODES)
async def test_each_node_of_each_topology_is_killed(name: str, node: str, tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S + GRACE_S + 4 * DEADLINE_S), started(name, WHOLE_S, tmp_path) as command:
        await command.until_started(*find(name).nodes)
        await trio.sleep(KILL_AT_S)  # in the middle of its work, whatever that is then
        os.kill(command.pids()[node], signal.SIGKILL)
        report = await command.end()
    assert (report["ok"], report["problems"]) == (True, [])
    starts = {row["name"]: row["starts"] for row in report["nodes"]}
    assert starts == {**dict.fromkeys(find(name).nodes, 1), node: 2}
    assert {alarm["kind"] for alarm in report["alarms"]} <= {kind.name for kind in AFTER_RESTART}
