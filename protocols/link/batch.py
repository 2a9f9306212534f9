"""The hot path: many frames sealed into one reusable buffer, many datagrams opened out of one (LK-51 to LK-53).

Theory of operation. What costs is not the cipher but the calls around it, so everything per datagram is done by loops
in C: one ``struct`` call writes all headers of a run, ``map`` hands slices that were cut beforehand to the AEAD. A
*lane* is a buffer with such slices, by datagram length; a machine has a few, reused for every batch. A nonce is a slice
of its header (LK-51), so nothing is built for it.

Sealing reads a frame and writes into the lane: two objects, which never overlap. (``encrypt_into`` and ``decrypt_into``
do not check it: with input and output that overlap without starting at the same byte they give wrong bytes silently;
``tests/unit/link/test_batch.py`` holds what we rely on.) Opening makes a frame of its own for each datagram: measured
faster than opening in place, as the frame has to leave the buffer anyhow, and what fails to open leaves its bytes as
they were, so that the run can be looked at again, one datagram at a time.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from struct import Struct
from typing import Final

from protocols import codec
from protocols.crypto.ciphers import AeadObject
from specs.datagram import DATA_HEADER
from specs.registry import DATA_HEADER_BYTES, TAG_BYTES

MAX_SEGMENTS: Final = 64
"""Datagrams in a train: what one ``UDP_SEGMENT`` call takes on every kernel that has it."""
DATAGRAM_LANE_BYTES: Final = 65_536
STREAM_LANE_BYTES: Final = 262_144
OVERHEAD_BYTES: Final = DATA_HEADER_BYTES + TAG_BYTES
"""A datagram is its frame and these."""
_NONCE_START: Final = 4
_HEADER: Final = codec.derive_struct(DATA_HEADER).format.removeprefix(">")
_MAX_LENGTHS: Final = 4
"""Datagram lengths of which a lane keeps slices: a link sends full ones, and few others in runs."""


class Slots:
    """Where the datagrams of one length stand in a buffer."""

    __slots__ = ("_length", "_structs", "bodies", "headers", "nonces")

    def __init__(self, view: memoryview, length: int) -> None:
        count = min(MAX_SEGMENTS, len(view) // length)
        starts = range(0, count * length, length)
        self.headers = [view[at : at + DATA_HEADER_BYTES] for at in starts]
        self.nonces = [header[_NONCE_START:] for header in self.headers]
        self.bodies = [view[at + DATA_HEADER_BYTES : at + length] for at in starts]
        self._length = length
        self._structs: dict[int, Struct] = {}

    def headers_struct(self, count: int) -> Struct:
        """Return the struct that writes ``count`` headers in their places."""
        made = self._structs.get(count)
        if made is None:
            gap = self._length - DATA_HEADER_BYTES
            made = self._structs[count] = Struct(">" + f"{_HEADER}{gap}x" * (count - 1) + _HEADER)
        return made


class Lane:
    """A reusable buffer with slices by datagram length; made when it is needed first."""

    __slots__ = ("_slots", "view")

    def __init__(self, size_bytes: int) -> None:
        self.view: Final = memoryview(bytearray(size_bytes))
        self._slots: dict[int, Slots] = {}

    def has_slots(self, length: int) -> bool:
        """Whether there are slices for datagrams of ``length`` bytes."""
        return length in self._slots

    def slots(self, length: int) -> Slots:
        """Return the places of datagrams of ``length`` bytes."""
        slots = self._slots.get(length)
        if slots is None:
            if len(self._slots) >= _MAX_LENGTHS:
                del self._slots[next(iter(self._slots))]
            slots = self._slots[length] = Slots(self.view, length)
        return slots


class Lanes:
    """The lanes of one machine. What stands in them is valid until :meth:`reset`."""

    __slots__ = ("_lanes", "_used", "count", "size_bytes")

    def __init__(self, size_bytes: int, count: int) -> None:
        self.count: Final = count
        self.size_bytes: Final = size_bytes
        self._lanes: list[Lane] = []
        self._used = 0

    @property
    def left(self) -> int:
        """Lanes that may still be taken."""
        return self.count - self._used

    def reset(self) -> None:
        """Begin a batch: everything in the lanes has been sent."""
        self._used = 0

    def take(self) -> Lane | None:
        """Return a lane, or None when all are in use."""
        if self._used == self.count:
            return None
        if self._used == len(self._lanes):
            self._lanes.append(Lane(self.size_bytes))
        self._used += 1
        return self._lanes[self._used - 1]


def runs_of(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the frames in runs that make a train each: of one length, but for a last one that may be shorter."""
    lengths = list(map(len, frames))
    if lengths.count(lengths[0]) == len(lengths):  # the usual case, without a loop
        yield frames
        return
    start = 0
    for place in range(1, len(frames) + 1):
        if place == len(frames) or lengths[place] > lengths[start] or lengths[place - 1] < lengths[start]:
            yield frames[start:place]
            start = place


def train_bytes(run: Sequence[bytes]) -> int:
    """Return the length of the train that a run becomes."""
    return (len(run) - 1) * (len(run[0]) + OVERHEAD_BYTES) + len(run[-1]) + OVERHEAD_BYTES


def seal_run(
    aead: AeadObject, header: tuple[bytes, bytes, int], first: int, frames: Sequence[bytes], lane: Lane
) -> memoryview:
    """Seal a run of frames (see :func:`runs_of`) with counters from ``first`` on; return the datagrams.

    ``header``: type, reserved bytes and receiver. The run fits the lane.
    """
    length = len(frames[0]) + OVERHEAD_BYTES
    count = len(frames)
    slots = lane.slots(length)
    fields = zip(*map(repeat, header), range(first, first + count), strict=False)
    slots.headers_struct(count).pack_into(lane.view, 0, *chain.from_iterable(fields))
    last, total = (count - 1) * length, train_bytes(frames)
    whole = count if total == count * length else count - 1
    _run(map(aead.encrypt_into, slots.nonces, frames[:whole], slots.headers, slots.bodies))
    if whole < count:
        place = lane.view[last : last + DATA_HEADER_BYTES]
        aead.encrypt_into(place[_NONCE_START:], frames[-1], place, lane.view[last + DATA_HEADER_BYTES : total])
    return lane.view[:total]


def counters_untrusted(data: codec.Buffer, length: int) -> tuple[bytes, Sequence[int]] | None:
    """Return the bytes that all headers of a train share (type to receiver), and the counters; None if they differ.

    A last datagram that is shorter counts too; None also if it has no room for header and tag.
    """
    whole, rest = divmod(len(data), length)
    if length < OVERHEAD_BYTES or 0 < rest < OVERHEAD_BYTES:
        return None
    view = memoryview(data)
    rows = list(_peek(length).iter_unpack(view[: whole * length]))
    if rest:
        rows.append(_PEEK.unpack_from(view, whole * length))
    prefixes, counters = zip(*rows, strict=True)
    return (prefixes[0], counters) if prefixes.count(prefixes[0]) == len(prefixes) else None


def open_run_untrusted(aead: AeadObject, data: codec.Buffer, length: int, lane: Lane) -> list[bytes]:
    """Open every datagram of a train and return the frames; InvalidTag if one of them fails.

    The train fits the lane, into which it is copied: that costs less than cutting slices anew. A length that is new
    must be proven by a first datagram that opens: nobody else makes us cut slices, or lose those that are in use.
    """
    size = len(data)
    if not lane.has_slots(length):
        first = memoryview(data)[:length]
        header = first[:DATA_HEADER_BYTES]
        aead.decrypt(header[_NONCE_START:], first[DATA_HEADER_BYTES:], header)
    lane.view[:size] = data
    slots = lane.slots(length)
    whole, rest = divmod(size, length)
    frames = list(map(aead.decrypt, slots.nonces, slots.bodies[:whole], slots.headers))
    if rest:
        last = lane.view[size - rest : size]
        header = last[:DATA_HEADER_BYTES]
        frames.append(aead.decrypt(header[_NONCE_START:], last[DATA_HEADER_BYTES:], header))
    return frames


_PEEK: Final = Struct(">8sQ")
_peeks: Final[dict[int, Struct]] = {}


def _peek(length: int) -> Struct:
    """Return the struct of a datagram of which only the header is read."""
    made = _peeks.get(length)
    if made is None:
        if len(_peeks) >= _MAX_LENGTHS:
            _peeks.clear()
        made = _peeks[length] = Struct(f">8sQ{length - DATA_HEADER_BYTES}x")
    return made


def _run(calls: Iterable[object]) -> None:
    """Make calls for what they do."""
    deque(calls, maxlen=0)
