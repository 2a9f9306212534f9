"""The only module that touches pymavlink, which is untyped and keeps global state.

*Reading a log.* The frames of a recording are, by definition, what ``mavutil.mavlink_connection(path)``
returns from ``recv_msg()`` in a fresh process without environment variables, without those of type
``BAD_DATA``. For a `.tlog` that is the class ``mavmmaplog``, which first indexes the file, and the index
pass leaves its mark on the parser (the first frame of a known type chooses between the MAVLink 1 and 2
dialects). So we use this class, and:

- build it directly: ``mavlink_connection`` would read ``udp:host`` or ``tcp:host`` as a socket, run a file
  called ``x.elf``, and hand ``.bin`` and ``.log`` to parsers of other formats. Here a path is only ever a
  path, and every file is read as a telemetry log, whatever its name;
- replace its ``post_message`` by the two lines of it that steer the parser. The rest tracks modes,
  parameters and losses, which nobody asks for here and which costs a third of the time;
- if the index pass fails (it does when the log ends inside the first frame of its type: pymavlink has no
  answer then), read on without an index, with ``mavlogfile``, its base class;
- pin what mavutil keeps in globals and in ``os.environ`` (dialect, protocol version) to the defaults while
  a log is read, under a lock, and put it back: the log read before must not decide how the next one is
  read.

*Checking live frames.* :func:`frame_checks` gives the CRC_EXTRA of every message of the dialect ``all``, and the
checksum, to whoever finds frames in bytes (``protocols.mavlink``).

*Making telemetry.* :class:`Encoder` numbers and checks frames with the ``common`` dialect of MAVLink 2,
which is imported by its own name and so is not subject to those globals.
"""

import os
import threading
from array import array
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from protocols.mavlink import FrameChecks

Field = float | bytes | list[int]
"""A field of a message: a number, a text or an array."""

_VARIABLES = ("MAVLINK20", "MAVLINK_DIALECT", "MAV_IGNORE_CRC")
_LOCK = threading.Lock()
_TICK_MESSAGES = 1024


@dataclass(frozen=True, slots=True)
class RawLog:
    """What a telemetry log holds, kept flat: a hundred thousand frames are three objects."""

    data: bytes
    """All good frames, one after the other."""

    lengths: "array[int]"
    """Length of each frame, bytes."""

    stamps_s: "array[float]"
    """Recorded time of each frame, seconds since 1970; as the recorder's clock was, jumps included."""


class _Message(Protocol):
    def get_type(self) -> str: ...
    def get_msgbuf(self) -> bytearray: ...


class _Log(Protocol):
    f: BinaryIO
    post_message: Callable[[_Message], None]

    def recv_msg(self) -> _Message | None: ...
    def close(self) -> None: ...


class _Mavutil(Protocol):
    mavmmaplog: type[_Log]
    mavlogfile: type[_Log]

    def set_dialect(self, dialect: str) -> None: ...


def read_log(path: Path, tick: Callable[[int], None]) -> RawLog:
    """Read all of a log; calls `tick` with the bytes read so far now and then. Raises OSError."""
    with _pinned() as mavutil:
        try:
            log = _open(mavutil.mavmmaplog, path)
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - whatever the index pass raises, the log may be read without it
            os.environ.pop("MAVLINK20", None)
            mavutil.set_dialect("all")
            log = _open(mavutil.mavlogfile, path)
        try:
            return _drain(log, tick)
        finally:
            log.close()


def _open(kind: type[_Log], path: Path) -> _Log:
    """A log object of mavutil whose short post_message is in place before its constructor reads."""
    log = cast("Any", kind.__new__(kind))
    state = cast("dict[str, object]", vars(log))

    def remember(message: _Message) -> None:
        state["_last_message"] = message
        if message.get_type() != "BAD_DATA":
            state["_last_timestamp"] = state["_timestamp"]

    log.post_message = remember
    try:
        log.__init__(os.fspath(path))
    except BaseException:
        if "f" in state:
            log.close()
        raise
    return cast("_Log", log)


def _drain(log: _Log, tick: Callable[[int], None]) -> RawLog:
    data = bytearray()
    lengths = array("H")
    stamps_s = array("d")
    state: dict[str, float] = vars(log)
    count = 0
    while (message := log.recv_msg()) is not None:
        count += 1
        if count % _TICK_MESSAGES == 0:
            tick(log.f.tell())
        if message.get_type() == "BAD_DATA":
            continue
        frame = message.get_msgbuf()
        data += frame
        lengths.append(len(frame))
        stamps_s.append(state["_timestamp"])
    return RawLog(bytes(data), lengths, stamps_s)


@contextmanager
def _pinned() -> Generator[_Mavutil]:
    """The module mavutil as a fresh process without environment variables has it; put back at the end."""
    with _LOCK:
        variables = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        try:
            from pymavlink import mavutil

            kept = (mavutil.mavlink, mavutil.current_dialect, mavutil.mavfile_global)
            try:
                mavutil.set_dialect("all")
                yield cast("_Mavutil", mavutil)
            finally:
                mavutil.mavlink, mavutil.current_dialect, mavutil.mavfile_global = kept
        finally:
            for name in _VARIABLES:
                os.environ.pop(name, None)
            os.environ.update(variables)


@cache
def frame_checks() -> FrameChecks:
    """What tells a frame from garbage, as the dialect ``all`` has it. Takes a while at the first call."""
    from pymavlink.dialects.v20 import all as everything
    from pymavlink.generator.mavcrc import x25crc

    def checksum(data: bytes, start: int) -> int:
        crc: Any = x25crc()
        crc.crc = start
        crc.accumulate(data)
        return int(crc.crc)

    messages = cast("dict[int, Any]", everything.mavlink_map)
    extras = {number: int(message.crc_extra) for number, message in messages.items()}
    return FrameChecks(checksum, extras)


class Encoder:
    """Makes the MAVLink 2 frames of one component: a message by its name and fields, in MAVLink's units."""

    def __init__(self, system: int = 1, component: int = 1) -> None:
        from pymavlink.dialects.v20 import common

        self._dialect: Any = common
        self._link: Any = common.MAVLink(None, srcSystem=system, srcComponent=component)

    def frame(self, name: str, *fields: Field) -> bytes:
        """The next frame, e.g. ``frame("attitude", ...)``; fields in the order of the definition."""
        message = getattr(self._dialect, f"MAVLink_{name}_message")(*fields)
        packed = bytes(message.pack(self._link))
        self._link.seq = (self._link.seq + 1) % 256
        return packed
