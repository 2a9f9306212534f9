"""Properties of two ``Channels`` over any network, and of one before any bytes (specs/3-channels.md)."""

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols import codec
from protocols.channels import HANDLED_TYPES, Channels
from protocols.channels.outgoing import parse_ack_untrusted
from protocols.errors import MalformedError, ProtocolViolationError
from protocols.events import (
    AcceptBulk,
    AnswerReceived,
    BulkEnded,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    CommandReceived,
    ControlReceived,
    EndBulk,
    OfferBulk,
    SendCommand,
    SendControl,
    SendState,
    SendStream,
    StateReceived,
    StreamReceived,
)
from specs import inner, relay
from specs.inner import BulkDirection
from specs.registry import ChannelId, InnerType, RelayKind
from specs.strict import Format
from tests.conftest import examples
from tests.unit.channels.pair import (
    accept,
    ack,
    bulk_ack,
    bundle,
    chunk,
    command,
    control,
    done,
    events,
    frames,
    give,
    make,
    offer,
    state,
    stream,
)
from tests.unit.channels.picture import snapshot
from tests.unit.channels.simulation import Simulation, Weather

slow = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])

weathers = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    loss=st.sampled_from((0.0, 0.01, 0.1, 0.3, 0.6)),
    duplicate=st.sampled_from((0.0, 0.1, 0.5)),
    base_s=st.sampled_from((0.0, 0.005, 0.1)),
    jitter_s=st.sampled_from((0.0, 0.02, 0.3)),
    reliable=st.booleans(),
    runs=st.booleans(),
)
bodies = st.one_of(st.binary(max_size=40), st.integers(0, 12_000).map(bytes))


# --- over any network ---------------------------------------------------------------------------


@slow
@given(weathers, st.lists(bodies, min_size=1, max_size=60), st.lists(bodies, max_size=20))
def test_ch_22_commands_arrive_once_in_order_and_are_answered(
    weather: Weather, there: list[bytes], back: list[bytes]
) -> None:
    world = Simulation(weather)
    for side, messages in enumerate((there, back)):
        world.ends[1 - side].answers = lambda data: b"re:" + data[:100]
        for data in messages:
            world.send(side, SendCommand(ChannelId.COMMAND, data))
    world.run(
        lambda: all(
            len(of(AnswerReceived, world.ends[side].events)) == len(messages)
            for side, messages in enumerate((there, back))
        ),
        limit_s=2000.0,
    )
    for side, messages in enumerate((there, back)):
        assert [event.data for event in of(CommandReceived, world.ends[1 - side].events)] == messages
        answers = of(AnswerReceived, world.ends[side].events)
        assert [event.data for event in answers] == [b"re:" + data[:100] for data in messages]
    world.assert_quiet()


@slow
@given(weathers, st.lists(st.integers(0, 120_000), min_size=1, max_size=4), st.sampled_from((None, 700, 1_400)))
def test_ch_53_bulk_arrives_with_equal_hash(weather: Weather, sizes: list[int], frame: int | None) -> None:
    world = Simulation(weather, frame=frame)
    objects: dict[int, bytes] = {}
    for place, size in enumerate(sizes):
        data = hashlib.shake_128(bytes((place,))).digest(size)
        objects[world.send(0, OfferBulk(ChannelId.LOG, f"{place}", data, hashlib.sha256(data).digest()))] = data
    world.run(lambda: len(of(BulkEnded, world.ends[0].events)) == len(sizes), limit_s=5000.0)
    assert world.ends[1].finished == objects
    assert {event.status for event in of(BulkEnded, world.ends[0].events)} == {BulkStatus.OK}
    world.assert_quiet()


@slow
@given(weathers, st.integers(0, 400_000), st.floats(0.0, 3.0), st.booleans())
def test_ch_56_a_cancelled_transfer_ends_on_both_sides(
    weather: Weather, size: int, after_s: float, by_sender: bool
) -> None:
    world = Simulation(weather)
    data = bytes(size)
    number = world.send(0, OfferBulk(ChannelId.LOG, "x", data, hashlib.sha256(data).digest()))
    if not by_sender:
        world.run(lambda: number in world.ends[1].objects, limit_s=1000.0)
    world.run_for(after_s)
    side = 0 if by_sender else 1
    world.send(side, EndBulk(ChannelId.LOG, number, incoming=not by_sender, status=BulkStatus.CANCELLED))
    world.run(lambda: bool(of(BulkEnded, world.ends[0].events)), limit_s=1000.0)
    world.run(lambda: not world.wire and world.ends[0].channels.next_deadline() is None, limit_s=2000.0)
    ends = [[event.status for event in of(BulkEnded, end.events)] for end in world.ends]
    assert len(ends[0]) == 1
    assert len(ends[1]) == bool(world.ends[1].objects)


@slow
@given(weathers, st.floats(0.005, 0.1), st.floats(0.05, 0.4))
def test_ch_11_and_12_control_never_goes_backward_nor_is_stale(
    weather: Weather, period_s: float, lifetime_s: float
) -> None:
    world = Simulation(weather)
    for number in range(100):
        world.send(0, SendControl(ChannelId.CONTROL, number.to_bytes(4, "big"), lifetime_s))
        world.run_for(period_s)
    got = [int.from_bytes(event.data, "big") for event in of(ControlReceived, world.ends[1].events)]
    assert got == sorted(set(got))
    for event in of(ControlReceived, world.ends[1].events):
        assert 0.0 <= event.age_s <= lifetime_s + 0.001
    if weather.reliable:
        assert got == list(range(got[-1] + 1))


@slow
@given(weathers, st.lists(st.integers(0, 20_000), min_size=1, max_size=40))
def test_ch_41_streams_are_whole_or_not_at_all(weather: Weather, sizes: list[int]) -> None:
    world = Simulation(weather)
    sent = [hashlib.shake_128(bytes((place,))).digest(size) for place, size in enumerate(sizes)]
    for data in sent:
        world.send(0, SendStream(ChannelId.VIDEO, data))
        world.run_for(0.01)
    world.run_for(2.0)
    got = of(StreamReceived, world.ends[1].events)
    assert len({event.sequence for event in got}) == len(got)
    assert all(event.data == sent[event.sequence] for event in got)
    if weather.reliable:
        assert len(got) == len(sent)


@slow
@given(weathers, st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=20)), min_size=1, max_size=60))
def test_ch_30_state_is_the_newest(weather: Weather, items: list[tuple[int, bytes]]) -> None:
    world = Simulation(weather)
    for place, (key, data) in enumerate(items):
        world.send(0, SendState(ChannelId.TELEMETRY, key, place.to_bytes(2, "big") + data))
        world.run_for(0.01)
    world.run_for(2.0)
    got = of(StateReceived, world.ends[1].events)
    for key in range(6):
        seen = [int.from_bytes(event.data[:2], "big") for event in got if event.key == key]
        assert seen == sorted(set(seen))
        assert all(items[place][0] == key for place in seen)
        if weather.reliable and seen:
            assert seen[-1] == max(place for place, item in enumerate(items) if item[0] == key)


@slow
@given(weathers)
def test_all_classes_at_once(weather: Weather) -> None:
    world = Simulation(weather)
    data = hashlib.shake_128(b"object").digest(60_000)
    for side in (0, 1):
        world.ends[side].answers = lambda asked: asked
        world.send(side, OfferBulk(ChannelId.LOG, "x", data, hashlib.sha256(data).digest()))
        for number in range(20):
            world.send(side, SendCommand(ChannelId.COMMAND, bytes((number,))))
    for number in range(50):
        for side in (0, 1):
            world.send(side, SendControl(ChannelId.CONTROL, b"sticks"))
            world.send(side, SendState(ChannelId.TELEMETRY, number % 3, b"state"))
            world.send(side, SendStream(ChannelId.VIDEO, bytes(3000)))
            world.send(side, SendStream(ChannelId.MAVLINK, bytes(280)))
        world.run_for(0.02)
    world.run(lambda: all(is_done(end.events) for end in world.ends), limit_s=2000.0)
    for end in world.ends:
        assert list(end.finished.values()) == [data]
        assert [event.data for event in of(CommandReceived, end.events)] == [bytes((n,)) for n in range(20)]


def is_done(happened: list[ChannelEvent]) -> bool:
    ours = [event for event in of(BulkEnded, happened) if not event.incoming]
    return len(of(AnswerReceived, happened)) == 20 and bool(ours)


T = TypeVar("T")


def of(kind: type[T], happened: Iterable[object]) -> list[T]:
    return [event for event in happened if isinstance(event, kind)]


# --- before any bytes ---------------------------------------------------------------------------

DATA = bytes(index * 7 % 251 for index in range(20_000))


def in_use() -> Channels:
    """A machine in the middle of everything."""
    channels = make()
    data = DATA[:5000]
    give(
        channels,
        control(3, 100),
        command(0),
        command(2, b"x", 1),
        state(1, 5),
        stream(4, 0, 3, b"ab"),
        stream(7, 2, 3, b"a"),
        offer(1, 5000, hashlib.sha256(data).digest()),
        offer(2, 5000, hashlib.sha256(data).digest()),
        offer(3, 5000),
        relay_part(1, 0, 3, bytes(400)),
    )
    channels.send(AcceptBulk(ChannelId.LOG, 1), now=0.0)
    channels.send(AcceptBulk(ChannelId.LOG, 2, data[:100]), now=0.0)
    channels.send(EndBulk(ChannelId.LOG, 3, incoming=True, status=BulkStatus.REFUSED), now=0.0)
    give(channels, chunk(1, 1, 0, data[:100]), chunk(1, 3, 200, data[200:300]))
    for message in (b"first", bytes(3000)):
        channels.send(SendCommand(ChannelId.COMMAND, message), now=0.0)
    sha256 = hashlib.sha256(DATA).digest()
    numbers = [channels.send(OfferBulk(ChannelId.LOG, "x", DATA, sha256), now=0.0) for _ in range(3)]
    frames(channels)
    give(channels, accept(numbers[0]), bulk_ack(numbers[0], 0, 0, 15_000), accept(numbers[1], 50))
    frames(channels)
    channels.send(EndBulk(ChannelId.LOG, numbers[2], incoming=False, status=BulkStatus.CANCELLED), now=0.0)
    channels.send(SendCommand(ChannelId.COMMAND, b"not yet sent"), now=0.0)
    return channels


def bulk_ack_of(number: int, largest: int, received_to: int, window_to: int, ranges: list[tuple[int, int]]) -> bytes:
    return bulk_ack(number, largest, received_to, window_to, *ranges)


def relay_part(number: int, index: int, count: int, body: bytes) -> bytes:
    """Part of a datagram; what does not fit its header makes a fault of it."""
    return struct.pack(">BBBBIHBB", 1, ChannelId.RELAY, RelayKind.DATA, 0, 1, number, index, count) + body


def relay_word(kind: int, side: int, flow: int, rest: bytes) -> bytes:
    return struct.pack(">BBBBI", 1, ChannelId.RELAY, kind, side, flow) + rest


def headed_by(kind: InnerType, channel: ChannelId, rest: bytes) -> bytes:
    return bytes((kind, channel)) + rest


few = st.one_of(st.integers(0, 8), st.integers(0, 2**16 - 1), st.sampled_from((0x0102, 0x0103, 0x0104, 0x0105)))
u32 = st.one_of(st.integers(0, 80), st.integers(0, 2**32 - 1))
u64 = st.one_of(st.integers(0, 20), st.integers(0, 25_000), st.integers(0, 2**64 - 1))
body = st.one_of(st.binary(max_size=6), st.integers(0, 1200).map(bytes))
near_frames = st.one_of(
    st.builds(control, u32, u32, body, st.integers(1, 65_535)),
    st.builds(command, u32, body, st.integers(0, 3), u32),
    st.builds(ack, u32, u64),
    st.builds(state, few, u32, body),
    st.builds(stream, u32, st.integers(0, 5), st.integers(0, 5), body),
    st.builds(bundle, u32, st.lists(body, min_size=2, max_size=9)),
    st.builds(chunk, few, u32, u64, body),
    st.builds(bulk_ack_of, few, u32, u64, u64, st.lists(st.tuples(u64, u64), max_size=16)),
    st.builds(
        offer, few, u64, st.sampled_from((bytes(32), hashlib.sha256(DATA[:5000]).digest())), st.text(max_size=20)
    ),
    st.builds(accept, few, u64),
    st.builds(done, few, st.integers(0, 3), st.sampled_from(BulkDirection)),
    st.builds(relay_part, few, st.integers(0, 4), st.integers(0, 5), body),
    st.builds(
        relay_word, st.integers(0, 6), st.integers(0, 2), u32, st.binary(max_size=2) | st.just(bytes(16) + b"\3")
    ),
)
headed = st.builds(
    headed_by,
    st.sampled_from(sorted(HANDLED_TYPES)),
    st.sampled_from(ChannelId),
    st.binary(max_size=40),
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), headed, near_frames), min_size=1, max_size=12), st.floats(0.0, 50.0))
def test_any_frame_is_accepted_or_the_peers_fault_and_a_fault_changes_nothing(wire: list[bytes], now: float) -> None:
    channels = in_use()
    for frame in wire:
        before = snapshot(channels)
        try:
            channels.receive_untrusted(frame, now)
        except (MalformedError, ProtocolViolationError):
            assert snapshot(channels) == before
    events(channels)
    deadline = channels.next_deadline()
    assert deadline is not None
    channels.handle_deadline(max(deadline, now))
    frames(channels, max(deadline, now))


WHOLE: dict[InnerType, Format[Any]] = {
    InnerType.ACK: inner.ACK,
    InnerType.BULK_ACK: inner.BULK_ACK,
    InnerType.BULK_OFFER: inner.BULK_OFFER,
    InnerType.BULK_ACCEPT: inner.BULK_ACCEPT,
    InnerType.BULK_DONE: inner.BULK_DONE,
    InnerType.STREAM_BUNDLE: inner.STREAM_BUNDLE,
}
HEADERS: dict[ChannelId, Format[Any]] = {
    ChannelId.CONTROL: inner.CONTROL_HEADER,
    ChannelId.COMMAND: inner.COMMAND_HEADER,
    ChannelId.TELEMETRY: inner.CHANNEL_HEADER,
    ChannelId.VIDEO: inner.STREAM_HEADER,
    ChannelId.MAVLINK: inner.STREAM_HEADER,
    ChannelId.LOG: inner.BULK_HEADER,
    ChannelId.RELAY: relay.RELAY_DATA_HEADER,
}
RELAYS: dict[int, Format[Any]] = {
    RelayKind.OPEN: relay.RELAY_OPEN,
    RelayKind.OPENED: relay.RELAY_OPENED,
    RelayKind.REFUSED: relay.RELAY_REFUSED,
    RelayKind.CLOSED: relay.RELAY_CLOSED,
}


@settings(max_examples=examples(150), deadline=None)
@given(
    st.one_of(
        headed, st.tuples(near_frames, st.integers(0, 40), st.integers(0, 255)).map(lambda parts: spoiled(*parts))
    )
)
def test_ch_1_what_the_declarations_refuse_is_refused(frame: bytes) -> None:
    """The hot paths read with ``struct`` what the codec reads with construct."""
    try:
        if frame[0] == InnerType.CHANNEL and frame[1] == ChannelId.RELAY and frame[2] != RelayKind.DATA:
            codec.parse_untrusted(RELAYS[frame[2]], frame)
        elif frame[0] == InnerType.CHANNEL:
            header = HEADERS[ChannelId(frame[1])]
            codec.derive_unpack_untrusted(header)(frame, 0)
        else:
            codec.parse_untrusted(WHOLE[InnerType(frame[0])], frame)
    except (MalformedError, ValueError, LookupError):
        with pytest.raises((MalformedError, ProtocolViolationError)):
            in_use().receive_untrusted(frame, 0.0)


@given(few, u32, u64, u64, st.lists(st.tuples(u64, u64), max_size=16))
def test_a_bulk_ack_by_struct_is_the_declared_one(
    number: int, largest: int, received_to: int, window_to: int, ranges: list[tuple[int, int]]
) -> None:
    wire = bulk_ack_of(number, largest, received_to, window_to, ranges)
    fast, slow_one = parse_ack_untrusted(wire), codec.parse_untrusted(inner.BULK_ACK, wire)
    assert fast[:4] == (slow_one.transfer, slow_one.largest, slow_one.received_to, slow_one.window_to)
    assert list(zip(fast.starts, fast.ends, strict=True)) == [(each.start, each.end) for each in slow_one.ranges]


def spoiled(good: bytes, place: int, value: int) -> bytes:
    return good[:place] + bytes((value,)) + good[place + 1 :]


FAULTS = (
    b"",
    b"\1",
    b"\3\0\0\0\0\0\0\0",
    bytes((1, ChannelId.RELAY)) + bytes(20),
    spoiled(control(0, 0), 0, 200),
    spoiled(control(0, 0, b"", 1), 3, 0),
    command(0)[:11],
    spoiled(command(0), 2, 1),
    command(0, b"", 0, 1),
    command(2**32 - 1),
    ack(1000),
    ack(0, 2**63),
    ack(0) + b"\0",
    spoiled(stream(0, 0, 1, b""), 3, 1),
    stream(100, 2, 2, b"x"),
    stream(100, 0, 0, b"x"),
    stream(100, 0, 4096, bytes(1000)),
    bundle(100, [b"x"]),
    bundle(100, [b"x", b"y"]) + b"z",
    bundle(2**32 - 2, [b"x", b"y"]),
    chunk(9, 1, 0, b"x"),
    chunk(0x0102, 1, 0, b""),
    chunk(0x0102, 1, 2**63, b"x"),
    offer(0x0102, 1),
    offer(9, 1, name="\u00e9")[:-1] + b"\xff",
    accept(9),
    bulk_ack(9, 0, 0, 0),
    done(9, 0, BulkDirection.FROM_RECEIVER),
    done(0x0102, 0, BulkDirection.FROM_SENDER),
)


@settings(max_examples=examples(40), deadline=None)
@given(st.data())
def test_the_good_frame_afterwards_works(data: st.DataObject) -> None:
    """Faults between the frames of an honest peer do not disturb a command or a transfer."""
    sender, receiver = make(), make()
    sha256 = hashlib.sha256(DATA).digest()
    number = sender.send(OfferBulk(ChannelId.LOG, "x", DATA, sha256), now=0.0)
    give(receiver, *frames(sender))
    sender.send(SendCommand(ChannelId.COMMAND, DATA), now=0.0)
    receiver.send(AcceptBulk(ChannelId.LOG, number), now=0.0)
    got: list[ChannelEvent] = []
    while not got or got[-1] != BulkReceived(ChannelId.LOG, number):
        give(sender, *frames(receiver))
        for frame in frames(sender):
            with pytest.raises((MalformedError, ProtocolViolationError)):
                receiver.receive_untrusted(data.draw(st.sampled_from(FAULTS)), 0.0)
            receiver.receive_untrusted(frame, 0.0)
        got += events(receiver)
    assert [event.data for event in of(CommandReceived, got)] == [DATA]
