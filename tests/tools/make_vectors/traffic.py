"""Data datagrams and records of the sessions (specs/1-link.md, 1.5), good and bad."""

import struct
from collections.abc import Iterator
from typing import Final

from tests.tools.make_vectors import packets
from tests.tools.make_vectors.base import Json, flip, secret
from tests.tools.make_vectors.handshakes import Case, cases
from tests.tools.make_vectors.noise import SUITES, Suite
from tests.tools.make_vectors.packets import seal_datagram, seal_record

_FORWARD, _BACK = "initiator to responder", "responder to initiator"
_REQUEST: Final = struct.pack(">BBHII", 1, 2, 0, 0, 0) + b"\x02\x01\x00\x03"
_FRAMES: Final[dict[str, dict[str, bytes]]] = {
    _FORWARD: {
        "ping": packets.ping(0xFFFFFFFF),
        "control": struct.pack(">BBHII", 1, 1, 500, 0, 77) + bytes.fromhex("01010000000000000000"),
        "command": _REQUEST,
        "stream, first of two": struct.pack(">BBHIHH", 1, 5, 0, 0, 0, 2) + b"mavlink ",
        "stream, second of two": struct.pack(">BBHIHH", 1, 5, 0, 0, 1, 2) + b"frame",
        "stream bundle": struct.pack(">BBHIHH", 15, 5, 2, 1, 7, 6) + b"mavlinkframes",
        "path challenge": bytes((6, 0, 0, 0)) + secret("challenge", 8),
        "padding": bytes(300),
        "close": packets.close(0),
    },
    _BACK: {
        "state": struct.pack(">BBHI", 1, 3, 0x0302, 0) + bytes.fromhex("0302004b000056b80000000000000514"),
        "command": _REQUEST,
        "stream of no bytes": struct.pack(">BBHIHH", 1, 4, 0, 0, 0, 1),
        "stream bundle of unequal messages": struct.pack(">BBHIHHH", 15, 4, 3, 1, 0, 9, 1) + secret("pictures", 10),
        "bulk offer": struct.pack(">BBHQ", 11, 6, 9, 1 << 20) + secret("object") + b"\x03log",
        "ping": packets.ping(5),
        "padding of nothing": bytes((14,)),
        "close": packets.close(1),
    },
}
_FRAMES[_FORWARD]["padding"] = bytes((14,)) + bytes(299)
_COUNTERS: Final = (1, 2, 3, 255, 256, 257, 2**16, 2**23, 2**24 - 1)


def _key(case: Case, direction: str) -> tuple[bytes, int]:
    """Return key and receiver index of a direction."""
    outcome = case.outcome
    return (outcome.forward, case.receiver) if direction == _FORWARD else (outcome.back, case.sender)


def _session(suite: Suite) -> Case:
    return cases(suite)[1]


def _base(case: Case, direction: str, what: str) -> Json:
    return {"name": f"{case.suite.name}, {direction}: {what}", "handshake": case.name, "direction": direction}


def datagrams() -> list[Json]:
    """Return datagrams of both directions; in the order of the file they are one conversation."""
    return [row for suite in SUITES for direction in _FRAMES for row in _datagrams(_session(suite), direction)]


def _datagrams(case: Case, direction: str) -> Iterator[Json]:
    key, index = _key(case, direction)
    counters = (*_COUNTERS[: len(_FRAMES[direction]) - 1], _COUNTERS[-1])
    for (what, frame), counter in zip(_FRAMES[direction].items(), counters, strict=True):
        yield _base(case, direction, f"{what}, counter {counter}") | {
            "suite": case.suite.id,
            "key": key,
            "receiver": index,
            "counter": counter,
            "frame": frame,
            "datagram": seal_datagram(case.suite, key, index, counter, frame),
        }


def datagram_failures() -> list[Json]:
    """Return datagrams that are dropped."""
    classical = [_session(suite) for suite in SUITES if not suite.hybrid]
    return [row for case in classical for direction in _FRAMES for row in _datagram_failures(case, direction)]


def _datagram_failures(case: Case, direction: str) -> Iterator[Json]:
    suite, (key, index) = case.suite, _key(case, direction)
    frame = packets.ping(9)
    good = seal_datagram(suite, key, index, 7, frame)
    header, other_key = good[:16], _key(case, _BACK if direction == _FORWARD else _FORWARD)[0]

    def made(what: str, datagram: bytes, expect: str, before: tuple[int, ...] = ()) -> Json:
        return _base(case, direction, what) | {
            "before": [seal_datagram(suite, key, index, counter, frame) for counter in before],
            "datagram": datagram,
            "then": seal_datagram(suite, key, index, max((8, *before)) + 1, frame),
            "expect": expect,
        }

    def sealed(nonce: bytes, data: bytes) -> bytes:
        return header + bytes(suite.aead(key).encrypt(nonce, frame, data))

    yield made("first bit of the ciphertext", flip(good, 16, 7), "decrypt")
    yield made("last bit of the tag", flip(good, len(good) - 1), "decrypt")
    yield made("another counter in the header", flip(good, 15), "decrypt")
    yield made("a byte less", good[:-1], "decrypt")
    yield made("a byte more", good + b"\0", "decrypt")
    yield made("the key of the other direction", seal_datagram(suite, other_key, index, 7, frame), "decrypt")
    yield made("a stranger's key", seal_datagram(suite, secret("stranger"), index, 7, frame), "decrypt")
    yield made("nonce of a Noise CipherState", sealed(struct.pack(">4xQ", 7), header), "decrypt")
    yield made("counter little-endian in the nonce", sealed(header[4:8] + struct.pack("<Q", 7), header), "decrypt")
    yield made("no associated data", sealed(header[4:], b""), "decrypt")
    for at in (1, 2, 3):
        yield made(f"reserved byte {at}", flip(good, at), "reserved bits")
    yield made("a packet type that does not exist", b"\x07" + good[1:], "unknown type")
    yield made("an index that is nobody's", flip(good, 4), "unknown index")
    yield made("index 0", good[:4] + bytes(4) + good[8:], "unknown index")
    yield made("header and half a tag", good[:24], "length")
    yield made("31 bytes", good[:31], "length")
    yield made("the same again", good, "replay", (7,))
    yield made("the same again, after others", good, "replay", (7, 8, 2_000))
    yield made("2,049 behind the highest", good, "old counter", (7 + 2_049,))
    yield made("far behind the highest", good, "old counter", (2**23,))
    yield made("message 2^24 + 1", seal_datagram(suite, key, index, 2**24, frame), "exhausted")
    yield made("the highest counter there is", seal_datagram(suite, key, index, 2**64 - 1, frame), "exhausted")


def records() -> list[Json]:
    """Return records of both directions; those of one handshake and direction follow each other in a stream."""
    return [
        row
        for suite in SUITES
        for case in cases(suite)[1:]
        for direction in _FRAMES
        for row in _records(case, direction)
    ]


def _records(case: Case, direction: str) -> Iterator[Json]:
    key, _ = _key(case, direction)
    for counter, (what, frame) in enumerate(_FRAMES[direction].items(), 1):
        yield _base(case, direction, f"{what}, epoch {case.epoch}") | {
            "suite": case.suite.id,
            "key": key,
            "epoch": case.epoch,
            "counter": counter,
            "frame": frame,
            "record": seal_record(case.suite, key, case.epoch, counter, frame),
        }


def record_failures() -> list[Json]:
    """Return records that end the link."""
    classical = [_session(suite) for suite in SUITES if not suite.hybrid]
    return [row for case in classical for direction in _FRAMES for row in _record_failures(case, direction)]


def _record_failures(case: Case, direction: str) -> Iterator[Json]:
    suite, (key, _) = case.suite, _key(case, direction)
    frame = packets.ping(9)
    good, after = seal_record(suite, key, 0, 1, frame), seal_record(suite, key, 0, 2, frame)
    other_key = _key(case, _BACK if direction == _FORWARD else _FORWARD)[0]
    length = len(frame) + 16

    def made(what: str, record: bytes, expect: str, *before: bytes) -> Json:
        return _base(case, direction, what) | {"before": list(before), "record": record, "expect": expect}

    yield made("first bit of the ciphertext", flip(good, 4, 7), "decrypt")
    yield made("last bit of the tag", flip(good, len(good) - 1), "decrypt")
    yield made("a byte more, the length says so", struct.pack(">H", length + 1) + good[2:] + b"\0", "decrypt")
    yield made("a byte less, the length says so", struct.pack(">H", length - 1) + good[2:-1], "decrypt")
    yield made("no bytes", bytes((0, 0, 4, 0)), "decrypt")
    yield made("less than a tag", bytes((0, 15, 4, 0)) + bytes(15), "decrypt")
    yield made("one record left out", after, "decrypt")
    yield made("the same again", good, "decrypt", good)
    yield made("the key of the other direction", seal_record(suite, other_key, 0, 1, frame), "decrypt")
    little = good[:4] + bytes(suite.aead(key).encrypt(struct.pack("<4xQ", 1), frame, good[:4]))
    yield made("counter little-endian in the nonce", little, "decrypt")
    yield made("no associated data", good[:4] + bytes(suite.aead(key).encrypt(struct.pack(">4xQ", 1), frame, b"")),
               "decrypt")  # fmt: skip
    yield made("an epoch that has no key", seal_record(suite, key, 1, 1, frame), "epoch")
    yield made("epoch 255", seal_record(suite, key, 255, 1, frame), "epoch")
    for kind in (0, 7, 255):
        yield made(f"record type {kind}", good[:2] + bytes((kind,)) + good[3:], "unknown type")
    yield made("a cookie reply", packets.record(struct.pack(">B3xI", 3, 1) + bytes(64)), "not allowed")
    yield made("end of stream without a close", b"", "truncated", good)
    yield made("end of stream in a header", after[:3], "truncated", good)
    yield made("end of stream in a record", after[:-1], "truncated", good)
