"""The benchmark's harness: its arithmetic, its contract, its mistakes. Nothing depends on how fast something is."""

import io
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from rich.console import Console

from nodes import cli_bench
from nodes.cli import main
from protocols.errors import ConfigError, UsageError
from tests.bench.harness import command
from tests.bench.harness.contract import FIGURES
from tests.bench.harness.meter import Meter
from tests.bench.harness.model import AbsentError, Case, Json, Measure, Outcome, Reading, Samples, Side, Sweep, Target
from tests.bench.harness.plot import draw
from tests.bench.harness.registry import UnknownCaseError, chosen, load, names
from tests.bench.harness.report import number, print_report
from tests.bench.harness.rounds import QUICK, Effort, contest, sweep
from tests.bench.harness.run import Plan, Report, run

ROOT: Final = Path(__file__).parents[2]
FAKE: Final = "tests.helpers.fake_bench"
ISSUE: Final = (
    "udp-message-vs-trio-plaintext", "udp-message-vs-trio-dtls", "udp-message-vs-aioquic-datagram",
    "udp-message-vs-pyzmq-curve", "udp-message-vs-bare-aead", "udp-bulk-vs-trio-tls", "tcp-vs-trio-tls",
    "tcp-vs-trio-plaintext", "rtt-vs-trio-plaintext", "rtt-vs-aioquic", "handshake-hybrid-vs-noiseprotocol",
    "handshake-classical-vs-noiseprotocol", "handshake-hybrid-vs-trio-tls", "link-memory", "cost-1000-links-vs-1",
    "control-delay-under-bulk",
)  # fmt: skip
FIELDS: Final = {"name", "ours", "peer", "peer_name", "ratio", "target", "met"}


def side(log: list[str], name: str, *values: float) -> Side:
    """A side that gives these values, round after round."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Measure]:
        given = iter(values)
        log.append(f"{name} opens")

        async def measure(seconds: float) -> Reading:
            await trio.lowlevel.checkpoint()
            log.append(f"{name} {seconds:g}")
            return Reading(next(given), {"noted": seconds})

        yield measure
        log.append(f"{name} ends")

    return opened


def absent() -> AbstractAsyncContextManager[Measure]:
    raise AbsentError("no such library")


def tell(_: str) -> None:
    pass


def case(ours: Side, peer: Side | None = None, name: str = "rtt-vs-aioquic") -> Case:
    return Case(name=name, what="this and that", unit="us", ours=ours, peer=peer, peer_name="a peer", explanation="so")


# --- rounds and statistics ------------------------------------------------------------------------


async def test_rounds_alternate_after_a_warm_up() -> None:
    log: list[str] = []
    both = case(side(log, "ours", 9, 1, 2, 3), side(log, "peer", 9, 4, 5, 6))
    outcome = await contest(both, Effort(3, 0.9), tell)
    rounds = ["ours 0.9", "peer 0.9"] * 3
    assert log == ["ours opens", "peer opens", "ours 0.3", "peer 0.3", *rounds, "peer ends", "ours ends"]
    assert outcome.ours
    assert outcome.ours.as_dict() == {"median": 2, "min": 1, "max": 3, "rounds": 3, "noted": 0.9}
    told = outcome.as_dict(both, Target("<=", 0.4))
    assert (told["ours"], told["peer"], told["ratio"], told["met"]) == (2, 5, 0.4, True)


async def test_a_case_may_do_without_warm_up_and_with_fewer_rounds() -> None:
    log: list[str] = []
    few = Case(name="x", what="", unit="", ours=side(log, "ours", 7), warm_up=False, max_rounds=9, quick_rounds=1)
    outcome = await contest(few, QUICK, tell)
    assert log == ["ours opens", "ours 0.15", "ours ends"]
    assert outcome.as_dict(few, Target("<=", 7, plain=True))["met"] is True


@pytest.mark.parametrize(("sense", "value", "met"), [(">=", 2.0, True), (">=", 1.9, False), ("<=", 2.1, False)])
def test_targets(sense: Any, value: float, met: bool) -> None:
    assert Target(sense, 2).is_met(value) is met


async def test_an_absent_peer_is_never_a_zero() -> None:
    log: list[str] = []
    lonely = case(side(log, "ours", 9, 1, 2, 3), absent)
    told = (await contest(lonely, Effort(3, 0.9), tell)).as_dict(lonely, FIGURES[lonely.name])
    assert told["ours"] == 2
    assert (told["peer"], told["ratio"], told["met"], told["absent"]) == (None, None, False, "no such library")
    assert told["peer_name"] == "a peer"
    assert told["peer_rounds"] is None


async def test_a_peer_may_turn_out_to_be_absent_in_the_warm_up() -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Measure]:
        async def measure(seconds: float) -> Reading:
            raise AbsentError(f"nothing in {seconds:g} s")

        yield measure

    late = case(side([], "ours", 9, 1), opened)
    assert (await contest(late, Effort(1, 0.9), tell)).absent == "nothing in 0.3 s"


def test_plain_values_have_no_ratio() -> None:
    memory = Case(name="link-memory", what="", unit="bytes", ours=absent)
    told = Outcome(Samples([Reading(24_576)])).as_dict(memory, FIGURES["link-memory"])
    assert (told["ours"], told["peer"], told["peer_name"], told["ratio"], told["met"]) == (
        24_576,
        None,
        None,
        None,
        True,
    )


def test_what_failed_is_told() -> None:
    told = Outcome(error="it broke").as_dict(case(absent, absent), FIGURES["rtt-vs-aioquic"])
    assert (told["ours"], told["ratio"], told["met"], told["error"]) == (None, None, False, "it broke")


@pytest.mark.parametrize(("ours", "explained"), [(100, False), (101, True), (0.2, True), (0.25, False)])
def test_large_ratios_are_explained(ours: float, explained: bool) -> None:
    told = Outcome(Samples([Reading(ours)]), Samples([Reading(5)])).as_dict(case(absent, absent), None)
    assert ("explanation" in told) is explained
    assert "met" not in told


async def test_a_sweep_has_a_point_for_each_value() -> None:
    def ours(x: int) -> Side:
        return side([], "ours", 9, x)

    def peer(x: int) -> Side:
        return absent if x == 2 else side([], "peer", 9, 10)

    plan = Sweep(name="s", what="", unit="ns", x_unit="bytes", xs=(1, 2), ours=ours, peer=peer, peer_name="p")
    told = await sweep(plan, Effort(1, 1), tell)
    points = [{"x": 1, "ours": 1, "peer": 10, "ratio": 0.1}, {"x": 2, "ours": 2, "peer": None, "ratio": None}]
    assert told["points"] == points
    assert told["absent"] == "no such library"


async def test_a_meter_waits_for_all_or_for_silence() -> None:
    meter = Meter()
    meter.add(3, 30)
    await meter.settle(3, trio.sleep)
    assert meter.per_second(4, meter.first - 1).notes["lost_share"] == 0.25
    await meter.settle(4, trio.sleep)  # the fourth never comes
    assert meter.gigabits(meter.last - 1).value == pytest.approx(240 / 1e9)
    meter.mark()
    with pytest.raises(RuntimeError, match="nothing of 5"):
        meter.per_second(5)


# --- cases ----------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_issue() -> None:
    assert tuple(FIGURES) == ISSUE
    assert tuple(name for name in names() if name in FIGURES) == ISSUE


def test_only_chooses_in_the_order_of_the_table() -> None:
    assert chosen(("link-memory", "rtt-vs-aioquic")) == ["rtt-vs-aioquic", "link-memory"]
    assert chosen(()) == names()
    with pytest.raises(UnknownCaseError, match="no case 'nothing'"):
        chosen(("nothing",))


@pytest.mark.parametrize("name", names())
def test_every_case_says_what_it_is(name: str) -> None:
    """Loading also proves that what it needs is installed here."""
    found = load(name)
    assert found.name == name
    assert found.what
    assert found.unit
    if name in FIGURES and isinstance(found, Case):
        assert FIGURES[name].plain is (found.peer is None)
        assert (found.peer is None) is (found.peer_name is None)


def test_files_stay_short() -> None:
    for file in (ROOT / "tests" / "bench").rglob("*.py"):
        limit = 150 if file.parent.name == "cases" else 250
        assert len(file.read_text().splitlines()) <= limit, file


# --- a run ----------------------------------------------------------------------------------------


def fake_names(only: Any) -> list[str]:
    known = ["rtt-vs-aioquic", "link-memory", "of-our-own", "crashes", "says-nothing"]
    if unknown := set(only) - set(known):
        raise UnknownCaseError(f"there is no case {unknown.pop()!r}; there are {', '.join(known)}")
    return [name for name in known if not only or name in only]


FAKE_PLAN: Final = Plan(worker=FAKE, known=fake_names)


async def test_a_run_keeps_figures_and_the_rest_apart_and_survives_a_case() -> None:
    heard: list[tuple[str, str]] = []
    report = await run(FAKE_PLAN, lambda name, line: heard.append((name, line)))
    told = report.as_dict()
    assert ("rtt-vs-aioquic", "round 1 of 1") in heard
    assert [each["name"] for each in told["figures"]] == ["rtt-vs-aioquic", "link-memory"]
    assert all(each.keys() >= FIELDS for each in told["figures"])
    assert [each["name"] for each in told["more"]] == ["of-our-own", "crashes", "says-nothing"]
    assert "met" not in told["more"][0]
    assert "oh no" in told["more"][1]["error"]
    assert "without a word" in told["more"][2]["error"]
    assert report.failed == ["crashes", "says-nothing"]
    machine = told["machine"]
    assert machine.keys() >= {"processor", "cores", "kernel", "python", "packages"}
    assert {"aerolink", "trio", "cryptography", "aioquic", "pyzmq"} <= machine["packages"].keys()
    json.dumps(told)


async def test_a_cancelled_run_leaves_no_process() -> None:
    async with trio.open_nursery() as nursery:
        started: list[int] = []

        def progress(_: str, line: str) -> None:
            if line.startswith("pid "):
                started.append(int(line.removeprefix("pid ")))
                nursery.cancel_scope.cancel()

        plan = Plan(worker=FAKE, known=lambda _: ["hangs"])
        nursery.start_soon(run, plan, progress)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def measured(*only: str, plot: Path | None = None, show: bool = False) -> dict[str, Any]:
    plan = Plan(only, worker=FAKE, known=fake_names)
    return command.measured(only, quick=True, plot=plot, show=show, plan=plan)


def test_only_runs_only_that(capsys: pytest.CaptureFixture[str]) -> None:
    told = measured("of-our-own", show=True)
    assert told["figures"] == []
    assert [each["name"] for each in told["more"]] == ["of-our-own"]
    assert "0 of 0 targets met" in " ".join(capsys.readouterr().out.split())


def test_a_report_for_people() -> None:
    target: Json = {"target": 1, "targets_sense": "<="}
    peer: Json = {"ours": 1, "peer": 2, "peer_name": "p", "ratio": 0.5}
    nobody: Json = {"ours": 1, "peer": None, "peer_name": "p", "ratio": None}
    figures: list[Json] = [
        {"name": "a", "unit": "us", "met": True, "explanation": "because"} | peer | target,
        {"name": "b", "met": False, "absent": "not installed"} | nobody | target,
        {"name": "c", "met": False, "error": "broken"} | nobody,
    ]
    points: list[Json] = [{"x": 16, "ours": 1_500.0, "peer": None, "ratio": None}]
    more = [figures[0] | {"name": "d", "points": points, "x_unit": "bytes"}]
    machine = {"processor": "x", "cores": 2, "kernel": "k", "python": "p", "packages": {"trio": "1", "zmq": None}}
    out = io.StringIO()
    print_report(Report(figures, more, machine), Console(file=out, width=160))
    text = " ".join(out.getvalue().split())
    for part in ("<= 1", "met", "because", "absent: not installed", "failed: broken", "16 bytes", "1.5 k", "1 of 3"):
        assert part in text
    assert [number(value) for value in (None, 2.5e9, 3e6, 0.25)] == ["-", "2.5 G", "3 M", "0.25"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot(tmp_path: Path, suffix: str) -> None:
    points = [{"x": 16, "ours": 100.0, "peer": 200.0}, {"x": 64, "ours": 150.0, "peer": None}]
    lines = {"name": "sweep-message-sizes", "ratio": None, "points": points, "unit": "ns", "peer_name": "p"}
    bar = {"name": "a", "ratio": 2.0, "target": 3, "peer_name": "p"}
    machine = {"processor": "x", "cores": 2, "kernel": "k", "python": "p"}
    draw({"figures": [bar], "more": [lines], "machine": machine}, tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").stat().st_size > 1_000


def raises(kind: type[Exception], text: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_mistakes_are_one_line_and_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raises(UsageError, "no case 'nothing'", lambda: measured("nothing"))
    raises(UsageError, "the file ends with .png", lambda: measured("link-memory", plot=tmp_path / "plot.doc"))
    raises(ConfigError, "no such folder", lambda: measured("link-memory", plot=tmp_path / "no" / "plot.png"))
    monkeypatch.setattr(command, "find_spec", str.isdecimal)  # finds nothing
    raises(ConfigError, "needs matplotlib", lambda: measured("link-memory", plot=tmp_path / "plot.png"))


# --- the command ----------------------------------------------------------------------------------


def test_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "nothing"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("aerolink: there is no case 'nothing'; there are udp-message-vs-trio-plaintext, ")
    assert err.count("\n") == 1
    assert main(["bench", "--profile", "nothing"]) == 2


def test_a_wheel_has_no_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nodes.packages.home", lambda: tmp_path)
    assert main(["bench"]) == 3
    assert "clone the repository, then `make bench`" in capsys.readouterr().err


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == names()


def test_a_profile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.harness.profile._SECONDS", 0.05)
    assert main(["bench", "--profile", "handshake-classical-vs-noiseprotocol"]) == 0
    assert "handshakestate.py" in capsys.readouterr().out


def test_one_case_for_real() -> None:
    """From the command to the last line, in another folder."""
    arguments = ["bench", "--quick", "--only", "handshake-classical-vs-noiseprotocol", "--json"]
    program = f"import sys; from nodes.cli import main; sys.exit(main({arguments}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd="/", env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    (figure,) = told["figures"]
    assert figure["name"] == "handshake-classical-vs-noiseprotocol"
    assert figure["peer_name"] == "noiseprotocol, IK 25519"
    assert figure["ours"] > 0
    assert figure["peer"] > 0
    assert figure["ratio"] == pytest.approx(figure["ours"] / figure["peer"])
    assert figure["target"] == 1.4
    assert figure["ours_rounds"]["rounds"] == figure["peer_rounds"]["rounds"] == QUICK.rounds
    assert told["more"] == []


def test_the_command_is_what_the_harness_offers() -> None:
    assert cli_bench.bench.name == "bench"
