"""Relay messages <-> bytes (specs/5-relay.md): frames of a `relay` channel, and whole messages for other carriers."""

from typing import Final

from protocols import codec
from protocols.errors import MalformedError, MessageTooLargeError, ProtocolViolationError, UsageError
from protocols.events import RelayClosed, RelayDatagram, RelayMessage, RelayOpen, RelayOpened, RelayRefused
from specs import relay
from specs.registry import (
    KEY_ID_BYTES,
    MAX_RELAY_DATAGRAM_BYTES,
    MAX_RELAY_PARTS,
    ChannelId,
    InnerType,
    LinkType,
    RelayKind,
    RelayRefusal,
    RelaySide,
)

_DATA: Final = codec.derive_struct(relay.RELAY_DATA_HEADER)
_unpack_data_untrusted: Final = codec.derive_unpack_untrusted(relay.RELAY_DATA_HEADER)
DATA_HEADER_BYTES: Final = _DATA.size
"""Bytes in front of each part of a datagram."""
_U32: Final = 0xFFFF_FFFF
_CHANNEL: Final = int(InnerType.CHANNEL)
_KIND: Final = 2
"""Where the kind stands."""


def check(message: RelayMessage) -> None:
    """Raise UsageError for a message that has no frame, MessageTooLargeError for a datagram that is too large."""
    if not 0 <= message.flow <= _U32:
        raise UsageError("a flow is a u32")
    if isinstance(message, RelayOpen) and len(message.destination) != KEY_ID_BYTES:
        raise UsageError("a flow goes to a key id of 16 bytes")
    if isinstance(message, RelayDatagram):
        if not message.data:
            raise UsageError("a datagram on a relay has at least one byte")
        if len(message.data) > MAX_RELAY_DATAGRAM_BYTES:
            raise MessageTooLargeError(f"a datagram on a relay has at most {MAX_RELAY_DATAGRAM_BYTES:,} bytes")


def encode(message: RelayMessage, channel: ChannelId = ChannelId.RELAY) -> bytes:
    """Return a message in one frame, datagrams whole; UsageError, MessageTooLargeError."""
    check(message)
    if isinstance(message, RelayDatagram):
        return parts(message, channel, 0, 1)[0]
    if isinstance(message, RelayOpen):
        frame = relay.RelayOpenFrame(channel, message.flow, message.destination, message.link_type)
        return codec.build(relay.RELAY_OPEN, frame)
    if isinstance(message, RelayOpened):
        return codec.build(relay.RELAY_OPENED, relay.RelayOpenedFrame(channel, message.flow))
    if isinstance(message, RelayRefused):
        return codec.build(relay.RELAY_REFUSED, relay.RelayRefusedFrame(channel, message.flow, message.code))
    side = RelaySide.OPENER if message.by_opener else RelaySide.ANSWERER
    return codec.build(relay.RELAY_CLOSED, relay.RelayClosedFrame(channel, side, message.flow))


def parts(message: RelayDatagram, channel: ChannelId, number: int, count: int) -> list[bytes]:
    """Return a datagram in ``count`` frames, of equal length but for the last (RL-10)."""
    data, side = message.data, RelaySide.OPENER if message.by_opener else RelaySide.ANSWERER
    length = -(-len(data) // count)
    return [
        _DATA.pack(_CHANNEL, channel, RelayKind.DATA, side, message.flow, number, index, count)
        + data[index * length : (index + 1) * length]
        for index in range(count)
    ]


def parts_needed(data_bytes: int, max_frame_bytes: int) -> int:
    """Return in how many parts a datagram goes through payloads of a size; MessageTooLargeError beyond four."""
    count = -(-data_bytes // (max_frame_bytes - DATA_HEADER_BYTES))
    if count > MAX_RELAY_PARTS:
        raise MessageTooLargeError(f"a datagram on a relay has at most {MAX_RELAY_PARTS} parts")
    return count


def is_data_untrusted(frame: bytes) -> bool:
    """Whether a frame says that it is (part of) a datagram."""
    return len(frame) > _KIND and frame[_KIND] == RelayKind.DATA


def part_untrusted(frame: bytes) -> tuple[RelayDatagram, int, int, int]:
    """Return a part as if it were a datagram, then id, index and count; MalformedError, ProtocolViolationError."""
    _, side, flow, number, index, count = _unpack_data_untrusted(frame, 0)
    size = len(frame) - DATA_HEADER_BYTES
    if not size or index >= count or size > MAX_RELAY_DATAGRAM_BYTES:
        raise ProtocolViolationError("relay: no such part of a datagram (RL-10)")
    if count == 1 and number:
        raise ProtocolViolationError("relay: a whole datagram has the id 0 (RL-10)")
    return RelayDatagram(flow, side == RelaySide.OPENER, frame[DATA_HEADER_BYTES:]), number, index, count


def signal_untrusted(frame: bytes) -> RelayMessage:
    """Return a message that is no datagram; MalformedError."""
    kind = frame[_KIND] if len(frame) > _KIND else 0
    if kind == RelayKind.OPEN:
        opened = codec.parse_untrusted(relay.RELAY_OPEN, frame)
        return RelayOpen(opened.flow, opened.destination, LinkType(opened.link_type))
    if kind == RelayKind.OPENED:
        return RelayOpened(codec.parse_untrusted(relay.RELAY_OPENED, frame).flow)
    if kind == RelayKind.REFUSED:
        refused = codec.parse_untrusted(relay.RELAY_REFUSED, frame)
        return RelayRefused(refused.flow, RelayRefusal(refused.code))
    if kind == RelayKind.CLOSED:
        closed = codec.parse_untrusted(relay.RELAY_CLOSED, frame)
        return RelayClosed(closed.flow, closed.side is RelaySide.OPENER)
    raise MalformedError("relay: unknown kind")


def decode_untrusted(data: bytes) -> RelayMessage:
    """Return the message of :func:`encode`, on channel RELAY; MalformedError, ProtocolViolationError."""
    if data[:2] != bytes((InnerType.CHANNEL, ChannelId.RELAY)):
        raise MalformedError("relay: no frame of the relay channel")
    if not is_data_untrusted(data):
        return signal_untrusted(data)
    message, _, _, count = part_untrusted(data)
    if count != 1:
        raise ProtocolViolationError("relay: a part of a datagram where all are whole (RL-12)")
    return message
