"""A recorded flight: a telemetry log (`.tlog`) as ground stations write it.

Which frames a log holds is defined in :mod:`nodes.flight.mavlink`. Real logs hold boot text and broken
frames between the good ones; these are left out and counted: ``skipped_bytes`` is the size of the file less
8 + length bytes for each good frame, never below 0. (The reader takes 8 bytes as a timestamp before each
attempt, so after garbage it may take some that are none, and find a frame that has no timestamp of its own;
the count is then off by up to 8 bytes for each such place.)

The recorder's clock may jump: GPS or NTP sets it, or garbage was read as a timestamp. ``FlightFrame.time_s``
counts only steps forward of at most three days (what pymavlink takes as plausible); any other step counts as
no time at all, and in ``clock_jumps``.
"""

import stat
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import trio

from nodes.flight.container import MAX_TIME_US
from nodes.flight.mavlink import RawLog, read_log
from nodes.flight.source import FlightFrame
from protocols.errors import StorageError

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the size of the log."""

MAX_LOG_BYTES = 512 * 2**20
"""Larger logs are refused: a flight is held in memory, about as large as its file."""

MAX_STEP_S = 3 * 24 * 3600.0
"""A longer step of the recorder's clock is a jump."""


class Replay:
    """The frames of one log, held in memory and given out as often as asked for."""

    def __init__(self, name: str, raw: RawLog, log_bytes: int) -> None:
        self.name = name
        """The file's name without its folder."""
        self.messages = len(raw.lengths)
        """Number of frames."""
        self.skipped_bytes = max(0, log_bytes - 8 * self.messages - len(raw.data))
        """Bytes of the log that belong to no good frame (see the module's text)."""
        self._raw = raw
        self._times_us, self.clock_jumps = _flight_times(raw.stamps_s)

    @property
    def duration_s(self) -> float:
        """Time of the last frame, seconds."""
        return self._times_us[-1] / 1_000_000

    def frames(self) -> Iterator[FlightFrame]:
        """The flight from its beginning."""
        data, start = self._raw.data, 0
        for time_us, length in zip(self._times_us, self._raw.lengths, strict=True):
            yield FlightFrame(time_us / 1_000_000, data[start : start + length])
            start += length


def read_replay(path: Path, progress: Progress | None = None) -> Replay:
    """Read a log in this thread (about 10 us a message). Raises StorageError with a line for the user."""
    label = repr(str(path))
    try:
        size = _log_size(path, label)
        raw = read_log(path, partial(_report, progress, size))
    except OSError as error:
        raise StorageError(f"{label}: cannot be read ({error.strerror}); check the path and its rights") from error
    if not raw.lengths:
        raise StorageError(f"{label}: holds no MAVLink frame; give a telemetry log (.tlog) of a ground station")
    _report(progress, size, size)
    return Replay(path.name, raw, size)


async def load_replay(path: Path, progress: Progress | None = None) -> Replay:
    """Read a log in a worker thread; `progress` is called in trio's thread. Cancellation ends the reading."""

    def report(done: int, total: int) -> None:
        trio.from_thread.check_cancelled()
        if progress is not None:
            trio.from_thread.run_sync(progress, done, total)

    return await trio.to_thread.run_sync(read_replay, path, report)


def _report(progress: Progress | None, total: int, done: int) -> None:
    if progress is not None:
        progress(min(done, total), total)


def _log_size(path: Path, label: str) -> int:
    if "\0" in str(path):
        raise StorageError(f"{label}: not a file name; give the path of a telemetry log (.tlog)")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise StorageError(f"{label}: is a folder; give the path of a telemetry log (.tlog)")
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{label}: is not a regular file; give the path of a telemetry log (.tlog)")
    if status.st_size == 0:
        raise StorageError(f"{label}: is empty; the recording was not written, choose another log")
    if status.st_size > MAX_LOG_BYTES:
        raise StorageError(f"{label}: is larger than {MAX_LOG_BYTES // 2**20} MiB; split the log")
    return status.st_size


def _flight_times(stamps_s: "array[float]") -> tuple["array[int]", int]:
    """Microseconds since the first frame for each stamp, never decreasing; the number of jumps left out."""
    times_us = array("Q")
    jumps = now_us = base_us = 0
    anchor_s = last_s = stamps_s[0] if stamps_s else 0.0
    for stamp_s in stamps_s:
        step_s = stamp_s - last_s
        target_us = base_us + round((stamp_s - anchor_s) * 1_000_000)
        if 0 <= step_s <= MAX_STEP_S and target_us < MAX_TIME_US - 1:
            now_us = max(now_us, target_us)
        else:
            jumps += 1
            anchor_s, base_us = stamp_s, now_us
        last_s = stamp_s
        times_us.append(now_us)
    return times_us, jumps
