"""The bytes of `stream` frames, both ways: many at once, by loops that run in C (specs/3-channels.md, 3.5)."""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import concat, itemgetter
from typing import Final, cast

from protocols.channels.base import LAST_SEQUENCE
from protocols.channels.limits import STREAM_BUNDLE_MESSAGES
from protocols.codec import derive_struct
from protocols.errors import MalformedError, ProtocolViolationError
from specs.inner import STREAM_BUNDLE_HEADER, STREAM_HEADER
from specs.registry import ChannelId, InnerType

HEADER: Final = derive_struct(STREAM_HEADER)
HEADER_BYTES: Final = HEADER.size
_BUNDLE: Final = derive_struct(STREAM_BUNDLE_HEADER)
BUNDLE_BYTES: Final = _BUNDLE.size
LENGTH_BYTES: Final = 2
_WHOLE: Final = struct.Struct(">4sI4s")
"""A header, of which only the sequence changes."""
_ONLY_FRAGMENT: Final = struct.pack(">HH", 0, 1)
_CHANNEL: Final = int(InnerType.CHANNEL)
_STREAM_BUNDLE: Final = int(InnerType.STREAM_BUNDLE)
_body: Final = itemgetter(slice(HEADER_BYTES, None))
_join: Final = cast("Callable[[bytes, bytes | memoryview], bytes]", concat)


# --- out ------------------------------------------------------------------------------------------


def _whole_headers(channel: ChannelId, sequences: range) -> Iterator[bytes]:
    """Headers of messages of one fragment."""
    header: bytes = HEADER.pack(_CHANNEL, channel, 0, 0, 0, 1)
    return map(_WHOLE.pack, repeat(header[:4]), sequences, repeat(_ONLY_FRAGMENT))


def whole_frames(channel: ChannelId, first: int, messages: Sequence[bytes]) -> list[bytes]:
    """One frame for each message; their sequences follow each other."""
    return list(map(_join, _whole_headers(channel, range(first, first + len(messages))), messages))


def fragments(channel: ChannelId, sequence: int, data: bytes, length: int, indices: range) -> list[bytes]:
    """Some of the fragments of a message, each but the last of ``length`` bytes."""
    total = -(-len(data) // length)
    headers = map(HEADER.pack, repeat(_CHANNEL), repeat(channel), repeat(0), repeat(sequence), indices, repeat(total))
    starts = range(indices.start * length, indices.stop * length, length)
    ends = range(starts.start + length, starts.stop + length, length)
    parts = map(memoryview(data).__getitem__, map(slice, starts, ends))
    return list(map(_join, headers, parts))


def bundle(channel: ChannelId, first: int, messages: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """One frame for all messages (CH-43)."""
    head = _BUNDLE.pack(_STREAM_BUNDLE, channel, len(messages), first)
    return b"".join((head, _lengths(len(messages)).pack(*sizes), *messages))


def equal_bundles(channel: ChannelId, first: int, messages: Sequence[bytes], share: int, frames: int) -> list[bytes]:
    """So many frames, each for the same number of messages of the same length."""
    lengths = len(messages[0]).to_bytes(LENGTH_BYTES, "big") * share
    return [
        b"".join((_BUNDLE.pack(_STREAM_BUNDLE, channel, share, first + at), lengths, *messages[at : at + share]))
        for at in range(0, share * frames, share)
    ]


@lru_cache(maxsize=STREAM_BUNDLE_MESSAGES)
def _lengths(messages: int) -> struct.Struct:
    return struct.Struct(f">{messages}H")


# --- in -------------------------------------------------------------------------------------------


def unbundle_untrusted(frame: bytes) -> tuple[int, Sequence[bytes], int]:
    """Sequence of the first message, all messages, and their bytes; MalformedError, ProtocolViolationError (CH-44)."""
    try:
        _, _, messages, first = _BUNDLE.unpack_from(frame)
        sizes = _lengths(messages).unpack_from(frame, BUNDLE_BYTES)
    except struct.error:
        raise MalformedError("stream bundle: too short") from None
    start, size = BUNDLE_BYTES + LENGTH_BYTES * messages, sum(sizes)
    if messages < 2 or start + size != len(frame):
        raise MalformedError("stream bundle: count or lengths do not fit (CH-44)")
    if first + messages - 1 > LAST_SEQUENCE:
        raise ProtocolViolationError("stream bundle: beyond the last sequence (CH-44)")
    if messages <= STREAM_BUNDLE_MESSAGES and sizes.count(sizes[0]) == messages:
        return first, _equal(messages, sizes[0]).unpack_from(frame, start), size
    ends = list(accumulate(sizes, initial=start))
    return first, list(map(frame.__getitem__, map(slice, ends, ends[1:]))), size


@lru_cache(maxsize=64)
def _equal(messages: int, size: int) -> struct.Struct:
    """Cut into equal parts: twice as fast as slices, for the cost of a table that others must not make large."""
    return struct.Struct(f"{size}s" * messages)


def count_whole(channel: ChannelId, frames: Sequence[bytes]) -> tuple[int, int]:
    """The sequence of the first frame, and how many from it on are whole messages of consecutive sequences."""
    if frames[0][8:HEADER_BYTES] != _ONLY_FRAGMENT or frames[1][8:HEADER_BYTES] != _ONLY_FRAGMENT:
        return 0, 0
    first: int = HEADER.unpack_from(frames[0])[3]
    if HEADER.unpack_from(frames[1])[3] != first + 1:  # asked first: one out of order must not cost a look at all
        return 0, 0
    headers = _whole_headers(channel, range(first, min(first + len(frames), 2**32)))
    fits = list(map(bytes.startswith, frames, headers))
    return first, fits.index(False) if False in fits else len(fits)


def bodies(frames: Sequence[bytes]) -> list[bytes]:
    """What follows the headers."""
    return list(map(_body, frames))
