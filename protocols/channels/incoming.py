"""One object that we receive: order, window, hash (CH-52 to CH-54).

*Theory of operation.* Bytes before ``received_to`` are in order: hashed, and queued for the user as ``_pieces``. Chunks
above wait in ``_early``, by offset, and never overlap; ``_ranges`` is what they cover. The user's reading moves
``_taken_to``, and with it the window: a slow reader stops the sender, and what is held is bounded by the window.
"""

# hashlib, not ``cryptography``: both run OpenSSL's SHA-256, and its call costs half as much for a small chunk.
import hashlib
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from protocols.channels.limits import (
    BULK_ACK_DELAY_S,
    BULK_ACK_EVERY,
    BULK_MERGE_BYTES,
    BULK_MERGED_BYTES,
    BULK_WINDOW_BYTES,
    MAX_BULK_SEGMENTS,
)
from protocols.channels.ranges import RangeSet
from protocols.codec import derive_struct
from protocols.errors import ProtocolViolationError
from protocols.events import BulkChunkReceived
from specs.inner import ACK_RANGE, BULK_ACK_HEADER, MAX_ACK_RANGES, BulkOffer
from specs.registry import InnerType

_ACK: Final = derive_struct(BULK_ACK_HEADER)
_RANGE: Final = derive_struct(ACK_RANGE)
_BULK_ACK: Final = int(InnerType.BULK_ACK)


class Receiving(Enum):
    """State of an incoming transfer; each leads to the next, and any to the end."""

    OFFERED = "the user decides"
    ACCEPTED = "bytes arrive"
    CHECKED = "whole, and the hash is right; the user has not been told"
    TOLD = "the user stores it"
    ENDED = "over, and no longer known to the channel"


class Incoming:
    """One transfer, receiving side."""

    __slots__ = (
        "_advertised",
        "_early",
        "_hash",
        "_largest",
        "_on_piece",
        "_pieces",
        "_ranges",
        "_taken_to",
        "_unacknowledged",
        "accepted_from",
        "ack_at",
        "ack_due",
        "offer",
        "received_to",
        "state",
    )

    def __init__(self, offer: BulkOffer, on_piece: Callable[["Incoming"], None]) -> None:
        self.offer = offer
        self.state = Receiving.OFFERED
        self.accepted_from = 0
        self.received_to = 0
        self.ack_due = False
        """An acknowledgement should leave now ..."""
        self.ack_at: float | None = None
        """... or at this time."""
        self._on_piece = on_piece
        self._hash = hashlib.sha256()
        self._taken_to = 0
        self._advertised = 0
        self._largest = 0
        self._unacknowledged = 0
        self._pieces: deque[bytes] = deque()
        self._early: dict[int, bytes] = {}
        self._ranges = RangeSet()

    @property
    def window_to(self) -> int:
        """What the sender may send; it never falls."""
        return self._taken_to + BULK_WINDOW_BYTES

    def accept(self, prefix: bytes | memoryview) -> None:
        """The user wants it and has the beginning; the hash covers that too (CH-53)."""
        self._hash.update(prefix)
        self.accepted_from = self.received_to = self._taken_to = memoryview(prefix).nbytes
        self.state = Receiving.ACCEPTED

    def is_whole(self) -> bool:
        """Has every byte arrived?"""
        return self.received_to == self.offer.size

    def hash_is_right(self) -> bool:
        """CH-53; the hash is no secret."""
        return self._hash.digest() == self.offer.sha256

    # --- chunks -------------------------------------------------------------------------------

    def chunk_untrusted(self, packet: int, start: int, body: bytes, now: float) -> bool:
        """Take a chunk; False if nothing of it was new."""
        end = start + len(body)
        if not body or end > self.offer.size or end > self.window_to:
            raise ProtocolViolationError("bulk: chunk is empty, or beyond the object or the window (CH-52)")
        if self.state is Receiving.OFFERED:
            raise ProtocolViolationError("bulk: chunk before the transfer was accepted (CH-51)")
        self._largest = max(self._largest, packet)
        in_order = start == self.received_to and not self._ranges
        if in_order:
            self._append(body)
        is_new = in_order or self._place(start, end, body)
        self._unacknowledged += 1
        if not in_order or self._unacknowledged >= BULK_ACK_EVERY or self.is_whole():
            self.ack_due = True  # CH-54
        else:
            self.ack_at = now + BULK_ACK_DELAY_S
        return is_new

    def in_order_to(self, start: int) -> int:
        """Up to where chunks may come that begin at ``start`` and follow each other; 0 if that is not so simple."""
        if start != self.received_to or self._ranges or self.state is not Receiving.ACCEPTED:
            return 0
        return min(self.offer.size, self.window_to)

    def take_chunks(self, count: int, largest: int, data: bytes, now: float) -> None:
        """Several chunks in order, of which ``in_order_to`` thought well; as if each had come alone."""
        self._largest = max(self._largest, largest)
        self._append(data)
        if self._unacknowledged + 1 < BULK_ACK_EVERY:
            self.ack_at = now + BULK_ACK_DELAY_S
        self._unacknowledged += count
        self.ack_due = True  # CH-54

    def _place(self, start: int, end: int, body: bytes) -> bool:
        """A chunk that is not simply the next one: keep what is new of it up to the first byte that is not.

        The rest, if any, stays unacknowledged and comes again: only a sender that cuts its object anew overlaps.
        """
        fresh, until = self._ranges.free(max(start, self.received_to), end)
        if fresh >= until:
            return False
        piece = body[fresh - start : until - start]
        if fresh == self.received_to:
            self._append(piece)
            self._join_early()
            return True
        if len(self._early) >= MAX_BULK_SEGMENTS:
            return False
        self._early[fresh] = piece
        self._ranges.add(fresh, until)
        return True

    def _join_early(self) -> None:
        while (piece := self._early.pop(self.received_to, None)) is not None:
            self._append(piece)
        self._ranges.cut_below(self.received_to)

    def _append(self, piece: bytes) -> None:
        """The next bytes of the object."""
        self._hash.update(piece)
        self.received_to += len(piece)
        pieces = self._pieces
        if pieces and len(piece) < BULK_MERGE_BYTES and len(pieces[-1]) < BULK_MERGED_BYTES:
            pieces[-1] += piece
            return
        pieces.append(piece)
        self._on_piece(self)

    # --- the user -----------------------------------------------------------------------------

    def take_piece(self) -> BulkChunkReceived | None:
        """The next bytes for the user; the window moves with them."""
        if not self._pieces:
            return None
        piece, offset = self._pieces.popleft(), self._taken_to
        self._taken_to += len(piece)
        # RFC 9293, 3.8.6.2.2: announce a window that has grown well, not every byte of it.
        if self.window_to - self._advertised >= BULK_WINDOW_BYTES // 4 and self._advertised < self.offer.size:
            self.ack_due = True
        return BulkChunkReceived(self.offer.channel, self.offer.transfer, offset, piece)

    @property
    def has_news(self) -> bool:
        """Is there something that the user has not been given?"""
        return bool(self._pieces) or self.state is Receiving.CHECKED

    def end(self) -> None:
        """Let go of everything."""
        self.state = Receiving.ENDED
        self.ack_due, self.ack_at = False, None
        self._pieces.clear()
        self._early.clear()

    def ack_frame(self) -> bytes:
        """BULK_ACK: the lowest ranges, since those gaps are filled first."""
        self.ack_due, self.ack_at = False, None
        self._unacknowledged = 0
        self._advertised = self.window_to
        ranges = self._ranges.first(MAX_ACK_RANGES)
        header = _ACK.pack(
            _BULK_ACK,
            self.offer.channel,
            self.offer.transfer,
            self._largest,
            self.received_to,
            self._advertised,
            len(ranges),
        )
        return header + b"".join([_RANGE.pack(start, end) for start, end in ranges]) if ranges else header
