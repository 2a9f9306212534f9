"""The receiving half of a `bulk` channel: offers, chunks, and the end of transfers (CH-51 to CH-54, CH-56)."""

import struct
from bisect import bisect_right
from collections.abc import Sequence, Sized
from itertools import accumulate, compress, repeat
from itertools import count as counted
from operator import ne, sub
from typing import Final

from protocols.channels.base import Counters, Held, ReadsOne, SendsOne
from protocols.channels.incoming import Incoming, Receiving
from protocols.channels.limits import MAX_ENDED_TRANSFERS, MAX_TRANSFERS
from protocols.codec import build, derive_struct, parse_untrusted
from protocols.errors import MalformedError, ProtocolViolationError, UsageError
from protocols.events import (
    AcceptBulk,
    BulkEnded,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    EndBulk,
)
from specs.inner import BULK_ACCEPT, BULK_DONE, BULK_HEADER, BULK_OFFER, BulkAccept, BulkDirection, BulkDone, BulkOffer
from specs.registry import MAX_BULK_BYTES, ChannelId, InnerType

_HEADER: Final = derive_struct(BULK_HEADER)
_CHANNEL: Final = int(InnerType.CHANNEL)
_MAX_NEWS: Final = 4 * MAX_TRANSFERS
"""Offers and ends that the user has not taken; beyond, new offers are refused (CH-4)."""


class BulkReceiver(SendsOne, ReadsOne):
    """Transfers that the peer offered on one channel, and what is to be said of them."""

    __slots__ = ("_channel", "_counters", "_ended", "_news", "_pieces", "_told", "_transfers", "unsent")

    def __init__(self, channel: ChannelId, counters: Counters) -> None:
        self._channel = channel
        self._counters = counters
        self._transfers: dict[int, Incoming] = {}
        self._ended: dict[int, BulkStatus] = {}
        self.unsent: dict[tuple[InnerType, int], None] = {}
        """ACCEPT, BULK_ACK and DONE that are due; each is built when it leaves, from what is known then."""
        self._told: dict[int, None] = {}
        """Every number that the user has seen or will see: at most 65,536, and each took an event."""
        self._news: list[ChannelEvent] = []
        """Offers, acceptances and ends that the user has not taken."""
        self._pieces: dict[int, Incoming] = {}
        """Transfers of which the user may take bytes, or the word that they are complete, in order of their turns."""

    # --- the user -----------------------------------------------------------------------------

    def emit(self, event: ChannelEvent) -> None:
        """Queue an event; also for the sending half, so that both keep their order."""
        self._news.append(event)

    @property
    def unread(self) -> Sized:
        """What the user has not taken."""
        return self._news or self._pieces

    def next_event(self, now: float, held: Held) -> ChannelEvent | None:  # noqa: ARG002  bytes have no lifetime
        """The next offer, acceptance or end, which are few and never held.

        Then the next bytes of a transfer that the user does not hold back; they take turns (CH-5).
        """
        if self._news:
            return self._news.pop(0)
        for number in self._pieces:
            if not held.transfers or (self._channel, number) not in held.transfers:
                return self._take_piece(number)
        return None

    def _take_piece(self, number: int) -> ChannelEvent:
        transfer = self._pieces[number]
        piece = transfer.take_piece()
        if piece is None:
            transfer.state = Receiving.TOLD
            del self._pieces[number]
            return BulkReceived(self._channel, number)
        if not transfer.has_news:
            del self._pieces[number]
        elif len(self._pieces) > 1:
            self._pieces[number] = self._pieces.pop(number)
        self._acknowledge(transfer)
        return piece

    def _on_piece(self, transfer: Incoming) -> None:
        self._pieces[transfer.offer.transfer] = transfer  # keeps its turn

    def accept(self, message: AcceptBulk) -> None:
        """Answer an offer; nothing if it has ended meanwhile."""
        transfer = self._find(message.transfer)
        if transfer is None:
            return
        if transfer.state is not Receiving.OFFERED:
            raise UsageError("the transfer has been accepted already")
        if memoryview(message.prefix).nbytes > transfer.offer.size:
            raise UsageError("the prefix is larger than the object")
        transfer.accept(message.prefix)
        self._reply(InnerType.BULK_ACCEPT, message.transfer)
        self._reply(InnerType.BULK_ACK, message.transfer)  # opens the window
        self._check_whole(transfer)

    def end(self, message: EndBulk) -> None:
        """The user's last word; nothing if it has ended meanwhile."""
        transfer = self._find(message.transfer)
        if message.status is BulkStatus.HASH_MISMATCH:
            raise UsageError("a wrong hash is found and reported without help")
        if transfer is None:
            return
        if message.status is BulkStatus.OK and transfer.state is not Receiving.TOLD:
            raise UsageError("OK only after BulkReceived (CH-56)")
        self._finish(transfer, message.status)

    def _find(self, number: int) -> Incoming | None:
        transfer = self._transfers.get(number)
        if transfer is None and number not in self._told:
            raise UsageError("no such transfer")
        return transfer

    # --- the sender of the object -------------------------------------------------------------

    def offer_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        """BULK_OFFER; a repeated one is answered as before (CH-51)."""
        offer = parse_untrusted(BULK_OFFER, frame)
        known = self._transfers.get(offer.transfer)
        if known is not None and known.offer != offer:
            raise ProtocolViolationError("bulk offer: transfer number used twice (CH-50)")
        if known is None:
            self._new_offer_untrusted(offer)
        elif known.state is not Receiving.OFFERED:
            self._reply(InnerType.BULK_ACCEPT, offer.transfer)
            self._reply(InnerType.BULK_ACK, offer.transfer)

    def _new_offer_untrusted(self, offer: BulkOffer) -> None:
        number = offer.transfer
        if self._has_ended(number):
            self._reply_done(number)
        elif self._refuses(offer):
            self._remember(number, BulkStatus.REFUSED)
            self._reply_done(number)
        else:
            self._transfers[number] = Incoming(offer, self._on_piece)
            self._told[number] = None
            self.emit(BulkOffered(self._channel, number, offer.name, offer.size, offer.sha256))

    def _refuses(self, offer: BulkOffer) -> bool:
        too_many = len(self._transfers) >= MAX_TRANSFERS or len(self._news) >= _MAX_NEWS
        return too_many or offer.size > MAX_BULK_BYTES

    def chunk_untrusted(self, frame: bytes, now: float) -> None:
        """A chunk of the object."""
        try:
            _, _, number, packet, start = _HEADER.unpack_from(frame)
        except struct.error:
            raise MalformedError("bulk: too short") from None
        transfer = self._transfers.get(number)
        if transfer is None:
            self._late_chunk_untrusted(number)
            return
        is_new = transfer.chunk_untrusted(packet, start, frame[_HEADER.size :], now)
        self._counters.received += is_new
        self._counters.dropped += not is_new
        self._acknowledge(transfer)
        if is_new:
            self._check_whole(transfer)

    def chunks_untrusted(self, frames: Sequence[bytes], now: float) -> int:
        """The first chunks, as far as each is the next of the same object, as one; how many."""
        found = self._run_untrusted(frames)
        if found is None:
            self.chunk_untrusted(frames[0], now)
            return 1
        transfer, largest, count = found
        data = b"".join([memoryview(frame)[_HEADER.size :] for frame in frames[:count]])
        transfer.take_chunks(count, largest, data, now)
        self._counters.received += count
        self._acknowledge(transfer)
        self._check_whole(transfer)
        return count

    def _run_untrusted(self, frames: Sequence[bytes]) -> tuple[Incoming, int, int] | None:
        """The transfer, the largest packet number and the count of chunks that follow each other; None if not two."""
        try:
            _, _, number, _, start = _HEADER.unpack_from(frames[0])
            transfer = self._transfers.get(number)
            limit = transfer.in_order_to(start) if transfer else 0
            if transfer is None or not limit or frames[1][:4] != frames[0][:4]:
                return None
            kinds, channels, numbers, packets, starts = zip(*map(_HEADER.unpack_from, frames), strict=True)
        except struct.error:
            return None
        sizes = list(map(len, frames))
        ends = list(accumulate(map(sub, sizes, repeat(_HEADER.size)), initial=start))
        expected = zip(repeat(_CHANNEL), repeat(self._channel), repeat(number), ends)
        count = next(
            compress(counted(), map(ne, zip(kinds, channels, numbers, starts, strict=True), expected)), len(sizes)
        )
        if min(sizes) == _HEADER.size:
            count = min(count, sizes.index(_HEADER.size))
        count = min(count, bisect_right(ends, limit) - 1)
        return (transfer, max(packets[:count]), count) if count >= 2 else None

    def _late_chunk_untrusted(self, number: int) -> None:
        if not self._has_ended(number):
            raise ProtocolViolationError("bulk: chunk of a transfer that was never offered (CH-51)")
        self._counters.dropped += 1
        self._reply_done(number)  # CH-56

    def done_untrusted(self, done: BulkDone) -> None:
        """BULK_DONE from the sender: a cancellation, repeated until we confirm it."""
        if done.status != BulkStatus.CANCELLED.value:
            raise ProtocolViolationError("bulk done: the sender of an object can only cancel (CH-56)")
        transfer = self._transfers.get(done.transfer)
        if transfer is not None:
            self._finish(transfer, BulkStatus.CANCELLED)
            return
        if not self._has_ended(done.transfer):  # the offer was lost, or is still on its way: it comes too late
            self._remember(done.transfer, BulkStatus.CANCELLED)
        self._reply_done(done.transfer)

    def _check_whole(self, transfer: Incoming) -> None:
        if transfer.state is not Receiving.ACCEPTED or not transfer.is_whole():
            return
        if transfer.hash_is_right():
            transfer.state = Receiving.CHECKED
            self._on_piece(transfer)
        else:
            self._finish(transfer, BulkStatus.HASH_MISMATCH)

    def _finish(self, transfer: Incoming, status: BulkStatus) -> None:
        """It is over: tell both."""
        self._close(transfer, status)
        self.emit(BulkEnded(self._channel, transfer.offer.transfer, incoming=True, status=status))

    def _close(self, transfer: Incoming, status: BulkStatus) -> None:
        number = transfer.offer.transfer
        transfer.end()
        del self._transfers[number]
        self._pieces.pop(number, None)
        self._remember(number, status)
        for kind in (InnerType.BULK_ACCEPT, InnerType.BULK_ACK):
            self.unsent.pop((kind, number), None)
        self._reply_done(number)

    def _has_ended(self, number: int) -> bool:
        """Over; of very old ones only that is known."""
        return number in self._ended or (number in self._told and number not in self._transfers)

    def _remember(self, number: int, status: BulkStatus) -> None:
        self._ended[number] = status
        if len(self._ended) > MAX_ENDED_TRANSFERS:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self.unsent.pop((InnerType.BULK_DONE, oldest), None)

    # --- replies ------------------------------------------------------------------------------

    def _reply(self, kind: InnerType, number: int) -> None:
        self.unsent[kind, number] = None

    def _reply_done(self, number: int) -> None:
        if number in self._ended:  # what has been forgotten is answered by silence
            self._reply(InnerType.BULK_DONE, number)

    def _acknowledge(self, transfer: Incoming) -> None:
        if transfer.ack_due:
            self._reply(InnerType.BULK_ACK, transfer.offer.transfer)

    def take(self, now: float) -> bytes:  # noqa: ARG002  the multiplexer's signature
        """The reply that is due since longest."""
        kind, number = reply = next(iter(self.unsent))
        del self.unsent[reply]
        if kind is InnerType.BULK_ACK:
            return self._transfers[number].ack_frame()
        if kind is InnerType.BULK_ACCEPT:
            return self._accept_frame(number)
        done = BulkDone(self._channel, number, self._ended[number].value, BulkDirection.FROM_RECEIVER)
        return build(BULK_DONE, done)

    def _accept_frame(self, number: int) -> bytes:
        offset = self._transfers[number].accepted_from
        return build(BULK_ACCEPT, BulkAccept(self._channel, number, offset))

    # --- timer --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When a single chunk has waited long enough for a second one (CH-54)."""
        if not self._transfers:
            return None
        return min((each.ack_at for each in self._transfers.values() if each.ack_at is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Acknowledge what has waited."""
        for transfer in self._transfers.values():
            if transfer.ack_at is not None and transfer.ack_at <= now:
                transfer.ack_at = None
                self._reply(InnerType.BULK_ACK, transfer.offer.transfer)
