"""The demo of the chain over real sockets: four nodes, every suite and carrier, both ways of running, and its end."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from nodes.cli import main
from nodes.demo.options import DemoOptions
from nodes.flight import ModelFlight, read_replay, tlog_record
from nodes.flight.source import FlightDigest
from nodes.logs import take_down
from nodes.ports import CarrierName
from nodes.stations.notes import Carry, Delivered, Line, Live, Progress
from protocols.crypto.suites import DEFAULT_SUITE
from protocols.errors import ConfigError
from tests.live.demos import CODE_LIKE, PROC, SUITES_AND_CARRIERS, chain, messy_log, running

NODES = ["cloud", "drone", "mobile", "rc"]
LINKS = ["drone-rc", "rc-mobile", "mobile-cloud", "mobile-drone", "cloud-drone"]
HAND_OVERS = [("flight", "rc", "mobile"), ("flight", "mobile", "rc")]
CLASSES = ["control", "command", "state", "stream", "bulk"]


def check_keys(summary: Any) -> None:
    """Look for exactly what the pages name."""
    assert list(summary) == ["ok", "links", "flight", "delivered", "live", "authority", "video", "alarms"]
    assert list(summary["flight"]) == ["source", "messages", "bytes", "sha256", "skipped_bytes"]
    assert list(summary["delivered"]) == ["node", "messages", "bytes", "sha256", "seconds"]
    assert list(summary["live"]) == ["messages"]
    assert list(summary["video"]) == ["frames_sent", "frames_received", "frames_corrupt"]


def check_links(links: Sequence[Any], suite: str, carrier: str) -> None:
    assert [link["name"] for link in links] == LINKS
    assert [link["carrier"] for link in links] == [carrier, "tcp", "https", "relay", "relay"]
    suites = [link["suite"] for link in links]
    assert suites[2].startswith("TLS_")  # 1.3: its suites name no key exchange
    assert suites[:2] + suites[3:] == [suite] * 4
    for link in links:
        assert list(link) == ["name", "carrier", "suite", "handshake_ms", "by_class", "rekeys"]
        assert link["handshake_ms"] > 0
        assert list(link["by_class"]) == CLASSES
        assert all(0 <= counts["received"] <= counts["sent"] for counts in link["by_class"].values())
    air, ground, cloud, *_ = (link["by_class"] for link in links)
    assert all(air[name]["received"] > 0 for name in CLASSES)
    assert ground["control"]["sent"] == 0  # nobody steers over a hop that is not the holder's own link
    assert all(ground[name]["received"] > 0 for name in ("command", "state", "stream", "bulk"))
    assert cloud["bulk"] == {"sent": 1, "received": 1}
    mobile, cloud = (link["by_class"] for link in links[3:])
    assert all(mobile[name]["received"] > 0 for name in ("control", "command", "state"))
    assert cloud["command"]["received"] > 0  # keys and a receipt; the rest comes when its time has come


def check_hand_overs(entries: Sequence[Any]) -> None:
    assert [(each["right"], each["before"], each["after"]) for each in entries] == HAND_OVERS
    assert all(list(each) == ["right", "before", "after", "at_s"] for each in entries)
    assert 0 < entries[0]["at_s"] < entries[1]["at_s"]


@pytest.mark.bare
@pytest.mark.parametrize(("suite", "carrier"), SUITES_AND_CARRIERS)
async def test_each_suite_over_each_carrier(suite: str, carrier: CarrierName) -> None:
    report, notes = await chain(DemoOptions(suite=suite, carrier=carrier, speed="max", seconds=0.2))
    assert report.problems == []
    found: Any = report.as_dict()
    check_keys(found)
    check_links(found["links"], suite, carrier)
    check_hand_overs(found["authority"])
    digest = FlightDigest.of(ModelFlight().frames())
    flight = {"messages": digest.messages, "bytes": digest.byte_count, "sha256": digest.sha256}
    assert found["flight"] == {"source": "model", **flight, "skipped_bytes": 0}
    assert found["delivered"] == {"node": "cloud", **flight, "seconds": found["delivered"]["seconds"]}
    assert found["delivered"]["seconds"] > 0
    assert [note.messages for note in notes if isinstance(note, Live)][-1] == found["live"]["messages"] > 0
    assert found["video"]["frames_received"] == found["video"]["frames_sent"] > 0
    assert found["alarms"] == []
    assert not any(isinstance(note, Carry) for note in notes)  # codes and tokens are nobody else's
    assert any(isinstance(note, Progress) for note in notes)


async def test_the_model_flies_in_the_hands_of_two_and_what_it_flew_arrives() -> None:
    """In real time, of which a busy machine gets more: each command waits until the one before has been obeyed."""
    wanted = (("rc", "take off: started"), ("mobile", "hold: started"), ("rc", "land: started"))
    missing = list(wanted)
    for seconds in (6.0, 12.0, 24.0):
        report, notes = await chain(DemoOptions(speed="real", seconds=seconds))
        assert report.problems == []
        assert report.flight is not None
        assert report.flight.source == "model"
        told = [(note.node, note.text) for note in notes if isinstance(note, Line)]
        missing = [
            each for each in wanted if not any(node == each[0] and text.startswith(each[1]) for node, text in told)
        ]
        if not missing:
            break
    assert missing == []


async def test_a_messy_log_arrives_frame_by_frame(tmp_path: Path) -> None:
    """In processes: below."""
    log = messy_log(tmp_path)
    replay = read_replay(log)
    report, notes = await chain(DemoOptions(replay=str(log), speed="max", seconds=0.2))
    assert report.problems == []
    assert report.flight is not None
    assert report.flight.skipped_bytes == replay.skipped_bytes > 0
    expected = FlightDigest.of(replay.frames())
    (delivered,) = [note for note in notes if isinstance(note, Delivered)]
    assert (delivered.node, delivered.messages, delivered.bytes, delivered.sha256) == (
        "cloud",
        expected.messages,
        expected.byte_count,
        expected.sha256,
    )


async def test_a_recording_is_shown_at_its_pace_and_arrives_whole(tmp_path: Path) -> None:
    short = tmp_path / "short.tlog"
    frames = [frame for frame in ModelFlight().frames() if frame.time_s < 0.5]
    short.write_bytes(b"".join(tlog_record(round(frame.time_s * 1e6), frame.data) for frame in frames))
    report, _ = await chain(DemoOptions(replay=str(short), speed="real", seconds=1.0))
    assert report.problems == []
    assert report.by_class("drone-rc")["stream"]["received"] >= len(frames)


@pytest.mark.parametrize(
    ("carrier", "processes"),
    [("udp", False), ("tcp", False), ("udp", True), pytest.param("tcp", True, marks=pytest.mark.slow)],
    ids=["udp-inside", "tcp-inside", "udp-processes", "tcp-processes"],
)
async def test_a_port_in_use(carrier: CarrierName, processes: bool) -> None:
    kind = trio.socket.SOCK_DGRAM if carrier == "udp" else trio.socket.SOCK_STREAM
    with trio.socket.socket(trio.socket.AF_INET, kind) as other:
        await other.bind(("127.0.0.1", 0))
        if carrier == "tcp":
            other.listen()
        port = other.getsockname()[1]
        with pytest.RaisesGroup(
            pytest.RaisesExc(ConfigError, match=f"{port}: the port is in use"), flatten_subgroups=True
        ):
            await chain(DemoOptions(carrier=carrier, port=port), processes=processes)


@pytest.mark.parametrize("two", [(), ("--two",)], ids=["chain", "two"])
def test_the_command_in_this_process(capsys: pytest.CaptureFixture[str], two: tuple[str, ...]) -> None:
    code = main(["demo", *two, "--speed", "max", "--seconds", "0.2", "--suite", "p256_aesgcm_sha256", "--json"])
    assert code == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["ok"] is True
    assert len(found["links"]) == (1 if two else 5)
    take_down()


# --- as a command -----------------------------------------------------------------------------------


async def test_the_last_line_of_json_is_the_summary_of_a_messy_log(tmp_path: Path) -> None:
    """Four processes, and everything arrives frame by frame."""
    log, folder = messy_log(tmp_path), tmp_path / "folder"
    folder.mkdir()
    options = ("--replay", str(log), "--json", "--speed", "max", "--seconds", "0.2", "--processes")
    async with running(folder, *options) as command:
        code, errors = await command.end()
    assert (code, errors) == (0, "")
    summary = json.loads(command.lines[-1])
    assert summary["ok"] is True
    check_keys(summary)
    check_links(summary["links"], DEFAULT_SUITE.name, "udp")
    check_hand_overs(summary["authority"])
    replay = read_replay(log)
    expected = FlightDigest.of(replay.frames())
    assert summary["flight"]["skipped_bytes"] == replay.skipped_bytes > 0
    delivered = summary["delivered"]
    assert (delivered["node"], delivered["messages"], delivered["bytes"], delivered["sha256"]) == (
        "cloud",
        expected.messages,
        expected.byte_count,
        expected.sha256,
    )
    assert summary["delivered"]["sha256"] == summary["flight"]["sha256"]
    assert summary["live"]["messages"] > 0
    assert command.leftovers() == []


async def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    async with running(tmp_path, "--speed", "max", "--seconds", "0.2", "--carrier", "tcp") as command:
        code, errors = await command.end()
    assert (code, errors) == (0, "")
    assert all(line.isprintable() for line in command.lines)
    summary = [line.split()[:2] for line in command.lines]
    assert ["demo", "ok"] in summary
    assert [row[0] for row in summary if row[0] in LINKS] == LINKS
    assert not CODE_LIKE.search("\n".join(command.lines))
    told = "\n".join(command.lines)
    assert told.count("the flight right is handed over from") == 2
    assert "cloud: has the flight, 1,500 messages" in told
    assert "uploaded to 100 %" in told


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
async def test_a_signal_ends_everything(tmp_path: Path, number: int, code: int) -> None:
    async with running(tmp_path, "--seconds", "3600") as command:
        await command.until("take off: started")
        assert command.children() == {}
        command.process.send_signal(number)
        ended, errors = await command.end()
    assert ended == code
    assert errors.startswith("aerolink: ")
    assert errors.count("\n") == 1
    assert command.leftovers() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
async def test_a_signal_ends_every_process_and_no_code_was_seen(tmp_path: Path, number: int, code: int) -> None:
    """Codes and tokens are on no command line, in no environment and in no log."""
    async with running(tmp_path, "--seconds", "3600", "--processes", "--log-level", "debug") as command:
        await command.until("take off: started")
        children = command.children()
        assert sorted(children) == NODES
        for child in children.values():
            for name in ("cmdline", "environ"):
                text = (PROC / str(child) / name).read_bytes().decode(errors="replace")
                assert not CODE_LIKE.search(text)
        command.process.send_signal(number)
        ended, errors = await command.end()
    assert ended == code
    assert not CODE_LIKE.search("\n".join(command.lines) + errors)
    assert [line.startswith("aerolink: ") for line in errors.splitlines()].count(True) == 1
    assert not any((PROC / str(child)).exists() for child in children.values())
    assert command.leftovers() == []


@pytest.mark.parametrize("node", ["cloud", pytest.param("rc", marks=pytest.mark.slow)])
async def test_a_child_that_dies_is_reported(tmp_path: Path, node: str) -> None:
    async with running(tmp_path, "--seconds", "3600", "--processes") as command:
        await command.until("take off: started")
        children = command.children()
        os.kill(children.pop(node), signal.SIGKILL)
        code, errors = await command.end()
    assert code == 3
    assert errors == f"aerolink: the process of the {node} ended early (killed by signal 9)\n"
    assert not any((PROC / str(child)).exists() for child in children.values())
    assert command.leftovers() == []


def test_a_code_and_a_token_would_be_seen() -> None:
    group = "3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS5"
    assert CODE_LIKE.search(f"code {group}\n")
    assert CODE_LIKE.search(f"token {group}-{group}\n")
