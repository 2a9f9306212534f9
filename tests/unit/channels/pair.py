"""Two ``Channels`` and nothing between them: helpers of the channel tests."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from protocols import codec
from protocols.channels import Channels
from protocols.errors import PeerError
from protocols.events import ChannelEvent
from specs import inner
from specs.registry import AIRLINK_CHANNELS, Channel, ChannelId, CommandFlags, InnerType
from specs.strict import Format
from tests.unit.channels.picture import snapshot

UDP_FRAME = 1_168
TCP_FRAME = 65_519
FIRST_TRANSFER = 0x0102


def entropy(size: int) -> bytes:
    return bytes(range(1, size + 1))


def make(
    *,
    reliable: bool = False,
    frame: int | None = None,
    table: tuple[Channel, ...] = AIRLINK_CHANNELS,
) -> Channels:
    largest = frame or (TCP_FRAME if reliable else UDP_FRAME)
    return Channels(table, now=0.0, entropy=entropy, reliable=reliable, max_frame_bytes=largest)


def frames(channels: Channels, now: float = 0.0) -> list[bytes]:
    """Everything that may leave now."""
    out: list[bytes] = []
    while (frame := channels.next_frame(now)) is not None:
        assert len(frame) <= channels.max_frame_bytes
        out.append(frame)
    assert not channels.has_output(now)
    return out


def events(channels: Channels) -> list[ChannelEvent]:
    """Everything that the user has not taken."""
    out: list[ChannelEvent] = []
    while (event := channels.next_event()) is not None:
        out.append(event)
    return out


def give(target: Channels, *wire: bytes, now: float = 0.0) -> None:
    for frame in wire:
        target.receive_untrusted(frame, now)


def carry(source: Channels, target: Channels, now: float = 0.0) -> int:
    """Bring every frame across, in order."""
    wire = frames(source, now)
    give(target, *wire, now=now)
    return len(wire)


def settle(one: Channels, other: Channels, now: float = 0.0) -> None:
    """Until neither has anything to say."""
    while carry(one, other, now) + carry(other, one, now):
        pass


def refuses(target: Channels, frame: bytes, error: type[PeerError], now: float = 0.0) -> None:
    """``frame`` is the peer's fault, and leaves no trace."""
    before = snapshot(target)
    with pytest.raises(error):
        target.receive_untrusted(frame, now)
    assert snapshot(target) == before


# --- frames, as another implementation would write them -----------------------------------------


def frame(fmt: Format[Any], *values: Any, body: bytes = b"") -> bytes:
    return codec.build(fmt, fmt.type(*values)) + body


def control(sequence: int, sent_ms: int, body: bytes = b"", lifetime_ms: int = 500) -> bytes:
    return frame(inner.CONTROL_HEADER, ChannelId.CONTROL, lifetime_ms, sequence, sent_ms, body=body)


def command(sequence: int, body: bytes = b"", flags: int = 0, reply_to: int = 0) -> bytes:
    return frame(inner.COMMAND_HEADER, ChannelId.COMMAND, CommandFlags(flags), sequence, reply_to, body=body)


def ack(upto: int, bitmap: int = 0) -> bytes:
    return frame(inner.ACK, ChannelId.COMMAND, upto, bitmap)


def state(key: int, sequence: int, body: bytes = b"") -> bytes:
    return frame(inner.CHANNEL_HEADER, ChannelId.TELEMETRY, key, sequence, body=body)


def stream(sequence: int, index: int, count: int, body: bytes, channel: ChannelId = ChannelId.VIDEO) -> bytes:
    return frame(inner.STREAM_HEADER, channel, 0, sequence, index, count, body=body)


def bundle(sequence: int, messages: Sequence[bytes], channel: ChannelId = ChannelId.VIDEO) -> bytes:
    lengths = tuple(map(len, messages))
    head = bytes((InnerType.STREAM_BUNDLE, channel)) + struct.pack(
        f">HI{len(lengths)}H", len(lengths), sequence, *lengths
    )
    return head + b"".join(messages)


def chunk(transfer: int, packet: int, offset: int, body: bytes) -> bytes:
    return frame(inner.BULK_HEADER, ChannelId.LOG, transfer, packet, offset, body=body)


def bulk_ack(transfer: int, largest: int, received_to: int, window_to: int, *ranges: tuple[int, int]) -> bytes:
    pairs = tuple(inner.AckRange(start, end) for start, end in ranges)
    return frame(inner.BULK_ACK, ChannelId.LOG, transfer, largest, received_to, window_to, pairs)


def offer(transfer: int, size: int, sha256: bytes = bytes(32), name: str = "log") -> bytes:
    return frame(inner.BULK_OFFER, ChannelId.LOG, transfer, size, sha256, name)


def accept(transfer: int, offset: int = 0) -> bytes:
    return frame(inner.BULK_ACCEPT, ChannelId.LOG, transfer, offset)


def done(transfer: int, status: int, direction: inner.BulkDirection) -> bytes:
    return frame(inner.BULK_DONE, ChannelId.LOG, transfer, status, direction)
