"""Telemetry logs made to order: good frames of both MAVLink versions, and what spoils real logs."""

import random
import struct
from collections.abc import Callable
from typing import Any

from pymavlink.dialects.v20 import common

EPOCH_US = 1_700_000_000_000_000

Record = bytes
"""A timestamp and a frame, or any bytes between two of them."""


class LogMaker:
    """Good records, numbered and timed; the same seed makes the same log."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.time_us = EPOCH_US
        self._link: Any = common.MAVLink(None, srcSystem=1, srcComponent=1)

    def stamp(self) -> bytes:
        self.time_us += self.random.randrange(1_000, 50_000)
        return struct.pack(">Q", self.time_us)

    def frame(self, *, v1: bool = False, kind: int | None = None) -> bytes:
        value = self.random.random()
        makers: list[Callable[[], Any]] = [
            lambda: common.MAVLink_heartbeat_message(2, 3, 81, self.random.randrange(30), 4, 3),
            lambda: common.MAVLink_attitude_message(int(value * 1e6), value, -value, value, 0.0, value, 0.0),
            lambda: common.MAVLink_gps_raw_int_message(int(value * 1e9), 3, 1, 2, 3, 4, 5, 6, 7, 8),
            lambda: common.MAVLink_statustext_message(6, b"phase %d" % int(value * 1000)),
            lambda: common.MAVLink_param_value_message(b"GAIN_%d" % int(value * 9), value, 9, 10, 1),
            lambda: common.MAVLink_battery_status_message(
                int(value * 3), 0, 0, 0, [4000] * 10, 100, 1, 1, int(value * 99)
            ),
            lambda: common.MAVLink_named_value_float_message(1, b"abc", value),
            lambda: common.MAVLink_high_latency2_message(*[1] * 27),
            lambda: common.MAVLink_play_tune_message(1, 1, b"A", b"B"),
        ]
        message = makers[self.random.randrange(7) if kind is None else kind]()
        packed = bytes(message.pack(self._link, force_mavlink1=v1))
        self._link.seq = (self._link.seq + 1) % 256
        return packed

    def record(self, *, v1: bool = False, kind: int | None = None) -> Record:
        return self.stamp() + self.frame(v1=v1, kind=kind)

    def signed(self) -> Record:
        self._link.signing.secret_key = b"k" * 32
        self._link.signing.sign_outgoing = True
        try:
            return self.record()
        finally:
            self._link.signing.secret_key = None
            self._link.signing.sign_outgoing = False

    def unknown(self, *, v1: bool = False) -> Record:
        body = self.random.randbytes(self.random.randrange(1, 40))
        head = bytes([0xFE, len(body), 7, 1, 1, 94])
        if not v1:
            head = bytes([0xFD, len(body), 0, 0, 7, 1, 1]) + (5_000_000).to_bytes(3, "little")
        return self.stamp() + head + body + b"\x12\x34"

    def bad_crc(self, *, v1: bool = False, kind: int | None = None) -> Record:
        record = bytearray(self.record(v1=v1, kind=kind))
        record[-1] ^= 0x55
        return bytes(record)

    def boot_text(self) -> bytes:
        text = b"\r\n\nInit ArduCopter V4.5.7 (2a3dc4b7)\n\nFree RAM: 12345\r\nload_all took 1234us\r\n"
        return text[: self.random.randrange(1, len(text))]

    def marked_garbage(self) -> bytes:
        data = bytearray(self.random.randbytes(self.random.randrange(1, 120)))
        for _ in range(4):
            data[self.random.randrange(len(data))] = self.random.choice([0xFE, 0xFD])
        return bytes(data)

    def cut(self) -> bytes:
        record = self.record(v1=self.random.random() < 0.5)
        return record[: self.random.randrange(1, len(record))]

    def backwards(self) -> Record:
        self.time_us -= 60_000_000
        return self.record()

    def far_future(self) -> Record:
        return struct.pack(">Q", self.time_us + 10**14) + self.frame()

    def messy(self, records: int, versions: str = "12", spoil: float = 0.2) -> bytes:
        """A log of about `records` good records, with something else instead of some of them."""
        spoilers: list[Callable[[], bytes]] = [
            self.signed, self.unknown, self.bad_crc, self.boot_text, self.marked_garbage, self.cut,
            self.backwards, self.far_future, lambda: self.random.randbytes(self.random.randrange(40)),
            lambda: self.bad_crc(v1=True), lambda: self.unknown(v1=True),
        ]  # fmt: skip
        parts: list[bytes] = []
        for _ in range(records):
            if self.random.random() < spoil:
                parts.append(self.random.choice(spoilers)())
            else:
                parts.append(self.record(v1=self.random.choice(versions) == "1"))
        return b"".join(parts)
