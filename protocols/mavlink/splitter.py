"""Finding MAVLink frames in bytes that come as they like (specs/11-mavlink.md, 11.2; ADR 17).

Theory of operation. A frame begins with a mark, says how long it is, and ends with a checksum. So at each mark there
are three answers: not yet (bytes are missing), no (the mark was garbage: go on behind it, since a frame may begin
inside of what it claimed), and yes. What the answer is depends on the bytes from the mark on and on nothing else, so
it does not matter into which pieces a carrier has cut them.

The checksum covers a byte that is not sent, CRC_EXTRA, which each message id has for itself. Where the id is known the
checksum must fit. Where it is not, it must fit for one of the 256 bytes that CRC_EXTRA may be: garbage passes that
once in 256 times, which is a hundred times better than to look at the length alone.

https://mavlink.io/en/guide/serialization.html
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

MAX_FRAME_BYTES: Final = 280
"""Header 10, payload 255, checksum 2, signature 13."""
PATIENCE_S: Final = 1.0
"""A frame of which a part has come must be whole after this: half of one must not hold up what follows (MV-12)."""

_MARKS: Final = re.compile(rb"[\xfd\xfe]")
_MARK_2: Final = 0xFD
_HEAD_1, _HEAD_2 = 6, 10
_CHECKSUM_BYTES: Final = 2
_SIGNATURE_BYTES: Final = 13
_SIGNED: Final = 0x01
_CRC_START: Final = 0xFFFF
_NO_FRAME: Final = 0


@dataclass(frozen=True, slots=True)
class FrameChecks:
    """What tells a frame from garbage; both are the message definitions' business."""

    checksum: Callable[[bytes, int], int]
    """CRC-16/MCRF4XX of some bytes, going on from a value; 0xffff begins."""
    crc_extra: Mapping[int, int]
    """Message id -> the byte that its checksum covers besides."""


class FrameSplitter:
    """One direction of one connection: bytes in, whole frames out. Never raises, and never holds more than a frame."""

    __slots__ = ("_came", "_checks", "_fed_s", "_held", "_steps", "bad_checksums", "frames", "skipped_bytes")

    def __init__(self, checks: FrameChecks) -> None:
        self.frames = 0
        """Frames given out."""
        self.skipped_bytes = 0
        """Bytes that belonged to no good frame."""
        self.bad_checksums = 0
        """Marks of which the length fitted and the checksum did not: damaged frames, or garbage."""
        self._checks = checks
        self._steps = frozenset(checks.checksum(bytes([each]), 0) for each in range(256))
        self._held = b""
        self._came: deque[tuple[float, int]] = deque()
        self._fed_s = 0.0

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that has begun."""
        return len(self._held)

    def feed_untrusted(self, data: bytes, now: float) -> list[bytes]:
        """Take the next bytes; return the frames that they complete, each as it came."""
        frames = self._lose_patience_untrusted(now) if self._held else []
        if data:
            self._came.append((now, len(data)))
        frames += self._split_untrusted(self._held + data)
        self._fed_s = now
        self.frames += len(frames)
        return frames

    def _lose_patience_untrusted(self, now: float) -> list[bytes]:
        """What nothing followed is dropped whole: late is worse than never. What waits for its end is given up.

        Each mark by its own age: one after the other, a burst of them would hold a good frame back for minutes.
        """
        if now - self._fed_s > PATIENCE_S:
            self.skipped_bytes += len(self._held)
            self._keep(b"", len(self._held))
            return []
        late = sum(count for came_s, count in self._came if now - came_s > PATIENCE_S)
        return self._split_untrusted(self._held, late) if late else []

    def _keep(self, held: bytes, passed: int) -> None:
        """Hold the rest, and when it came, once so many bytes have had their answer."""
        self._held = held
        while passed:
            came_s, count = self._came.popleft()
            if count > passed:
                self._came.appendleft((came_s, count - passed))
            passed -= min(count, passed)

    def _split_untrusted(self, data: bytes, late: int = 0) -> list[bytes]:
        """Frames in ``data``; held is what begins with the first of which bytes are missing.

        The first ``late`` bytes are too old to wait for any.
        """
        frames: list[bytes] = []
        at = 0
        while (mark := _MARKS.search(data, at)) is not None:
            start = mark.start()
            self.skipped_bytes += start - at
            at = start
            size = _size_untrusted(data, at)
            is_here = size is not None and at + size <= len(data)
            if not is_here and at >= late:
                self._keep(data[at:], at)
                return frames
            frame = data[at : at + size] if is_here and size else b""
            if frame and self._is_whole_untrusted(frame):
                frames.append(frame)
                at += len(frame)
            else:
                self.skipped_bytes += 1
                at += 1
        self.skipped_bytes += len(data) - at
        self._keep(b"", len(data))
        return frames

    def _is_whole_untrusted(self, frame: bytes) -> bool:
        """Whether the checksum of something that has the length of a frame fits."""
        if frame[0] == _MARK_2:
            end, number = _HEAD_2 + frame[1], int.from_bytes(frame[7:10], "little")
        else:
            end, number = _HEAD_1 + frame[1], frame[5]
        stated = int.from_bytes(frame[end : end + _CHECKSUM_BYTES], "little")
        checksum = self._checks.checksum(frame[1:end], _CRC_START)
        extra = self._checks.crc_extra.get(number)
        if extra is None:  # one more byte shifts the sum by eight and adds one of 256 steps
            fits = stated ^ (checksum >> 8) in self._steps
        else:
            fits = stated == self._checks.checksum(bytes([extra]), checksum)
        self.bad_checksums += not fits
        return fits


def _size_untrusted(data: bytes, at: int) -> int | None:
    """Bytes of the frame that begins at a mark; None if too few have come to say so, 0 if it is none.

    A version 2 frame with an incompatibility flag that we do not know is none: nobody can say how long it is.
    """
    head = data[at : at + 3]
    if len(head) < 3:
        return None
    if head[0] != _MARK_2:
        return _HEAD_1 + head[1] + _CHECKSUM_BYTES
    if head[2] & ~_SIGNED:
        return _NO_FRAME
    return _HEAD_2 + head[1] + _CHECKSUM_BYTES + (_SIGNATURE_BYTES if head[2] else 0)
