"""protocols/channels/mux.py: CH-1 to CH-4, and the interface of the link's core."""

import pytest

from protocols.channels import HANDLED_TYPES, ChannelsStats, ClassStats
from protocols.channels.relay_frames import encode
from protocols.errors import MalformedError, PeerError, ProtocolViolationError, UsageError
from protocols.events import OfferBulk, RelayOpened, SendCommand, SendControl, SendRelay, SendState, SendStream
from specs.registry import AIRLINK_CHANNELS, Channel, ChannelClass, ChannelId, InnerType
from tests.unit.channels.pair import (
    ack,
    bulk_ack,
    command,
    control,
    entropy,
    events,
    frames,
    give,
    make,
    offer,
    refuses,
    settle,
    state,
    stream,
)


def test_ch_1_only_types_that_are_handled_here() -> None:
    channels = make()
    for kind in set(range(256)) - set(HANDLED_TYPES):
        refuses(channels, bytes((kind, ChannelId.CONTROL)) + bytes(20), ProtocolViolationError)
    refuses(channels, b"", MalformedError)
    refuses(channels, b"\1", MalformedError)


def test_ch_1_a_channel_that_is_not_in_the_table() -> None:
    channels = make(table=AIRLINK_CHANNELS[:2])
    for channel in (0, ChannelId.TELEMETRY, ChannelId.RELAY, 200):
        refuses(channels, bytes((InnerType.CHANNEL, channel)) + bytes(20), ProtocolViolationError)
    with pytest.raises(UsageError):
        channels.send(SendState(ChannelId.TELEMETRY, 0, b""), now=0.0)


def test_ch_1_a_class_that_does_not_fit_the_channel() -> None:
    channels = make()
    for good, channel in (
        (ack(0), ChannelId.LOG),
        (bulk_ack(0, 0, 0, 0), ChannelId.COMMAND),
        (offer(0, 0), ChannelId.VIDEO),
    ):
        wrong = bytearray(good)
        wrong[1] = channel
        refuses(channels, bytes(wrong), ProtocolViolationError)


def test_3_7_a_relay_takes_what_is_said_about_flows_and_nothing_else() -> None:
    channels = make()
    refuses(channels, bytes((InnerType.CHANNEL, ChannelId.RELAY)) + bytes(20), MalformedError)
    refuses(channels, bytes((InnerType.ACK, ChannelId.RELAY)) + bytes(14), ProtocolViolationError)
    with pytest.raises(UsageError):
        channels.send(SendStream(ChannelId.RELAY, b""), now=0.0)
    with pytest.raises(UsageError):
        channels.send(SendRelay(ChannelId.VIDEO, RelayOpened(1)), now=0.0)


def test_ch_2_a_new_association_starts_at_0() -> None:
    channels = make()
    channels.send(SendStream(ChannelId.VIDEO, b"a"), now=0.0)
    assert frames(channels) == frames_of_a_new_one()


def frames_of_a_new_one() -> list[bytes]:
    channels = make()
    channels.send(SendStream(ChannelId.VIDEO, b"a"), now=0.0)
    return frames(channels)


def test_ch_3_order_of_the_classes() -> None:
    channels = make()
    give(channels, command(0), offer(1, 10), offer(1, 10))
    channels.send(OfferBulk(ChannelId.LOG, "", b"x", bytes(32)), now=0.0)
    channels.send(SendStream(ChannelId.MAVLINK, b""), now=0.0)
    channels.send(SendStream(ChannelId.VIDEO, b""), now=0.0)
    channels.send(SendRelay(ChannelId.RELAY, RelayOpened(1)), now=0.0)
    channels.send(SendState(ChannelId.TELEMETRY, 0, b""), now=0.0)
    channels.send(SendCommand(ChannelId.COMMAND, b""), now=0.0)
    channels.send(SendControl(ChannelId.CONTROL, b""), now=0.0)
    kinds = [(InnerType(frame[0]), ChannelId(frame[1])) for frame in frames(channels)]
    assert kinds == [
        (InnerType.CHANNEL, ChannelId.CONTROL),
        (InnerType.CHANNEL, ChannelId.COMMAND),
        (InnerType.ACK, ChannelId.COMMAND),
        (InnerType.CHANNEL, ChannelId.TELEMETRY),
        (InnerType.CHANNEL, ChannelId.RELAY),
        (InnerType.CHANNEL, ChannelId.VIDEO),
        (InnerType.CHANNEL, ChannelId.MAVLINK),
        (InnerType.BULK_OFFER, ChannelId.LOG),
    ]


def test_ch_3_a_class_with_nothing_to_send_or_a_closed_window_is_passed_over() -> None:
    channels = make()
    for _ in range(65):
        channels.send(SendCommand(ChannelId.COMMAND, b""), now=0.0)
    frames(channels)
    channels.send(SendControl(ChannelId.CONTROL, b"", 0.1), now=0.0)
    channels.send(SendStream(ChannelId.VIDEO, b""), now=0.0)
    assert channels.next_frame(5.0) == stream(0, 0, 1, b"")  # the control message has expired


def test_events_come_by_priority() -> None:
    channels = make()
    relay = encode(RelayOpened(1))
    give(channels, offer(0, 1), stream(0, 0, 1, b""), relay, state(0, 0), command(0), control(0, 0))
    names = [type(event).__name__.removesuffix("Received") for event in events(channels)]
    assert names == ["Control", "Command", "State", "Relay", "Stream", "BulkOffered"]


def test_an_idle_machine_says_nothing() -> None:
    channels = make()
    assert channels.next_frame(0.0) is None
    assert channels.next_event() is None
    assert channels.next_deadline() is None
    assert not channels.has_output(0.0)
    assert channels.room(ChannelClass.CONTROL) == 1
    channels.handle_deadline(1.0)
    none = ClassStats()
    assert channels.stats() == ChannelsStats(none, none, none, none, none, none)


def test_channels_of_the_same_class_are_added_up() -> None:
    one, other = make(), make()
    for channel in (ChannelId.VIDEO, ChannelId.MAVLINK):
        one.send(SendStream(channel, b""), now=0.0)
    settle(one, other)
    assert one.stats().stream == ClassStats(sent=2)
    assert other.stats().stream == ClassStats(received=2)


@pytest.mark.parametrize("size", [0, 511, 65_520])
def test_frame_sizes_that_no_path_has(size: int) -> None:
    with pytest.raises(UsageError):
        make(frame=size or 1)
    channels = make()
    with pytest.raises(UsageError):
        channels.max_frame_bytes = size
    assert channels.max_frame_bytes == 1_168


def test_a_larger_path_is_used() -> None:
    channels = make()
    channels.send(SendStream(ChannelId.VIDEO, bytes(2600)), now=0.0)
    first = channels.next_frame(0.0)
    channels.max_frame_bytes = 1_400
    channels.send(SendStream(ChannelId.VIDEO, bytes(2600)), now=0.0)
    assert [len(frame or b"") for frame in (first, *frames(channels))] == [879, 879, 878, 1312, 1312]


def test_classes_that_a_link_has_not() -> None:
    channels = make(table=(Channel(ChannelId.COMMAND, ChannelClass.COMMAND),))
    assert channels.room(ChannelClass.RELAY) == channels.room(ChannelClass.BULK) == 0
    assert channels.stats().relay == ClassStats()
    with pytest.raises(PeerError):
        channels.receive_untrusted(encode(RelayOpened(1)), 0.0)
    assert entropy(2) == b"\1\2"
