"""Chunks of one object that have been sent and are neither arrived nor lost (CH-54, CH-55).

*Theory of operation.* A byte of the object is in flight at most once, so packets are disjoint: by offset they stand in
one list, in which the parts that an acknowledgement names are found by bisection. By number, which is the order of
sending, they stand in a dictionary, for the timer. A packet that three later ones overtook is *suspected*: it is lost
as soon as the acknowledgement would have named it, so suspects wait in a heap by their end. Each packet is looked at
when it is sent, when it becomes suspected and when it goes: an acknowledgement costs what it moves on and no more,
whatever it claims.
"""

from bisect import bisect_left
from collections import deque
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Final, NamedTuple

from protocols.link.recovery import OVERTAKEN_BY


class Packet(NamedTuple):
    """A chunk on its way."""

    number: int
    """Rises with every transmission."""
    start: int
    """Offset of its first byte."""
    end: int
    """Offset behind its last byte."""
    sent_at: float
    """On the clock of ``now``."""


_number: Final = attrgetter("number")
_start: Final = attrgetter("start")


class Flight:
    """What of one transfer is in flight."""

    __slots__ = ("_by_number", "_by_start", "_oldest", "_overtaken_to", "_starts", "_suspects")

    def __init__(self) -> None:
        self._by_number: dict[int, Packet] = {}
        self._oldest = 1
        """No packet has a lower number."""
        self._by_start: list[Packet] = []
        self._starts: list[int] = []
        """Of ``_by_start``, for bisection."""
        self._suspects: list[tuple[int, int]] = []
        """(end, number) of packets that were overtaken."""
        self._overtaken_to = 0

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def bytes(self) -> int:
        """Of all packets, counted when asked for."""
        return sum(packet.end - packet.start for packet in self._by_start)

    @property
    def oldest(self) -> Packet:
        """The one that was sent first; only if there is one."""
        while (packet := self._by_number.get(self._oldest)) is None:
            self._oldest += 1
        return packet

    def add(self, packet: Packet) -> None:
        """A packet leaves; its number is the highest so far, and none of its bytes is in flight."""
        starts = self._starts
        self._by_number[packet.number] = packet
        if not starts or starts[-1] < packet.start:
            starts.append(packet.start)
            self._by_start.append(packet)
            return
        place = bisect_left(starts, packet.start)
        starts.insert(place, packet.start)
        self._by_start.insert(place, packet)

    def add_run(self, packets: list[Packet]) -> None:
        """Packets leave in the order of their numbers and of their bytes, none of which was ever in flight."""
        self._by_number.update(zip(map(_number, packets), packets, strict=True))
        self._starts.extend(map(_start, packets))
        self._by_start.extend(packets)

    def take_arrived(self, received_to: int, starts: list[int], ends: list[int]) -> list[Packet]:
        """Remove what lies before ``received_to`` or within one of the ranges."""
        taken = self._take(0, received_to) if self._starts and self._starts[0] < received_to else []
        for start, end in zip(starts, ends, strict=True):
            taken += self._take(start, end)
        return taken

    def _take(self, start: int, end: int) -> list[Packet]:
        first = bisect_left(self._starts, start)
        last = bisect_left(self._starts, end, first)
        if first < last and self._by_start[last - 1].end > end:
            last -= 1
        if first == last:
            return []
        taken = self._by_start[first:last]
        del self._by_start[first:last], self._starts[first:last]
        deque(map(self._by_number.__delitem__, map(_number, taken)), maxlen=0)
        return taken

    def take_lost(self, largest: int, judged_to: int) -> list[Packet]:
        """Remove what packets up to ``largest`` overtook, as far as an acknowledgement would have named it.

        Call it after ``take_arrived`` of the same acknowledgement: what has arrived is suspected no more.
        """
        overtaken_to = largest - OVERTAKEN_BY
        for number in range(self._overtaken_to + 1, overtaken_to + 1):
            if (packet := self._by_number.get(number)) is not None:
                heappush(self._suspects, (packet.end, number))
        self._overtaken_to = max(self._overtaken_to, overtaken_to)
        lost: list[Packet] = []
        while self._suspects and self._suspects[0][0] <= judged_to:
            packet = self._by_number.get(heappop(self._suspects)[1])
            if packet is not None:  # None: it has arrived after all
                lost += self._take(packet.start, packet.end)
        return lost

    def take_expired(self, timeout: float, now: float) -> list[Packet]:
        """Remove what has been on its way for so long."""
        taken: list[Packet] = []
        while self._by_number and self.oldest.sent_at + timeout <= now:
            taken.append(self._by_number.pop(self._oldest))
        self._by_start = [each for each in self._by_start if each.number in self._by_number]
        self._starts = [each.start for each in self._by_start]
        self._suspects = [each for each in self._suspects if each[1] in self._by_number]
        heapify(self._suspects)
        return taken
