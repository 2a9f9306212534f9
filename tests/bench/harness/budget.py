"""What each step of a message costs, without a loop and without a network: the rows of specs/performance.md."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols.channels import Channels
from protocols.crypto.ciphers import CIPHERS
from protocols.guards.address import ip_address
from protocols.link import batch
from protocols.link.batch import DATAGRAM_LANE_BYTES, MAX_SEGMENTS, OVERHEAD_BYTES, Lane, Lanes
from protocols.link.config import LinkConfig
from protocols.link.handshake import SessionKeys
from protocols.link.session import DatagramSession
from protocols.link.train import Train
from specs.registry import CHANNELS, ChannelId, LinkType
from tests.bench.harness.model import Measure, Reading, Side
from tests.bench.harness.payload import MESSAGE_BYTES, messages

STEPS: Final = (
    "queue: `Channels.send_many`",
    "frames: `Channels.next_frames`",
    "seal: `DatagramSession.seal_trains`",
    "open: `DatagramSession.open_run_untrusted`",
    "deliver: `Channels.receive_run_untrusted`, `next_events`",
    "of seal and open: the cipher alone (`cryptography`)",
)
ONE_EACH_BYTES: Final = 1_252
"""Frames in which one message is alone."""
SHARED_BYTES: Final = 65_475
"""Frames that loopback takes."""
_BURST: Final = 500
_KEY: Final = bytes(32)
T = TypeVar("T")


class _Ends:
    """Both ends of one link, as far as messages are concerned."""

    def __init__(self, frame_bytes: int) -> None:
        config = LinkConfig()
        there, back = bytes(range(32)), bytes(range(32, 64))
        binding = bytes(32)
        ours, theirs = SessionKeys("AESGCM", there, back, binding), SessionKeys("AESGCM", back, there, binding)
        self.sealing = DatagramSession(ours, config, index=1, peer_index=2, epoch=0, now=0.0)
        self.opening = DatagramSession(theirs, config, index=2, peer_index=1, epoch=0, now=0.0)
        self.giving, self.taking = _channels(frame_bytes), _channels(frame_bytes)
        self.lanes = Lanes(DATAGRAM_LANE_BYTES, 1)
        self.lane = Lane(DATAGRAM_LANE_BYTES)
        self.address = ip_address("192.0.2.1", 1)


def _channels(frame_bytes: int) -> Channels:
    table = CHANNELS[LinkType.AIRLINK]
    return Channels(table, now=0.0, entropy=bytes, reliable=False, max_frame_bytes=frame_bytes)


def step_cost(step: int, frame_bytes: int) -> Side:
    """Nanoseconds that a step of ``STEPS`` (from 1) takes per message."""

    @asynccontextmanager
    async def side() -> AsyncGenerator[Measure]:
        burst = messages(MESSAGE_BYTES, _BURST)

        async def measure(seconds: float) -> Reading:
            ends, spent, done = _Ends(frame_bytes), [0.0] * len(STEPS), 0
            end = perf_counter() + seconds
            while perf_counter() < end or not done:
                if ends.sealing.seals_left < 2 * _BURST:
                    ends = _Ends(frame_bytes)
                _one_burst(ends, burst, spent)
                done += len(burst)
            return Reading(spent[step - 1] / done * 1e9)

        yield measure

    return side


def _one_burst(ends: _Ends, burst: Sequence[bytes], spent: list[float]) -> None:
    _timed(spent, 0, lambda: ends.giving.send_many(ChannelId.VIDEO, burst, 0.0))
    limit = DATAGRAM_LANE_BYTES - MAX_SEGMENTS * OVERHEAD_BYTES
    while frames := _timed(spent, 1, lambda: ends.giving.next_frames(0.0, MAX_SEGMENTS, limit)):
        ends.lanes.reset()
        trains = _timed(spent, 2, lambda: ends.sealing.seal_trains(frames, ends.lanes, ends.address))
        for train in trains:
            opened = _timed(spent, 3, lambda: _open(ends, train))  # noqa: B023
            _timed(spent, 4, lambda: _deliver(ends.taking, opened))  # noqa: B023
        _timed(spent, 5, lambda: _cipher_alone(frames))


def _open(ends: _Ends, train: Train) -> Sequence[bytes]:
    seen = batch.counters_untrusted(train.data, train.segment_bytes)
    assert seen is not None
    frames = ends.opening.open_run_untrusted(train.data, train.segment_bytes, seen[1], ends.lane)
    assert frames is not None
    return frames


def _deliver(channels: Channels, frames: Sequence[bytes]) -> None:
    channels.receive_run_untrusted(frames, 0.0)
    while channels.next_events(0.0):
        pass


_AEAD: Final = CIPHERS["AESGCM"].new(_KEY)
assert isinstance(_AEAD, AESGCM)


def _cipher_alone(frames: Sequence[bytes]) -> None:
    nonce, header = bytes(12), bytes(16)
    for frame in frames:
        _AEAD.decrypt(nonce, _AEAD.encrypt(nonce, frame, header), header)


def _timed(spent: list[float], place: int, call: Callable[[], T]) -> T:
    start = perf_counter()
    result = call()
    spent[place] += perf_counter() - start
    return result
