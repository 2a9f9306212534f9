"""protocols/channels/relay.py, relay_frames.py and fair.py: RL-4, RL-10 to RL-14 (specs/5-relay.md)."""

import pytest

from protocols.channels import Channels, relay_frames
from protocols.channels.fair import FairQueue
from protocols.channels.limits import (
    MAX_RELAY_PARTIALS_IN_ALL,
    MESSAGE_OVERHEAD_BYTES,
    MIN_FRAME_BYTES,
    RELAY_FLOW_BYTES,
    RELAY_QUEUE_BYTES,
    RELAY_READ_BYTES,
)
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
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
    RELAY_DATAGRAM_BYTES,
    RELAY_PARTIAL_S,
    ChannelClass,
    ChannelId,
    LinkType,
    RelayRefusal,
)
from tests.unit.channels.pair import UDP_FRAME, carry, events, frames, give, make, refuses

KEY_ID = bytes(range(16))
MESSAGES: tuple[RelayMessage, ...] = (
    RelayOpen(7, KEY_ID, LinkType.REMOTE_CLOUD),
    RelayOpened(0),
    RelayRefused(2**32 - 1, RelayRefusal.BUSY),
    RelayClosed(1, by_opener=True),
    RelayClosed(1, by_opener=False),
    RelayDatagram(1, by_opener=True, data=b"up"),
    RelayDatagram(1, by_opener=False, data=b"down"),
)


def send(channels: Channels, message: RelayMessage) -> None:
    channels.send(SendRelay(ChannelId.RELAY, message), 0.0)


def datagram(size: int, flow: int = 1) -> RelayDatagram:
    return RelayDatagram(flow, by_opener=True, data=bytes(index % 251 for index in range(size)))


def received(channels: Channels) -> list[RelayMessage]:
    return [event.message for event in events(channels) if isinstance(event, RelayReceived)]


def cut(message: RelayDatagram, count: int, number: int = 0) -> list[bytes]:
    return relay_frames.parts(message, ChannelId.RELAY, number, count)


# --- messages and their bytes -------------------------------------------------------------------


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_crosses_as_it_is(message: RelayMessage) -> None:
    assert relay_frames.decode_untrusted(relay_frames.encode(message)) == message
    here, there = make(), make()
    send(here, message)
    assert carry(here, there) == 1
    assert received(there) == [message]
    assert (here.stats().relay.sent, there.stats().relay.received) == (1, 1)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (RelayOpened(-1), UsageError),
        (RelayOpened(2**32), UsageError),
        (RelayOpen(1, bytes(15), LinkType.REMOTE_MOBILE), UsageError),
        (RelayDatagram(1, by_opener=True, data=b""), UsageError),
        (RelayDatagram(1, by_opener=True, data=bytes(1_453)), MessageTooLargeError),
    ],
)
def test_rl_10_what_has_no_frame_is_refused_and_changes_nothing(message: RelayMessage, error: type[Exception]) -> None:
    channels = make()
    with pytest.raises(error):
        send(channels, message)
    with pytest.raises(error):
        relay_frames.encode(message)
    assert frames(channels) == []


def test_rl_4_a_kind_has_its_side() -> None:
    """OPEN comes from who opens, OPENED and REFUSED from the other; the rest from both."""
    for message in MESSAGES:
        good = relay_frames.encode(message)
        other = 1 if isinstance(message, RelayOpen) else 0 if isinstance(message, RelayOpened | RelayRefused) else 2
        wrong = good[:3] + bytes((other,)) + good[4:]
        refuses(make(), wrong, MalformedError)


# --- parts --------------------------------------------------------------------------------------


def test_rl_10_whole_where_it_fits_and_never_more_parts_than_it_takes() -> None:
    """RL-30: a protected datagram fits a payload of a 1,200-byte path to the byte."""
    head = relay_frames.DATA_HEADER_BYTES
    for size, frame, count in (
        (RELAY_DATAGRAM_BYTES, UDP_FRAME, 1),
        (RELAY_DATAGRAM_BYTES + 1, UDP_FRAME, 2),
        (MAX_RELAY_DATAGRAM_BYTES, UDP_FRAME, 2),
        (MAX_RELAY_DATAGRAM_BYTES, MIN_FRAME_BYTES, 3),
        (1, MIN_FRAME_BYTES, 1),
    ):
        here, there = make(frame=frame), make(frame=frame)
        send(here, datagram(size))
        wire = frames(here)
        assert len(wire) == count
        assert len({len(each) for each in wire[:-1]}) <= 1
        assert head < len(wire[-1]) <= len(wire[0]) <= frame
        give(there, *wire)
        assert received(there) == [datagram(size)]


def test_rl_12_whole_on_a_stream() -> None:
    here = make(reliable=True)
    send(here, datagram(MAX_RELAY_DATAGRAM_BYTES))
    assert len(frames(here)) == 1
    with pytest.raises(ProtocolViolationError):
        relay_frames.decode_untrusted(cut(datagram(100), 2)[0])


def test_rl_10_parts_are_joined_in_any_order_and_by_flow_side_and_id() -> None:
    there = make()
    one, other, back = datagram(1_452, 1), datagram(1_300, 2), RelayDatagram(1, by_opener=False, data=bytes(1_400))
    wire = [cut(one, 2), cut(other, 2), cut(back, 2), cut(one, 2, 1)]
    give(there, *(parts[1] for parts in wire), *(parts[0] for parts in wire))
    assert received(there) == [one, other, back, one]


def test_rl_13_nothing_is_delivered_that_is_not_whole() -> None:
    there = make()
    give(there, *cut(datagram(1_452), 4)[:3])
    assert received(there) == []


def test_rl_13_no_part_waits_longer_than_2_s() -> None:
    there = make()
    first, second = cut(datagram(1_452), 2)
    give(there, first, now=10.0)
    give(there, second, now=10.0 + RELAY_PARTIAL_S + 0.01)
    assert received(there) == []
    assert there.stats().relay.lost == 1
    give(there, first, now=10.0 + 2 * RELAY_PARTIAL_S)  # within 2 s of the second, which began anew
    assert received(there) == [datagram(1_452)]


def test_rl_13_a_late_part_may_be_of_another_datagram_of_that_id() -> None:
    there = make()
    give(there, cut(datagram(1_452), 2)[0], now=0.0)
    give(there, *cut(datagram(1_200), 3), now=5.0)  # another count: no contradiction, since the first is too old
    assert received(there) == [datagram(1_200)]


def test_rl_13_at_most_16_unfinished_of_a_flow_the_oldest_goes() -> None:
    there = make()
    wire = [cut(datagram(1_452), 2, number) for number in range(MAX_RELAY_PARTIALS + 1)]
    give(there, *(first for first, _ in wire))
    give(there, *(second for _, second in wire[1:]))
    assert len(received(there)) == MAX_RELAY_PARTIALS
    give(there, wire[0][1])
    assert received(there) == []


def test_rl_13_and_256_of_all_flows_which_the_neighbour_may_invent() -> None:
    there = make()
    for flow in range(3 * MAX_RELAY_PARTIALS_IN_ALL):
        give(there, cut(datagram(1_452, flow), 2)[0])
    assert there.stats().relay.lost == 2 * MAX_RELAY_PARTIALS_IN_ALL
    newest = 3 * MAX_RELAY_PARTIALS_IN_ALL - 1
    give(there, cut(datagram(1_452, newest), 2)[1], cut(datagram(1_452, 0), 2)[1])
    assert received(there) == [datagram(1_452, newest)]


def test_rl_11_parts_that_contradict_each_other() -> None:
    def begun() -> Channels:
        there = make()
        give(there, cut(datagram(1_200), 3)[0], cut(datagram(1_200, 2), 3)[2])
        return there

    refuses(begun(), cut(datagram(1_200), 4)[1], ProtocolViolationError)  # another count
    refuses(begun(), cut(datagram(900), 3)[1], ProtocolViolationError)  # another length
    refuses(begun(), cut(datagram(1_452), 3)[2], ProtocolViolationError)  # a last part longer than the others
    refuses(begun(), cut(datagram(900, 2), 3)[0], ProtocolViolationError)  # shorter than the last
    refuses(begun(), cut(datagram(900, 2), 3)[2], ProtocolViolationError)  # another last part
    for index in range(2):
        refuses(make(), cut(datagram(1_500), 3)[index][:12] + bytes(727), ProtocolViolationError)  # too large in all


def test_rl_11_no_such_part() -> None:
    good = cut(datagram(100), 1)[0]
    for wrong, error in (
        (good[:12], ProtocolViolationError),  # no datagram
        (good[:12] + bytes(1_453), ProtocolViolationError),
        (good[:9] + b"\1" + good[10:], ProtocolViolationError),  # whole, with an id
        (good[:10] + b"\1\1" + good[12:], ProtocolViolationError),  # index 1 of 1
        (good[:11] + b"\5" + good[12:], MalformedError),  # five parts
        (good[:11] + b"\0" + good[12:], MalformedError),
        (good[:11], MalformedError),
    ):
        refuses(make(), wrong, error)


def test_rl_11_a_part_that_has_come_already_is_ignored() -> None:
    there = make()
    first, second = cut(datagram(1_452), 2)
    give(there, first, first, second)
    assert received(there) == [datagram(1_452)]
    assert there.stats().relay.dropped == 1


def test_a_path_that_shrinks_loses_what_was_cut_for_the_larger() -> None:
    here, there = make(), make(frame=MIN_FRAME_BYTES)
    send(here, datagram(1_100))
    send(here, RelayOpened(3))
    here.max_frame_bytes = MIN_FRAME_BYTES
    send(here, datagram(1_100))
    carry(here, there)
    assert [type(each) for each in received(there)] == [RelayOpened, RelayDatagram]
    assert here.stats().relay.dropped == 1


# --- queues -------------------------------------------------------------------------------------


def test_rl_14_the_queue_is_bounded_and_keeps_the_newest() -> None:
    here, there = make(), make()
    for number in range(200):
        send(here, RelayDatagram(1, by_opener=True, data=number.to_bytes(2, "big") + bytes(998)))
    carry(here, there)
    numbers = [int.from_bytes(each.data[:2], "big") for each in received(there) if isinstance(each, RelayDatagram)]
    assert numbers == list(range(200 - len(numbers), 200))
    assert len(numbers) == RELAY_FLOW_BYTES // (1_000 + 12 + MESSAGE_OVERHEAD_BYTES)
    assert here.stats().relay.dropped == 200 - len(numbers)


def test_rl_14_who_floods_drops_his_own_and_others_take_turns() -> None:
    here, there = make(), make()
    send(here, datagram(10, flow=9))
    for _ in range(1_000):
        send(here, datagram(1_000, flow=1))
    send(here, datagram(20, flow=9))
    send(here, RelayOpened(5))
    carry(here, there)
    got = received(there)
    assert got.index(datagram(20, flow=9)) < 5
    assert got.index(RelayOpened(5)) < 5


def test_rl_14_bounded_over_all_flows() -> None:
    here = make()
    for flow in range(64):
        for _ in range(100):
            send(here, datagram(1_000, flow))
    size = sum(len(frame) + MESSAGE_OVERHEAD_BYTES for frame in frames(here))
    assert RELAY_QUEUE_BYTES - 2_000 < size <= RELAY_QUEUE_BYTES


def test_rl_14_words_about_flows_are_bounded_too() -> None:
    here = make()
    for flow in range(10_000):
        send(here, RelayClosed(flow, by_opener=False))
    assert len(frames(here)) == RELAY_FLOW_BYTES // (8 + MESSAGE_OVERHEAD_BYTES)


def test_ch_4_what_the_node_does_not_take_is_bounded() -> None:
    there = make()
    for number in range(2_000):
        give(there, relay_frames.encode(datagram(1_000, number)))
    got = received(there)
    assert len(got) == RELAY_READ_BYTES // (1_000 + MESSAGE_OVERHEAD_BYTES)
    assert got[-1] == datagram(1_000, 1_999)
    assert there.stats().relay.dropped == 2_000 - len(got)


def test_ch_3_a_relay_goes_before_streams_and_has_no_timer() -> None:
    here = make()
    before = here.room(ChannelClass.RELAY)
    send(here, datagram(1_000))
    assert here.room(ChannelClass.RELAY) == before - 1_012 - MESSAGE_OVERHEAD_BYTES
    assert here.next_deadline() is None
    give(here, cut(datagram(1_452), 2)[0])
    assert here.next_deadline() is None


def test_a_fair_queue() -> None:
    queue: FairQueue[str | None] = FairQueue(1_000, 500)
    with pytest.raises(IndexError):
        queue.pop()
    assert not queue
    for key, item in (("a", b"1"), ("a", b"2"), (None, b"3"), ("b", b"4"), ("a", b"5")):
        assert queue.add(key, item) == 0
    assert len(queue) == 3
    assert [queue.pop() for _ in range(5)] == [("a", b"1"), (None, b"3"), ("b", b"4"), ("a", b"2"), ("a", b"5")]
    assert not queue
    assert queue.add("a", bytes(600)) == 1  # larger than a key may have
    assert not queue
    assert queue.room_bytes == 1_000 - MESSAGE_OVERHEAD_BYTES


def test_a_fair_queue_drops_of_who_has_most() -> None:
    queue: FairQueue[str] = FairQueue(600, 500)
    for item in (b"old", b"newer", bytes(200)):
        queue.add("many", item)
    assert queue.add("few", bytes(100)) == 0
    assert queue.add("other", bytes(80)) == 2
    assert [queue.pop() for _ in range(3)] == [("many", bytes(200)), ("few", bytes(100)), ("other", bytes(80))]


def test_a_fair_queue_drops_what_is_too_large_now() -> None:
    queue: FairQueue[str] = FairQueue(5_000, 5_000)
    for key, size in (("a", 10), ("a", 100), ("b", 100)):
        queue.add(key, bytes(size))
    assert queue.drop_larger(50) == 2
    assert [queue.pop()] == [("a", bytes(10))]
    assert not queue
    assert queue.room_bytes == 5_000 - MESSAGE_OVERHEAD_BYTES
