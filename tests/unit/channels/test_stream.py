"""`stream`: CH-40 to CH-42."""

import tracemalloc
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any, cast

import pytest

from protocols.channels.limits import STREAM_QUEUE_BYTES, STREAM_READ_BYTES, STREAM_REORDER_MESSAGES
from protocols.channels.stream import StreamChannel
from protocols.channels.stream_frames import count_whole
from protocols.errors import MalformedError, MessageTooLargeError, PeerError, ProtocolViolationError, UsageError
from protocols.events import SendState, SendStream, StreamReceived
from specs.registry import ChannelClass, ChannelId
from tests.unit.channels.pair import UDP_FRAME, bundle, carry, events, frames, give, make, refuses, stream
from tests.unit.channels.picture import snapshot

BODY = UDP_FRAME - 12
LARGEST = 1_048_576


def video(data: bytes) -> SendStream:
    return SendStream(ChannelId.VIDEO, data)


def received(sequence: int, data: bytes) -> StreamReceived:
    return StreamReceived(ChannelId.VIDEO, sequence, data)


# --- cutting ------------------------------------------------------------------------------------


def test_ch_40_equal_fragments_but_for_the_last() -> None:
    sender = make()
    data = bytes(range(256)) * 10
    sender.send(video(data), now=0.0)
    cut = [data[:854], data[854:1708], data[1708:]]
    assert frames(sender) == [stream(0, index, len(cut), part) for index, part in enumerate(cut)]
    assert sender.stats().stream.sent == 1


def test_ch_40_no_fragment_is_larger_than_it_has_to_be() -> None:
    sender = make(reliable=True)
    sender.send(video(bytes(65_536)), now=0.0)
    assert [len(frame) for frame in frames(sender)] == [12 + 32_768] * 2


@pytest.mark.parametrize("size", [0, 1, BODY - 1, BODY, BODY + 1, 2 * BODY, 2 * BODY + 1, 65_536])
def test_ch_40_any_size_arrives(size: int) -> None:
    sender, receiver = make(), make()
    data = bytes(index % 251 for index in range(size))
    sender.send(video(data), now=0.0)
    assert carry(sender, receiver) == max(1, -(-size // BODY))
    assert events(receiver) == [received(0, data)]


def test_ch_41_the_largest_message() -> None:
    sender, receiver = make(frame=512), make(frame=512)
    data = bytes(LARGEST)
    sender.send(video(data), now=0.0)
    carry(sender, receiver)
    assert events(receiver) == [received(0, data)]
    before = snapshot(sender)
    with pytest.raises(MessageTooLargeError):
        sender.send(video(bytes(LARGEST + 1)), now=0.0)
    assert snapshot(sender) == before


def test_ch_4_the_oldest_unsent_message_is_dropped() -> None:
    sender, receiver = make(), make()
    data = bytes(100_000)
    for _ in range(25):
        sender.send(video(data), now=0.0)
    assert sender.room(ChannelClass.STREAM) < len(data)
    carry(sender, receiver)
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == list(range(5, 25))
    assert sender.stats().stream.dropped == 5
    assert sender.room(ChannelClass.STREAM) == STREAM_QUEUE_BYTES - 64


def test_a_message_under_way_is_finished() -> None:
    sender, receiver = make(), make()
    sender.send(video(bytes(LARGEST)), now=0.0)
    first = sender.next_frame(0.0)
    assert first is not None
    for _ in range(3):
        sender.send(video(bytes(LARGEST - 100)), now=0.0)
    give(receiver, first)
    carry(sender, receiver)
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == [0, 3]


def test_a_path_that_shrinks_cuts_anew() -> None:
    sender, receiver = make(), make()
    for size in (3000, 1000, 1150, 2000, 10):
        sender.send(video(bytes(size)), now=0.0)
    started = sender.next_frame(0.0)
    assert started is not None
    sender.max_frame_bytes = 600
    give(receiver, started)
    assert all(len(frame) <= 600 for frame in frames(sender)[:1])
    carry(sender, receiver)
    assert sender.stats().stream.dropped == 1  # the one whose fragments had a length already
    assert sender.room(ChannelClass.STREAM) == STREAM_QUEUE_BYTES - 64


def test_shrinking_loses_no_message_that_had_not_begun() -> None:
    sender, receiver = make(), make()
    for size in (500, 1150, 2000, 3000):
        sender.send(video(bytes(size)), now=0.0)
    sender.max_frame_bytes = 700
    sender.max_frame_bytes = 1_100  # what was cut smaller stays so
    sender.max_frame_bytes = 800
    carry(sender, receiver)
    assert [len(event.data) for event in events(receiver) if isinstance(event, StreamReceived)] == [
        500,
        1150,
        2000,
        3000,
    ]


# --- bundles ------------------------------------------------------------------------------------


def test_ch_43_messages_that_wait_share_a_payload() -> None:
    sender, receiver = make(), make()
    messages = [b"", b"one", bytes(500), b"\1" * 645, b"two", bytes(BODY), bytes(BODY - 1), b""]
    assert sender.send_many(ChannelId.VIDEO, messages, 0.0) == len(messages)
    wire = frames(sender)
    assert wire == [
        bundle(0, messages[:4]),
        stream(4, 0, 1, b"two"),
        stream(5, 0, 1, bytes(BODY)),
        bundle(6, [bytes(BODY - 1), b""]),
    ]
    give(receiver, *wire)
    assert events(receiver) == [received(sequence, data) for sequence, data in enumerate(messages)]
    assert (sender.stats().stream.sent, receiver.stats().stream.received) == (8, 8)


def test_ch_43_each_message_of_a_bundle_counts_for_itself() -> None:
    receiver = make()
    give(receiver, stream(1, 0, 1, b"b"), bundle(0, [b"a", b"twice", b"c"]), bundle(0, [b"late", b"late"]))
    assert events(receiver) == [received(1, b"b"), received(0, b"a"), received(2, b"c")]
    assert receiver.stats().stream.dropped == 3
    give(receiver, stream(9, 0, 2, b"part"), bundle(5, [b"5", b"6"]), bundle(3, [b"3", b"4"]))
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == [5, 6, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (bundle(0, []), MalformedError),
        (bundle(0, [b"x"]), MalformedError),
        (bundle(0, [b"x", b"y"])[:-1], MalformedError),
        (bundle(0, [b"x", b"y"]) + b"z", MalformedError),
        (bundle(0, [b"x", b"y"])[:9], MalformedError),
        (bundle(2**32 - 2, [b"x", b"y"]), ProtocolViolationError),
        (bundle(4, [b"x", b"y", b"a whole message, and in parts"]), ProtocolViolationError),
        (bundle(4, [b"x", b"y"], ChannelId.COMMAND), ProtocolViolationError),
        (bundle(4, [b"x", b"y"], ChannelId.LOG), ProtocolViolationError),
    ],
)
def test_ch_44_nothing_of_a_wrong_bundle_is_delivered(wrong: bytes, error: type[PeerError]) -> None:
    receiver = make()
    give(receiver, stream(6, 0, 2, b"part"))
    refuses(receiver, wrong, error)
    give(receiver, bundle(2**32 - 3, [b"the", b"last"]))
    assert len(events(receiver)) == 2


def test_ch_45_nothing_waits_and_nothing_is_too_large() -> None:
    sender = make()
    sender.send(video(b"alone"), now=0.0)
    assert sender.next_frame(0.0) == stream(0, 0, 1, b"alone")
    small = (UDP_FRAME - 8) // 10 - 2
    sender.send_many(ChannelId.VIDEO, [bytes(small)] * 25 + [bytes(BODY + 1)] + [b"x"] * 2, 0.0)
    assert [frame[0] for frame in frames(sender)] == [15, 15, 15, 1, 1, 15]
    sender.send_many(ChannelId.VIDEO, [b""] * 300, 0.0)
    assert [int.from_bytes(frame[2:4], "big") for frame in frames(sender)] == [256, 44]


def test_a_large_message_in_front_of_small_ones() -> None:
    """The first message is no measure of those that follow it."""
    sender = make()
    messages = [bytes(580), *[b"s"] * 400]
    sender.send_many(ChannelId.VIDEO, messages, 0.0)
    assert frames(sender) == [bundle(0, messages[:193]), bundle(193, messages[193:])]


def test_a_message_that_no_fragment_of_has_left_is_cut_anew() -> None:
    """It did not fit a run any more: that is no beginning."""
    sender, receiver = make(), make()
    sender.send_many(ChannelId.VIDEO, [b"a", b"b", bytes(3000), b"c"], 0.0)
    give(receiver, *sender.next_frames(0.0, 64, 100))
    sender.max_frame_bytes = 600
    carry(sender, receiver)
    assert [len(event.data) for event in events(receiver) if isinstance(event, StreamReceived)] == [1, 1, 3000, 1]
    assert sender.stats().stream.dropped == 0


def test_ch_43_a_hostile_bundle_costs_about_the_same_whatever_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of messages, of which the first is known: they are handed out in one step."""
    steps: list[int] = []
    deliver = StreamChannel._deliver  # pyright: ignore[reportPrivateUsage]

    def counting(channel: StreamChannel, sequences: Iterable[int], messages: Sequence[bytes], size: int) -> None:
        steps.append(len(messages))
        deliver(channel, sequences, messages, size)

    monkeypatch.setattr(StreamChannel, "_deliver", counting)
    receiver = make(reliable=True)
    many = [b""] * 20_000
    give(receiver, stream(0, 0, 1, b"known"), stream(7, 0, 1, b"ahead"), bundle(0, many))
    assert steps == [1, 1, 19_998]
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == [
        0, 7, *range(1, 7), *range(8, 20_000),
    ]  # fmt: skip
    assert receiver.stats().stream.dropped == 2


def test_a_run_out_of_order_is_not_looked_at_whole() -> None:
    """Frames that do not follow each other cost a look at the next one, not at all that came with them."""
    wire = [stream(sequence, 0, 1, b"") for sequence in range(64)]
    assert count_whole(ChannelId.VIDEO, wire) == (0, 64)
    assert count_whole(ChannelId.VIDEO, wire[::-1]) == (0, 0)
    receiver = make()
    assert receiver.receive_run_untrusted(wire[::-1], 0.0) == 64
    assert len(events(receiver)) == 64


@pytest.mark.bare
def test_ch_4_tiny_fragments_do_not_cost_a_view_each() -> None:
    """All that a peer can leave unfinished on a channel: 32,760 fragments of a byte."""
    receiver = make()
    tracemalloc.start()
    try:
        for sequence in range(8):
            give(receiver, *(stream(sequence, index, 4096, b"x") for index in range(4095)))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 8_388_608  # what 8 honest ones of the largest size would hold


def test_a_large_message_pushes_out_thousands_of_small_ones_at_once() -> None:
    sender, receiver = make(reliable=True), make(reliable=True)
    taken = sender.send_many(ChannelId.VIDEO, [b""] * 40_000, 0.0)
    assert taken == STREAM_QUEUE_BYTES // 64
    sender.send(video(bytes(LARGEST)), now=0.0)
    dropped = sender.stats().stream.dropped
    assert dropped == taken - (STREAM_QUEUE_BYTES - LARGEST - 64) // 64
    assert sender.room(ChannelClass.STREAM) == (STREAM_QUEUE_BYTES - LARGEST - 64) % 64
    carry(sender, receiver)
    got = [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)]
    assert got == list(range(dropped, taken + 1))


# --- many at once -------------------------------------------------------------------------------


def test_send_many_takes_what_there_is_room_for_and_drops_nothing() -> None:
    sender, receiver = make(), make()
    messages = [bytes((number,)) * 100_000 for number in range(30)]
    assert sender.send_many(ChannelId.VIDEO, messages, 0.0) == 20
    assert sender.send_many(ChannelId.VIDEO, messages[20:], 0.0) == 0
    assert sender.send_many(ChannelId.VIDEO, [], 0.0) == 0
    carry(sender, receiver)
    assert events(receiver) == [received(sequence, data) for sequence, data in enumerate(messages[:20])]
    assert sender.send_many(ChannelId.VIDEO, messages[20:], 0.0) == 10
    assert sender.stats().stream.dropped == 0


def test_send_many_of_other_buffers_copies_them() -> None:
    sender = make()
    buffer = bytearray(b"abc")
    some: list[Any] = [buffer, memoryview(buffer)[1:], b"x"]
    assert sender.send_many(ChannelId.VIDEO, tuple(some), 0.0) == 3
    sender.send(SendStream(ChannelId.VIDEO, cast("bytes", buffer)), 0.0)
    buffer[:] = b"123"
    assert frames(sender) == [bundle(0, [b"abc", b"bc", b"x", b"abc"])]


@pytest.mark.parametrize("wrong", [bytes(LARGEST + 1), 7, "text", None])
def test_what_is_wrong_with_one_changes_nothing(wrong: Any) -> None:
    sender = make()
    before = snapshot(sender)
    with pytest.raises((MessageTooLargeError, UsageError)):
        sender.send_many(ChannelId.VIDEO, [b"good", wrong, b"good"], 0.0)
    with pytest.raises((MessageTooLargeError, UsageError)):
        sender.send(SendStream(ChannelId.VIDEO, wrong), 0.0)
    assert snapshot(sender) == before


@pytest.mark.parametrize("channel", [ChannelId.CONTROL, ChannelId.COMMAND, ChannelId.TELEMETRY, ChannelId.LOG])
def test_send_many_is_for_streams(channel: ChannelId) -> None:
    with pytest.raises(UsageError):
        make().send_many(channel, [b"x"], 0.0)


def test_who_was_refused_is_told_when_half_is_free() -> None:
    sender = make(reliable=True)
    told: list[int] = []
    sender.on_room = lambda: told.append(sender.room(ChannelClass.STREAM))
    messages = [bytes(50_000)] * 50
    assert sender.send_many(ChannelId.VIDEO, messages, 0.0) == 41
    while len(told) == 0:
        assert sender.next_frames(0.0, 2, 200_000)
    assert told[0] >= STREAM_QUEUE_BYTES // 2 - 64
    frames(sender)
    sender.send_many(ChannelId.VIDEO, messages[:5], 0.0)
    frames(sender)
    assert len(told) == 1  # nobody was refused since


def test_channels_of_a_class_take_turns() -> None:
    sender = make()
    sender.send(video(bytes(10 * BODY)), now=0.0)
    for _ in range(3):
        sender.send(SendStream(ChannelId.MAVLINK, bytes(BODY)), now=0.0)
    order = [frame[1] for frame in frames(sender)]
    assert order[:6] == [4, 5, 4, 5, 4, 5]
    assert len(order) == 13


# --- joining ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_ch_41_whole_in_any_order_once(order: tuple[int, ...]) -> None:
    receiver = make()
    parts = [b"aa", b"bb", b"cc", b"d"]
    for index in order[:-1]:
        give(receiver, stream(0, index, 4, parts[index]), stream(0, index, 4, parts[index]))
        assert events(receiver) == []
    give(receiver, stream(0, order[-1], 4, parts[order[-1]]))
    assert events(receiver) == [received(0, b"aabbccd")]
    give(receiver, *(stream(0, index, 4, parts[index]) for index in order))
    assert events(receiver) == []


def test_ch_41_a_message_of_one_fragment_is_not_delivered_twice() -> None:
    receiver = make()
    for sequence in (0, 0, 2, 2, 1, 1, 2, 0, 3):
        give(receiver, stream(sequence, 0, 1, b""))
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == [0, 2, 1, 3]
    assert receiver.stats().stream.dropped == 5


def test_ch_41_at_most_8_partial_messages() -> None:
    receiver = make()
    for sequence in range(9):
        give(receiver, stream(sequence, 0, 2, b"x"))
    assert receiver.stats().stream.lost == 1
    give(receiver, stream(0, 1, 2, b"y"))
    assert events(receiver) == []  # the oldest was dropped, and stays so
    for sequence in range(1, 9):
        give(receiver, stream(sequence, 1, 2, b"y"))
    assert [event.sequence for event in events(receiver) if isinstance(event, StreamReceived)] == list(range(1, 9))
    assert receiver.stats().stream.lost == 1


def test_ch_41_an_older_partial_message_does_not_push_out_a_newer_one() -> None:
    receiver = make()
    for sequence in range(1, 9):
        give(receiver, stream(sequence, 0, 2, b"x"))
    give(receiver, stream(0, 0, 2, b"x"))
    give(receiver, stream(1, 1, 2, b"y"))
    assert events(receiver) == [received(1, b"xy")]
    assert receiver.stats().stream.lost == 1


def test_a_gap_is_given_up_when_enough_has_passed() -> None:
    receiver = make()
    give(receiver, stream(0, 0, 1, b""), stream(3, 0, 2, b"x"))
    last = 4 + STREAM_REORDER_MESSAGES
    for sequence in range(4, last):
        give(receiver, stream(sequence, 0, 1, b""))
    assert receiver.stats().stream.lost == 0
    events(receiver)
    give(receiver, stream(1, 0, 1, b"late, but not too late"))
    assert len(events(receiver)) == 1
    give(receiver, stream(last, 0, 1, b""))
    assert receiver.stats().stream.lost == 2  # 2 and the partial 3
    events(receiver)
    give(receiver, stream(2, 0, 1, b"too late"), stream(3, 1, 2, b"y"))
    assert events(receiver) == []


def test_a_jump_to_the_last_sequence_costs_nothing() -> None:
    receiver = make()
    for sequence in range(2**32 - 1, 2**32 - 300, -1):
        give(receiver, stream(sequence, 0, 1, b""))
    assert receiver.stats().stream.received > STREAM_REORDER_MESSAGES


def test_ch_4_a_reader_who_never_reads_loses_the_oldest() -> None:
    receiver = make()
    for sequence in range(10):
        for index in range(1024):
            give(receiver, stream(sequence, index, 1024, bytes(1000)))
    got = events(receiver)
    assert [event.sequence for event in got if isinstance(event, StreamReceived)] == [6, 7, 8, 9]
    assert receiver.stats().stream.dropped == 6
    assert STREAM_READ_BYTES // 1_024_000 == 4


@pytest.mark.parametrize(
    ("known", "wrong"),
    [
        ((0, 0, 3, b"aa"), (0, 1, 4, b"aa")),  # another count
        ((0, 0, 3, b"aa"), (0, 1, 3, b"aaa")),  # another length
        ((0, 0, 3, b"aa"), (0, 0, 3, b"a")),  # another length, of the same fragment
        ((0, 0, 3, b"aa"), (0, 2, 3, b"aaa")),  # the last one longer
        ((0, 2, 3, b"aa"), (0, 0, 3, b"a")),  # the others shorter than the last
        ((0, 2, 3, b"aa"), (0, 2, 3, b"a")),  # two last ones
        ((0, 0, 3, b"aa"), (0, 0, 1, b"aa")),  # whole and in parts
    ],
)
def test_ch_42_fragments_that_contradict_each_other(
    known: tuple[int, int, int, bytes], wrong: tuple[int, int, int, bytes]
) -> None:
    receiver = make()
    give(receiver, stream(*known))
    refuses(receiver, stream(*wrong), ProtocolViolationError)


@pytest.mark.parametrize(
    "wrong",
    [
        (0, 0, 0, b""),  # no fragments
        (0, 1, 1, b""),  # beyond the last
        (0, 3, 2, b"x"),
        (0, 0, 4097, b"x"),  # too many
        (0, 0, 2, b""),  # empty
        (0, 1, 2, b""),
        (0, 0, 4096, bytes(257)),  # 4095 * 257 + 1 is too large
        (0, 0, 1025, bytes(1025)),
    ],
)
def test_ch_40_and_41_fragments_that_no_sender_makes(wrong: tuple[int, int, int, bytes]) -> None:
    refuses(make(), stream(*wrong), ProtocolViolationError)


def test_ch_40_unknown_forward_error_correction() -> None:
    wrong = bytearray(stream(0, 0, 1, b"x"))
    wrong[3] = 1
    refuses(make(), bytes(wrong), MalformedError)


def test_the_wrong_message_and_short_frames() -> None:
    channels = make()
    with pytest.raises(UsageError):
        channels.send(SendState(ChannelId.VIDEO, 0, b""), now=0.0)
    for size in range(2, 12):
        refuses(channels, stream(0, 0, 1, b"")[:size], MalformedError)


def test_sequences_do_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.base.LAST_SEQUENCE", 0)
    sender = make()
    with pytest.raises(UsageError):
        sender.send_many(ChannelId.VIDEO, [b"", b""], 0.0)
    sender.send(video(b""), now=0.0)
    with pytest.raises(UsageError):
        sender.send(video(b""), now=0.0)
