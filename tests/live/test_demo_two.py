"""The demo of a pair (``--two``) over real sockets: every suite and carrier, both ways of running, and its end."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from nodes.demo.options import DemoOptions
from nodes.flight import ModelFlight, read_replay, tlog_record
from nodes.flight.source import FlightDigest
from nodes.ports import CarrierName
from nodes.stations.notes import Delivered, Ready
from protocols.crypto.suites import DEFAULT_SUITE
from tests.live.demos import PROC, SUITES_AND_CARRIERS, messy_log, pair, running


@pytest.mark.parametrize(("suite", "carrier"), SUITES_AND_CARRIERS)
async def test_each_suite_over_each_carrier(suite: str, carrier: CarrierName) -> None:
    report, notes = await pair(DemoOptions(suite=suite, carrier=carrier, speed="max", seconds=0.2))
    assert report.problems == []
    found: Any = report.as_dict()
    assert list(found) == ["ok", "links", "flight", "delivered", "video", "alarms"]
    assert list(found["links"][0]) == ["name", "carrier", "suite", "handshake_ms", "by_class", "rekeys"]
    assert list(found["flight"]) == ["source", "messages", "bytes", "sha256", "skipped_bytes"]
    assert list(found["delivered"]) == ["node", "messages", "bytes", "sha256", "seconds"]
    assert list(found["video"]) == ["frames_sent", "frames_received", "frames_corrupt"]
    assert found["alarms"] == []
    (link,) = found["links"]
    assert (link["name"], link["carrier"], link["suite"]) == ("drone-rc", carrier, suite)
    assert link["handshake_ms"] > 0
    assert list(link["by_class"]) == ["control", "command", "state", "stream", "bulk"]
    for counts in link["by_class"].values():
        assert 0 < counts["received"] <= counts["sent"]
    digest = FlightDigest.of(ModelFlight().frames())
    flight = {"messages": digest.messages, "bytes": digest.byte_count, "sha256": digest.sha256}
    assert found["flight"] == {"source": "model", **flight, "skipped_bytes": 0}
    assert found["delivered"] == {"node": "rc", **flight, "seconds": found["delivered"]["seconds"]}
    assert found["delivered"]["seconds"] > 0
    assert found["video"]["frames_received"] == found["video"]["frames_sent"] > 0
    assert not any(isinstance(note, Ready) for note in notes)  # the linking code is nobody else's


async def test_the_model_flies_and_what_it_flew_arrives() -> None:
    report, notes = await pair(DemoOptions(speed="real", seconds=1.0))
    assert report.problems == []
    assert report.flight is not None
    assert report.flight.source == "model"
    texts = [getattr(note, "text", "") for note in notes]
    assert any(text.startswith("take off: started") for text in texts)
    assert any(text.startswith("land: started") for text in texts)


async def test_a_messy_log_arrives_frame_by_frame(tmp_path: Path) -> None:
    log = messy_log(tmp_path)
    replay = read_replay(log)
    report, notes = await pair(DemoOptions(replay=str(log), speed="max", seconds=0.2))
    assert report.problems == []
    assert report.flight is not None
    assert report.flight.skipped_bytes == replay.skipped_bytes > 0
    expected = FlightDigest.of(replay.frames())
    (delivered,) = [note for note in notes if isinstance(note, Delivered)]
    assert (delivered.messages, delivered.bytes, delivered.sha256) == (
        expected.messages,
        expected.byte_count,
        expected.sha256,
    )


async def test_a_recording_plays_at_its_pace_and_ends_with_it(tmp_path: Path) -> None:
    short = tmp_path / "short.tlog"
    frames = [frame for frame in ModelFlight().frames() if frame.time_s < 0.5]
    short.write_bytes(b"".join(tlog_record(round(frame.time_s * 1e6), frame.data) for frame in frames))
    report, _ = await pair(DemoOptions(replay=str(short), speed="real", seconds=3_600))
    assert report.problems == []
    assert report.by_class()["stream"]["received"] >= len(frames)


async def test_two_processes_and_the_last_line_of_json(tmp_path: Path) -> None:
    async with running(tmp_path, "--two", "--json", "--speed", "max", "--seconds", "0.2", "--processes") as command:
        code, errors = await command.end()
    assert (code, errors) == (0, "")
    summary = json.loads(command.lines[-1])
    assert summary["ok"] is True
    assert summary["delivered"]["node"] == "rc"
    assert summary["links"][0]["suite"] == DEFAULT_SUITE.name
    assert command.leftovers() == []


async def test_a_signal_ends_both_processes(tmp_path: Path) -> None:
    async with running(tmp_path, "--two", "--seconds", "3600", "--processes") as command:
        await command.until("take off: started")
        children = command.children()
        assert sorted(children) == ["drone", "rc"]
        command.process.send_signal(signal.SIGINT)
        code, errors = await command.end()
    assert code == 130
    assert errors.startswith("aerolink: ")
    assert errors.count("\n") == 1
    assert not any((PROC / str(child)).exists() for child in children.values())
    assert command.leftovers() == []


@pytest.mark.slow  # with four of them: test_demo
async def test_a_child_that_dies_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path, "--two", "--seconds", "3600", "--processes") as command:
        await command.until("take off: started")
        children = command.children()
        os.kill(children["drone"], signal.SIGKILL)
        code, errors = await command.end()
    assert code == 3
    assert "ended early (killed by signal 9)" in errors
    assert errors.count("\n") == 1
    assert not (PROC / str(children["rc"])).exists()
    assert command.leftovers() == []
