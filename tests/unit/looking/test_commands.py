"""`aerolink status`, `aerolink monitor` and `--metrics`: what they show, and what they say when there is nothing."""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import trio
from rich.console import Console

from nodes.cli import main
from nodes.cli_looking import targets_of
from nodes.cli_metrics import MetricsPlace, with_metrics
from nodes.config.endpoint import Endpoint
from nodes.config.tables import Config, LookTable, NodeTable
from nodes.logs import take_down
from nodes.looking import open_look
from nodes.looking.book import AlarmStatus, LinkStatus, NodeStatus, RightStatus, StatusBook
from nodes.looking.client import Lost, Seen
from nodes.looking.monitor import JsonLines, LivePicture, PlainLines
from nodes.looking.sheet import lasting, sheet_of
from nodes.looking.watching import Away, Target, Watched, look_at_all, watch
from nodes.stations.notes import (
    Alarmed,
    DroneSeen,
    Line,
    LinkIsDown,
    LinkIsMissed,
    LinkIsUp,
    LinkMeter,
    Note,
    RightsTold,
)
from protocols.errors import ConfigError
from specs.registry import Role
from tests.live.kit import DEADLINE_S

DRONE = "dddd-eeee-ffff"
RC = Target("rc", "rc", Path("rc-state"))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    yield
    take_down()


def rc_book() -> StatusBook:
    now_s = [0.0]
    book = StatusBook(lambda: now_s[0])
    book.enter("rc", "rc", 12, ("rrrr-ssss",), "0.1.0")
    counts = {name: {"sent": 400, "received": 3, "lost": 1} for name in ("control", "state")}
    for note in (
        LinkIsUp("rc", "SUITE", DRONE, 12.34, "drone-rc", "udp", "drone"),
        LinkMeter("rc", "drone-rc", counts, 2, 4.0, 1, DRONE),
        LinkIsUp("rc", "SUITE", "mmmm", 1.0, "rc-mobile", "tcp", "mobile"),
        LinkIsDown("rc", "rc-mobile", "mmmm", "nothing heard"),
        LinkIsMissed("rc", "drone-rc", "xxxx", "drone", "no answer"),
        RightsTold("rc", DRONE, "rrrr-ssss", ""),
        DroneSeen("rc", DRONE, "flying", 12.0),
        Alarmed("rc", "LOAD_MODE", "LOAD_MODE: many\x1b[2J"),
        Line("rc", "evil\x1b[2J"),
    ):
        book.take(note)
    now_s[0] = 3_725.0
    return book


# --- status -------------------------------------------------------------------------------------


def test_a_status_steers_no_terminal() -> None:
    """Whatever a node, or what stands in its place, says of itself (CS-12)."""
    evil = "\x1b]0;evil\x07"
    link = LinkStatus(evil, evil, evil, evil, evil, True, evil, 1.0, 1.0, 1.0, 0, 1, {evil: {evil: 1}})
    status = NodeStatus(evil, evil, 1, 1.0, (evil,), (link,), (RightStatus(evil, evil, evil, evil),))
    status = replace(status, alarms=(AlarmStatus(evil, 1, (evil,)), AlarmStatus("K", 1, ())), latest=(evil,))
    status = replace(status, vehicle=evil, drones={evil: evil}, version=evil)
    for each in (status, replace(status, running=False, why=evil)):
        lines = [line.plain for line in sheet_of(each)]
        assert lines
        assert all(line.isprintable() for line in lines)


def test_the_sheet_of_a_node() -> None:
    lines = [line.plain for line in sheet_of(rc_book().status("rc"))]
    assert lines == [
        "rc: rc, process 12, running for 1 h 2 min, rrrr-ssss",
        "  [#] drone-rc over UDP with drone dddd-eeee-ffff",
        "      SUITE",
        "      up for 1 h 2 min, handshake 12.3 ms, round trip 4.0 ms, 2 rekeys, 800 sent, 6 received, 2 lost",
        "  [ ] rc-mobile over TCP with mobile mmmm",
        "      open: nothing heard",
        "      down for 1 h 2 min, handshake 1.0 ms, 0 rekeys, 0 sent, 0 received, 0 lost",
        "  [ ] drone-rc with drone xxxx",
        "      open: no answer",
        "      down for 1 h 2 min, 0 rekeys, 0 sent, 0 received, 0 lost",
        "  may fly  rc rrrr-ssss (drone dddd-eeee)",
        "  payload  nobody (drone dddd-eeee)",
        "  sees     drone dddd-eeee: flying, 12.0 m high",
        "  alarm    LOAD_MODE, 1 in all: LOAD_MODE: many?[2J",
        "  latest   rc: drone-rc up over UDP with dddd-eeee-ffff, SUITE, handshake 12.3 ms",
        "  latest   rc: rc-mobile up over TCP with mmmm, SUITE, handshake 1.0 ms",
        "  latest   rc: the drone dddd-eeee says that rrrr-ssss may fly, and nobody has the payload",
        "  latest   ALARM at the rc: LOAD_MODE: many?[2J",
        "  latest   rc: evil?[2J",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3_600, "1 h"), (90_061, "1 d 1 h"), (-1, "0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_a_node_that_is_not_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--json"]):
        assert main(["status", "--state-dir", str(tmp_path), *options]) == 1
    *plain, last = capsys.readouterr().out.splitlines()
    assert plain == [f"{tmp_path.name}: not running, or lets nobody look"]
    found = json.loads(last)
    assert found["ok"] is False
    assert (found["nodes"][0]["running"], found["nodes"][0]["folder"]) == (False, str(tmp_path))


@pytest.mark.parametrize("command", [["status"], ["monitor"]])
def test_a_folder_that_is_not_there_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main([*command, "--state-dir", str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err == f"aerolink: there is no state folder {tmp_path / 'none'}: name that of the node\n"


def test_which_nodes_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[node]\nrole = "cloud"\nname = "sky"\n')
    state = tmp_path / "state"
    assert targets_of((), ()) == [Target("state", "", Path("state"))]
    assert targets_of((file,), ()) == [Target("sky", "cloud", state)]
    assert targets_of((file, file), (state, tmp_path)) == [
        Target("sky", "cloud", state),
        Target(tmp_path.name, "", tmp_path),
    ]


# --- monitor ------------------------------------------------------------------------------------


def config_of(folder: Path, name: str) -> Config:
    return Config(node=NodeTable(role=Role.RC, name=name, state_dir=folder), look=LookTable())


def private(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


async def test_watching_survives_a_node_that_begins_again(tmp_path: Path) -> None:
    target = Target("rc", "rc", private(tmp_path / "state"))
    send, receive = trio.open_memory_channel[Watched](100)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:

            def take(_: Target, watched: Watched) -> None:
                send.send_nowait(watched)

            nursery.start_soon(watch, target, take)
            assert await receive.receive() == Away("not running, or lets nobody look")
            for _ in range(2):
                async with open_look(config_of(target.folder, "rc"), lambda _: None) as say:
                    status = await receive.receive()
                    assert isinstance(status, NodeStatus)
                    assert status.pid == os.getpid()
                    say(Line("rc", "hello"))
                    while not isinstance(seen := await receive.receive(), Seen):
                        pass
                    assert seen.text == "rc: hello"
                while (watched := await receive.receive()) != Away("has ended"):
                    assert isinstance(watched, NodeStatus)
            nursery.cancel_scope.cancel()


async def test_several_nodes_of_one_name(tmp_path: Path) -> None:
    targets = [Target("x", "rc", private(tmp_path / each)) for each in ("one", "two")]
    said: list[Note] = []
    async with (
        open_look(config_of(targets[0].folder, "rc"), said.append),
        open_look(config_of(targets[1].folder, "rc"), said.append),
    ):
        names = [node.name for node in await look_at_all(targets)]
    assert names == [f"rc ({target.folder})" for target in targets]


WATCHED: tuple[Watched, ...] = (
    rc_book().status("rc"),
    Seen("LinkIsUp", {"node": "rc", "suite": "SUITE"}, "rc: link up"),
    Seen("DroneSeen", {"node": "rc"}, ""),
    Lost(7),
    rc_book().status("rc"),
    Away("has ended"),
)


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    for watched in (*WATCHED, WATCHED[0]):
        lines.take(RC, watched)
    assert capsys.readouterr().out.splitlines() == [
        "rc: attached to rc, process 12",
        "rc: link up",
        "rc: 7 events were lost on the way here",
        "rc: has ended",
        "rc: attached to rc, process 12",
    ]


def test_lines_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLines()
    for watched in WATCHED:
        lines.take(RC, watched)
    lines.take(RC, Seen("Line", {"folder": "another", "event": "another"}, ""))  # whatever it says that it is
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in said] == ["status", "LinkIsUp", "DroneSeen", "lost", "status", "away", "Line"]
    assert {each["folder"] for each in said} == {"rc-state"}
    assert (said[0]["status"]["name"], said[1]["suite"], said[3]["notes"], said[5]["why"]) == (
        "rc",
        "SUITE",
        7,
        "has ended",
    )


@pytest.mark.parametrize("rows", [10, 24, 60])
def test_the_live_picture(rows: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, height=rows, color_system=None)
    picture = LivePicture([RC], console)

    def drawn() -> str:
        out.seek(0)
        out.truncate()
        console.print(picture.render(rows))
        return out.getvalue()

    assert "0 of 0 links locked" in drawn()
    for watched in WATCHED[:-1]:
        picture.take(RC, watched)
    text = drawn()
    assert "1 of 3 links locked, 1 alarms" in text
    assert "[ ] rc-mobile" in text
    assert "open: nothing heard" in text
    assert "rc: link up" in text
    picture.take(RC, WATCHED[-1])
    text = drawn()
    assert "0 of 3 links locked, 1 alarms, not there: rc" in text
    assert "open: the node has ended" in text
    assert max(map(len, text.splitlines())) <= 80


# --- metrics ------------------------------------------------------------------------------------


def test_where_metrics_are_served() -> None:
    place: Any = MetricsPlace()
    assert place.convert("9464", None, None) == Endpoint("127.0.0.1", 9_464)
    assert place.convert("0.0.0.0:1", None, None) == Endpoint("0.0.0.0", 1)  # noqa: S104
    assert place.convert("[::1]:1", None, None) == Endpoint("::1", 1)
    for bad in ("", "here", "70000", "1.2.3:4", "²"):
        with pytest.raises(click.UsageError):
            place.convert(bad, None, None)
    config = Config(node=NodeTable(role=Role.RC), look=LookTable(metrics=Endpoint("127.0.0.1", 1)))
    assert with_metrics(config, None) is config
    assert with_metrics(config, Endpoint("::1", 2)).look.metrics == Endpoint("::1", 2)


async def test_metrics_for_everybody_are_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test listens on an address that others can reach: only what the line says is looked at."""
    said: list[Note] = []

    def where(_: object) -> Endpoint:
        return Endpoint("192.0.2.1", 9_464)

    monkeypatch.setattr("nodes.https.sockets.where", where)
    config = Config(
        node=NodeTable(role=Role.RC, state_dir=tmp_path),
        look=LookTable(metrics=Endpoint("127.0.0.1", 0), control=False),
    )
    async with open_look(config, said.append):
        pass
    assert said == [Line("rc", "metrics at http://192.0.2.1:9464/metrics, for everybody who can reach it")]


async def test_a_link_that_cannot_be_watched_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no state folder"):
        await watch(Target("x", "", tmp_path / "none"), print)
