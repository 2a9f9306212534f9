"""Frames and events in runs are the same as one at a time: on the same inputs, failures included."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.channels import HANDLED_TYPES, Channels
from protocols.errors import LocalError, MalformedError, PeerError
from protocols.events import (
    AcceptBulk,
    BulkChunkReceived,
    BulkEnded,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    EndBulk,
    OfferBulk,
    Sendable,
    SendCommand,
    SendControl,
    SendState,
    SendStream,
    StreamReceived,
)
from specs.inner import BulkDirection
from specs.registry import ChannelId, InnerType
from tests.conftest import examples
from tests.property.test_channels import FAULTS, in_use, near_frames
from tests.unit.channels.pair import (
    FIRST_TRANSFER,
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
    stream,
)
from tests.unit.channels.picture import snapshot

many = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATA = hashlib.shake_128(b"an object").digest(200_000)
SHA256 = hashlib.sha256(DATA).digest()

# --- out ----------------------------------------------------------------------------------------

Step = Callable[[Channels, float], object]
sizes = st.one_of(
    st.integers(0, 60), st.integers(500, 1_300), st.integers(0, 9_000), st.sampled_from((570, 1_156, 1_157))
)
streams = st.sampled_from((ChannelId.VIDEO, ChannelId.MAVLINK))


def sends(message: Sendable) -> Step:
    return lambda channels, now: channels.send(message, now)


def sends_many(channel: ChannelId, lengths: list[int]) -> Step:
    return lambda channels, now: channels.send_many(channel, [bytes(length) for length in lengths], now)


def hears(*wire: bytes) -> Step:
    return lambda channels, now: give(channels, *wire, now=now)


def takes(wire: Sequence[bytes]) -> Step:
    return lambda channels, now: channels.receive_run_untrusted(wire, now)


def offers(size: int) -> Step:
    return sends(OfferBulk(ChannelId.LOG, "x", DATA[:size], hashlib.sha256(DATA[:size]).digest()))


def begins(size: int, window: int) -> Step:
    """A transfer whose receiver says at once how much he takes."""

    def step(channels: Channels, now: float) -> None:
        offer_it = OfferBulk(ChannelId.LOG, "x", DATA[:size], hashlib.sha256(DATA[:size]).digest())
        number = channels.send(offer_it, now)
        give(channels, accept(number), bulk_ack(number, 0, 0, window), now=now)

    return step


def accepts(number: int) -> Step:
    return hears(accept(FIRST_TRANSFER + number))


def acknowledges(number: int, largest: int, upto: int, window: int) -> Step:
    return hears(bulk_ack(FIRST_TRANSFER + number, largest, upto, upto + window))


def refuses(number: int) -> Step:
    return hears(done(FIRST_TRANSFER + number, 3, BulkDirection.FROM_RECEIVER))


def cancels(number: int) -> Step:
    return sends(EndBulk(ChannelId.LOG, FIRST_TRANSFER + number, False, BulkStatus.CANCELLED))


def waits(channels: Channels, now: float) -> None:
    channels.handle_deadline(now)


def shrinks(size: int) -> Step:
    def step(channels: Channels, now: float) -> None:  # noqa: ARG001
        channels.max_frame_bytes = size

    return step


def times(size: int, count: int) -> list[int]:
    return [size] * count


steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(sends_many, streams, st.lists(sizes, max_size=60)),
    st.builds(sends_many, streams, st.builds(times, sizes, st.integers(0, 400))),
    st.builds(SendStream, streams, sizes.map(bytes)).map(sends),
    st.builds(SendControl, st.just(ChannelId.CONTROL), st.just(b"sticks"), st.sampled_from((0.001, 5.0))).map(sends),
    st.builds(SendCommand, st.just(ChannelId.COMMAND), sizes.map(bytes)).map(sends),
    st.builds(SendState, st.just(ChannelId.TELEMETRY), st.integers(0, 3), st.just(b"value")).map(sends),
    st.builds(offers, st.sampled_from((3_000, 200_000))),
    st.builds(begins, st.sampled_from((3_000, 200_000)), st.sampled_from((1_000, 30_000, 4_000_000))),
    st.builds(accepts, st.integers(0, 2)),
    st.builds(
        acknowledges,
        st.integers(0, 2),
        st.integers(0, 12),
        st.sampled_from((0, 1_152, 11_520)),
        st.sampled_from((0, 1_000, 30_000, 4_000_000)),
    ),
    st.builds(refuses, st.integers(0, 2)),
    st.builds(cancels, st.integers(0, 2)),
    st.integers(0, 70).map(ack).map(hears),
    st.sampled_from((hears(command(0)), hears(offer(1, 10)), waits)),
    st.builds(shrinks, st.sampled_from((512, 600, 1_168, 1_400, 9_000, 65_475))),
)
limits = st.tuples(st.sampled_from((1, 2, 5, 64)), st.sampled_from((0, 1_168, 3_000, 60_000, 2_000_000)))


@many
@given(st.lists(st.one_of(steps, limits), min_size=1, max_size=30), st.booleans())
def test_frames_in_runs_are_those_of_one_by_one(script: list[Step | tuple[int, int]], reliable: bool) -> None:
    """Same frames in the same order, and the same machine afterwards, whatever happens between."""
    singly, in_runs = make(reliable=reliable), make(reliable=reliable)
    now = 1.0
    for step in [*script, (64, 60_000)]:
        now += 0.01
        if callable(step):
            assert outcome(step, singly, now) == outcome(step, in_runs, now)
            continue
        while run := in_runs.next_frames(now, *step):
            assert len(run) == 1 or (len(run) <= step[0] and sum(map(len, run)) <= step[1])
            assert [singly.next_frame(now) for _ in run] == run
            if step[0] < 64:  # and leave the rest for later
                break
        else:
            assert singly.next_frame(now) is None
            assert not in_runs.has_output(now)
        singly.has_more = in_runs.has_more  # of runs only
        assert snapshot(singly) == snapshot(in_runs)


def outcome(step: Step, channels: Channels, now: float) -> object:
    try:
        return step(channels, now)
    except (LocalError, PeerError) as error:
        return type(error)


@many
@given(st.lists(sizes, max_size=200), st.sampled_from((512, 1_168, 9_000, 65_475)))
def test_what_is_bundled_is_what_was_queued(lengths: list[int], frame: int) -> None:
    sender, receiver = make(frame=frame), make(frame=frame)
    messages = [DATA[place : place + length] for place, length in enumerate(lengths)]
    assert sender.send_many(ChannelId.VIDEO, messages, 0.0) == len(messages)
    wire = frames(sender)
    assert receiver.receive_run_untrusted(wire, 0.0) == len(wire)
    expected = [StreamReceived(ChannelId.VIDEO, sequence, data) for sequence, data in enumerate(messages)]
    assert list(receiver.next_events(0.0)) == expected
    assert sender.stats().stream.sent == receiver.stats().stream.received == len(messages)


# --- in -----------------------------------------------------------------------------------------


def stream_train(first: int, lengths: list[int], channel: ChannelId) -> list[bytes]:
    """As a sender would frame them."""
    sender = make()
    sender.send_many(channel, [bytes(length) for length in lengths], 0.0)
    wire: list[bytes] = []
    for frame in frames(sender):
        sequence = (first + int.from_bytes(frame[4:8], "big")) % 2**32
        wire.append(frame[:4] + sequence.to_bytes(4, "big") + frame[8:])
    return wire


def chunk_train(transfer: int, packet: int, start: int, lengths: list[int]) -> list[bytes]:
    """Chunks of the object of ``in_use`` that follow each other."""
    wire: list[bytes] = []
    for place, length in enumerate(lengths):
        wire.append(chunk(transfer, packet + place, start, bytes(length)))
        start += length
    return wire


def whole_train(first: int, count: int) -> list[bytes]:
    return [stream(first + place, 0, 1, b"m") for place in range(count)]


def whole_bundle(first: int, count: int) -> list[bytes]:
    return [bundle(first, [b"m"] * count)]


def alone(frame: bytes) -> list[bytes]:
    return [frame]


firsts = st.one_of(st.integers(0, 12), st.integers(0, 400), st.sampled_from((2**32 - 9, 2**32 - 2)))
trains = st.one_of(
    st.builds(stream_train, firsts, st.lists(st.integers(0, 1_300), max_size=30), streams),
    st.builds(whole_train, st.integers(0, 400), st.integers(1, 150)),
    st.builds(whole_bundle, st.integers(0, 400), st.integers(2, 150)),
    st.builds(
        chunk_train,
        st.integers(0, 3),
        st.integers(1, 50),
        st.sampled_from((0, 100, 200, 300)),
        st.lists(st.sampled_from((0, 1, 100, 600)), max_size=12),
    ),
    near_frames.map(alone),
    st.sampled_from(FAULTS).map(alone),
    st.just([bytes((InnerType.PING, 0, 0, 0, 0, 0, 0, 1))]),
)


@st.composite
def weather(draw: st.DrawFn) -> list[bytes]:
    """A few trains, of which something is lost, doubled or out of order."""
    wire = [frame for train in draw(st.lists(trains, min_size=1, max_size=5)) for frame in train]
    for _ in range(draw(st.integers(0, 4))):
        if not wire:
            break
        place = draw(st.integers(0, len(wire) - 1))
        match draw(st.sampled_from(("lost", "doubled", "moved"))):
            case "lost":
                del wire[place]
            case "doubled":
                wire.insert(draw(st.integers(0, len(wire))), wire[place])
            case _:
                wire.insert(draw(st.integers(0, len(wire) - 1)), wire.pop(place))
    return wire


def one_by_one(channels: Channels, wire: Sequence[bytes], now: float) -> tuple[int, object]:
    """What a link does without runs: up to the first frame that is its own, or that ends it."""
    for place, frame in enumerate(wire):
        if not frame or frame[0] not in HANDLED_TYPES:
            return place, None
        try:
            channels.receive_untrusted(frame, now)
        except PeerError as error:
            return place, type(error)
    return len(wire), None


def joined(happened: Sequence[ChannelEvent]) -> list[object]:
    """Bytes of an object may come in larger pieces."""
    out: list[object] = []
    for key, group in groupby(happened, lambda event: isinstance(event, BulkChunkReceived) and event.transfer):
        if key is False:
            out += group
        else:
            pieces = [event for event in group if isinstance(event, BulkChunkReceived)]
            out.append((key, pieces[0].offset_bytes, b"".join(piece.data for piece in pieces)))
    return out


def alike(channels: Channels) -> list[object]:
    """Everything that can be seen of a machine, once everything has been read and said."""
    return [joined(events(channels)), frames(channels, 9.0), channels.stats(), snapshot(channels)]


@many
@given(weather(), st.booleans())
def test_frames_taken_in_runs_do_what_each_would(wire: list[bytes], fresh: bool) -> None:
    singly, in_runs = (make(), make()) if fresh else (in_use(), in_use())
    place, error = one_by_one(singly, wire, 5.0)
    assert outcome(takes(wire), in_runs, 5.0) == (error or place)
    assert alike(singly) == alike(in_runs)


@many
@given(
    st.lists(st.sampled_from((1, 100, 1_152, 20_000, 60_000)), min_size=1, max_size=120),
    st.sampled_from((150_000, 6_000_000)),
    st.integers(0, 3),
    st.none() | st.integers(0, 120),
)
def test_chunks_in_runs_are_acknowledged_as_one_by_one(
    lengths: list[int], size: int, read: int, empty: int | None
) -> None:
    """Up to the end of the object, or of the window: what is beyond, and a chunk without bytes, ends the link."""
    singly, in_runs = make(), make()
    for channels in (singly, in_runs):
        give(channels, offer(1, size, SHA256))
        channels.send(AcceptBulk(ChannelId.LOG, 1), 0.0)
        frames(channels)
    if empty is not None:
        lengths.insert(empty, 0)
    wire, now = chunk_train(1, 1, 0, lengths), 0.0
    while wire:
        now += 0.001
        train, wire = wire[: 3 + 9 * read], wire[3 + 9 * read :]
        place, error = one_by_one(singly, train, now)
        assert outcome(takes(train), in_runs, now) == (error or place)
        if error:
            break
        assert (singly.next_deadline() is None) == (in_runs.next_deadline() is None)
        if read:
            assert frames(singly, now) == frames(in_runs, now)
    assert alike(singly) == alike(in_runs)


def test_a_chunk_that_is_cut_off_ends_the_link_where_it_stands() -> None:
    singly, in_runs = make(), make()
    for channels in (singly, in_runs):
        give(channels, offer(1, 5_000, SHA256))
        channels.send(AcceptBulk(ChannelId.LOG, 1), 0.0)
    wire = chunk_train(1, 1, 0, [100] * 4)
    wire.insert(3, wire[3][:15])
    assert one_by_one(singly, wire, 0.0) == (3, MalformedError)
    assert outcome(takes(wire), in_runs, 0.0) is MalformedError
    assert alike(singly) == alike(in_runs)


def serve(receiver: Channels, now: float) -> None:
    """Take every object."""
    for event in events(receiver):
        if isinstance(event, BulkOffered):
            receiver.send(AcceptBulk(event.channel, event.transfer), now)
        elif isinstance(event, BulkReceived):
            receiver.send(EndBulk(event.channel, event.transfer, True, BulkStatus.OK), now)


@many
@given(
    st.lists(st.sampled_from((0, 3_000, 80_000, 200_000)), min_size=1, max_size=3),
    st.sampled_from((600, 1_168, 9_000)),
    st.booleans(),
    st.sampled_from((0.0, 0.05, 0.3)),
    st.lists(limits, min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_objects_leave_in_runs_as_one_by_one(
    lengths: list[int], frame: int, reliable: bool, loss: float, ways: list[tuple[int, int]], random: Random
) -> None:
    """Windows, turns, losses and repetitions included."""
    singly, in_runs, receiver = (make(reliable=reliable, frame=frame) for _ in range(3))
    for length in lengths:
        for sender in (singly, in_runs):
            offers(length)(sender, 0.0)
    now = ended = 0
    while ended < len(lengths):
        now += 1
        assert now < 5_000
        run = in_runs.next_frames(now / 100, *ways[now % len(ways)])
        assert [singly.next_frame(now / 100) for _ in run or (None,)] == list(run or (None,))
        receiver.receive_run_untrusted([each for each in run if reliable or random.random() >= loss], now / 100)
        serve(receiver, now / 100)
        back = frames(receiver, now / 100)
        for sender in (singly, in_runs):
            give(sender, *back, now=now / 100)
            sender.handle_deadline(now / 100)
        receiver.handle_deadline(now / 100)
        ended += sum(isinstance(event, BulkEnded) for event in events(in_runs))
    events(singly)
    assert singly.stats() == in_runs.stats()
    assert singly.next_deadline() == in_runs.next_deadline()


def test_bounds_hold_for_runs() -> None:
    """What is beyond the bound is dropped in front, and counted, as one by one."""
    singly, in_runs = make(), make()
    train = stream_train(0, [100_000] * 20, ChannelId.VIDEO)
    for place in range(4):
        shifted = [
            frame[:4] + (int.from_bytes(frame[4:8], "big") + 20 * place).to_bytes(4, "big") + frame[8:]
            for frame in train
        ]
        give(singly, *shifted)
        assert in_runs.receive_run_untrusted(shifted, 0.0) == len(shifted)
    small = [bundle(80 + 200 * place, [bytes(200)] * 200) for place in range(90)]
    give(singly, *small)
    in_runs.receive_run_untrusted(small, 0.0)
    assert singly.stats().stream.dropped > 80 + 2_000
    assert alike(singly) == alike(in_runs)


def test_control_and_states_are_not_held_up_by_a_run() -> None:
    """The most urgent goes first in every run, and a run is one class."""
    sender, receiver = make(), make()
    sender.send_many(ChannelId.VIDEO, [bytes(1_000)] * 100, 0.0)
    assert len(sender.next_frames(0.0, 10, 60_000)) == 10
    sender.send(SendControl(ChannelId.CONTROL, b"sticks"), 0.0)
    assert len(sender.next_frames(0.0, 10, 60_000)) == 1
    give(receiver, control(0, 0), *sender.next_frames(0.0, 10, 60_000))
    assert len(receiver.next_events(0.0)) == 1
    assert len(receiver.next_events(0.0)) == 10
    assert not receiver.next_events(0.0)
