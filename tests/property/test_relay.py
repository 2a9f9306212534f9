"""Relays over any network and before any neighbour: what comes out went in, or nothing does (specs/5-relay.md)."""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.channels import Channels, relay_frames
from protocols.channels.fair import FairQueue
from protocols.channels.limits import (
    MAX_RELAY_PARTIALS_IN_ALL,
    MESSAGE_OVERHEAD_BYTES,
    MIN_FRAME_BYTES,
    RELAY_FLOW_BYTES,
    RELAY_QUEUE_BYTES,
)
from protocols.errors import MalformedError, ProtocolViolationError
from protocols.events import (
    RelayClosed,
    RelayDatagram,
    RelayMessage,
    RelayOpen,
    RelayOpened,
    RelayReceived,
    RelayRefused,
    SendRelay,
)
from specs.registry import (
    MAX_RELAY_DATAGRAM_BYTES,
    MAX_RELAY_PARTIALS,
    MAX_RELAY_PARTS,
    ChannelId,
    LinkType,
    RelayRefusal,
)
from tests.conftest import examples
from tests.unit.channels.pair import events, make
from tests.unit.channels.picture import snapshot
from tests.unit.channels.simulation import Simulation, Weather

slow = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])

flows = st.integers(0, 2**32 - 1)
messages = st.one_of(
    st.builds(RelayOpen, flows, st.binary(min_size=16, max_size=16), st.sampled_from(LinkType)),
    st.builds(RelayOpened, flows),
    st.builds(RelayRefused, flows, st.sampled_from(RelayRefusal)),
    st.builds(RelayClosed, flows, st.booleans()),
    st.builds(RelayDatagram, flows, st.booleans(), st.binary(min_size=1, max_size=MAX_RELAY_DATAGRAM_BYTES)),
)
weathers = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from((0.0, 0.05, 0.3)),
    duplicate=st.sampled_from((0.0, 0.2, 0.5)),
    base_s=st.sampled_from((0.0, 0.01)),
    jitter_s=st.sampled_from((0.0, 0.05, 0.5)),
    reliable=st.booleans(),
    runs=st.booleans(),
)


@given(messages)
def test_a_message_and_its_bytes_are_one(message: RelayMessage) -> None:
    """RL-12."""
    assert relay_frames.decode_untrusted(relay_frames.encode(message)) == message


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: bytes((1, 7)) + tail))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    try:
        message = relay_frames.decode_untrusted(data)
    except (MalformedError, ProtocolViolationError):
        return
    assert relay_frames.encode(message) == data


@slow
@given(
    weathers,
    st.sampled_from((MIN_FRAME_BYTES, 700, 1_168, 1_420)),
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, MAX_RELAY_DATAGRAM_BYTES)), max_size=60),
)
def test_rl_10_and_13_what_comes_out_went_in(weather: Weather, frame: int, sizes: list[tuple[int, bool, int]]) -> None:
    """Loss, doubles and reordering, on a path of any size: each datagram that comes out is one that went in, there."""
    world = Simulation(weather, frame=frame)
    sent: list[RelayMessage] = [
        RelayDatagram(flow, by_opener, hashlib.shake_128(bytes((place,))).digest(size))
        for place, (flow, by_opener, size) in enumerate(sizes)
    ]
    for message in sent:
        world.send(0, SendRelay(ChannelId.RELAY, message))
        world.run_for(0.002)
    world.run_for(3.0)
    got = [event.message for event in world.ends[1].events if isinstance(event, RelayReceived)]
    assert all(message in sent for message in got)
    if weather.reliable:
        assert sorted(got, key=sent.index) == sent  # in order within each flow; flows take turns
    assert world.ends[0].channels.next_deadline() is None


# --- a hostile neighbour ------------------------------------------------------------------------


def _part(side: int, flow: int, number: int, index: int, count: int, body: bytes) -> bytes:
    head = bytes((1, ChannelId.RELAY, 5, side)) + flow.to_bytes(4, "big") + number.to_bytes(2, "big")
    return head + bytes((index, count)) + body


parts = st.builds(
    _part,
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, MAX_RELAY_PARTS),
    st.integers(0, MAX_RELAY_PARTS + 1),
    st.one_of(st.binary(max_size=3), st.sampled_from((300, 363, 364, 726, 727, 1_452, 1_453)).map(bytes)),
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(parts, st.floats(0.0, 1.5)), max_size=40))
def test_rl_11_hostile_parts_are_taken_or_end_the_link_and_a_fault_changes_nothing(
    wire: list[tuple[bytes, float]],
) -> None:
    there, now = make(), 0.0
    for frame, pause_s in wire:
        now += pause_s
        before = snapshot(there)
        try:
            there.receive_untrusted(frame, now)
        except (MalformedError, ProtocolViolationError):
            assert snapshot(there) == before
    for event in events(there):
        assert isinstance(event, RelayReceived)
        assert isinstance(event.message, RelayDatagram)
        assert 1 <= len(event.message.data) <= MAX_RELAY_DATAGRAM_BYTES


def held_bytes(channels: Channels) -> int:
    """Everything in a picture of a machine that is bytes."""
    return _held(snapshot(channels))


def _held(picture: object) -> int:
    if isinstance(picture, bytes):
        return len(picture)
    if isinstance(picture, list | tuple):
        return sum(map(_held, cast("Sequence[object]", picture)))
    return 0


@settings(max_examples=examples(4), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1, 40, 2**32 - 1)))
def test_rl_13_memory_is_bounded_whatever_a_neighbour_sends(seed: int, most_flows: int) -> None:
    """Parts of datagrams that never become whole, in flows that nobody has."""
    there, dice = make(), Random(seed)
    for number in range(4_000):
        flow = dice.randint(0, most_flows)
        there.receive_untrusted(_part(dice.randint(0, 1), flow, number, 0, 2, bytes(1_400)), number / 10_000)
        assert there.next_event() is None
    most = MAX_RELAY_PARTIALS_IN_ALL if most_flows > 8 else 2 * (most_flows + 1) * MAX_RELAY_PARTIALS
    assert held_bytes(there) <= min(most, MAX_RELAY_PARTIALS_IN_ALL) * 1_452
    assert there.stats().relay.lost >= 4_000 - MAX_RELAY_PARTIALS_IN_ALL


# --- the queue ----------------------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 4), st.integers(0, 90))), max_size=80))
def test_rl_14_a_fair_queue_against_a_slow_one(steps: list[tuple[int, int] | None]) -> None:
    """None takes an item, a pair adds one: bounded, in order within a key, and each key in its turn."""
    queue: FairQueue[int] = FairQueue(1_000, 400)
    model: dict[int, list[bytes]] = {}
    for place, step in enumerate(steps):
        if step is None:
            if queue:
                key = next(iter(model))
                waiting = model.pop(key)
                assert queue.pop() == (key, waiting.pop(0))
                if waiting:
                    model[key] = waiting
            continue
        key, size = step
        item = place.to_bytes(2, "big") + bytes(size)
        model.setdefault(key, []).append(item)
        assert queue.add(key, item) == _fit(model, key)
    assert len(queue) == len(model)


def _fit(model: dict[int, list[bytes]], key: int) -> int:
    """Drop as RL-14 says; how many."""

    def size(of: int) -> int:
        return sum(len(item) + MESSAGE_OVERHEAD_BYTES for item in model[of])

    dropped = 0
    while size(key) > 400:
        model[key].pop(0)
        dropped += 1
    while sum(map(size, model)) > 1_000:
        most = max(model, key=size)
        model[most].pop(0)
        dropped += 1
        if not model[most]:
            del model[most]
    return dropped


def test_the_limits_leave_room_for_every_datagram() -> None:
    """RL-14: the largest, in parts of the smallest path, does not push itself out."""
    assert 4 * (MIN_FRAME_BYTES + MESSAGE_OVERHEAD_BYTES) < RELAY_FLOW_BYTES < RELAY_QUEUE_BYTES
