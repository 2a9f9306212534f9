"""`state`: CH-30 and CH-31."""

import pytest

from protocols.channels.limits import MAX_STATE_KEYS, STATE_READ_BYTES
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
from protocols.events import SendCommand, SendState, StateReceived
from specs.registry import ChannelClass, ChannelId
from tests.unit.channels.pair import TCP_FRAME, UDP_FRAME, carry, events, frames, give, make, refuses, state


def item(key: int, data: bytes = b"") -> SendState:
    return SendState(ChannelId.TELEMETRY, key, data)


def received(key: int, data: bytes) -> StateReceived:
    return StateReceived(ChannelId.TELEMETRY, key, data)


def test_ch_30_layout_and_sequences_count_per_channel() -> None:
    sender = make()
    for key, data in ((7, b"a"), (0xFFFF, b"b"), (7, b"c")):
        sender.send(item(key, data), now=0.0)
        assert len(frames(sender)) == 1
    sender.send(item(1, b"d"), now=0.0)
    assert frames(sender) == [state(1, 3, b"d")]


def test_ch_30_only_newer_items_of_the_same_key() -> None:
    receiver = make()
    got: list[object] = []
    for key, sequence in ((1, 5), (1, 5), (1, 4), (2, 3), (1, 6)):
        give(receiver, state(key, sequence, bytes([sequence])))
        got += events(receiver)
    assert got == [received(1, b"\5"), received(2, b"\3"), received(1, b"\6")]
    assert receiver.stats().state.dropped == 2


def test_ch_31_only_the_newest_unsent_item_per_key() -> None:
    sender, receiver = make(), make()
    for key, data in ((1, b"old"), (2, b"other"), (1, b"new")):
        sender.send(item(key, data), now=0.0)
    assert carry(sender, receiver) == 2
    assert events(receiver) == [received(1, b"new"), received(2, b"other")]
    assert sender.stats().state.dropped == 1


def test_ch_31_at_most_1024_keys_to_send() -> None:
    sender = make()
    for key in range(MAX_STATE_KEYS):
        sender.send(item(key), now=0.0)
    assert sender.room(ChannelClass.STATE) == 0
    frames(sender)
    with pytest.raises(UsageError):
        sender.send(item(MAX_STATE_KEYS), now=0.0)
    sender.send(item(0), now=0.0)
    assert sender.room(ChannelClass.STATE) == MAX_STATE_KEYS - 1


def test_ch_31_at_most_1024_keys_received() -> None:
    receiver = make()
    for key in range(MAX_STATE_KEYS):
        give(receiver, state(key, key))
    refuses(receiver, state(MAX_STATE_KEYS, MAX_STATE_KEYS), ProtocolViolationError)
    give(receiver, state(0, MAX_STATE_KEYS, b"known key"))
    assert len(events(receiver)) == MAX_STATE_KEYS


def test_a_slow_reader_gets_the_newest_of_each_key() -> None:
    receiver = make()
    give(receiver, state(1, 0, b"a"), state(2, 1, b"b"), state(1, 2, b"c"))
    assert events(receiver) == [received(1, b"c"), received(2, b"b")]
    assert receiver.stats().state.dropped == 1


def test_ch_4_a_reader_who_never_reads_does_not_fill_the_memory() -> None:
    receiver = make(reliable=True)
    body = bytes(TCP_FRAME - 8)
    for key in range(200):
        give(receiver, state(key, key, body))
    assert len(events(receiver)) == STATE_READ_BYTES // (len(body) + 64)


@pytest.mark.parametrize("key", [-1, 65_536])
def test_keys_are_u16(key: int) -> None:
    with pytest.raises(UsageError):
        make().send(item(key), now=0.0)


def test_one_payload_at_most_and_shrinking() -> None:
    sender = make()
    with pytest.raises(MessageTooLargeError):
        sender.send(item(0, bytes(UDP_FRAME - 7)), now=0.0)
    sender.send(item(0, bytes(UDP_FRAME - 8)), now=0.0)
    sender.send(item(1, bytes(10)), now=0.0)
    sender.max_frame_bytes = 600
    assert frames(sender) == [state(1, 1, bytes(10))]
    assert sender.stats().state.dropped == 1


def test_the_wrong_message_and_short_frames() -> None:
    channels = make()
    with pytest.raises(UsageError):
        channels.send(SendCommand(ChannelId.TELEMETRY, b""), now=0.0)
    for size in range(2, 8):
        refuses(channels, state(0, 0)[:size], MalformedError)
