"""The demo over real sockets: every suite and carrier, both ways of running, and every way of ending it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from nodes.cli import main
from nodes.demo.lines import LineReader
from nodes.demo.options import DemoOptions
from nodes.demo.report import Report
from nodes.demo.run import run_demo
from nodes.flight import ModelFlight, read_replay, tlog_record
from nodes.flight.source import FlightDigest
from nodes.logs import take_down
from nodes.ports import CarrierName
from nodes.stations.notes import Delivered, Note, Ready
from protocols.crypto.suites import DEFAULT_SUITE, SUITES
from protocols.errors import ConfigError
from tests.conftest import require_or_skip
from tests.live.kit import CARRIERS, DEADLINE_S

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")
PROC: Final = Path("/proc")
CODE_LIKE: Final = re.compile(r"\b(?:[0-9A-HJKMNP-TV-Z]{4}-){6}[0-9A-HJKMNP-TV-Z]{4}\b")


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


async def demo(options: DemoOptions, *, processes: bool = False) -> tuple[Report, list[Note]]:
    notes: list[Note] = []
    with trio.fail_after(DEADLINE_S):
        return await run_demo(options, notes.append, processes=processes), notes


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
async def test_each_suite_over_each_carrier(suite: str, carrier: CarrierName) -> None:
    report, notes = await demo(DemoOptions(suite=suite, carrier=carrier, speed="max", seconds=0.2))
    assert report.problems == []
    found: Any = report.as_dict()
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


async def test_the_summary_has_exactly_these_keys() -> None:
    report, _ = await demo(DemoOptions(speed="max", seconds=0.2))
    found: Any = report.as_dict()
    assert list(found) == ["ok", "links", "flight", "delivered", "video", "alarms"]
    assert list(found["links"][0]) == ["name", "carrier", "suite", "handshake_ms", "by_class", "rekeys"]
    assert list(found["flight"]) == ["source", "messages", "bytes", "sha256", "skipped_bytes"]
    assert list(found["delivered"]) == ["node", "messages", "bytes", "sha256", "seconds"]
    assert list(found["video"]) == ["frames_sent", "frames_received", "frames_corrupt"]
    assert found["alarms"] == []


async def test_the_model_flies_and_what_it_flew_arrives() -> None:
    report, notes = await demo(DemoOptions(speed="real", seconds=1.0))
    assert report.problems == []
    assert report.flight is not None
    assert report.flight.source == "model"
    texts = [getattr(note, "text", "") for note in notes]
    assert any(text.startswith("take off: started") for text in texts)
    assert any(text.startswith("land: started") for text in texts)


@pytest.mark.parametrize("processes", [False, True], ids=["inside", "processes"])
async def test_a_messy_log_arrives_frame_by_frame(tmp_path: Path, processes: bool) -> None:
    log = messy_log(tmp_path)
    replay = await trio.to_thread.run_sync(read_replay, log)
    report, notes = await demo(DemoOptions(replay=str(log), speed="max", seconds=0.2), processes=processes)
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
    report, _ = await demo(DemoOptions(replay=str(short), speed="real", seconds=3_600))
    assert report.problems == []
    assert report.by_class()["stream"]["received"] >= len(frames)


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_port_in_use(carrier: CarrierName) -> None:
    kind = trio.socket.SOCK_DGRAM if carrier == "udp" else trio.socket.SOCK_STREAM
    with trio.socket.socket(trio.socket.AF_INET, kind) as other:
        await other.bind(("127.0.0.1", 0))
        if carrier == "tcp":
            other.listen()
        port = other.getsockname()[1]
        with pytest.RaisesGroup(
            pytest.RaisesExc(ConfigError, match=f"{port}: the port is in use"), flatten_subgroups=True
        ):
            await demo(DemoOptions(carrier=carrier, port=port))


def test_the_command_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["demo", "--speed", "max", "--seconds", "0.2", "--suite", "p256_aesgcm_sha256", "--json"])
    assert code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"] is True
    take_down()


# --- as a command -----------------------------------------------------------------------------------


class Running:
    """The command in a process, with a temporary folder of its own."""

    def __init__(self, process: trio.Process, folder: Path) -> None:
        assert process.stdout is not None
        self.process = process
        self.out = LineReader(process.stdout)
        self._folder = folder

    async def until(self, words: str) -> None:
        while (line := await self.out.next_line()) is not None:
            if words in line:
                return
        pytest.fail(f"the demo ended before it said {words!r}")

    async def end(self) -> tuple[int, list[str], str]:
        lines: list[str] = []
        while (line := await self.out.next_line()) is not None:
            lines.append(line)
        assert self.process.stderr is not None
        errors = b"".join([chunk async for chunk in self.process.stderr])
        return await self.process.wait(), lines, errors.decode()

    def children(self) -> list[int]:
        if not PROC.is_dir():
            require_or_skip("there is no /proc to look for child processes in")
        return [
            int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal() and _parent(entry) == self.process.pid
        ]

    def leftovers(self) -> list[Path]:
        return list(self._folder.iterdir())


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


@asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncGenerator[Running]:
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


async def test_the_last_line_of_json_is_the_summary(tmp_path: Path) -> None:
    async with running(tmp_path, "--json", "--speed", "max", "--seconds", "0.2", "--processes") as command:
        code, lines, errors = await command.end()
    assert (code, errors) == (0, "")
    summary = json.loads(lines[-1])
    assert summary["ok"] is True
    assert summary["links"][0]["suite"] == DEFAULT_SUITE.name
    assert command.leftovers() == []


async def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    async with running(tmp_path, "--speed", "max", "--seconds", "0.2", "--carrier", "tcp") as command:
        code, lines, errors = await command.end()
    assert (code, errors) == (0, "")
    assert all(line.isprintable() for line in lines)
    assert any(line.split()[:2] == ["demo", "ok"] for line in lines)


@pytest.mark.parametrize("options", [(), ("--processes",)], ids=["inside", "processes"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_everything(tmp_path: Path, number: int, code: int, options: tuple[str, ...]) -> None:
    async with running(tmp_path, "--seconds", "3600", *options) as command:
        await command.until("take off: started")
        children = command.children()
        assert len(children) == (2 if options else 0)
        command.process.send_signal(number)
        ended, _, errors = await command.end()
    assert ended == code
    assert errors.startswith("aerolink: ")
    assert errors.count("\n") == 1
    assert not any((PROC / str(child)).exists() for child in children)
    assert command.leftovers() == []


async def test_a_child_that_dies_is_reported(tmp_path: Path) -> None:
    async with running(tmp_path, "--seconds", "3600", "--processes") as command:
        await command.until("take off: started")
        first, other = command.children()
        os.kill(first, signal.SIGKILL)
        code, _, errors = await command.end()
    assert code == 3
    assert "ended early (killed by signal 9)" in errors
    assert errors.count("\n") == 1
    assert not (PROC / str(other)).exists()
    assert command.leftovers() == []


async def test_no_linking_code_on_a_command_line_or_in_an_environment(tmp_path: Path) -> None:
    async with running(tmp_path, "--seconds", "3600", "--processes", "--log-level", "debug") as command:
        await command.until("take off: started")
        for child in command.children():
            for name in ("cmdline", "environ"):
                text = (PROC / str(child) / name).read_bytes().decode(errors="replace")
                assert not CODE_LIKE.search(text)
        command.process.send_signal(signal.SIGTERM)
        _, lines, errors = await command.end()
    assert not CODE_LIKE.search("\n".join(lines) + errors)
