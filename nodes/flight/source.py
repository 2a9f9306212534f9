"""What a flight is to the rest of the suite: MAVLink frames in time, and a digest that both ends can compare.

A source knows nothing of links. It yields frames; :mod:`nodes.flight.pace` spreads them over time,
:mod:`nodes.flight.container` packs them for the `bulk` channel, and :class:`FlightDigest` says on both
sides what was flown and what arrived.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class FlightFrame:
    """One MAVLink frame of a flight."""

    time_s: float
    """Seconds since the first frame, in recorded or model time; never negative, never decreasing, whole
    microseconds."""

    data: bytes
    """The frame as it was recorded or made, from its marker to its checksum or signature."""


class FlightSource(Protocol):
    """Where the frames of one flight come from. Iterating twice gives the same frames twice."""

    @property
    def name(self) -> str:
        """What to call it in a line of output: ``model``, or the name of the log file."""
        ...

    @property
    def skipped_bytes(self) -> int:
        """Bytes of the origin that belong to no good frame (see `replay.py`); 0 for a model."""
        ...

    def frames(self) -> Iterator[FlightFrame]:
        """The flight from its beginning, made as it is asked for."""
        ...


class FlightDigest:
    """Counts messages and bytes, and hashes the concatenated frames, without their times.

    Times are left out because a live link delivers the frames but not the recorder's clock.
    """

    __slots__ = ("_hash", "byte_count", "messages")
    __hash__ = None  # type: ignore[assignment]  # it grows, so it is no key

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.messages = 0
        """Frames added so far."""
        self.byte_count = 0
        """Bytes of these frames."""

    @classmethod
    def of(cls, frames: Iterable[FlightFrame]) -> Self:
        """The digest of a whole flight."""
        digest = cls()
        for frame in frames:
            digest.add(frame.data)
        return digest

    def add(self, data: bytes) -> None:
        """Take one more frame into account."""
        self._hash.update(data)
        self.messages += 1
        self.byte_count += len(data)

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 over all frames added so far."""
        return self._hash.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlightDigest):
            return NotImplemented
        return (self.messages, self.byte_count, self.sha256) == (
            other.messages,
            other.byte_count,
            other.sha256,
        )

    def __repr__(self) -> str:
        return f"FlightDigest(messages={self.messages}, byte_count={self.byte_count}, sha256={self.sha256!r})"
