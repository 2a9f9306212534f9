"""Who sent a frame, and which message it holds: the few bytes that are the same in all of them.

https://mavlink.io/en/guide/serialization.html
"""

from dataclasses import dataclass, field
from typing import Final

_MARK_2: Final = 0xFD


@dataclass(frozen=True, slots=True)
class FrameHead:
    """A frame, looked at from outside."""

    system: int
    """Who sent it."""
    component: int
    """Which part of it."""
    message: int
    """Message id."""
    payload: bytes = field(repr=False)
    """As it came: version 2 leaves zeros at its end out."""


def head_untrusted(frame: bytes) -> FrameHead:
    """Look at one whole frame (:class:`~protocols.mavlink.FrameSplitter` gives such). Never raises."""
    frame = frame.ljust(10, b"\0")
    if frame[0] == _MARK_2:
        number = int.from_bytes(frame[7:10], "little")
        return FrameHead(frame[5], frame[6], number, frame[10 : 10 + frame[1]])
    return FrameHead(frame[3], frame[4], frame[5], frame[6 : 6 + frame[1]])
