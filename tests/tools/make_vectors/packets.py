"""Bytes of both envelopes, by struct (specs/1-link.md, 1.2 to 1.6)."""

import hashlib
import struct
from typing import Final

from tests.tools.make_vectors.base import DRONE, RC, WIRE_VERSION, mac
from tests.tools.make_vectors.noise import Suite

PAIRING, SESSION = 1, 2
INITIATION, RESPONSE, COOKIE_REPLY, DATA, FINISH, REFUSED = range(1, 7)
AIRLINK: Final = 1
CHANNELS: Final = bytes((1, 1, 2, 2, 3, 3, 4, 4, 5, 4, 6, 5, 7, 6))
PING, PONG, CLOSE, PAIRING_CONFIRM, PROBE, PROBE_ACK = 3, 4, 8, 9, 16, 17
PAIRING_DONE: Final = 6
NO_MAC2: Final = bytes(16)
NEW: Final = bytes(32)


def prologue(
    suite: int, kind: int, association: bytes = NEW, *, roles: tuple[int, int] = (RC, DRONE), channels: bytes = CHANNELS
) -> bytes:
    """LK-12."""
    fields = bytes((WIRE_VERSION, suite, kind, AIRLINK, *roles, 0, 0))
    return b"Aerolink link v1" + fields + hashlib.sha256(channels).digest() + association


def initiation_header(suite: int, kind: int, sender: int, continues: int = 0) -> bytes:
    """LK-10."""
    return struct.pack(">BBBBIBBBBI", INITIATION, WIRE_VERSION, suite, kind, sender, AIRLINK, RC, DRONE, 0, continues)


def reply_header(kind: int, sender: int, receiver: int) -> bytes:
    """LK-11."""
    return struct.pack(">B3xII", kind, sender, receiver)


def initiation_payload(suite: Suite, kind: int, counter: int, sender: int) -> bytes:
    """LK-13: counter, index, and zeros until the initiation is as long as its response."""
    dh = suite.dh_bytes
    if kind == PAIRING:
        first = dh + (1184 + 16 if suite.hybrid else 0)
        second = dh + (1088 + 16 if suite.hybrid else 0) + dh + 16
    else:
        first = dh + (1184 + 16 if suite.hybrid else 0) + dh + 16
        second = dh + (1088 + 16 if suite.hybrid else 0)
    initiation = 16 + first + 16 + 16 + 16
    response = 12 + second + 4 + 16 + 16
    return struct.pack(">QI", counter, sender).ljust(max(12, response - initiation), b"\0")


def initiation(body: bytes, key: bytes, cookie: bytes | None = None) -> bytes:
    """LK-20, LK-21."""
    signed = body + mac(key, body)
    return signed + (mac(cookie, signed) if cookie else NO_MAC2)


def with_mac1(body: bytes, key: bytes) -> bytes:
    """Return a response, a finish or a refusal as a datagram."""
    return body + mac(key, body)


def record(body: bytes, epoch: int = 0) -> bytes:
    """LK-54: a handshake record."""
    return struct.pack(">HBB", len(body), body[0], epoch) + body


def refused(code: int, receiver: int, key: bytes) -> bytes:
    """LK-60."""
    return with_mac1(struct.pack(">BBHI", REFUSED, code, 0, receiver), key)


def seal_datagram(suite: Suite, key: bytes, receiver: int, counter: int, frame: bytes) -> bytes:
    """LK-51."""
    header = struct.pack(">B3xIQ", DATA, receiver, counter)
    return header + bytes(suite.aead(key).encrypt(header[4:], frame, header))


def seal_record(suite: Suite, key: bytes, epoch: int, counter: int, frame: bytes) -> bytes:
    """LK-53."""
    header = struct.pack(">HBB", len(frame) + 16, DATA, epoch)
    return header + bytes(suite.aead(key).encrypt(struct.pack(">4xQ", counter), frame, header))


def ping(number: int, kind: int = PING) -> bytes:
    """Return a PING, or what begins like one."""
    return struct.pack(">BBHI", kind, 0, 0, number)


def close(code: int) -> bytes:
    """Return a CLOSE."""
    return struct.pack(">BBH", CLOSE, 0, code)


def confirm() -> bytes:
    """Return a PAIRING_CONFIRM."""
    return bytes((PAIRING_CONFIRM, 0, 0, 0))
