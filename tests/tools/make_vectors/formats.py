"""Bytes <-> fields of every declaration of the envelopes and of the inner frames, packed by hand."""

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import DRONE, RC, Json, flip, secret

_M32, _M64 = 2**32 - 1, 2**64 - 1


def _row(name: str, fmt: str, data: bytes, /, **fields: Any) -> Json:
    return {"name": name, "format": fmt, "fields": fields, "bytes": data}


def _envelopes() -> Iterator[Json]:
    """Yield the headers of datagrams and records, and what is sealed or hashed (1-link.md)."""
    for name, sender, continues in (("new", 1, 0), ("rekey", _M32, 0x01020304)):
        data = packets.initiation_header(1, packets.SESSION, sender, continues)
        yield _row(f"initiation header, {name}", "datagram.INITIATION_HEADER", data, version=1, suite=1,
                   kind=2, sender=sender, link_type=1, initiator_role=RC, responder_role=DRONE,
                   continues=continues)  # fmt: skip
    other = struct.pack(">BBBBIBBBBI", 1, 255, 0, 1, 7, 4, 4, 3, 0, _M32)
    yield _row("initiation header, version and suite that nobody knows", "datagram.INITIATION_HEADER", other,
               version=255, suite=0, kind=1, sender=7, link_type=4, initiator_role=4, responder_role=3,
               continues=_M32)  # fmt: skip
    for name, kind in (("RESPONSE_HEADER", 2), ("FINISH_HEADER", 5)):
        data = packets.reply_header(kind, 0x11223344, _M32)
        yield _row(name.lower().replace("_", " "), f"datagram.{name}", data, sender=0x11223344, receiver=_M32)
    salt, sealed, tag = secret("salt"), secret("sealed"), secret("mac", 16)
    data = struct.pack(">B3xI", 3, 9) + salt + sealed
    yield _row("cookie reply", "datagram.COOKIE_REPLY", data, receiver=9, salt=salt, sealed_cookie=sealed)
    for code in (1, 4):
        data = struct.pack(">BBHI", 6, code, 0, 0x80000000) + tag
        yield _row(f"refused {code}", "datagram.REFUSED", data, code=code, receiver=0x80000000, mac=tag)
    for counter in (0, 2**24 - 1, _M64):
        data = struct.pack(">B3xIQ", 4, 5, counter)
        yield _row(f"data header, counter {counter}", "datagram.DATA_HEADER", data, receiver=5, counter=counter)
    yield _row("initiation payload", "datagram.INITIATION_PAYLOAD", struct.pack(">QI", _M64, 3), counter=_M64, sender=3)
    yield _row("response payload", "datagram.RESPONSE_PAYLOAD", struct.pack(">I", 3), sender=3)
    for length, kind, epoch in ((0, 4, 0), (65_535, 4, 255), (1_374, 1, 0)):
        data = struct.pack(">HBB", length, kind, epoch)
        yield _row(
            f"record header, {length} bytes", "record.RECORD_HEADER", data, length=length, type=kind, epoch=epoch
        )
    association = secret("association")
    data = packets.prologue(2, packets.SESSION, association)
    yield _row("prologue", "datagram.PROLOGUE", data, version=1, suite=2, kind=2, link_type=1, initiator_role=RC,
               responder_role=DRONE, channels_sha256=data[24:56], association=association)  # fmt: skip


def _channels() -> Iterator[Json]:
    """Yield the headers of CHANNEL frames (3-channels.md)."""
    for key, sequence in ((0, 0), (65_535, _M32)):
        yield _row(f"state header, key {key}", "inner.CHANNEL_HEADER", struct.pack(">BBHI", 1, 3, key, sequence),
                   channel=3, key=key, sequence=sequence)  # fmt: skip
    for lifetime in (1, 500, 65_535):
        data = struct.pack(">BBHII", 1, 1, lifetime, 7, _M32)
        yield _row(f"control header, {lifetime} ms", "inner.CONTROL_HEADER", data,
                   channel=1, lifetime_ms=lifetime, sequence=7, sent_ms=_M32)  # fmt: skip
    for flags, reply_to in ((0, 0), (1, 0), (2, 41), (3, _M32)):
        data = struct.pack(">BBHII", 1, 2, flags, 3, reply_to)
        yield _row(f"command header, flags {flags}", "inner.COMMAND_HEADER", data,
                   channel=2, flags=flags, sequence=3, reply_to=reply_to)  # fmt: skip
    for index, count in ((0, 1), (4_095, 4_096)):
        data = struct.pack(">BBHIHH", 1, 4, 0, 9, index, count)
        yield _row(f"stream header, fragment {index}", "inner.STREAM_HEADER", data,
                   channel=4, fec=0, sequence=9, index=index, count=count)  # fmt: skip
    many = (b"",) * 299 + (secret("bundle", 700),)
    for name, sequence, messages in (("two", 0, (b"one", b"other")), ("empty ones", 7, (b"",) * 3),
                                     ("up to the last sequence", _M32 - 300, many)):  # fmt: skip
        lengths = [len(message) for message in messages]
        head = struct.pack(">BBHI", 15, 5, len(messages), sequence)
        data = head + struct.pack(f">{len(messages)}H", *lengths) + b"".join(messages)
        fields = {"channel": 5, "count": len(messages), "sequence": sequence}
        yield _row(f"stream bundle header, {name}", "inner.STREAM_BUNDLE_HEADER", head, **fields)
        yield _row(f"stream bundle, {name}", "inner.STREAM_BUNDLE", data, **fields, lengths=lengths,
                   bodies=b"".join(messages))  # fmt: skip
    for offset in (0, 2**40 - 1, _M64):
        data = struct.pack(">BBHIQ", 1, 6, 8, 9, offset)
        yield _row(f"bulk header, offset {offset}", "inner.BULK_HEADER", data,
                   channel=6, transfer=8, packet=9, offset=offset)  # fmt: skip


def _acknowledgements() -> Iterator[Json]:
    """Yield acknowledgements and the life of a transfer."""
    for following, bitmap in ((0, 0), (_M32, _M64), (5, 1 << 63)):
        yield _row(f"acknowledgement up to {following}", "inner.ACK", struct.pack(">BBHIQ", 2, 2, 0, following, bitmap),
                   channel=2, next=following, bitmap=bitmap)  # fmt: skip
    for count in (0, 1, 16):
        ranges = [{"start": 1_000 * n + 1, "end": 1_000 * n + 900} for n in range(1, count + 1)]
        head = struct.pack(">BBHIQQ", 10, 6, 1, 2, 1_000, 2**41)
        tail = b"".join(struct.pack(">QQ", each["start"], each["end"]) for each in ranges)
        fields: Json = {"channel": 6, "transfer": 1, "largest": 2, "received_to": 1_000, "window_to": 2**41}
        data = head + bytes((count,))
        yield _row(f"bulk acknowledgement header, {count} ranges", "inner.BULK_ACK_HEADER", data, **fields, count=count)
        yield _row(f"bulk acknowledgement, {count} ranges", "inner.BULK_ACK", data + tail, **fields, ranges=ranges)
    yield _row("range", "inner.ACK_RANGE", struct.pack(">QQ", 1, _M64), start=1, end=_M64)
    digest = secret("object")
    for what, name in (("no name", ""), ("name", "flight-0007.tlog"), ("UTF-8", "Flug \u00fc\u2192\U0001f681"),
                       ("longest name", "n" * 255)):  # fmt: skip
        text = name.encode()
        data = struct.pack(">BBHQ", 11, 6, 3, 2**40) + digest + bytes((len(text),)) + text
        yield _row(f"bulk offer, {what}", "inner.BULK_OFFER", data,
                   channel=6, transfer=3, size=2**40, sha256=digest, name=name)  # fmt: skip
    yield _row("bulk accept", "inner.BULK_ACCEPT", struct.pack(">BBHQ", 12, 6, 3, 77), channel=6, transfer=3, offset=77)
    for status in range(4):
        data = struct.pack(">BBHBB", 13, 6, 3, status, status % 2)
        yield _row(f"bulk done, status {status}", "inner.BULK_DONE", data,
                   channel=6, transfer=3, status=status, direction=status % 2)  # fmt: skip


def _link() -> Iterator[Json]:
    """Yield the link's own frames."""
    yield _row("ping", "inner.PING", packets.ping(1), id=1)
    yield _row("ping, highest id", "inner.PING", packets.ping(_M32), id=_M32)
    yield _row("pong", "inner.PONG", packets.ping(1, packets.PONG), id=1)
    yield _row("rekey request", "inner.REKEY_REQUEST", bytes((5, 0, 0, 0)))
    token = secret("path", 8)
    yield _row("path challenge", "inner.PATH_CHALLENGE", bytes((6, 0, 0, 0)) + token, data=token)
    yield _row("path response", "inner.PATH_RESPONSE", bytes((7, 0, 0, 0)) + token, data=token)
    for code in range(8):
        yield _row(f"close {code}", "inner.CLOSE", packets.close(code), code=code)
    yield _row("pairing confirmation", "inner.PAIRING_CONFIRM", packets.confirm())
    for count in (0, 1, 300):
        yield _row(f"padding of {count} zeros", "inner.PADDING", bytes((14,)) + bytes(count), zeros=bytes(count))
    for count in (0, 1, 1_160):
        data = packets.ping(_M32 - count, packets.PROBE) + bytes(count)
        yield _row(f"probe with {count} zeros", "inner.PROBE", data, id=_M32 - count, zeros=bytes(count))
    yield _row("probe acknowledgement", "inner.PROBE_ACK", packets.ping(7, packets.PROBE_ACK), id=7)


def _relay() -> Iterator[Json]:
    """Yield the frames of a relay channel (5-relay.md)."""
    key_id = secret("destination", 16)
    for link_type in (3, 4):
        data = struct.pack(">BBBBI", 1, 7, 1, 0, _M32) + key_id + bytes((link_type,))
        yield _row(f"relay open, link type {link_type}", "relay.RELAY_OPEN", data,
                   channel=7, flow=_M32, destination=key_id, link_type=link_type)  # fmt: skip
    yield _row("relay opened", "relay.RELAY_OPENED", struct.pack(">BBBBI", 1, 7, 2, 1, 0), channel=7, flow=0)
    for code in (1, 2, 3):
        data = struct.pack(">BBBBIB", 1, 7, 3, 1, 0x01020304, code)
        yield _row(f"relay refused {code}", "relay.RELAY_REFUSED", data, channel=7, flow=0x01020304, code=code)
    for side in (0, 1):
        data = struct.pack(">BBBBI", 1, 7, 4, side, 9)
        yield _row(f"relay closed, side {side}", "relay.RELAY_CLOSED", data, channel=7, side=side, flow=9)
    for number, index, count in ((0, 0, 1), (65_535, 3, 4)):
        data = struct.pack(">BBBBIHBB", 1, 7, 5, 1, 9, number, index, count)
        yield _row(f"relay data header, part {index} of {count}", "relay.RELAY_DATA_HEADER", data,
                   channel=7, side=1, flow=9, id=number, index=index, count=count)  # fmt: skip


def vectors() -> list[Json]:
    """Return every declaration at least once."""
    return [*_envelopes(), *_channels(), *_acknowledgements(), *_link(), *_relay()]


Change = Callable[[bytes], bytes]


def _at(place: int, value: int) -> Change:
    return lambda data: data[:place] + bytes((value,)) + data[place + 1 :]


_SHORTER: Final[Change] = lambda data: data[:-1]  # noqa: E731  # a row of a table
_LONGER: Final[Change] = lambda data: data + b"\0"  # noqa: E731
_CHANGES: Final[dict[str, list[tuple[str, Change, str]]]] = {
    "datagram.INITIATION_HEADER": [
        ("sender 0", lambda data: data[:4] + bytes(4) + data[8:], "out of range"),
        ("kind 0", _at(3, 0), "unknown value"), ("kind 3", _at(3, 3), "unknown value"),
        ("link type 0", _at(8, 0), "unknown value"), ("link type 5", _at(8, 5), "unknown value"),
        ("role 0", _at(9, 0), "unknown value"), ("role 5", _at(10, 5), "unknown value"),
        ("reserved byte", _at(11, 128), "reserved bits"), ("another type", _at(0, 2), "wrong type"),
    ],
    "datagram.RESPONSE_HEADER": [
        ("sender 0", lambda data: data[:4] + bytes(4) + data[8:], "out of range"),
        ("receiver 0", lambda data: data[:8] + bytes(4), "out of range"),
        ("first reserved byte", _at(1, 1), "reserved bits"), ("last reserved byte", _at(3, 1), "reserved bits"),
        ("another type", _at(0, 5), "wrong type"),
    ],
    "datagram.FINISH_HEADER": [("reserved byte", _at(2, 1), "reserved bits"),
                               ("another type", _at(0, 2), "wrong type")],
    "datagram.COOKIE_REPLY": [
        ("receiver 0", lambda data: data[:4] + bytes(4) + data[8:], "out of range"),
        ("reserved byte", _at(3, 1), "reserved bits"), ("another type", _at(0, 4), "wrong type"),
    ],
    "datagram.REFUSED": [
        ("code 0", _at(1, 0), "unknown value"), ("code 5", _at(1, 5), "unknown value"),
        ("reserved byte", _at(2, 1), "reserved bits"), ("another type", _at(0, 1), "wrong type"),
        ("receiver 0", lambda data: data[:4] + bytes(4) + data[8:], "out of range"),
    ],
    "datagram.DATA_HEADER": [("reserved byte", _at(1, 1), "reserved bits"), ("another type", _at(0, 3), "wrong type")],
    "datagram.INITIATION_PAYLOAD": [("counter 0", lambda data: bytes(8) + data[8:], "out of range")],
    "datagram.RESPONSE_PAYLOAD": [],
    "datagram.PROLOGUE": [
        ("another label", _at(0, 97), "wrong type"), ("reserved byte", _at(22, 1), "reserved bits"),
        ("kind 3", _at(18, 3), "unknown value"), ("role 0", _at(20, 0), "unknown value"),
    ],
    "record.RECORD_HEADER": [("type 0", _at(2, 0), "unknown value"), ("type 7", _at(2, 7), "unknown value")],
    "inner.CHANNEL_HEADER": [
        ("channel 0", _at(1, 0), "unknown value"), ("channel 8", _at(1, 8), "unknown value"),
        ("another type", _at(0, 2), "wrong type"),
    ],
    "inner.CONTROL_HEADER": [
        ("lifetime 0", lambda data: data[:2] + bytes(2) + data[4:], "out of range"),
        ("channel 0", _at(1, 0), "unknown value"),
    ],
    "inner.COMMAND_HEADER": [("flag 4", _at(3, 4), "unknown value"), ("flag 0x8000", _at(2, 128), "unknown value")],
    "inner.STREAM_HEADER": [("scheme 1", _at(3, 1), "out of range"), ("channel 200", _at(1, 200), "unknown value")],
    "inner.STREAM_BUNDLE_HEADER": [
        ("count 0", lambda data: data[:2] + bytes(2) + data[4:], "out of range"),
        ("count 1", lambda data: data[:2] + b"\x00\x01" + data[4:], "out of range"),
        ("count 32756", lambda data: data[:2] + b"\x7f\xf4" + data[4:], "out of range"),
        ("channel 0", _at(1, 0), "unknown value"), ("another type", _at(0, 1), "wrong type"),
    ],
    "inner.STREAM_BUNDLE": [
        ("no messages", lambda data: data[:2] + bytes(2) + data[4:8], "out of range"),
        ("one message", lambda data: data[:2] + b"\x00\x01" + data[4:8] + b"\x00\x03one", "out of range"),
        ("a message more than there are", lambda data: data[:2] + b"\x00\x03" + data[4:8] + bytes(4), "too short"),
        ("a message less than there are", lambda data: data[:2] + b"\x00\x02" + data[4:8] + bytes(6), "trailing bytes"),
        ("first length too great by one", lambda data: data[:8] + b"\x00\x01" + data[10:], "too short"),
        ("last length too small by one", lambda data: data[:606] + b"\x02\xbb" + data[608:], "trailing bytes"),
        ("channel 0", _at(1, 0), "unknown value"),
    ],
    "inner.BULK_HEADER": [("channel 0", _at(1, 0), "unknown value")],
    "inner.ACK": [("reserved byte", _at(3, 1), "reserved bits"), ("channel 0", _at(1, 0), "unknown value")],
    "inner.ACK_RANGE": [],
    "inner.BULK_ACK_HEADER": [("17 ranges", _at(24, 17), "out of range")],
    "inner.BULK_ACK": [
        ("17 ranges", lambda data: data[:24] + bytes((17,)) + bytes(17 * 16), "out of range"),
        ("a range that is not there", lambda data: data[:24] + b"\x03" + data[25 : 25 + 32], "too short"),
    ],
    "inner.BULK_OFFER": [
        ("half a character", lambda data: data[:44] + b"\x01\xc3", "text"),
        ("an overlong character", lambda data: data[:44] + b"\x02\xc0\x80", "text"),
        ("a surrogate", lambda data: data[:44] + b"\x03\xed\xa0\x80", "text"),
    ],
    "inner.BULK_ACCEPT": [("channel 0", _at(1, 0), "unknown value")],
    "inner.BULK_DONE": [("status 4", _at(4, 4), "out of range"), ("direction 2", _at(5, 2), "unknown value")],
    "inner.PING": [("first reserved byte", _at(1, 1), "reserved bits"),
                   ("last reserved byte", _at(3, 1), "reserved bits")],
    "inner.PONG": [("reserved byte", _at(2, 255), "reserved bits")],
    "inner.REKEY_REQUEST": [("reserved byte", _at(3, 1), "reserved bits")],
    "inner.PATH_CHALLENGE": [("reserved byte", _at(1, 1), "reserved bits")],
    "inner.PATH_RESPONSE": [("reserved byte", _at(1, 1), "reserved bits")],
    "inner.CLOSE": [("code 8", _at(3, 8), "unknown value"), ("code 256", _at(2, 1), "unknown value"),
                    ("reserved byte", _at(1, 1), "reserved bits")],
    "inner.PAIRING_CONFIRM": [("reserved byte", _at(1, 1), "reserved bits")],
    "inner.PADDING": [("a bit in the last byte", lambda data: flip(data + b"\0", len(data)), "padding")],
    "inner.PROBE": [("a bit in the last byte", lambda data: flip(data + b"\0", len(data)), "padding"),
                    ("reserved byte", _at(3, 1), "reserved bits"), ("no id", lambda data: data[:7], "too short")],
    "inner.PROBE_ACK": [("reserved byte", _at(1, 1), "reserved bits")],
    "relay.RELAY_OPEN": [
        ("side 1", _at(3, 1), "wrong type"), ("another kind", _at(2, 2), "wrong type"),
        ("link type 0", _at(24, 0), "unknown value"), ("link type 5", _at(24, 5), "unknown value"),
    ],
    "relay.RELAY_OPENED": [("side 0", _at(3, 0), "wrong type"), ("another kind", _at(2, 1), "wrong type")],
    "relay.RELAY_REFUSED": [("side 0", _at(3, 0), "wrong type"), ("code 0", _at(8, 0), "unknown value"),
                            ("code 4", _at(8, 4), "unknown value")],
    "relay.RELAY_CLOSED": [("side 2", _at(3, 2), "unknown value"), ("channel 0", _at(1, 0), "unknown value")],
    "relay.RELAY_DATA_HEADER": [
        ("side 2", _at(3, 2), "unknown value"), ("index 4", _at(10, 4), "out of range"),
        ("no parts", _at(11, 0), "out of range"), ("five parts", _at(11, 5), "out of range"),
        ("another kind", _at(2, 4), "wrong type"),
    ],
}  # fmt: skip


def failures() -> list[Json]:
    """Return bytes that are no frame of their format: the last good vector of each, changed in one place."""
    good: dict[str, bytes] = {row["format"]: row["bytes"] for row in vectors()}
    found: list[Json] = []
    for fmt, data in good.items():
        changes = list(_CHANGES[fmt])
        if fmt not in {"inner.PADDING", "inner.PROBE"}:
            changes += [("one byte less", _SHORTER, "too short"), ("one byte more", _LONGER, "trailing bytes")]
        changes.append(("nothing", lambda _: b"", "too short"))
        for what, change, expect in changes:
            name = f"{fmt.partition('.')[2].lower().replace('_', ' ')}: {what}"
            found.append({"name": name, "format": fmt, "bytes": change(data), "expect": expect})
    return found
