"""Keys in use: sealing and opening on one key pair, and which key pair is in use (specs/1-link.md, 1.5 and 1.7).

A session is one pair of keys with its counters and limits. It knows no peer, no channel and no address.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag

from protocols import codec
from protocols.crypto.ciphers import CIPHERS
from protocols.errors import DecryptError, KeyExhaustedError, ReplayError
from protocols.guards.address import Address
from protocols.guards.replay import ReplayWindow
from protocols.link import batch
from protocols.link.batch import Lane, Lanes
from protocols.link.config import LinkConfig
from protocols.link.handshake import SessionKeys
from protocols.link.train import Train, one
from specs.datagram import DATA_HEADER
from specs.record import RECORD_HEADER
from specs.registry import DATA_HEADER_BYTES, RECORD_HEADER_BYTES, REPLAY_WINDOW, TAG_BYTES, PacketType

_DATA_STRUCT: Final = codec.derive_struct(DATA_HEADER)
_RECORD_STRUCT: Final = codec.derive_struct(RECORD_HEADER)
_DATA_TYPE: Final = bytes((PacketType.DATA,))
_RESERVED: Final = bytes(3)
_NONCE_START: Final = 4
_RECENT: Final = 16
"""Copies of this many newest datagrams may name an address while another one is looked at (LK-81)."""
_ZERO4: Final = bytes(4)
_BATCHED_BYTES: Final = 4_096
"""Less than this is sealed frame by frame into a new object; a single frame that is larger goes into a lane."""


class Session(Protocol):
    """What the association needs of a key pair, whatever the carrier."""

    index: int
    peer_index: int
    epoch: int
    sent: int
    failed_opens: int
    created_s: float

    @property
    def seals_left(self) -> int: ...

    def seal(self, frame: bytes) -> bytes: ...

    def seal_trains(self, frames: Sequence[bytes], lanes: Lanes, address: Address | None) -> list[Train]: ...

    def open_untrusted(self, packet: codec.Buffer) -> bytes: ...

    def rekey_due(self, now: float) -> bool: ...

    def usable(self, now: float) -> bool: ...


class _KeyPair:
    """Limits and counts that datagrams and records share."""

    def __init__(
        self, keys: SessionKeys, config: LinkConfig, *, index: int, peer_index: int, epoch: int, now: float
    ) -> None:
        cipher = CIPHERS[keys.cipher]
        self._seal = cipher.new(keys.send)
        self._open = cipher.new(keys.receive)
        self._config = config
        self.index = index
        self.peer_index = peer_index
        self.epoch = epoch
        self.created_s = now
        self.sent: int = 0
        self.received: int = 0
        self.failed_opens: int = 0

    def rekey_due(self, now: float) -> bool:
        """Whether the next key should be made (LK-71)."""
        config = self._config
        return (
            now >= self.created_s + config.rekey_after_s
            or max(self.sent, self.received) >= config.rekey_after_messages
            or self.failed_opens >= config.rekey_after_failed_opens
        )

    def usable(self, now: float) -> bool:
        """Whether the key may still seal and open (LK-71)."""
        config = self._config
        young = now < self.created_s + config.refuse_after_s
        return young and max(self.sent, self.received) < config.refuse_after_messages

    @property
    def seals_left(self) -> int:
        """How many frames this key may still seal."""
        return self._config.refuse_after_messages - self.sent

    def _count_seals(self, count: int = 1) -> int:
        first = self.sent
        if first + count > self._config.refuse_after_messages:
            raise KeyExhaustedError("this key has sealed all the messages that it may")
        self.sent = first + count
        return first


class DatagramSession(_KeyPair):
    """Keys of UDP and relay links: explicit counters, replay window (LK-51 f.)."""

    def __init__(
        self, keys: SessionKeys, config: LinkConfig, *, index: int, peer_index: int, epoch: int, now: float
    ) -> None:
        super().__init__(keys, config, index=index, peer_index=peer_index, epoch=epoch, now=now)
        self.window = ReplayWindow(REPLAY_WINDOW, config.refuse_after_messages)
        self._header = (_DATA_TYPE, _RESERVED, peer_index)

    def seal(self, frame: bytes) -> bytes:
        """Return the datagram that carries an inner frame; KeyExhaustedError at the limit."""
        return self._seal_at(self._count_seals(), frame)

    def seal_trains(self, frames: Sequence[bytes], lanes: Lanes, address: Address | None) -> list[Train]:
        """Return the datagrams of frames, in order, as trains; KeyExhaustedError, and then none of them.

        A run of frames that has no lane any more, or does not fit one, is sealed one by one.
        """
        first = self._count_seals(len(frames))
        if len(frames) == 1 and len(frames[0]) < _BATCHED_BYTES:
            datagram = self._seal_at(first, frames[0])
            return [Train(datagram, len(datagram), address)]
        trains: list[Train] = []
        for run in batch.runs_of(frames):
            batched = len(run) > 1 or len(run[0]) >= _BATCHED_BYTES
            fits = len(run) <= batch.MAX_SEGMENTS and batch.train_bytes(run) <= lanes.size_bytes
            lane = lanes.take() if batched and fits else None
            if lane is not None:
                view = batch.seal_run(self._seal, self._header, first, run, lane)
                trains.append(Train(view, len(run[0]) + batch.OVERHEAD_BYTES, address))
            else:
                trains += [one(self._seal_at(counter, frame), address) for counter, frame in enumerate(run, first)]
            first += len(run)
        return trains

    def _seal_at(self, counter: int, frame: bytes) -> bytes:
        header = _DATA_STRUCT.pack(*self._header, counter)
        return header + self._seal.encrypt(header[_NONCE_START:], frame, header)

    def open_run_untrusted(
        self, data: codec.Buffer, length: int, counters: Sequence[int], lane: Lane
    ) -> list[bytes] | None:
        """Return the frames of a train whose datagrams are new, in order and genuine; None, and nothing has changed.

        ``counters`` are those of its headers, which name this session. After None each datagram is to be looked at
        alone. ``length`` is that of a datagram, as in :class:`~protocols.link.train.Train`.
        """
        first, count = counters[0], len(counters)
        in_order = first > self.window.highest and counters == tuple(range(first, first + count))
        if not in_order or len(data) > len(lane.view) or count > batch.MAX_SEGMENTS:
            return None
        try:
            frames = batch.open_run_untrusted(self._open, data, length, lane)
        except InvalidTag:
            return None
        if not self.window.accept_run(first, count):
            return None
        self.received += count
        return frames

    def open_untrusted(self, packet: codec.Buffer) -> bytes:
        """Return the inner frame; ReplayError or DecryptError, and then nothing but counts has changed.

        ``packet`` is a whole data datagram whose header is well-formed and names this session.
        """
        counter = int.from_bytes(packet[8:DATA_HEADER_BYTES], "big")
        if not self.window.check(counter):
            raise ReplayError("counter seen before or too old")
        frame = self._decrypt_untrusted(packet)
        if not self.window.accept(counter):  # pragma: no cover  # check() said yes and nothing came between
            raise ReplayError("counter seen before or too old")
        self.received += 1
        return frame

    def is_recent_copy_untrusted(self, packet: codec.Buffer) -> bool:
        """Whether a duplicate is a genuine copy of one of the newest datagrams; nothing is delivered or marked."""
        counter = int.from_bytes(packet[8:DATA_HEADER_BYTES], "big")
        if not self.window.highest - _RECENT < counter <= self.window.highest:
            return False
        try:
            self._decrypt_untrusted(packet)
        except DecryptError:
            return False
        return True

    def _decrypt_untrusted(self, packet: codec.Buffer) -> bytes:
        header = packet[:DATA_HEADER_BYTES]
        try:
            return self._open.decrypt(header[_NONCE_START:], packet[DATA_HEADER_BYTES:], header)
        except InvalidTag:
            self.failed_opens += 1
            raise DecryptError("the tag does not verify") from None


class RecordSession(_KeyPair):
    """Keys of TCP links: implicit counters, no gaps (LK-53 f.)."""

    def seal(self, frame: bytes) -> bytes:
        """Return the record that carries an inner frame; KeyExhaustedError at the limit."""
        header, nonce = self._prepare(self._count_seals(), frame)
        return header + self._seal.encrypt(nonce, frame, header)

    def seal_trains(self, frames: Sequence[bytes], lanes: Lanes, address: Address | None) -> list[Train]:
        """Return records one after the other, in one piece if there is a lane; KeyExhaustedError, and then none."""
        first = self._count_seals(len(frames))
        overhead = RECORD_HEADER_BYTES + TAG_BYTES
        size = sum(map(len, frames)) + overhead * len(frames)
        lane = lanes.take() if size >= _BATCHED_BYTES else None
        whole = memoryview(bytearray(size)) if lane is None or size > len(lane.view) else lane.view[:size]
        at = 0
        for counter, frame in enumerate(frames, first):
            header, nonce = self._prepare(counter, frame)
            body, end = at + RECORD_HEADER_BYTES, at + overhead + len(frame)
            whole[at:body] = header
            self._seal.encrypt_into(nonce, frame, header, whole[body:end])
            at = end
        return [one(whole, address)]

    def _prepare(self, counter: int, frame: bytes) -> tuple[bytes, bytes]:
        """Return the header, which is the associated data, and the nonce."""
        header = _RECORD_STRUCT.pack(len(frame) + TAG_BYTES, PacketType.DATA, self.epoch)
        return header, _ZERO4 + counter.to_bytes(8, "big")

    @property
    def opens_left(self) -> int:
        """How many records this key may still open."""
        return self._config.refuse_after_messages - max(self.sent, self.received)

    def open_untrusted(self, packet: codec.Buffer) -> bytes:
        """Return the inner frame of a whole record; DecryptError ends the link."""
        header = packet[:RECORD_HEADER_BYTES]
        nonce = _ZERO4 + self.received.to_bytes(8, "big")
        try:
            frame = self._open.decrypt(nonce, packet[RECORD_HEADER_BYTES:], header)
        except InvalidTag:
            self.failed_opens += 1
            raise DecryptError("the record's tag does not verify") from None
        self.received += 1
        return frame
