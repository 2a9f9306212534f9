"""`bulk`: reliable transfers, resumable, hash-checked (specs/3-channels.md, 3.6)."""

from collections.abc import Sequence
from typing import ClassVar

from protocols.channels.base import ChannelBase, Path, Ports
from protocols.channels.bulk_receiver import BulkReceiver
from protocols.channels.bulk_sender import BulkSender
from protocols.codec import parse_untrusted
from protocols.events import AcceptBulk, EndBulk, OfferBulk, Sendable
from specs.inner import BULK_DONE, BulkDirection
from specs.registry import ChannelId, InnerType


class BulkChannel(ChannelBase):
    """Ties the halves together: who offered a transfer decides which half an inner frame is for."""

    __slots__ = ("_receiver", "_sender")

    def __init__(self, channel: ChannelId, path: Path, first_number: int) -> None:
        super().__init__(channel, path)
        self._receiver = BulkReceiver(channel, self.counters)
        self._sender = BulkSender(channel, path, self.counters, self._receiver.emit, first_number)

    def ports(self) -> Ports:
        return Ports(source=self._sender, reader=self._receiver, acknowledgements=self._receiver)

    def send(self, message: Sendable, now: float) -> int:
        if isinstance(message, OfferBulk):
            return self._sender.offer(message, now)
        if isinstance(message, AcceptBulk):
            self._receiver.accept(message)
        elif not isinstance(message, EndBulk):
            raise self.wrong_message(message)
        elif message.incoming:
            self._receiver.end(message)
        else:
            self._sender.end(message, now)
        return 0

    def room(self) -> int:
        return self._sender.room()

    # --- inner frames ---------------------------------------------------------------------------

    def _chunk_untrusted(self, frame: bytes, now: float) -> None:
        self._receiver.chunk_untrusted(frame, now)

    def _chunks_untrusted(self, frames: Sequence[bytes], now: float) -> int:
        return self._receiver.chunks_untrusted(frames, now)

    def _offer_untrusted(self, frame: bytes, now: float) -> None:
        self._receiver.offer_untrusted(frame, now)

    def _accept_untrusted(self, frame: bytes, now: float) -> None:
        self._sender.accept_untrusted(frame, now)

    def _ack_untrusted(self, frame: bytes, now: float) -> None:
        self._sender.ack_untrusted(frame, now)

    def _done_untrusted(self, frame: bytes, now: float) -> None:  # noqa: ARG002
        done = parse_untrusted(BULK_DONE, frame)
        if done.direction is BulkDirection.FROM_RECEIVER:
            self._sender.done_untrusted(done)
        else:
            self._receiver.done_untrusted(done)

    RUNS: ClassVar = {int(InnerType.CHANNEL): _chunks_untrusted}
    RECEIVERS: ClassVar = {
        int(InnerType.CHANNEL): _chunk_untrusted,
        int(InnerType.BULK_OFFER): _offer_untrusted,
        int(InnerType.BULK_ACCEPT): _accept_untrusted,
        int(InnerType.BULK_ACK): _ack_untrusted,
        int(InnerType.BULK_DONE): _done_untrusted,
    }

    # --- time -----------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        deadlines = (self._sender.next_deadline(), self._receiver.next_deadline())
        return min((each for each in deadlines if each is not None), default=None)

    def handle_deadline(self, now: float) -> None:
        self._sender.handle_deadline(now)
        self._receiver.handle_deadline(now)
