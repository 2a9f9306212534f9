"""The runner: nodes that die live again, and what a run comes to. Its nodes are fakes, its clock is the test's."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from nodes.stations.notes import Alarmed, FlightKept, HandedOver, Line, Live, Note
from nodes.topology import Topology, TopologyLink, find, lives, record
from nodes.topology.alarms import AFTER_RESTART, CONSEQUENCE_S
from nodes.topology.lives import End, Life
from nodes.topology.report import TopologyReport
from nodes.topology.runner import GRACE_S, Restart, Runner, RunOptions
from nodes.topology.view import PlainView, summary
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import UsageError
from protocols.events import AlarmKind
from tests.live.kit import DEADLINE_S, virtual
from tests.unit.topology.fakes import FakeNodes, ids_for

NOWHERE: Final = Path("/nowhere")
Then = Callable[[FakeNodes], None]


def nothing_expected(name: str) -> Topology:
    topology = find(name)
    return replace(topology, expects=replace(topology.expects, flights=0, hand_overs=0))


async def run(
    topology: Topology, *restarts: Restart, nodes: FakeNodes | None = None, at: dict[float, Then] | None = None
) -> tuple[TopologyReport, list[str], float]:
    """Run a topology with fakes; its report, what was told, and how long it took."""
    nodes = nodes or FakeNodes(topology)
    told: list[str] = []
    runner = Runner(topology, NOWHERE, ids_for(topology), RunOptions(None, restarts, nodes.live, told.append))
    began_s = trio.current_time()

    async def later(at_s: float, then: Then) -> None:
        await trio.sleep(at_s)
        then(nodes)

    async with trio.open_nursery() as nursery:
        for at_s, then in (at or {}).items():
            nursery.start_soon(later, at_s, then)
        report = await runner.run()
    return report, told, trio.current_time() - began_s


@virtual
async def test_a_run_in_which_nothing_happens() -> None:
    report, told, took_s = await run(nothing_expected("single"))
    assert report.ok
    assert report.problems == ()
    assert took_s == 30
    assert sorted(told) == [f"started {name} (pid 4001)" for name in ("cloud", "drone", "mobile", "rc")]
    row = report.as_dict()
    assert json.loads(json.dumps(row)) == row
    assert list(row) == ["ok", "topology", "seconds", "nodes", "links", "authority", "flights", "alarms", "problems"]
    assert row["nodes"][1] == {"name": "rc", "role": "rc", "starts": 1, "pid": 4001}
    assert row["links"][0] == {
        "name": "drone-rc",
        "from": "rc",
        "to": "drone",
        "carrier": "udp",
        "suite": "SUITE",
        "up": True,
        "times": 1,
        "messages": 12,
    }
    assert row["links"][2]["messages"] in {59, 60}  # of HTTPS: what the cloud says that it has got, up to the last tick


@virtual
async def test_who_is_killed_lives_again_after_a_second() -> None:
    topology = nothing_expected("swarm")
    nodes = FakeNodes(topology)
    report, told, took_s = await run(topology, Restart("rc", 10), Restart("bravo", 20), nodes=nodes)
    assert report.ok
    assert took_s == 30
    assert nodes.began_s["rc"] == [0, 11]
    assert {node.name: node.starts for node in report.nodes if node.starts > 1} == {"bravo": 2, "rc": 2}
    assert [link.times for link in report.links if link.answerer == "bravo"] == [3, 2]
    start = told.index("kills rc")
    assert told[start + 1 : start + 3] == [
        "rc has ended (killed by signal 9); it starts again in 1 s",
        "started rc (pid 4002)",
    ]


@virtual
async def test_who_is_killed_late_has_some_time_more() -> None:
    report, _, took_s = await run(nothing_expected("dual"), Restart("left", 29.9))
    assert report.ok
    assert 31 <= took_s < 30 + GRACE_S


@virtual
async def test_a_link_that_does_not_come_back() -> None:
    topology = nothing_expected("single")
    report, _, took_s = await run(topology, Restart("mobile", 5), at={5.5: lambda nodes: nodes.alone.add("mobile")})
    assert took_s == 30 + GRACE_S
    assert report.problems == (
        "the link from mobile to rc (rc-mobile) is not up",
        "the link from mobile to cloud (mobile-cloud) is not up",
        "the link from mobile to drone (mobile-drone) is not up",
    )
    assert "NOT UP" in "\n".join(summary(report))


@virtual
async def test_telemetry_that_stops() -> None:
    topology = nothing_expected("swarm")
    report, _, took_s = await run(topology, at={20: lambda nodes: nodes.alone.add("charlie")})
    assert report.problems == ("no telemetry of charlie has come to rc in the last 3 s",)
    assert took_s == 30 + GRACE_S


@virtual
async def test_a_node_that_cannot_live_is_tried_ever_more_rarely_and_is_a_fault() -> None:
    topology = nothing_expected("single")
    nodes = FakeNodes(topology)
    nodes.ends["cloud"] = lambda: End("exit code 3: the port is in use", by_itself=True)
    report, _, _ = await run(topology, nodes=nodes)
    waits = [after - before for before, after in pairwise(nodes.began_s["cloud"])]
    assert waits[:6] == [1, 2, 4, 8, 8, 8]
    assert "cloud has ended by itself: exit code 3: the port is in use" in report.problems
    assert "no telemetry has come to cloud in the last 5 s" in report.problems
    assert "cloud is not there" in report.problems


@virtual
async def test_telemetry_at_a_cloud_that_stands_still() -> None:
    """That some has come once is not enough: the way there may be blocked since."""

    class Blocked(FakeNodes):
        def say(self, name: str, note: Note) -> None:
            if not isinstance(note, Live) or note.messages < 4:
                super().say(name, note)

    topology = nothing_expected("single")
    report, _, _ = await run(topology, nodes=Blocked(topology))
    assert report.problems == ("no telemetry has come to cloud in the last 5 s",)


@virtual
async def test_who_is_away_is_killed_when_it_is_back() -> None:
    restarts = (Restart("left", 10), Restart("left", 10), Restart("left", 10.5))
    report, told, _ = await run(nothing_expected("dual"), *restarts)
    assert report.ok
    assert {node.name: node.starts for node in report.nodes} == {"drone": 1, "left": 4, "right": 1}
    assert told.count("kills left") == 3


@virtual
async def test_a_kill_that_did_not_happen_is_told() -> None:
    topology = nothing_expected("dual")
    nodes = FakeNodes(topology)
    nodes.ends["left"] = lambda: End("exit code 3", by_itself=True) if nodes.began_s["left"] else None
    report, _, _ = await run(topology, Restart("left", 29.9), nodes=nodes)
    assert "left was to be killed after 29.9 s, and was not: it was not there" in report.problems


@virtual
async def test_who_dies_at_the_last_moment_is_not_there() -> None:
    """It is waited for, although nothing of its death was seen yet."""
    topology = nothing_expected("dual")

    class Slow(FakeNodes):
        async def live(self, life: Life) -> End:
            end = await super().live(life)
            await trio.sleep(1)  # its links are up at its neighbours, and so on
            return end

        def _change(self, link: TopologyLink, *, up: bool) -> None:
            if up:
                super()._change(link, up=up)

    report, _, took_s = await run(topology, Restart("left", 29.99), nodes=Slow(topology))
    assert {node.name: node.starts for node in report.nodes}["left"] == 2
    assert report.ok
    assert took_s > 31


@pytest.mark.parametrize(
    ("code", "why", "by_itself"),
    [
        (-9, "killed by signal 9", False),
        (-15, "killed by signal 15", False),
        (143, "killed by signal 15", False),
        (-11, "crashed with signal 11", True),
        (-6, "crashed with signal 6", True),
        (139, "exit code 139", True),
        (0, "exit code 0", True),
    ],
)
async def test_a_crash_is_no_kill(
    code: int, why: str, by_itself: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"import os, sys; os.kill(os.getpid(), {-code}) if {code} < 0 else sys.exit({code})"
    monkeypatch.setattr(lives, "COMMAND", (sys.executable, "-c", script))
    with trio.fail_after(DEADLINE_S):
        end = await lives.live_apart(Life("rc", "rc", tmp_path / "node.toml", lambda _: None, lambda _: None))
    assert end == End(why, by_itself=by_itself)


# --- alarms -------------------------------------------------------------------------------------


def alarm(kind: AlarmKind, node: str = "drone") -> Then:
    return lambda nodes: nodes.say(node, Alarmed(node, kind.name, "it happened"))


@pytest.mark.parametrize("kind", AFTER_RESTART)
def test_an_alarm_that_a_restart_explains_is_a_fault_without_one(kind: AlarmKind) -> None:
    @virtual
    async def both() -> None:
        topology = nothing_expected("dual")
        calm, _, _ = await run(topology, at={12: alarm(kind)})
        assert calm.problems == (f"alarm {kind.name} at drone: it happened",)
        report, _, _ = await run(topology, Restart("left", 10), at={12: alarm(kind)})
        assert report.ok
        assert [(each.kind, each.at_s) for each in report.alarms] == [(kind.name, 12.0)]

    both()


@virtual
async def test_an_alarm_that_no_restart_explains() -> None:
    topology = nothing_expected("dual")
    report, _, _ = await run(topology, Restart("left", 10), at={12: alarm(AlarmKind.STORE_FAILED)})
    assert report.problems == ("alarm STORE_FAILED at drone: it happened",)


@virtual
async def test_an_alarm_is_explained_by_a_death_shortly_before_and_near_it() -> None:
    kind = AlarmKind.FLIGHT_HOLDER_LOST
    text = f"alarm {kind.name} at %s: it happened"
    dual, swarm = nothing_expected("dual"), nothing_expected("swarm")
    before, _, _ = await run(dual, Restart("left", 20), at={3: alarm(kind)})
    assert before.problems == (text % "drone",)
    long_after, _, _ = await run(dual, Restart("left", 5), at={5.1 + CONSEQUENCE_S: alarm(kind)})
    assert long_after.problems == (text % "drone",)
    elsewhere, _, _ = await run(swarm, Restart("bravo", 10), at={12: alarm(kind, "alpha")})
    assert elsewhere.problems == (text % "alpha",)
    near, _, _ = await run(swarm, Restart("rc", 10), Restart("mobile", 10), at={13: alarm(kind, "charlie")})
    assert near.ok


@virtual
async def test_many_alarms_hide_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_ROWS", 3)

    def storm(nodes: FakeNodes) -> None:
        for _ in range(4):
            alarm(AlarmKind.FLIGHT_HOLDER_LOST)(nodes)
        alarm(AlarmKind.STORE_FAILED)(nodes)

    report, _, _ = await run(nothing_expected("dual"), Restart("left", 10), at={12: storm})
    assert len(report.alarms) == 3
    assert report.problems == ("alarm STORE_FAILED at drone: it happened",)


# --- what is expected ---------------------------------------------------------------------------


def hand_over(nodes: FakeNodes) -> None:
    left, right = fingerprint_text(bytes([2]) * 16), fingerprint_text(bytes([3]) * 16)
    nodes.say("drone", HandedOver("flight", "rc", "rc", 7.0, "drone", left, right))


@virtual
async def test_hand_overs_are_expected_of_a_whole_run_and_named() -> None:
    topology = find("dual")
    report, _, took_s = await run(topology, at={5: hand_over, 32: hand_over})
    assert report.ok
    assert 32 <= took_s < 33
    first = report.authority[0]
    assert (first.drone, first.right, first.before, first.after, first.at_s) == ("drone", "flight", "left", "right", 5)
    missing, _, _ = await run(topology, at={5: hand_over})
    assert missing.problems == ("1 hand-overs, and 2 are expected",)
    nodes = FakeNodes(topology)
    short = await Runner(topology, NOWHERE, ids_for(topology), RunOptions(29, live=nodes.live)).run()
    assert short.ok


@virtual
async def test_a_flight_counts_once_however_often_it_is_told() -> None:
    topology = find("dock")
    topology = replace(topology, expects=replace(topology.expects, flights=2))
    drone = fingerprint_text(bytes([1]) * 16)

    def stored(flight: str) -> Then:
        return lambda nodes: nodes.say("cloud", FlightKept("cloud", drone, flight, 300))

    report, _, _ = await run(topology, at={5: stored("aa"), 6: stored("aa")})
    assert report.problems == ("1 flights at cloud, and 2 are expected",)
    report, _, _ = await run(topology, Restart("cloud", 9), at={5: stored("aa"), 20: stored("bb")})
    assert report.ok
    assert [(each.cloud, each.drone, each.flight) for each in report.flights] == [
        ("cloud", "drone", "aa"),
        ("cloud", "drone", "bb"),
    ]


@pytest.mark.parametrize(
    ("restart", "text"),
    [
        (Restart("rx", 3), 'single has no node "rx", only drone, rc, mobile, cloud'),
        (Restart("rc", 30), "rc cannot be killed after 30 s of a run of 30 s"),
        (Restart("rc", -1), "rc cannot be killed after -1 s"),
    ],
)
def test_a_restart_of_nobody_or_never(restart: Restart, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Runner.check(find("single"), RunOptions(restarts=(restart,)))


@virtual
async def test_a_summary_for_people() -> None:
    report, _, _ = await run(nothing_expected("dual"), Restart("left", 10))
    assert summary(report) == [
        "ok: dual, 30 s",
        "  left to drone: up 2 times over UDP, 24 messages, SUITE",
        "  right to drone: up over UDP, 12 messages, SUITE",
        "  0 hand-overs; 0 flights at a cloud; 0 alarms; started again: left (1)",
    ]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.take(Alarmed("drone", "STORE_FAILED", "full\x1b[2J"))
    assert capsys.readouterr().out == "ALARM at the drone: full?[2J\n"


def test_a_run_goes_on_when_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process a node that writes would end of it, and be started again, and end."""

    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:  # noqa: ARG002
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Gone())
    PlainView().take(Line("rc", "listens"))
