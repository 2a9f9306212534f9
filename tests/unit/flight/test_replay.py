"""Reading logs: times, counts, what is refused and how, and that pymavlink's globals stay as they were."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from nodes.flight import Replay, encode_flight, load_replay, mavlink, read_replay, replay
from protocols.errors import StorageError
from tests.unit.flight.logs import EPOCH_US, LogMaker


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    def write(*parts: bytes, name: str = "flight.tlog") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(parts))
        return path

    return write


def at(seconds: float, frame: bytes) -> bytes:
    return struct.pack(">Q", EPOCH_US + round(seconds * 1_000_000)) + frame


def test_times_count_from_the_first_frame(log: Callable[..., Path]) -> None:
    maker = LogMaker()
    found = read_replay(log(*(at(seconds, maker.frame()) for seconds in (0, 0.25, 0.25, 90))))
    assert [round(frame.time_s, 5) for frame in found.frames()] == [0, 0.25, 0.25, 90]
    assert (found.duration_s, found.messages, found.clock_jumps) == (90, 4, 0)


@pytest.mark.parametrize(
    ("recorded", "times", "jumps"),
    [
        ((0, 1, -50, -49), [0, 1, 1, 2], 1),
        ((0, 1, 1e9, 2, 3), [0, 1, 1, 1, 2], 2),
        ((0, 200_000, 200_001), [0, 200_000, 200_001], 0),
        ((0, 1e12, 1e12 + 1), [0, 0, 1], 1),
    ],
)
def test_a_clock_that_jumps(
    log: Callable[..., Path], recorded: tuple[float, ...], times: list[float], jumps: int
) -> None:
    maker = LogMaker()
    found = read_replay(log(*(at(seconds, maker.frame()) for seconds in recorded)))
    assert [round(frame.time_s) for frame in found.frames()] == times
    assert found.clock_jumps == jumps
    assert encode_flight(found.frames())


def test_a_clock_that_runs_away_still_fits_the_container(log: Callable[..., Path]) -> None:
    maker = LogMaker()
    found = read_replay(log(*(at(index * 250_000, maker.frame()) for index in range(9_500))))
    assert found.clock_jumps > 0
    assert len(encode_flight(found.frames())) > 0


def test_skipped_bytes_are_what_belongs_to_no_good_frame(log: Callable[..., Path]) -> None:
    maker = LogMaker()
    bad = maker.bad_crc()
    found = read_replay(log(maker.record(), bad, maker.record(), maker.record()))
    assert (found.messages, found.skipped_bytes) == (3, len(bad))


def test_frames_may_be_asked_for_again(log: Callable[..., Path]) -> None:
    found = read_replay(log(LogMaker().messy(20)))
    assert list(found.frames()) == list(found.frames())


NAMES = (
    "a.log",
    "a.bin",
    "a.BIN",
    "a.elf",
    "a.px4log",
    "a",
    "udp:127.0.0.1:14550",
    "tcp:x,y",
    "csv:a:b=c",
    "-",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_only_ever_a_path(log: Callable[..., Path], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log(LogMaker().messy(5, spoil=0), name=name)
    monkeypatch.chdir(path.parent)
    found = read_replay(Path(name))
    assert (found.name, found.messages) == (name, 5)


def test_one_log_does_not_decide_how_the_next_is_read(
    log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAVLINK_DIALECT", "minimal")
    monkeypatch.delenv("MAVLINK20", raising=False)
    maker = LogMaker()
    # MAVLink 1 has no message 258: unknown there, so its broken checksum goes unnoticed
    older = log(maker.record(v1=True), maker.bad_crc(kind=8), name="older.tlog")
    newer = log(maker.record(), maker.bad_crc(kind=8), name="newer.tlog")
    for _ in range(2):
        assert read_replay(older).messages == 2
        assert read_replay(newer).messages == 1
    assert os.environ["MAVLINK_DIALECT"] == "minimal"
    assert "MAVLINK20" not in os.environ


def test_a_log_that_vanishes_leaves_nothing_behind(log: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mavlink.read_log(tmp_path / "vanished.tlog", print)
    assert read_replay(log(LogMaker().record())).messages == 1


def refused(path: Path) -> str:
    with pytest.raises(StorageError) as caught:
        read_replay(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_what_cannot_be_read_is_said_in_one_line(
    log: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "No such file" in refused(tmp_path / "missing\n.tlog")
    assert "is a folder" in refused(tmp_path)
    assert "not a regular file" in refused(tmp_path / "pipe")
    assert "is empty" in refused(log())
    assert "not a file name" in refused(Path("a\0b"))
    assert "cannot be read" in refused(tmp_path / ("x" * 300))
    for data in (b"x", b"\xfd" * 30, b"boot text\n" * 1_000, bytes(2_000), LogMaker().cut()):
        assert "no MAVLink frame" in refused(log(data))
    monkeypatch.setattr(replay, "MAX_LOG_BYTES", 2**20)
    assert "larger than 1 MiB" in refused(log(bytes(2**20 + 1)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_log_without_the_right_to_read_it(log: Callable[..., Path]) -> None:
    path = log(LogMaker().record())
    path.chmod(0)
    assert "Permission denied" in refused(path)


async def test_loading_tells_its_progress(log: Callable[..., Path]) -> None:
    path = log(LogMaker().messy(3_000, spoil=0))
    told: list[tuple[int, int]] = []
    found = await load_replay(path, lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert isinstance(found, Replay)
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert len(told) == 3
    assert (await load_replay(path)).messages == 3_000


async def test_loading_can_be_cancelled_and_leaves_nothing_behind(log: Callable[..., Path]) -> None:
    path = log(LogMaker().messy(3_000, "2", spoil=0))
    told: list[int] = []
    with trio.CancelScope() as scope:

        def cancel(done: int, _total: int) -> None:
            told.append(done)
            scope.cancel()

        await load_replay(path, cancel)
    assert scope.cancelled_caught
    assert len(told) == 1
    assert "MAVLINK20" not in os.environ
    assert read_replay(path).messages == 3_000


async def test_an_unreadable_log_is_the_same_error_when_loaded(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await load_replay(tmp_path / "missing.tlog")
