"""From a stream of bytes to whole records, whatever the pieces it arrives in (specs/1-link.md, LK-53)."""

from collections.abc import Callable, Iterator
from typing import Final

from protocols import codec
from protocols.errors import MalformedError
from protocols.link.train import Bytes
from specs.record import RECORD_HEADER
from specs.registry import RECORD_HEADER_BYTES, PacketType

_unpack_header_untrusted: Final = codec.derive_unpack_untrusted(RECORD_HEADER)
MAX_HANDSHAKE_RECORD_BYTES: Final = 2_048
"""No handshake message is longer; whoever announces more has nothing to say to us."""
_SEALED: Final = frozenset({PacketType.DATA})


class RecordBuffer:
    """Takes pieces of a stream; gives out records with their headers. Keeps no more than an incomplete record."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def records_untrusted(self, data: Bytes, *, has_keys: Callable[[], bool]) -> Iterator[memoryview]:
        """Yield the records that ``data`` completes; MalformedError for a header that is none, or too long too early.

        They are views of ``data`` or of our own buffer, valid until the next is asked for. ``has_keys`` is asked at
        each long record: the one before it in the same piece may have proven them. What remains is kept also when the
        caller stops.
        """
        view, start = memoryview(data), 0
        try:
            if self._rest:
                start = self._fill(view, has_keys)
                if start < 0:
                    start = len(view)
                    return
                first, self._rest = self._rest, bytearray()
                yield memoryview(first)
            while (end := self._end(view, start, has_keys)) is not None:
                record, start = view[start:end], end
                yield record
        finally:
            self._rest += view[start:]

    def runs_untrusted(self, data: Bytes, *, has_keys: Callable[[], bool]) -> Iterator[list[memoryview]]:
        """Yield the records that ``data`` completes, sealed ones of one epoch together; MalformedError.

        Without keys each comes alone: what it proves decides on the next.
        """
        run: list[memoryview] = []
        try:
            for record in self.records_untrusted(data, has_keys=has_keys):
                if run and record[2:4] != run[0][2:4]:
                    whole, run = run, []
                    yield whole
                run.append(record)
                if record[2] not in _SEALED or not has_keys():
                    whole, run = run, []
                    yield whole
        except MalformedError:
            if run:
                yield run
            raise
        if run:
            yield run

    def _fill(self, view: memoryview, has_keys: Callable[[], bool]) -> int:
        """Complete the record that we have the beginning of; how much of ``view`` went into it, -1 for all too little.

        The header first: it tells how much is missing, and each byte is copied once.
        """
        taken = min(max(RECORD_HEADER_BYTES - len(self._rest), 0), len(view))
        self._rest += view[:taken]
        if len(self._rest) < RECORD_HEADER_BYTES:
            return -1
        missing = _length_untrusted(self._rest, 0, has_keys) - len(self._rest)
        self._rest += view[taken : taken + missing]
        return taken + missing if len(view) - taken >= missing else -1

    @staticmethod
    def _end(view: memoryview, start: int, has_keys: Callable[[], bool]) -> int | None:
        """Where the record ends that begins at ``start``; None if it does not end here."""
        if len(view) - start < RECORD_HEADER_BYTES:
            return None
        end = start + _length_untrusted(view, start, has_keys)
        return end if end <= len(view) else None

    def __len__(self) -> int:
        """How many bytes wait for the rest of their record."""
        return len(self._rest)


def _length_untrusted(data: codec.Buffer, start: int, has_keys: Callable[[], bool]) -> int:
    """Length of the record whose header stands at ``start``, header included; MalformedError."""
    length: int
    length, kind, _ = _unpack_header_untrusted(data, start)
    if length > MAX_HANDSHAKE_RECORD_BYTES and not (kind in _SEALED and has_keys()):
        raise MalformedError("a handshake record of this length does not exist")
    return RECORD_HEADER_BYTES + length
