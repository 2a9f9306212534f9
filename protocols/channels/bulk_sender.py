"""The sending half of a `bulk` channel: offers, turns, polling and the end of transfers (CH-50, CH-55, CH-56)."""

from collections.abc import Callable
from typing import Final

from protocols.channels.base import Counters, Path, SendsOne
from protocols.channels.limits import MAX_DONE_REPEATS, MAX_TRANSFERS
from protocols.channels.outgoing import Outgoing, Sending, parse_ack_untrusted
from protocols.codec import build, parse_untrusted
from protocols.errors import MessageTooLargeError, ProtocolViolationError, QueueFullError, UsageError
from protocols.events import BulkAccepted, BulkEnded, BulkStatus, ChannelEvent, EndBulk, OfferBulk
from specs.inner import BULK_ACCEPT, BULK_DONE, BULK_OFFER, BulkDirection, BulkDone, BulkOffer
from specs.registry import MAX_BULK_BYTES, ChannelId

_NUMBERS: Final = 2**16
_VERDICTS: Final = frozenset((BulkStatus.OK, BulkStatus.HASH_MISMATCH))
"""What only a receiver that has the whole object can say."""


class BulkSender(SendsOne):
    """Transfers that we offered on one channel; they take turns, chunk by chunk."""

    __slots__ = ("_channel", "_counters", "_emit", "_first", "_path", "_transfers", "_used", "unsent")

    def __init__(
        self,
        channel: ChannelId,
        path: Path,
        counters: Counters,
        emit: Callable[[ChannelEvent], None],
        first_number: int,
    ) -> None:
        self._channel = channel
        self._path = path
        self._counters = counters
        self._emit = emit
        self._first = first_number
        self._used = 0
        self._transfers: dict[int, Outgoing] = {}
        self.unsent: list[Outgoing] = []
        """Transfers that may have something to send, in order of their turns."""

    def room(self) -> int:
        """Transfers that may be offered now."""
        return min(MAX_TRANSFERS - len(self._transfers), _NUMBERS - self._used)

    # --- the user -----------------------------------------------------------------------------

    def offer(self, message: OfferBulk, now: float) -> int:
        """Begin a transfer; its number."""
        view = memoryview(message.data)
        if view.nbytes > MAX_BULK_BYTES:
            raise MessageTooLargeError("an object is at most 2^40 bytes")
        if self._used == _NUMBERS:
            raise UsageError("the channel's transfer numbers are used up: end the association")
        if not self.room():
            raise QueueFullError("too many transfers at once")
        number = (self._first + self._used) % _NUMBERS
        frame = build(BULK_OFFER, BulkOffer(self._channel, number, view.nbytes, message.sha256, message.name))
        bytes_view = view if view.format == "B" and view.ndim == 1 else view.cast("B")
        transfer = Outgoing(self._channel, number, bytes_view, frame, self._path, self._counters)
        transfer.touched_at = now
        self._used += 1
        self._transfers[number] = transfer
        self._announce(transfer)
        return number

    def end(self, message: EndBulk, now: float) -> None:
        """Cancel; one that has ended by itself meanwhile is left alone."""
        if message.status is not BulkStatus.CANCELLED:
            raise UsageError("the sender of an object can only cancel (CH-56)")
        transfer = self._transfers.get(message.transfer)
        if transfer is None:
            if not self._was_used(message.transfer):
                raise UsageError("no such transfer")
        elif transfer.state is not Sending.CANCELLED:
            self._cancel(transfer, now)

    def _cancel(self, transfer: Outgoing, now: float) -> None:
        transfer.cancel(now)
        self._announce(transfer)
        self._emit(BulkEnded(self._channel, transfer.number, incoming=False, status=BulkStatus.CANCELLED))

    # --- the receiver of the object -----------------------------------------------------------

    def accept_untrusted(self, frame: bytes, now: float) -> None:
        """BULK_ACCEPT."""
        accept = parse_untrusted(BULK_ACCEPT, frame)
        transfer = self._find_untrusted(accept.transfer)
        if transfer is None:
            return
        if transfer.accept_untrusted(accept.offset, now):
            transfer.announces = False  # CH-50: offered until accepted
            self._emit(BulkAccepted(self._channel, transfer.number, accept.offset))
        self._activate(transfer)

    def ack_untrusted(self, frame: bytes, now: float) -> None:
        """BULK_ACK."""
        ack = parse_ack_untrusted(frame)
        transfer = self._find_untrusted(ack.transfer)
        if transfer is not None:
            transfer.ack_untrusted(ack, now)
            self._activate(transfer)

    def done_untrusted(self, done: BulkDone) -> None:
        """BULK_DONE from the receiver of our object."""
        transfer = self._find_untrusted(done.transfer)
        if transfer is None:
            return
        status = BulkStatus(done.status)
        cancelled = transfer.state is Sending.CANCELLED
        if not cancelled and status in _VERDICTS and not transfer.may_be_done():
            raise ProtocolViolationError("bulk done: before everything was sent (CH-56)")
        self._forget(transfer)
        if not cancelled:
            transfer.end()
            self._emit(BulkEnded(self._channel, transfer.number, incoming=False, status=status))

    def _find_untrusted(self, number: int) -> Outgoing | None:
        """The transfer; None if it has ended here, since late words are nobody's fault."""
        transfer = self._transfers.get(number)
        if transfer is None and not self._was_used(number):
            raise ProtocolViolationError("bulk: no such transfer was offered (CH-50)")
        return transfer

    def _was_used(self, number: int) -> bool:
        return (number - self._first) % _NUMBERS < self._used

    def _forget(self, transfer: Outgoing) -> None:
        transfer.announces = False
        del self._transfers[transfer.number]

    # --- out ----------------------------------------------------------------------------------

    def _activate(self, transfer: Outgoing) -> None:
        if transfer not in self.unsent and transfer.has_data():
            self.unsent.append(transfer)

    def _announce(self, transfer: Outgoing) -> None:
        """Its OFFER, or its cancellation, is to be sent, and does not wait behind another transfer's bytes."""
        transfer.announces = True
        if transfer in self.unsent:
            self.unsent.remove(transfer)
        self.unsent.insert(0, transfer)

    def ready(self, now: float) -> bool:  # noqa: ARG002  the multiplexer's signature
        """As ``take``: the first transfer that has something decides."""
        for each in self.unsent:
            if each.announces:
                return True
            if each.has_data():
                return self._path.congestion.allows(each.next_size())
        return False

    def take(self, now: float) -> bytes | None:
        """The next offer, cancellation or chunk."""
        while self.unsent:
            transfer = self.unsent[0]
            if transfer.announces:
                return self._announcement(transfer, now)
            if not transfer.has_data():
                self.unsent.pop(0)
            elif transfer.packets_used_up():
                self._cancel(transfer, now)
            elif not self._path.congestion.allows(transfer.next_size()):
                return None
            else:
                self.unsent.append(self.unsent.pop(0))
                return transfer.next_chunk(now)
        return None

    def take_run(self, now: float, limit_frames: int, limit_bytes: int) -> list[bytes]:
        """Return the next frames, within both limits but for the first; only while ``unsent`` is not empty."""
        frames: list[bytes] = []
        while len(frames) < limit_frames and self.unsent:
            more = self._chunks(now, limit_frames - len(frames), limit_bytes)
            if not more:
                if frames and (limit_bytes < self._path.max_frame_bytes or not self.ready(now)):
                    break  # before a ``take`` that gives nothing: it would change the turns
                frame = self.take(now)
                if frame is None:
                    break
                more = [frame]
            frames += more
            limit_bytes -= sum(map(len, more))
        return frames

    def _chunks(self, now: float, most: int, room: int) -> list[bytes]:
        """Many chunks at once, if only one transfer has any."""
        transfer = self.unsent[0]
        if len(self.unsent) > 1 or transfer.announces or not transfer.has_data():
            return []
        return transfer.next_chunks(now, most, room)

    def _announcement(self, transfer: Outgoing, now: float) -> bytes:
        transfer.announces = False
        transfer.touched_at = now
        if transfer.state is not Sending.CANCELLED:
            return transfer.offer
        # A reliable carrier brings it; otherwise it is repeated until it is confirmed.
        if self._path.reliable or transfer.polls >= MAX_DONE_REPEATS:
            self._forget(transfer)
        status = BulkStatus.CANCELLED.value
        return build(BULK_DONE, BulkDone(self._channel, transfer.number, status, BulkDirection.FROM_SENDER))

    # --- timer --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """The earliest of all transfers'."""
        if self._path.reliable or not self._transfers:
            return None
        deadlines = [each.next_deadline() for each in self._transfers.values()]
        return min((each for each in deadlines if each is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        """Lose what has waited too long, or poll."""
        if self._path.reliable:
            return
        for transfer in self._transfers.values():
            deadline = transfer.next_deadline()
            if deadline is None or now < deadline:
                continue
            if transfer.expire(now):
                self._activate(transfer)
            else:
                self._announce(transfer)
