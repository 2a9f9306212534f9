"""protocols/channels/flight.py: what is in flight, against a model that looks at every packet (CH-54, CH-55)."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.channels.flight import Flight, Packet
from protocols.channels.limits import MAX_BULK_FLIGHT_BYTES
from protocols.link.recovery import OVERTAKEN_BY
from tests.conftest import examples

SIZE = 64
"""Bytes of the object in the model."""


class Model:
    """The same by looking at everything."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.overtaken = 0

    def take(self, those: Callable[[Packet], bool]) -> set[Packet]:
        taken = {each for each in self.packets if those(each)}
        self.packets = [each for each in self.packets if each not in taken]
        return taken

    def arrived(self, received_to: int, ranges: list[tuple[int, int]]) -> set[Packet]:
        parts = [(0, received_to), *ranges]
        return self.take(lambda packet: any(start <= packet.start and packet.end <= end for start, end in parts))

    def lost(self, largest: int, judged_to: int) -> set[Packet]:
        self.overtaken = max(self.overtaken, largest - OVERTAKEN_BY)
        return self.take(lambda packet: packet.number <= self.overtaken and packet.end <= judged_to)


def ranges_of(cuts: list[int], received_to: int) -> list[tuple[int, int]]:
    """Ascending, disjoint, not touching, above ``received_to``."""
    places = sorted({each for each in cuts if each > received_to})
    pairs = zip(places[::2], places[1::2], strict=False)
    return list(pairs)


acknowledgements = st.tuples(
    st.just("ack"), st.integers(0, 40), st.integers(0, SIZE), st.lists(st.integers(0, SIZE), max_size=8), st.booleans()
)
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 9)), acknowledgements, st.tuples(st.just("time"), st.integers(0, 12))
)


@settings(max_examples=examples(150))
@given(st.lists(steps, max_size=60))
def test_it_is_what_a_look_at_every_packet_would_find(plan: list[tuple[Any, ...]]) -> None:
    flight, model = Flight(), Model()
    number, free, received_to = 0, [(0, SIZE)], 0
    for now, (kind, *values) in enumerate(plan):
        gone: list[Packet] = []
        if kind == "send" and free:
            start, end = free.pop(0)
            cut = min(end, start + values[0])
            free += [(cut, end)] if cut < end else []
            number += 1
            packet = Packet(number, start, cut, float(now))
            flight.add(packet)
            model.packets.append(packet)
        elif kind == "ack":
            largest, upto, cuts, full = values
            received_to, largest = max(received_to, upto), min(largest, number)
            ranges = ranges_of(cuts, received_to)
            arrived = flight.take_arrived(received_to, [start for start, _ in ranges], [end for _, end in ranges])
            assert set(arrived) == model.arrived(received_to, ranges)
            assert len(arrived) == len(set(arrived))
            judged_to = ranges[-1][1] if full and ranges else SIZE
            gone = flight.take_lost(largest, judged_to)
            assert set(gone) == model.lost(largest, judged_to)
        elif kind == "time":
            gone = flight.take_expired(float(values[0]), float(now))
            expired = model.take(lambda packet, end=now - values[0]: packet.sent_at <= end)  # type: ignore[misc]
            assert set(gone) == expired
        free = [*((each.start, each.end) for each in gone), *free]
        assert len(flight) == len(model.packets)
        assert flight.bytes == sum(each.end - each.start for each in model.packets)
        assert not model.packets or flight.oldest == min(model.packets)


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of Python a piece of work runs."""
    count = 0

    def look(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def filled(packets: int, length: int) -> Flight:
    flight = Flight()
    for place in range(packets):
        flight.add(Packet(place + 1, place * length, (place + 1) * length, 0.0))
    return flight


def test_ch_55_an_acknowledgement_costs_what_it_moves_on_whatever_is_in_flight() -> None:
    """Sixteen useless ranges, at the bottom or at the top, and every packet overtaken."""
    length = 512
    most = MAX_BULK_FLIGHT_BYTES // length
    for top in (False, True):
        costs = list[int]()
        for packets in (40, most):
            flight = filled(packets, length)
            base = (packets - 20) * length if top else 0
            starts = [base + 2 + 4 * place for place in range(16)]
            ends = [each + 1 for each in starts]

            def acknowledge(
                flight: Flight = flight, starts: list[int] = starts, ends: list[int] = ends, largest: int = packets
            ) -> None:
                assert flight.take_arrived(0, starts, ends) == []
                flight.take_lost(largest, ends[-1])

            acknowledge()  # whoever is overtaken or lost by it is looked at once
            costs.append(lines_of(acknowledge))
            assert len(flight) > 0
        assert costs[0] == costs[1] < 200
