"""Frames that wait to leave by a port: few, and not for long (MV-22, MV-31)."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import trio

from nodes.wakeup import Wakeup

MAX_QUEUE_BYTES: Final = 1_048_576
"""Holds the answer to "list all parameters" of a large autopilot, several times."""
FRAME_OVERHEAD_BYTES: Final = 64
"""Counted for each frame beside its bytes."""
MAX_AGE_S: Final = 2.0
"""A frame that waited longer is not sent: what it asks for may not be wanted any more."""


@dataclass(slots=True)
class PortCounters:
    """What has passed a port since it was made."""

    received: int = 0
    """Frames that came in."""
    sent: int = 0
    """Frames that went out, to each peer."""
    dropped: int = 0
    """Frames that did not go out: nobody there, no room, too late, or the system refused them."""
    skipped_bytes: int = 0
    """Bytes that came in and belonged to no good frame."""
    bad_checksums: int = 0
    """Of these, what looked like a frame and was damaged."""
    strangers: int = 0
    """Senders and connections for which there was no room."""


class FrameQueue:
    """What one peer has not been sent yet. The oldest goes when there is no room; nothing here waits for a peer."""

    def __init__(self, counters: PortCounters) -> None:
        self._counters = counters
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._bell = Wakeup()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        self._waiting.append((trio.current_time(), frame))
        self._bytes += len(frame) + FRAME_OVERHEAD_BYTES
        while self._bytes > MAX_QUEUE_BYTES:
            self._counters.dropped += 1
            self._pop()
        self._bell.set()

    async def take(self, most_bytes: int = 1) -> list[bytes]:
        """Return the next frame that is not too old, and more as long as they do not reach so many bytes; waits."""
        while True:
            frames: list[bytes] = []
            size = 0
            while self._waiting and size < most_bytes:
                at_s, frame = self._pop()
                if trio.current_time() - at_s <= MAX_AGE_S:
                    frames.append(frame)
                    size += len(frame)
                else:
                    self._counters.dropped += 1
            if frames:
                return frames
            await self._bell.wait()

    def clear(self) -> None:
        """Drop what waits: whom it was for is gone."""
        self._counters.dropped += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0

    def _pop(self) -> tuple[float, bytes]:
        at_s, frame = self._waiting.popleft()
        self._bytes -= len(frame) + FRAME_OVERHEAD_BYTES
        return at_s, frame
