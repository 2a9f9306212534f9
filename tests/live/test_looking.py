"""Looking at real node processes: status, monitor and metrics, while one of them is killed and started again.

The socket itself: ``tests/unit/looking``; one test, since each process costs a second.
"""

import json
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.openmetrics import parser

from nodes.looking.place import SOCKET_NAME
from nodes.looking.status import NodeStatus
from nodes.looking.watching import Target, look_at_all
from tests.live.kit import state_with_key
from tests.live.processes import (
    COMMAND,
    DH,
    Node,
    Ports,
    configure,
    free_ports,
    introduce,
    shown_if_failed,
    until,
)

DEADLINE_S = 60.0
QUICK = "[limits]\ndead_after_s = 1\nkeepalive_s = 0.2\n"


@pytest.fixture
def nodes(tmp_path: Path) -> dict[str, Node]:
    """A drone and its remote controller, which know each other; the drone's link is lost soon after."""
    nodes = configure(tmp_path, Ports.free(), QUICK)
    states = {role: state_with_key(node.state, DH) for role, node in nodes.items()}
    introduce(states)
    for state in states.values():
        state.close()
    return {role: nodes[role] for role in ("drone", "rc")}


async def command(*arguments: str, code: int = 0) -> str:
    """Run a command; return its stdout."""
    done = await trio.run_process([*COMMAND, *arguments], capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


async def seen(*nodes: Node) -> list[NodeStatus]:
    """How nodes are, over their sockets, without a process for the command."""
    return await look_at_all([Target(node.role, node.role, node.state) for node in nodes])


class Monitor:
    """``aerolink monitor --json`` at work."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self.out = out
        self.err = err

    def events(self, node: Node) -> list[dict[str, Any]]:
        """What it has said about a node, in whole lines."""
        whole = self.out.read_text().rpartition("\n")[0]
        said = [json.loads(line) for line in whole.splitlines()]
        return [each for each in said if each["folder"] == str(node.state)]

    def kinds(self, node: Node) -> list[str]:
        return [each["event"] for each in self.events(node)]


@contextmanager
def monitoring(folder: Path, *nodes: Node) -> Generator[Monitor]:
    out, err = folder / "monitor.out", folder / "monitor.err"
    options = [each for node in nodes for each in ("--config", str(node.config))]
    with out.open("wb") as out_file, err.open("wb") as err_file:
        process = subprocess.Popen([*COMMAND, "monitor", *options, "--json"], stdout=out_file, stderr=err_file)
    try:
        yield Monitor(process, out, err)
    finally:
        process.kill()
        process.wait()


async def test_looking_at_nodes(tmp_path: Path, nodes: dict[str, Node]) -> None:
    drone, rc = nodes.values()
    (port,) = free_ports(1)
    with shown_if_failed(drone, rc), trio.fail_after(DEADLINE_S):
        drone.start("--pair", "mobile")
        rc.start("--metrics", f"127.0.0.1:{port}")
        await until(lambda: len(drone.now.links("drone-rc")) == len(rc.now.links("drone-rc")) == 1, drone, rc)
        code = next(note["code"] for note in drone.now.notes if note["event"] == "code")

        await _both_are_running(drone, rc)
        await _metrics(port)
        await _a_second_node_takes_nothing(drone)
        with monitoring(tmp_path, drone, rc) as monitor:
            await until(lambda: {"status"} <= {*monitor.kinds(drone)} & {*monitor.kinds(rc)}, drone, rc)
            rc.kill()
            await until(lambda: "away" in monitor.kinds(rc) and "LinkIsDown" in monitor.kinds(drone), drone)
            killed, left = await seen(rc, drone)
            assert (killed.running, left.running) == (False, True)
            assert (left.links[0].up, left.links[0].reason) == (False, "nothing heard from the peer")
            rc.start()
            await until(lambda: monitor.kinds(rc)[monitor.kinds(rc).index("away") :].count("status") > 1, drone, rc)
            await until(lambda: monitor.kinds(drone).count("LinkIsUp") == 1, drone, rc)
            (after,) = await seen(drone)
            assert (after.links[0].up, after.links[0].times) == (True, 2)
            monitor.process.send_signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(monitor.process.wait) == 130
            assert monitor.err.read_text() == "aerolink: interrupted\n"
            assert code not in monitor.out.read_text() + repr(after)
        assert rc.now.end() == drone.now.end() == 143
        assert not (drone.state / SOCKET_NAME).exists()


async def _both_are_running(drone: Node, rc: Node) -> None:
    found = await seen(drone, rc)
    assert [(each.name, each.pid) for each in found] == [(node.role, node.now.process.pid) for node in (drone, rc)]
    for one, other in (found, found[::-1]):
        assert [(link.name, link.up, link.peer) for link in one.links] == [("drone-rc", True, other.ids[0])]
    text = await command("status", "--state-dir", str(drone.state), "--config", str(rc.config))
    assert "├" in text.splitlines()[1]
    for line in ("[#] drone-rc over UDP with rc", "may fly  nobody", "vehicle  landed"):
        assert line in text


async def _metrics(port: int) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join([data async for data in stream]).decode()
    read: Any = parser.text_string_to_metric_families  # type: ignore[no-untyped-call, unused-ignore]
    families = {family.name: family for family in read(answer.partition("\r\n\r\n")[2])}
    (up,) = families["aerolink_link_up"].samples
    assert (up.value, up.labels["link"], up.labels["role"]) == (1, "drone-rc", "drone")


async def _a_second_node_takes_nothing(drone: Node) -> None:
    """It is refused by the lock of the folder, and the first one can still be looked at."""
    out = await command("node", "drone", "--config", str(drone.config), "--json", code=3)
    assert "is in use by another process" in out
    assert (await seen(drone))[0].pid == drone.now.process.pid
