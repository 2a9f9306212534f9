"""From a stream of bytes to whole records, whatever the pieces it arrives in (specs/1-link.md, LK-53)."""

from collections.abc import Callable, Iterator
from typing import Final

from protocols import codec
from protocols.errors import MalformedError
from specs.record import RECORD_HEADER
from specs.registry import RECORD_HEADER_BYTES, PacketType

_unpack_header_untrusted: Final = codec.derive_unpack_untrusted(RECORD_HEADER)
MAX_HANDSHAKE_RECORD_BYTES: Final = 2_048
"""No handshake message is longer; whoever announces more has nothing to say to us."""
_SEALED: Final = frozenset({PacketType.DATA})


class RecordBuffer:
    """Collects bytes; gives out records with their headers. Bounded by one record and what one read brings."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed_untrusted(self, data: bytes) -> None:
        """Append bytes of the stream."""
        self._buffer += data

    def records_untrusted(self, *, has_keys: Callable[[], bool]) -> Iterator[bytes]:
        """Yield whole records; MalformedError for a header that is none, or too long before there are keys.

        ``has_keys`` is asked at each long record: the one before it in the same read may have proven them.
        """
        buffer, start = self._buffer, 0
        try:
            while len(buffer) - start >= RECORD_HEADER_BYTES:
                length, kind, _ = _unpack_header_untrusted(buffer, start)
                if length > MAX_HANDSHAKE_RECORD_BYTES and not (kind in _SEALED and has_keys()):
                    raise MalformedError("a handshake record of this length does not exist")
                end = start + RECORD_HEADER_BYTES + length
                if len(buffer) < end:
                    return
                record = bytes(buffer[start:end])
                start = end
                yield record
        finally:
            del buffer[:start]

    def __len__(self) -> int:
        """How many bytes wait for the rest of their record."""
        return len(self._buffer)
