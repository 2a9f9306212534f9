"""The frames of a log are those of pymavlink's own loop in a fresh process, whatever lies between them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.flight import FlightDigest, read_replay
from protocols.errors import StorageError
from tests.unit.flight.logs import LogMaker

DATA = Path(__file__).parents[4] / "shared" / "data"
REFERENCE = Path(__file__).with_name("reference.py")
VTOL_SHA256 = "3ba9643054f8ab6eccfcc392a361b0ba640fd911b69cf2522a57151d17183776"


@dataclass(frozen=True)
class Result:
    """What a reader found; `crash` for a log on which pymavlink itself fails."""

    messages: int = 0
    bytes: int = 0
    sha256: str = FlightDigest().sha256
    crash: str = ""


def reference(paths: list[Path]) -> list[Result]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAV")}
    done = subprocess.run([sys.executable, REFERENCE, *paths], env=clean, capture_output=True, text=True, check=True)
    return [Result(**json.loads(line)) for line in done.stdout.splitlines()]


def ours(path: Path) -> Result:
    try:
        digest = FlightDigest.of(read_replay(path).frames())
    except StorageError:
        return Result()
    return Result(digest.messages, digest.byte_count, digest.sha256)


def cases() -> dict[str, bytes]:
    """Each kind of trouble alone, in a log of good frames of either version."""
    logs: dict[str, bytes] = {}
    for version in ("1", "2", "12"):
        maker = LogMaker(7)
        good = [maker.record(v1=version == "1", kind=kind) for kind in range(7)]
        head, tail = b"".join(good), maker.messy(30, version, spoil=0)
        troubles = {
            "nothing": b"",
            "signed": maker.signed() + maker.signed(),
            "unknown": maker.unknown() + maker.unknown(v1=True),
            "bad checksum": maker.bad_crc() + maker.bad_crc(v1=True),
            "bad checksum of a type of MAVLink 2": maker.bad_crc(kind=8),
            "boot text": maker.boot_text() * 3,
            "marked garbage": maker.marked_garbage(),
            "one byte": b"\xfd",
            "cut frame": maker.cut(),
            "zeros": bytes(500),
            "clock back": maker.backwards(),
            "clock far ahead": maker.far_future() + b"text" + maker.record(),
            "high latency": maker.record(kind=7),
        }
        for name, trouble in troubles.items():
            logs[f"{name}, version {version}"] = head + trouble + tail
            logs[f"{name} first, version {version}"] = trouble + head + tail
            logs[f"{name} last, version {version}"] = head + tail + trouble
        logs[f"last frame cut, version {version}"] = (head + tail)[:-5]
        logs[f"no timestamp, version {version}"] = good[0][8:] + tail
    return logs


def test_every_trouble_alone(tmp_path: Path) -> None:
    paths: list[Path] = []
    names = list(cases())
    for index, data in enumerate(cases().values()):
        paths.append(tmp_path / f"{index}.tlog")
        paths[-1].write_bytes(data)
    expected = reference(paths)
    assert len(expected) == len(names)
    compared = 0
    for name, path, theirs in zip(names, paths, expected, strict=True):
        if not theirs.crash:
            assert ours(path) == theirs, name
            compared += 1
    assert compared > 90


def test_troubles_mixed(tmp_path: Path) -> None:
    paths: list[Path] = []
    for seed in range(60):
        maker = LogMaker(seed)
        data = maker.messy(60, maker.random.choice(["1", "2", "12"]), maker.random.choice([0.02, 0.2, 0.7]))
        paths.append(tmp_path / f"{seed}.tlog")
        paths[-1].write_bytes(data[: len(data) - maker.random.randrange(10)])
    expected = reference(paths)
    for path, theirs in zip(paths, expected, strict=True):
        if not theirs.crash:
            assert ours(path) == theirs, path.name
    assert sum(not theirs.crash for theirs in expected) > 30


def test_a_log_that_ends_in_the_first_frame_of_its_type_is_read_nevertheless(tmp_path: Path) -> None:
    maker = LogMaker(3)
    good = [maker.record(kind=0) for _ in range(20)]
    path = tmp_path / "cut.tlog"
    path.write_bytes(b"".join(good) + maker.record(kind=1)[:-4])
    assert reference([path])[0].crash == "AttributeError"
    assert [frame.data for frame in read_replay(path).frames()] == [record[8:] for record in good]


def test_reading_without_an_index_begins_anew(tmp_path: Path) -> None:
    maker = LogMaker(3)
    good = [maker.unknown(v1=True), maker.record(kind=0), maker.bad_crc(kind=8)]
    path = tmp_path / "cut.tlog"
    path.write_bytes(b"".join(good) + maker.record(kind=1)[:-4])
    assert reference([path])[0].crash == "AttributeError"
    # its first frame is MAVLink 1, so message 258 is unknown and its checksum is not looked at
    assert [frame.data for frame in read_replay(path).frames()] == [record[8:] for record in good]


@pytest.mark.skipif(not (DATA / "vtol.tlog").exists(), reason="the shared recording vtol.tlog is not here")
def test_the_recorded_flight() -> None:
    replay = read_replay(DATA / "vtol.tlog")
    digest = FlightDigest.of(replay.frames())
    assert (digest.messages, digest.sha256) == (23_894, VTOL_SHA256)
    assert (replay.skipped_bytes, replay.clock_jumps) == (0, 0)
    assert replay.duration_s == pytest.approx(207.6, abs=0.1)
    assert reference([DATA / "vtol.tlog"]) == [ours(DATA / "vtol.tlog")]
