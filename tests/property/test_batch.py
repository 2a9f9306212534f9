"""The batch path is held to the one-at-a-time path: the same inputs, replays and failures included (issue: Fast).

Two receivers with equal keys and seeds see what one sender sent, after an attacker and the weather had it: one of them
datagram by datagram, the other in trains, as receive offload would join them. Whatever happens, both have delivered
the same, and stand where the other stands.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.suites import SUITES
from protocols.events import ControlReceived, SendCommand, SendControl, SendState, SendStream
from protocols.guards.address import Address
from protocols.link.connection import Connection
from protocols.link.train import Train
from specs.registry import ChannelId, CloseCode
from tests.conftest import examples
from tests.machines import (
    DRONE,
    EVE,
    RC,
    Node,
    Scene,
    StreamScene,
    config,
    datagram_link,
    devices,
    say,
    stream_link,
)

RUNS = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
FAST = SUITES[4]


def link(seed: str = "twins") -> Scene:
    """A link that is up; two of one seed are equal in every byte."""
    rc, drone = devices(seed, dh=FAST.dh)
    return datagram_link(FAST, rc=rc, drone=drone, settings=config(FAST))


# --- what the sender says, and what happens to it ---------------------------------------------------

_messages = st.one_of(
    st.builds(SendStream, st.just(ChannelId.VIDEO), st.binary(max_size=90).map(lambda data: data * 13)),
    st.builds(SendStream, st.just(ChannelId.VIDEO), st.just(b"s" * 1_000)),
    st.builds(SendState, st.just(ChannelId.TELEMETRY), st.integers(0, 3), st.binary(max_size=40)),
    st.builds(SendCommand, st.just(ChannelId.COMMAND), st.binary(max_size=40)),
)
_runs = st.lists(st.one_of(_messages, st.integers(2, 40)), max_size=12)
"""Messages; a number repeats a full-sized stream message so often."""


@dataclass
class Attack:
    """What an attacker and the weather do to the datagrams of one burst."""

    drops: set[int] = field(default_factory=set)
    copies: set[int] = field(default_factory=set)
    flips: set[int] = field(default_factory=set)
    swaps: set[int] = field(default_factory=set)
    cuts: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)

    def apply(self, datagrams: list[bytes]) -> Iterator[bytes]:
        """Yield what arrives."""
        order = list(enumerate(datagrams))
        for place in sorted(self.swaps):
            if place + 1 < len(order):
                order[place], order[place + 1] = order[place + 1], order[place]
        for place, data in order:
            if place not in self.drops:
                for _ in range(1 + (place in self.copies)):
                    yield self._spoilt(place, data)

    def _spoilt(self, place: int, data: bytes) -> bytes:
        if place in self.cuts:
            return data[:20]
        if place in self.flips:
            return data[:-1] + bytes((data[-1] ^ 1,))
        if place in self.foreign:
            return data[:4] + bytes((data[4] ^ 0x80,)) + data[5:]
        return data


_places = st.sets(st.integers(0, 50), max_size=4)
_attacks = st.builds(Attack, _places, _places, _places, _places, _places, _places)


def trains_of(datagrams: list[bytes]) -> Iterator[Train]:
    """Join neighbours as receive offload does: equal lengths, and one shorter at the end."""
    runs = [list(run) for _, run in groupby(datagrams, len)]
    while runs:
        run = runs.pop(0)
        length = len(run[0])
        if runs and len(runs[0]) == 1 and len(runs[0][0]) < length:
            run += runs.pop(0)
        yield Train(bytearray(b"".join(run)), length, RC)


def queue(node: Node, script: list[object], now: float) -> None:
    for item in script:
        if isinstance(item, int):
            for _ in range(item):
                node.link.send(SendStream(ChannelId.VIDEO, bytes(1_000)), now)
        else:
            node.link.send(item, now)  # type: ignore[arg-type]


def standing(connection: Connection) -> object:
    """Everything that an operator sees of a connection."""
    return (connection.stats(), connection.is_open, connection.address, connection.next_deadline())


@RUNS
@given(script=_runs, attack=_attacks)
def test_receiving_in_trains_is_receiving_one_by_one(script: list[object], attack: Attack) -> None:
    one, many = link(), link()
    now = one.world.now
    queue(one.rc, script, now)
    arriving = list(attack.apply([data for data, _ in one.rc.machine.data_to_send(now)]))
    for data in arriving:
        one.drone.machine.receive(data, now, RC)
    one.drone.turn(now)
    for train in trains_of(arriving):
        many.drone.machine.receive_train(train, now)
    many.drone.turn(now)
    assert [message for _, message in many.drone.inbox] == [message for _, message in one.drone.inbox]
    assert standing(many.drone.link) == standing(one.drone.link)
    assert many.drone.machine.handshakes == one.drone.machine.handshakes
    # ... and what either says next is the same, byte for byte.
    assert many.drone.machine.data_to_send(now) == one.drone.machine.data_to_send(now)


@RUNS
@given(script=_runs)
def test_sending_in_trains_is_sending_one_by_one(script: list[object]) -> None:
    """Byte for byte, and in the same order."""
    one, many = link(), link()
    now = one.world.now
    queue(one.rc, script, now)
    queue(many.rc, script, now)
    single = one.rc.machine.data_to_send(now)
    batched: list[tuple[bytes, Address | None]] = []
    while trains := many.rc.machine.trains_to_send(now):
        batched += [
            (bytes(train.data[at : at + train.segment_bytes]), train.address)
            for train in trains
            for at in range(0, len(train.data), train.segment_bytes)
        ]
    assert batched == single
    assert standing(many.rc.link) == standing(one.rc.link)


@RUNS
@given(data=st.data())
def test_a_foreign_address_is_seen_by_both(data: st.DataObject) -> None:
    """A run from elsewhere makes a candidate of its address, as single datagrams do (LK-81)."""
    one, many = link(), link()
    now = one.world.now
    queue(one.rc, [data.draw(st.integers(3, 30))], now)
    arriving = [packet for packet, _ in one.rc.machine.data_to_send(now)]
    for packet in arriving:
        one.drone.machine.receive(packet, now, EVE)
    for train in trains_of(arriving):
        many.drone.machine.receive_train(train._replace(address=EVE), now)
    assert standing(many.drone.link) == standing(one.drone.link)
    assert many.drone.machine.data_to_send(now) == one.drone.machine.data_to_send(now)


def test_control_leaves_before_the_next_train() -> None:
    """However much of a stream is queued: it waits for the trains of one batch at most."""
    scene = link()
    now = scene.world.now
    queue(scene.rc, [1_000], now)
    first = scene.rc.machine.trains_to_send(now)
    assert sum(len(train.data) for train in first) <= 3 * 65_536
    scene.rc.link.send(SendControl(ChannelId.CONTROL, b"stick", 0.5), now)
    scene.drone.machine.receive(bytes(scene.rc.machine.trains_to_send(now)[0].data), now, RC)
    scene.drone.turn(now)
    assert [message.data for message in scene.drone.received(ControlReceived)] == [b"stick"]


def test_a_close_in_the_middle_ends_both() -> None:
    """What came before the close is delivered, what came after is not, and both ends say the same."""
    one, many = link(), link()
    now = one.world.now
    say(one.rc.link, b"before", now)
    packets = [packet for packet, _ in one.rc.machine.data_to_send(now)]
    one.rc.link.close(CloseCode.GOING_AWAY)
    packets += [packet for packet, _ in one.rc.machine.data_to_send(now)]
    for packet in packets:
        one.drone.machine.receive(packet, now, RC)
    for train in trains_of(packets):
        many.drone.machine.receive_train(train, now)
    one.drone.turn(now)
    many.drone.turn(now)
    assert not one.drone.link.is_open
    assert standing(many.drone.link) == standing(one.drone.link)
    assert many.drone.address == DRONE


# --- records on a stream ----------------------------------------------------------------------------


def stream(seed: str = "twins") -> StreamScene:
    """A link that is up, on a stream; two of one seed are equal in every byte."""
    rc, drone = devices(seed, dh=FAST.dh)
    return stream_link(FAST, rc=rc, drone=drone, settings=config(FAST))


@RUNS
@given(script=_runs, flip=st.none() | st.integers(0, 10**6), closes=st.booleans(), cut=st.integers(1, 5_000))
def test_records_together_are_records_one_by_one(
    script: list[object], flip: int | None, closes: bool, cut: int
) -> None:
    """Whole reads beside small ones: the same messages, the same end."""
    one, many = stream(), stream()
    now = one.world.now
    queue(one.rc, script, now)
    if closes:
        one.rc.link.close(CloseCode.GOING_AWAY)
    sent = bytearray(b"".join(data for data, _ in one.rc.machine.data_to_send(now)))
    if flip is not None and sent:
        sent[flip % len(sent)] ^= 1
    for at in range(0, len(sent), cut):
        one.drone.machine.receive(bytes(sent[at : at + cut]), now)
    one.drone.turn(now)
    if sent:
        many.drone.machine.receive_train(Train(memoryview(sent), len(sent), None), now)
    many.drone.turn(now)
    assert [message for _, message in many.drone.inbox] == [message for _, message in one.drone.inbox]
    assert standing(many.drone.link) == standing(one.drone.link)
    assert many.drone.downs() == one.drone.downs()
    assert many.drone.machine.data_to_send(now) == one.drone.machine.data_to_send(now)
