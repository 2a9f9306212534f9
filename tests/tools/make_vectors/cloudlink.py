"""Bodies, records and relay batches of the cloudlink (specs/9-cloudlink.md), packed by hand."""

import struct
from typing import Any, Final

from tests.tools.make_vectors.base import Json, is_a, secret

_LABEL: Final = b"AEC\x01"
_KINDS: Final = {
    "TELEMETRY": 1, "ALARMS": 2, "ACCEPTED": 3, "UPLOAD_OPEN": 4, "UPLOAD_STATE": 5, "DOWNLINK_ACK": 6,
    "DOWNLINK_MESSAGE": 7, "TIME": 8, "HEALTH": 9, "RENEWAL": 10, "ENROLMENT": 11, "CERTIFICATE": 12,
}  # fmt: skip
_RECORD, _BATCH = "record", "relay batch"
_OUTBOX, _KEY, _SHA, _UPLOAD = secret("outbox", 8), secret("drone", 16), secret("object"), secret("upload", 16).hex()
_BATTERY: Final = bytes.fromhex("0302005000002ee0fffff83000000010")
_MAVLINK: Final = bytes.fromhex("0501fe00000000000000")
_BODIES: Final[dict[str, tuple[str, Json]]] = {
    "two messages": (
        "TELEMETRY",
        {"outbox": _OUTBOX, "sequence": 1, "times_ms": [1_700_000_000_000, 0], "messages": [_BATTERY, _MAVLINK]},
    ),
    "of a known drone, a user's message": (
        "TELEMETRY",
        {"outbox": _OUTBOX, "sequence": 2**63 - 1, "times_ms": [2**53], "messages": [b"\x80\x00"], "drone": _KEY},
    ),
    "two alarms": (
        "ALARMS",
        {
            "outbox": _OUTBOX,
            "sequence": 256,
            "alarms": [
                {"time_ms": 7, "kind": "LOAD_MODE"},
                {"time_ms": 8, "kind": "KEY_FAILED", "detail": "one line", "source": _KEY},
            ],
        },
    ),
    "new": ("ACCEPTED", {"sequence": 65_536}),
    "there already": ("ACCEPTED", {"sequence": 1, "repeated": True}),
    "a sealed log": ("UPLOAD_OPEN", {"kind": "sealed-log", "name": "flight 1", "size_bytes": 2**40, "sha256": _SHA}),
    "a file": ("UPLOAD_OPEN", {"kind": "file", "name": "\u00fc" * 100, "size_bytes": 1, "sha256": _SHA}),
    "not begun": ("UPLOAD_STATE", {"upload": _UPLOAD, "phase": "open", "offset": 0}),
    "without keys": ("UPLOAD_STATE", {"upload": _UPLOAD, "phase": "held", "offset": 2**32}),
    "whole": ("UPLOAD_STATE", {"upload": _UPLOAD, "phase": "stored", "offset": 2**40}),
    "refused": ("UPLOAD_STATE", {"upload": _UPLOAD, "phase": "refused", "offset": 9, "reason": "signer"}),
    "up to the third": ("DOWNLINK_ACK", {"sequence": 3}),
    "a notice": ("DOWNLINK_MESSAGE", {"topic": "notice", "time_ms": 1_700_000_000_000, "body": b"\x81\xa1a\x01"}),
    "now": ("TIME", {"time_ms": 1_700_000_000_000}),
    "version 1": ("HEALTH", {"version": 1}),
    "a request": ("RENEWAL", {"csr": secret("csr", 300)}),
    "a token": ("ENROLMENT", {"token": "ABCD-EFGH", "csr": secret("csr", 255)}),
    "issued": ("CERTIFICATE", {"certificate": secret("certificate", 600), "authority": secret("authority", 500)}),
}

# --- msgpack --------------------------------------------------------------------------------------


def _head(size: int, below: int, short: int, codes: dict[int, int]) -> bytes:
    """One byte for small sizes, else the code of the shortest form that fits."""
    if size < below:
        return bytes((short | size,))
    bits = next(bits for bits in codes if size < 1 << bits)
    return bytes((codes[bits],)) + size.to_bytes(bits // 8, "big")


def pack(value: Any) -> bytes:
    """Return a value in its one encoding (msgpack-maps.md)."""
    if is_a(value, bool):
        return b"\xc3" if value else b"\xc2"
    if is_a(value, int):
        return _head(value, 0x80, 0, {8: 0xCC, 16: 0xCD, 32: 0xCE, 64: 0xCF})
    if is_a(value, bytes):
        return _head(len(value), 0, 0, {8: 0xC4, 16: 0xC5, 32: 0xC6}) + bytes(value)
    if is_a(value, str):
        text = str(value).encode()
        return _head(len(text), 32, 0xA0, {8: 0xD9, 16: 0xDA, 32: 0xDB}) + text
    items = value if is_a(value, list) else [each for key in sorted(value) for each in (key, value[key])]
    short, codes = (0x90, {16: 0xDC, 32: 0xDD}) if is_a(value, list) else (0x80, {16: 0xDE, 32: 0xDF})
    return _head(len(value), 16, short, codes) + b"".join([pack(each) for each in items])


def _framed(kind: int, content: bytes) -> bytes:
    return _LABEL + struct.pack(">HHI", kind, 0, len(content)) + content


def _body(body: str, value: Json) -> bytes:
    return _framed(_KINDS[body], pack(value))


def _value(value: Any) -> Any:
    """As the kind `map` writes what JSON has not."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if is_a(value, list):
        return [_value(each) for each in value]
    return {key: _value(each) for key, each in value.items()} if is_a(value, dict) else value


# --- the rest -------------------------------------------------------------------------------------

_FLOW: Final = 0xFFFFFFFF
_OPEN: Final = struct.pack(">BBBBI", 1, 7, 1, 0, 1) + _KEY + b"\4"
_OPENED: Final = struct.pack(">BBBBI", 1, 7, 2, 1, _FLOW)
_DATA: Final = struct.pack(">BBBBIHBB", 1, 7, 5, 0, 1, 0, 0, 1) + bytes(1_452)
_PART: Final = struct.pack(">BBBBIHBB", 1, 7, 5, 0, 1, 9, 0, 2) + bytes(100)


def _batch(*frames: bytes) -> bytes:
    return _LABEL + struct.pack(">H", len(frames)) + b"".join([struct.pack(">H", len(each)) + each for each in frames])


def _record(kind: int, sequence: int, payload: bytes = b"") -> bytes:
    return bytes((kind, 0, 0, 0)) + struct.pack(">QI", sequence, len(payload)) + payload


def _others() -> list[Json]:
    message = _body(*_BODIES["a notice"])
    batch = _batch(_OPEN, _OPENED, _DATA)
    rows: list[tuple[str, str, Json, bytes]] = [
        ("three frames", _BATCH, {"frames": [_OPEN, _OPENED, _DATA]}, batch),
        ("as many as there may be", _BATCH, {"frames": [_OPENED] * 128}, _batch(*[_OPENED] * 128)),
        ("keepalive", _RECORD, {"kind": 0, "sequence": 0, "payload": b""}, _record(0, 0)),
        ("message", _RECORD, {"kind": 1, "sequence": 9, "payload": message}, _record(1, 9, message)),
        ("relay", _RECORD, {"kind": 2, "sequence": 0, "payload": batch}, _record(2, 0, batch)),
    ]
    return [
        {"name": f"{body}: {name}", "body": body, "value": _value(value), "bytes": data}
        for name, body, value, data in rows
    ]


def vectors() -> list[Json]:
    """Return every kind of body, and the other two."""
    bodies = [
        {"name": f"{body}: {name}", "body": body, "value": _value(value), "bytes": _body(body, value)}
        for name, (body, value) in _BODIES.items()
    ]
    return [*bodies, *_others()]


# --- failures -------------------------------------------------------------------------------------


def failures() -> list[Json]:
    """Return what is refused where `body` is expected (CL-1 to CL-3, CL-12, CL-30, CL-35, CL-40)."""
    found: list[Json] = []

    def add(body: str, what: str, expect: str, data: bytes) -> None:
        found.append({"name": f"{body}: {what}", "body": body, "bytes": data, "expect": expect})

    good = _body(*_BODIES["new"])
    add("ACCEPTED", "nothing", "length", b"")
    add("ACCEPTED", "one byte less", "length", good[:-1])
    add("ACCEPTED", "one byte more", "length", good + b"\0")
    add("ACCEPTED", "a length that is not there", "length", good[:8] + b"\xff\xff\xff\xff" + good[12:])
    add("ACCEPTED", "version 2", "label", b"AEC\2" + good[4:])
    add("ACCEPTED", "kind 0", "kind", good[:4] + bytes(2) + good[6:])
    add("ACCEPTED", "kind 13", "kind", good[:4] + b"\0\x0d" + good[6:])
    add("ACCEPTED", "another kind", "kind", _body(*_BODIES["up to the third"]))
    add("ACCEPTED", "reserved byte", "reserved bits", good[:7] + b"\1" + good[8:])
    add("ACCEPTED", "an array", "map", _framed(3, b"\x90"))
    add("ACCEPTED", "keys descending", "map", _framed(3, b"\x82\xa1b\x01\xa1a\x01"))
    for what, (name, change, expect) in _CHANGES.items():
        body, value = _BODIES[name]
        add(body, what, expect, _body(body, {**value, **change}))
    for name, (body, value) in _BODIES.items():
        for key in value:
            if (body, key) not in _OPTIONAL:
                rest = {each: value[each] for each in value if each != key}
                add(body, f"{name}, without {key}", "missing key", _body(body, rest))
    _other_failures(add)
    return found


_OPTIONAL: Final = {("TELEMETRY", "drone"), ("ACCEPTED", "repeated"), ("UPLOAD_STATE", "reason")}
_CHANGES: Final[dict[str, tuple[str, Json, str]]] = {
    "sequence 0": ("new", {"sequence": 0}, "out of range"),
    "sequence 2^63": ("new", {"sequence": 2**63}, "out of range"),
    "a number for a boolean": ("there already", {"repeated": 1}, "wrong type"),
    "a name of 201 bytes": ("a file", {"name": "a" * 201}, "out of range"),
    "a name that is not printable": ("a file", {"name": "a\nb"}, "text"),
    "a name that is no text": ("a file", {"name": b"a"}, "wrong type"),
    "size 0": ("a file", {"size_bytes": 0}, "out of range"),
    "size 2^40 + 1": ("a file", {"size_bytes": 2**40 + 1}, "out of range"),
    "31 bytes of hash": ("a file", {"sha256": bytes(31)}, "out of range"),
    "an unknown kind of upload": ("a file", {"kind": "folder"}, "unknown value"),
    "an unknown phase": ("whole", {"phase": "done"}, "unknown value"),
    "an unknown reason": ("refused", {"reason": "why not"}, "unknown value"),
    "an upload in capitals": ("whole", {"upload": "AB" * 16}, "text"),
    "an upload of 31 digits": ("whole", {"upload": "a" * 31}, "text"),
    "a body that is no map": ("a notice", {"body": b"\x90"}, "map"),
    "a body that ends too early": ("a notice", {"body": b"\x81"}, "map"),
    "a time beyond 2^53": ("now", {"time_ms": 2**53 + 1}, "out of range"),
    "no messages": ("two messages", {"times_ms": [], "messages": []}, "out of range"),
    "more times than messages": ("two messages", {"times_ms": [1, 2, 3]}, "message"),
    "a message that travels up": ("two messages", {"messages": [_BATTERY, b"\1\1" + bytes(10)]}, "message"),
    "a message that nobody knows": ("two messages", {"messages": [_BATTERY, b"\x7f\xff"]}, "message"),
    "a message of one byte": ("two messages", {"messages": [_BATTERY, b"\5"]}, "out of range"),
    "a drone of 15 bytes": ("two messages", {"drone": bytes(15)}, "out of range"),
    "an outbox of 9 bytes": ("two messages", {"outbox": bytes(9)}, "out of range"),
    "an alarm without a kind": ("two alarms", {"alarms": [{"time_ms": 7}]}, "missing key"),
    "no alarm": ("two alarms", {"alarms": []}, "out of range"),
    "65 alarms": ("two alarms", {"alarms": [{"time_ms": 7, "kind": "A"}] * 65}, "out of range"),
}


def _other_failures(add: Any) -> None:
    message, batch = _body(*_BODIES["a notice"]), _batch(_OPENED)
    add(_RECORD, "kind 3", "kind", _record(3, 0))
    add(_RECORD, "reserved byte", "reserved bits", b"\0\0\0\1" + _record(0, 0)[4:])
    add(_RECORD, "a keepalive with a sequence", "sequence", _record(0, 1))
    add(_RECORD, "a keepalive with a payload", "length", _record(0, 0, b"x"))
    add(_RECORD, "a message without a sequence", "sequence", _record(1, 0, message))
    add(_RECORD, "a message of another kind", "kind", _record(1, 1, _body(*_BODIES["now"])))
    add(_RECORD, "relay with a sequence", "sequence", _record(2, 1, batch))
    add(_RECORD, "relay without a batch", "length", _record(2, 0))
    add(_RECORD, "one byte less", "length", _record(1, 9, message)[:-1])
    add(_RECORD, "one byte more", "length", _record(1, 9, message) + b"\0")
    add(_BATCH, "no frames", "length", _batch())
    add(_BATCH, "129 frames", "length", _batch(*[_OPENED] * 129))
    add(_BATCH, "a frame that is cut", "length", batch[:-1])
    add(_BATCH, "a byte after the last", "length", batch + b"\0")
    add(_BATCH, "version 2", "label", b"AEC\2" + batch[4:])
    add(_BATCH, "a part of a datagram", "frame", _batch(_OPENED, _PART))
    add(_BATCH, "another channel", "frame", _batch(_OPENED[:1] + b"\6" + _OPENED[2:]))
    add(_BATCH, "an unknown kind of frame", "frame", _batch(_OPENED[:2] + b"\6" + _OPENED[3:]))
    add(_BATCH, "a datagram without a byte", "frame", _batch(_DATA[:12]))
