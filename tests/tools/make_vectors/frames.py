"""Inner frames that end a link (CH-1): authentic, but not allowed."""

import struct
from typing import Final

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import Json

_HEAD: Final = ">BBHI"
_RELAY: Final = ">BBBBI"
_DATA: Final = ">BBBBIHBB"
_FRAMES: Final[dict[str, tuple[bytes, str]]] = {
    "nothing": (b"", "empty"),
    "type 0": (bytes((0, 0, 0, 0)), "unknown type"),
    "type 18": (bytes((18, 0, 0, 0)), "unknown type"),
    "type 255": (b"\xff" * 8, "unknown type"),
    "pairing confirmation in a session": (packets.confirm(), "not here"),
    "rekey request of the initiator": (bytes((5, 0, 0, 0)), "not here"),
    "channel frame of one byte": (bytes((1,)), "malformed"),
    "channel 0": (struct.pack(_HEAD, 1, 0, 1, 0), "no such channel"),
    "channel 8": (struct.pack(_HEAD, 1, 8, 1, 0), "no such channel"),
    "acknowledgement of the control channel": (struct.pack(">BBHIQ", 2, 1, 0, 0, 0), "wrong class"),
    "bulk acknowledgement of the command channel": (struct.pack(">BBHIQQB", 10, 2, 1, 0, 0, 0, 0), "wrong class"),
    "bulk offer on the video channel": (struct.pack(">BBHQ", 11, 4, 1, 1) + bytes(33), "wrong class"),
    "control: lifetime 0": (struct.pack(">BBHII", 1, 1, 0, 0, 0) + b"x", "malformed"),
    "control: header cut": (struct.pack(">BBHI", 1, 1, 1, 0), "malformed"),
    "command: unknown flag": (struct.pack(">BBHII", 1, 2, 4, 0, 0) + b"x", "malformed"),
    "command: header cut": (struct.pack(">BBHI", 1, 2, 0, 0), "malformed"),
    "command: reply_to without ANSWER": (struct.pack(">BBHII", 1, 2, 0, 0, 5) + b"x", "violation"),
    "command: answer to a request that was never sent": (struct.pack(">BBHII", 1, 2, 2, 0, 5) + b"x", "violation"),
    "command: unit beyond the window": (struct.pack(">BBHII", 1, 2, 0, 65, 0) + b"x", "violation"),
    "acknowledgement: reserved byte": (struct.pack(">BBHIQ", 2, 2, 1, 0, 0), "malformed"),
    "acknowledgement of a unit that was never sent": (struct.pack(">BBHIQ", 2, 2, 0, 1, 0), "violation"),
    "state: header cut": (struct.pack(">BBH", 1, 3, 1), "malformed"),
    "stream: scheme 1": (struct.pack(">BBHIHH", 1, 4, 1, 0, 0, 1) + b"x", "malformed"),
    "stream: header cut": (struct.pack(">BBHIH", 1, 4, 0, 0, 0), "malformed"),
    "stream: no fragments": (struct.pack(">BBHIHH", 1, 4, 0, 0, 0, 0) + b"x", "violation"),
    "stream: 4097 fragments": (struct.pack(">BBHIHH", 1, 4, 0, 0, 0, 4_097) + b"x", "violation"),
    "stream: index is the count": (struct.pack(">BBHIHH", 1, 4, 0, 0, 2, 2) + b"x", "violation"),
    "stream: an empty fragment of two": (struct.pack(">BBHIHH", 1, 4, 0, 0, 0, 2), "violation"),
    "stream: a message of more than 1,048,576 bytes": (
        struct.pack(">BBHIHH", 1, 4, 0, 0, 0, 4_096) + bytes(300), "violation"),
    "stream bundle of the control channel": (struct.pack(">BBHIHH", 15, 1, 2, 0, 1, 1) + b"xy", "wrong class"),
    "stream bundle of the command channel": (struct.pack(">BBHIHH", 15, 2, 2, 0, 1, 1) + b"xy", "wrong class"),
    "stream bundle of the bulk channel": (struct.pack(">BBHIHH", 15, 6, 2, 0, 1, 1) + b"xy", "wrong class"),
    "stream bundle of the relay channel": (struct.pack(">BBHIHH", 15, 7, 2, 0, 1, 1) + b"xy", "wrong class"),
    "stream bundle: header cut": (struct.pack(">BBHH", 15, 4, 2, 0), "malformed"),
    "stream bundle: lengths cut": (struct.pack(">BBHIHB", 15, 4, 2, 0, 0, 0), "malformed"),
    "stream bundle: no messages": (struct.pack(">BBHI", 15, 4, 0, 0), "malformed"),
    "stream bundle: one message": (struct.pack(">BBHIH", 15, 4, 1, 0, 1) + b"x", "malformed"),
    "stream bundle: lengths of less than there is": (struct.pack(">BBHIHH", 15, 4, 2, 0, 1, 1) + b"xyz", "malformed"),
    "stream bundle: lengths of more than there is": (struct.pack(">BBHIHH", 15, 4, 2, 0, 1, 1) + b"x", "malformed"),
    "stream bundle: last sequence 2^32 - 1": (
        struct.pack(">BBHIHH", 15, 4, 2, 2**32 - 2, 1, 1) + b"xy", "violation"),
    "stream bundle: sequence beyond 2^32": (
        struct.pack(">BBHIHHH", 15, 4, 3, 2**32 - 1, 1, 1, 1) + b"xyz", "violation"),
    "bulk: chunk of a transfer that was never offered": (struct.pack(">BBHIQ", 1, 6, 1, 0, 0) + b"x", "violation"),
    "bulk: header cut": (struct.pack(">BBHI", 1, 6, 1, 0), "malformed"),
    "bulk accept of an offer that was never made": (struct.pack(">BBHQ", 12, 6, 1, 0), "violation"),
    "bulk acknowledgement of a transfer that was never offered": (
        struct.pack(">BBHIQQB", 10, 6, 1, 0, 0, 0, 0), "violation"),
    "bulk offer: name is not UTF-8": (struct.pack(">BBHQ", 11, 6, 1, 1) + bytes(32) + b"\x01\xff", "malformed"),
    "relay: kind 0": (struct.pack(_RELAY, 1, 7, 0, 0, 1) + b"datagram", "malformed"),
    "relay: kind 6": (struct.pack(_RELAY, 1, 7, 6, 0, 1) + b"datagram", "malformed"),
    "relay: header cut": (struct.pack(">BB", 1, 7), "malformed"),
    "relay open of the answering side": (struct.pack(_RELAY, 1, 7, 1, 1, 1) + bytes(16) + b"\3", "malformed"),
    "relay open: link type 5": (struct.pack(_RELAY, 1, 7, 1, 0, 1) + bytes(16) + b"\5", "malformed"),
    "relay open: one byte more": (struct.pack(_RELAY, 1, 7, 1, 0, 1) + bytes(16) + b"\3\0", "malformed"),
    "relay opened by the opener": (struct.pack(_RELAY, 1, 7, 2, 0, 1), "malformed"),
    "relay closed: side 2": (struct.pack(_RELAY, 1, 7, 4, 2, 1), "malformed"),
    "relay data: no datagram": (struct.pack(_DATA, 1, 7, 5, 0, 1, 0, 0, 1), "violation"),
    "relay data: larger than any": (struct.pack(_DATA, 1, 7, 5, 0, 1, 0, 0, 1) + bytes(1_453), "violation"),
    "relay data: whole, with an id": (struct.pack(_DATA, 1, 7, 5, 0, 1, 7, 0, 1) + b"x", "violation"),
    "relay data: index is the count": (struct.pack(_DATA, 1, 7, 5, 0, 1, 7, 2, 2) + b"x", "violation"),
    "relay data: an empty part": (struct.pack(_DATA, 1, 7, 5, 0, 1, 7, 0, 2), "violation"),
    "relay data: five parts": (struct.pack(_DATA, 1, 7, 5, 0, 1, 7, 0, 5) + b"x", "malformed"),
    "relay data: part of a datagram that is too large": (
        struct.pack(_DATA, 1, 7, 5, 0, 1, 7, 0, 4) + bytes(500), "violation"),
}  # fmt: skip


def failures() -> list[Json]:
    """Return frames of an initiator; each is the first that it sends after its proof."""
    return [{"name": name, "frame": frame, "expect": expect} for name, (frame, expect) in _FRAMES.items()]
