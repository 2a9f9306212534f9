"""MAVLink frames for tests: made by pymavlink where it can, by hand where it must."""

import functools
import struct
from typing import Any

from nodes.flight.mavlink import frame_checks

ARDUPILOT, PX4, OTHER = 3, 12, 0
QUADROTOR, FIXED_WING, ROVER = 2, 1, 10
ARMED = 0x80
UNKNOWN_ID = 54_321
"""An id that no message of the dialect ``all`` has."""


@functools.cache
def dialect() -> Any:
    from pymavlink.dialects.v20 import all as everything

    return everything


def link(system: int = 1, component: int = 1, version: int = 2) -> Any:
    """A sender, as pymavlink has it."""
    made = dialect().MAVLink(None, srcSystem=system, srcComponent=component)
    made.robust_parsing = True
    if version == 1:
        from pymavlink.dialects.v10 import common

        return common.MAVLink(None, srcSystem=system, srcComponent=component)
    return made


def pack(sender: Any, message: Any) -> bytes:
    packed = bytes(message.pack(sender))
    sender.seq = (sender.seq + 1) % 256
    return packed


def heartbeat(
    sender: Any | None = None,
    *,
    autopilot: int = ARDUPILOT,
    kind: int = QUADROTOR,
    armed: bool = False,
    mode: int = 0,
    state: int = 4,
) -> bytes:
    chosen: Any = sender or link()
    return pack(chosen, chosen.heartbeat_encode(kind, autopilot, ARMED if armed else 0, mode, state))


def signed(sender: Any, message: Any) -> bytes:
    """A frame with a signature."""
    sender.signing.secret_key = bytes(range(32))
    sender.signing.sign_outgoing = True
    sender.signing.timestamp = 1_000
    return pack(sender, message)


def by_hand(
    number: int, payload: bytes, extra: int | None = None, *, version: int = 2, flags: int = 0, system: int = 1
) -> bytes:
    """A frame with a good checksum of any message; ``extra``: CRC_EXTRA, if it is not the known one."""
    checks = frame_checks()
    if extra is None:
        extra = checks.crc_extra[number]
    if version == 1:
        body = bytes((len(payload), 7, system, 1, number)) + payload
    else:
        body = bytes((len(payload), flags, 0, 7, system, 1)) + number.to_bytes(3, "little") + payload
    checksum = checks.checksum(body + bytes([extra]), 0xFFFF)
    mark = b"\xfe" if version == 1 else b"\xfd"
    return mark + body + struct.pack("<H", checksum) + (bytes(range(13)) if flags & 1 else b"")
