"""A camera that is not there: a moving test pattern, frame by frame, that says whether it arrived unharmed.

A frame stands for one encoded picture and is what the `stream` channel carries as one message (big-endian)::

    frame = magic "AVF" 0x01 | number u32 | length u32 | SHA-256 (32 bytes) | content (length bytes)

The hash covers number, length and content, in this order. It finds damage, not attackers: those are the
link's business. Sizes follow an encoder's habit: the first frame of each second is a key frame of four times
the size of the others, and the bytes of a second add up to the bit rate.

The content is a window that moves over bars with a grain of noise, made once from the seed, so a frame costs
a copy and a hash.
"""

import hashlib
import struct
from dataclasses import dataclass, field

from protocols.errors import ConfigError, UsageError

MAGIC = b"AVF\x01"
"""First bytes of a frame; the last one is the version of the layout."""

_HEAD = struct.Struct(">4sII32s")
_NUMBERED = struct.Struct(">II")

HEADER_BYTES = _HEAD.size
"""What a frame carries beside its content."""

KEY_FRAME_WEIGHT = 4
"""Size of a key frame, in other frames."""

_PATTERN_BYTES = 2**18
_BAR_BYTES = 2**12
_STEP_BYTES = 1_021  # a prime, so that the window meets each place of the pattern


class VideoSource:
    """Makes the frames of one camera. The same settings make the same frames."""

    def __init__(self, bitrate_bps: int = 8_000_000, rate_hz: int = 30, seed: int = 0) -> None:
        if not 1 <= rate_hz <= 240 or not 10_000 <= bitrate_bps <= 200_000_000:
            raise ConfigError(
                "video: 1 to 240 frames/s and 10,000 to 200,000,000 bit/s are possible, "
                f"not {rate_hz} and {bitrate_bps}"
            )
        self.rate_hz = rate_hz
        """Frames per second."""
        self._second_bytes = bitrate_bps // 8
        self._small_bytes = self._second_bytes // (rate_hz - 1 + KEY_FRAME_WEIGHT)
        if self._small_bytes <= HEADER_BYTES:
            raise ConfigError(f"video: {bitrate_bps} bit/s is too little for {rate_hz} frames/s")
        self._pattern = _pattern(seed, self._key_bytes)

    @property
    def _key_bytes(self) -> int:
        """Size of the first frame of a second: what the others leave of the bit rate."""
        return self._second_bytes - (self.rate_hz - 1) * self._small_bytes

    def frame_bytes(self, number: int) -> int:
        """Size of a frame with its header, bytes."""
        return self._key_bytes if number % self.rate_hz == 0 else self._small_bytes

    def due_s(self, number: int) -> float:
        """When a frame is to be sent, seconds after frame 0."""
        return number / self.rate_hz

    def frame(self, number: int) -> bytes:
        """Frame `number`, from 0 to 2**32 - 1."""
        if not 0 <= number < 2**32:
            raise UsageError(f"a frame number has 32 bits: {number}")
        length = self.frame_bytes(number) - HEADER_BYTES
        start = number * _STEP_BYTES % _PATTERN_BYTES
        content = self._pattern[start : start + length]
        return _HEAD.pack(MAGIC, number, length, _digest(number, content)) + content


@dataclass(slots=True)
class VideoSink:
    """Counts what arrives at the far end."""

    frames_received: int = 0
    """Good frames, each number once (as far back as `WINDOW` numbers)."""
    frames_corrupt: int = 0
    """Frames that are malformed, or whose hash is not theirs."""
    frames_repeated: int = 0
    """Good frames that had arrived before, or are too old to tell."""
    bytes_received: int = 0
    """Bytes of the frames received, headers included."""
    highest_number: int = -1
    """The newest frame so far; -1 before the first."""
    _seen: int = field(default=0, repr=False)

    WINDOW = 1_024
    """Numbers behind the newest within which a late frame still counts as received."""

    def feed(self, data: bytes) -> bool:
        """Take one frame as it was delivered; whether it counts as received. Never raises."""
        number = parse_frame_untrusted(data)
        if number is None:
            self.frames_corrupt += 1
            return False
        if not self._mark(number):
            self.frames_repeated += 1
            return False
        self.frames_received += 1
        self.bytes_received += len(data)
        return True

    @property
    def frames_missing(self) -> int:
        """Numbers up to the newest that have not arrived (yet)."""
        return self.highest_number + 1 - self.frames_received

    def _mark(self, number: int) -> bool:
        """Note the number in a bit map whose bit 0 is the newest; False if it was there, or is behind it."""
        ahead = number - self.highest_number
        if ahead > 0:
            self._seen = (self._seen << min(ahead, self.WINDOW) | 1) & ((1 << self.WINDOW) - 1)
            self.highest_number = number
            return True
        if -ahead >= self.WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True


def parse_frame_untrusted(data: bytes) -> int | None:
    """The number of a good frame; None for anything else."""
    if len(data) < HEADER_BYTES:
        return None
    magic, number, length, digest = _HEAD.unpack_from(data)
    if magic != MAGIC or length != len(data) - HEADER_BYTES:
        return None
    return int(number) if digest == _digest(number, memoryview(data)[HEADER_BYTES:]) else None


def _digest(number: int, content: bytes | memoryview) -> bytes:
    checksum = hashlib.sha256(_NUMBERED.pack(number, len(content)))
    checksum.update(content)
    return checksum.digest()


def _pattern(seed: int, window_bytes: int) -> bytes:
    """Eight grey bars, again and again, with four bits of noise; long enough for a window at any place."""
    noise = hashlib.shake_256(b"Aerolink test pattern %d" % seed).digest(_PATTERN_BYTES)
    bars = b"".join(bytes([shade << 5]) * _BAR_BYTES for shade in range(8))
    grain = int.from_bytes(noise) & int.from_bytes(b"\x0f" * _PATTERN_BYTES)
    once = (int.from_bytes(bars * (_PATTERN_BYTES // len(bars))) | grain).to_bytes(_PATTERN_BYTES)
    return once * (window_bytes // _PATTERN_BYTES + 2)
