"""`bulk`: CH-50 to CH-57, whole transfers and the receiving half."""

import hashlib
import mmap

import pytest

from protocols.channels import Channels, Held
from protocols.channels.limits import BULK_ACK_DELAY_S, BULK_WINDOW_BYTES, MAX_ENDED_TRANSFERS, MAX_TRANSFERS
from protocols.errors import MalformedError, ProtocolViolationError, UsageError
from protocols.events import (
    AcceptBulk,
    BulkAccepted,
    BulkChunkReceived,
    BulkEnded,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    EndBulk,
    OfferBulk,
    SendStream,
)
from specs.inner import BulkDirection
from specs.registry import MAX_BULK_BYTES, ChannelId
from tests.unit.channels.pair import (
    FIRST_TRANSFER,
    accept,
    bulk_ack,
    carry,
    chunk,
    command,
    control,
    done,
    events,
    frames,
    give,
    make,
    offer,
    refuses,
    settle,
    state,
    stream,
)
from tests.unit.channels.picture import snapshot

LOG = ChannelId.LOG
SENDER, RECEIVER = BulkDirection.FROM_SENDER, BulkDirection.FROM_RECEIVER
DATA = bytes(index * 7 % 251 for index in range(10_000))
SHA = hashlib.sha256(DATA).digest()


def ended(transfer: int, status: BulkStatus, *, incoming: bool) -> BulkEnded:
    return BulkEnded(LOG, transfer, incoming, status)


def joined(happened: list[ChannelEvent], start: int = 0) -> bytes:
    """The bytes of all chunks, which must follow each other."""
    out = bytearray()
    for event in happened:
        if isinstance(event, BulkChunkReceived):
            assert event.offset_bytes == start + len(out)
            out += event.data
    return bytes(out)


def accepted(data: bytes = DATA, *, sha256: bytes | None = None, prefix: bytes = b"") -> Channels:
    """A receiver that has accepted transfer 5; what it said so far is gone."""
    receiver = make()
    digest = hashlib.sha256(data).digest() if sha256 is None else sha256
    give(receiver, offer(5, len(data), digest))
    assert events(receiver) == [BulkOffered(LOG, 5, "log", len(data), digest)]
    receiver.send(AcceptBulk(LOG, 5, prefix), now=0.0)
    assert frames(receiver) == [accept(5, len(prefix)), bulk_ack(5, 0, len(prefix), len(prefix) + BULK_WINDOW_BYTES)]
    return receiver


# --- whole transfers ----------------------------------------------------------------------------


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1152, 1153, 100_000, 5_000_000])
def test_a_transfer_from_offer_to_end(size: int, reliable: bool) -> None:
    sender, receiver = make(reliable=reliable), make(reliable=reliable)
    data = (DATA * (size // len(DATA) + 1))[:size]
    digest = hashlib.sha256(data).digest()
    number = sender.send(OfferBulk(LOG, "photo.jpg", memoryview(data), digest), now=0.0)
    settle(sender, receiver)
    assert events(receiver) == [BulkOffered(LOG, number, "photo.jpg", size, digest)]
    receiver.send(AcceptBulk(LOG, number), now=0.0)
    settle(sender, receiver)
    got: list[ChannelEvent] = []
    while not any(isinstance(event, BulkReceived) for event in got):
        batch = events(receiver)
        assert batch
        got += batch
        settle(sender, receiver)
    assert joined(got) == data
    assert got[-1] == BulkReceived(LOG, number)
    assert events(sender) == [BulkAccepted(LOG, number, 0)]
    receiver.send(EndBulk(LOG, number, incoming=True, status=BulkStatus.OK), now=0.0)
    settle(sender, receiver)
    assert events(sender) == [ended(number, BulkStatus.OK, incoming=False)]
    assert events(receiver) == [ended(number, BulkStatus.OK, incoming=True)]
    assert sender.next_deadline() is None
    assert sender.stats().bulk.sent == receiver.stats().bulk.received
    assert sender.stats().bulk.retransmitted == 0


def test_ch_51_and_ch_57_resumed_from_what_the_receiver_has() -> None:
    sender, receiver = make(), make()
    number = sender.send(OfferBulk(LOG, "log", DATA, SHA), now=0.0)
    settle(sender, receiver)
    receiver.send(AcceptBulk(LOG, number, memoryview(DATA)[:6000]), now=0.0)
    settle(sender, receiver)
    got = events(receiver)
    assert joined(got[1:], 6000) == DATA[6000:]
    assert got[-1] == BulkReceived(LOG, number)
    assert events(sender) == [BulkAccepted(LOG, number, 6000)]


def test_ch_51_resumed_when_nothing_is_missing() -> None:
    sender, receiver = make(), make()
    number = sender.send(OfferBulk(LOG, "log", DATA, SHA), now=0.0)
    settle(sender, receiver)
    receiver.send(AcceptBulk(LOG, number, DATA), now=0.0)
    settle(sender, receiver)
    assert events(receiver)[1:] == [BulkReceived(LOG, number)]


def test_ch_53_the_hash_covers_the_resumed_part() -> None:
    sender, receiver = make(), make()
    number = sender.send(OfferBulk(LOG, "log", DATA, SHA), now=0.0)
    settle(sender, receiver)
    receiver.send(AcceptBulk(LOG, number, b"x" + DATA[1:6000]), now=0.0)
    settle(sender, receiver)
    assert events(receiver)[-1] == ended(number, BulkStatus.HASH_MISMATCH, incoming=True)
    assert events(sender)[-1] == ended(number, BulkStatus.HASH_MISMATCH, incoming=False)


def test_ch_53_a_wrong_hash_of_a_complete_prefix() -> None:
    receiver = make()
    give(receiver, offer(5, 3))
    receiver.send(AcceptBulk(LOG, 5, b"abc"), now=0.0)
    assert frames(receiver) == [done(5, 1, RECEIVER)]
    assert events(receiver)[1:] == [ended(5, BulkStatus.HASH_MISMATCH, incoming=True)]


def test_both_sides_number_their_own_transfers() -> None:
    one, other = make(), make()
    mine = one.send(OfferBulk(LOG, "a", DATA, SHA), now=0.0)
    theirs = other.send(OfferBulk(LOG, "b", DATA, SHA), now=0.0)
    assert mine == theirs == FIRST_TRANSFER
    settle(one, other)
    for side in (one, other):
        side.send(AcceptBulk(LOG, mine), now=0.0)
    settle(one, other)
    one.send(EndBulk(LOG, mine, incoming=True, status=BulkStatus.CANCELLED), now=0.0)
    settle(one, other)
    assert ended(theirs, BulkStatus.CANCELLED, incoming=False) in events(other)
    assert ended(theirs, BulkStatus.CANCELLED, incoming=True) in events(one)
    other.send(EndBulk(LOG, mine, incoming=True, status=BulkStatus.OK), now=0.0)


def test_a_memory_mapped_object_can_be_closed_afterwards() -> None:
    sender, receiver = make(), make()
    mapped = mmap.mmap(-1, 5000)
    number = sender.send(OfferBulk(LOG, "m", memoryview(mapped), hashlib.sha256(bytes(5000)).digest()), now=0.0)
    settle(sender, receiver)
    receiver.send(AcceptBulk(LOG, number), now=0.0)
    settle(sender, receiver)
    assert joined(events(receiver)) == bytes(5000)
    receiver.send(EndBulk(LOG, number, incoming=True, status=BulkStatus.OK), now=0.0)
    settle(sender, receiver)
    mapped.close()


# --- the receiver decides -----------------------------------------------------------------------


def test_ch_51_a_repeated_offer_is_answered_in_the_same_way() -> None:
    receiver = make()
    give(receiver, offer(5, 10, SHA), offer(5, 10, SHA))
    assert frames(receiver) == []  # it may take its time
    assert len(events(receiver)) == 1
    receiver.send(AcceptBulk(LOG, 5, b"abc"), now=0.0)
    answer = frames(receiver)
    give(receiver, offer(5, 10, SHA))
    assert frames(receiver) == answer == [accept(5, 3), bulk_ack(5, 0, 3, 3 + BULK_WINDOW_BYTES)]
    assert events(receiver) == []


def test_ch_51_refused() -> None:
    receiver = make()
    give(receiver, offer(5, 10))
    receiver.send(EndBulk(LOG, 5, incoming=True, status=BulkStatus.REFUSED), now=0.0)
    assert frames(receiver) == [done(5, 3, RECEIVER)]
    give(receiver, offer(5, 10))
    assert frames(receiver) == [done(5, 3, RECEIVER)]


@pytest.mark.parametrize("other", [offer(5, 11, SHA), offer(5, 10), offer(5, 10, SHA, "name")])
def test_ch_50_a_number_is_used_once(other: bytes) -> None:
    receiver = make()
    give(receiver, offer(5, 10, SHA))
    refuses(receiver, other, ProtocolViolationError)


def test_ch_4_offers_are_bounded() -> None:
    receiver = make()
    for number in range(2 * MAX_TRANSFERS):
        give(receiver, offer(number, 10))
    assert len(events(receiver)) == MAX_TRANSFERS
    assert frames(receiver) == [done(number, 3, RECEIVER) for number in range(MAX_TRANSFERS, 2 * MAX_TRANSFERS)]


def test_ch_4_offers_and_cancellations_are_bounded() -> None:
    receiver = make()
    for number in range(3000):
        give(receiver, offer(number, 10), done(number, 2, SENDER))
    assert len(frames(receiver)) == MAX_ENDED_TRANSFERS
    assert len(events(receiver)) <= 4 * MAX_TRANSFERS + 1
    receiver.send(AcceptBulk(LOG, 0), now=0.0)  # it ended meanwhile, and that was long ago
    receiver.send(EndBulk(LOG, 0, incoming=True, status=BulkStatus.CANCELLED), now=0.0)
    give(receiver, offer(0, 10), chunk(0, 1, 0, b"x"), done(0, 2, SENDER))
    assert events(receiver) == []


def test_too_large_an_object_is_refused() -> None:
    receiver = make()
    give(receiver, offer(5, MAX_BULK_BYTES + 1))
    assert events(receiver) == []
    assert frames(receiver) == [done(5, 3, RECEIVER)]


def test_what_the_user_may_not_say() -> None:
    receiver = make()
    give(receiver, offer(5, 3))
    before = snapshot(receiver)
    for message in (
        AcceptBulk(LOG, 6),
        AcceptBulk(LOG, 5, b"more"),
        EndBulk(LOG, 6, incoming=True, status=BulkStatus.CANCELLED),
        EndBulk(LOG, 5, incoming=True, status=BulkStatus.OK),
        EndBulk(LOG, 5, incoming=True, status=BulkStatus.HASH_MISMATCH),
        EndBulk(LOG, 5, incoming=False, status=BulkStatus.CANCELLED),
        SendStream(LOG, b""),
    ):
        with pytest.raises(UsageError):
            receiver.send(message, now=0.0)
    assert snapshot(receiver) == before
    receiver.send(AcceptBulk(LOG, 5), now=0.0)
    with pytest.raises(UsageError):
        receiver.send(AcceptBulk(LOG, 5), now=0.0)


def test_ch_56_ok_only_after_bulk_received_was_taken() -> None:
    receiver = accepted()
    give(receiver, *(chunk(5, place, place * 1000, DATA[place * 1000 :][:1000]) for place in range(10)))
    with pytest.raises(UsageError):
        receiver.send(EndBulk(LOG, 5, incoming=True, status=BulkStatus.OK), now=0.0)
    assert events(receiver)[-1] == BulkReceived(LOG, 5)
    receiver.send(EndBulk(LOG, 5, incoming=True, status=BulkStatus.OK), now=0.0)
    assert frames(receiver) == [done(5, 0, RECEIVER)]


# --- chunks and their acknowledgement -----------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        chunk(5, 1, 0, b""),  # empty
        chunk(5, 1, 9_999, b"xx"),  # beyond the object
        chunk(5, 1, 2**64 - 1, b"x"),
        chunk(6, 1, 0, b"x"),  # never offered
        chunk(5, 1, 0, b"x")[:15],
    ],
)
def test_ch_52_chunks_that_end_the_link(wrong: bytes) -> None:
    refuses(accepted(), wrong, MalformedError if len(wrong) < 16 else ProtocolViolationError)


def test_ch_52_beyond_the_window() -> None:
    receiver = make()
    give(receiver, offer(5, BULK_WINDOW_BYTES + 10))
    receiver.send(AcceptBulk(LOG, 5), now=0.0)
    refuses(receiver, chunk(5, 1, BULK_WINDOW_BYTES, b"x"), ProtocolViolationError)
    give(receiver, chunk(5, 1, BULK_WINDOW_BYTES - 1, b"x"))


def test_ch_51_a_chunk_before_the_acceptance() -> None:
    receiver = make()
    give(receiver, offer(5, 10))
    refuses(receiver, chunk(5, 1, 0, b"x"), ProtocolViolationError)


def test_ch_53_bytes_are_passed_on_in_order() -> None:
    receiver = accepted()
    for place in (3, 1, 0, 9, 2, 5, 7, 8, 6, 4):
        give(receiver, chunk(5, place, place * 1000, DATA[place * 1000 :][:1000]))
    got = events(receiver)
    assert joined(got) == DATA
    assert got[-1] == BulkReceived(LOG, 5)


def test_ch_53_overlapping_chunks() -> None:
    """A sender may cut its object anew when the path changes; nothing is delivered twice."""
    receiver = accepted()
    spans = [(100, 300), (50, 150), (250, 600), (90, 310), (0, 60), (20, 10_000), (0, 10_000), (580, 10_000)]
    for packet, (start, end) in enumerate(spans * 5):
        give(receiver, chunk(5, packet, start, DATA[start:end]))
    got = events(receiver)
    assert joined(got) == DATA
    assert got[-1] == BulkReceived(LOG, 5)


def test_ch_54_every_second_chunk_and_the_last_is_acknowledged() -> None:
    receiver = accepted()
    give(receiver, chunk(5, 1, 0, DATA[:1000]), now=1.0)
    assert frames(receiver, 1.0) == []
    assert receiver.next_deadline() == 1.0 + BULK_ACK_DELAY_S
    give(receiver, chunk(5, 2, 1000, DATA[1000:2000]), now=1.001)
    assert frames(receiver, 1.001) == [bulk_ack(5, 2, 2000, BULK_WINDOW_BYTES)]
    assert receiver.next_deadline() is None
    give(receiver, chunk(5, 3, 2000, DATA[2000:]), now=1.002)
    assert frames(receiver, 1.002) == [bulk_ack(5, 3, 10_000, BULK_WINDOW_BYTES)]


def test_ch_54_a_single_chunk_is_acknowledged_after_a_while() -> None:
    receiver = accepted()
    give(receiver, chunk(5, 1, 0, b"x"), now=1.0)
    receiver.handle_deadline(1.0)
    assert frames(receiver, 1.0) == []
    receiver.handle_deadline(1.0 + BULK_ACK_DELAY_S)
    assert receiver.next_deadline() is None
    assert frames(receiver, 2.0) == [bulk_ack(5, 1, 1, BULK_WINDOW_BYTES)]


def test_ch_54_at_once_when_out_of_order_or_doubled() -> None:
    receiver = accepted()
    give(receiver, chunk(5, 2, 1000, b"x" * 1000))
    assert frames(receiver) == [bulk_ack(5, 2, 0, BULK_WINDOW_BYTES, (1000, 2000))]
    give(receiver, chunk(5, 3, 1000, b"x" * 1000))
    assert frames(receiver) == [bulk_ack(5, 3, 0, BULK_WINDOW_BYTES, (1000, 2000))]
    give(receiver, chunk(5, 5, 3000, b"x"), chunk(5, 4, 2000, b"x"))
    assert frames(receiver) == [bulk_ack(5, 5, 0, BULK_WINDOW_BYTES, (1000, 2001), (3000, 3001))]
    assert receiver.stats().bulk.dropped == 1


def test_ch_54_at_most_16_ranges_the_lowest() -> None:
    receiver = accepted()
    for place in range(20, 0, -1):
        give(receiver, chunk(5, place, place * 10, b"x"))
    ranges = [(place * 10, place * 10 + 1) for place in range(1, 17)]
    assert frames(receiver) == [bulk_ack(5, 20, 0, BULK_WINDOW_BYTES, *ranges)]


def test_ch_55_the_window_follows_the_reader() -> None:
    receiver = make()
    size = 2 * BULK_WINDOW_BYTES
    give(receiver, offer(5, size))
    receiver.send(AcceptBulk(LOG, 5), now=0.0)
    for place in range(BULK_WINDOW_BYTES // 65_536):
        give(receiver, chunk(5, place, place * 65_536, bytes(65_536)))
    frames(receiver)
    read = receiver.next_event()
    assert isinstance(read, BulkOffered)
    for _ in range(15):
        assert isinstance(receiver.next_event(), BulkChunkReceived)
    assert frames(receiver) == []  # too little to be worth a word
    receiver.next_event()
    assert frames(receiver) == [bulk_ack(5, 63, BULK_WINDOW_BYTES, BULK_WINDOW_BYTES + 16 * 65_536)]


@pytest.mark.bare
def test_ch_4_tiny_chunks_do_not_cost_an_object_each() -> None:
    receiver = make()
    give(receiver, offer(5, 100_000, hashlib.sha256(bytes(100_000)).digest()))
    receiver.send(AcceptBulk(LOG, 5), now=0.0)
    for place in range(100_000):
        give(receiver, chunk(5, place, place, b"\0"))
    got = events(receiver)
    assert len(got) < 40
    assert joined(got[1:]) == bytes(100_000)


def test_ch_4_chunks_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.incoming.MAX_BULK_SEGMENTS", 4)
    receiver = accepted()
    for place in range(1, 10):
        give(receiver, chunk(5, place, place * 1000, DATA[place * 1000 :][:1000]))
    assert frames(receiver) == [bulk_ack(5, 9, 0, BULK_WINDOW_BYTES, (1000, 5000))]
    for place in range(10):
        give(receiver, chunk(5, 10 + place, place * 1000, DATA[place * 1000 :][:1000]))
    assert joined(events(receiver)) == DATA


# --- who has no room ----------------------------------------------------------------------------


def two_accepted() -> Channels:
    """A receiver of transfers 5 and 6, with three chunks of each."""
    receiver = make()
    for number in (5, 6):
        give(receiver, offer(number, 3_000, hashlib.sha256(DATA[:3_000]).digest()))
        receiver.send(AcceptBulk(LOG, number), now=0.0)
    events(receiver)
    for place in range(3):
        for number in (5, 6):
            give(receiver, chunk(number, place + 1, place * 1_000, DATA[place * 1_000 :][:1_000]))
    return receiver


def test_ch_5_a_transfer_that_is_held_back_stops_no_other() -> None:
    receiver = two_accepted()
    held = Held(transfers={(LOG, 5)})
    got: list[ChannelEvent] = []
    while (event := receiver.next_event(0.0, held)) is not None:
        got.append(event)
    assert joined(got[:-1]) == DATA[:3_000]
    assert got[-1] == BulkReceived(LOG, 6)
    assert {getattr(event, "transfer", None) for event in got} == {6}
    give(receiver, state(1, 0), stream(0, 0, 1, b""), command(0), control(0, 0), offer(7, 10))
    assert len([receiver.next_event(0.0, held) for _ in range(5)]) == 5
    assert receiver.next_event(0.0, held) is None
    rest = events(receiver)
    assert joined(rest[:-1]) == DATA[:3_000]
    assert rest[-1] == BulkReceived(LOG, 5)


def test_ch_5_transfers_take_turns() -> None:
    order = [getattr(event, "transfer", 0) for event in events(two_accepted())]
    assert order == [5, 6, 5, 6, 5, 6, 5, 6]


def test_ch_5_a_transfer_that_is_held_back_can_end() -> None:
    receiver = two_accepted()
    held = Held(transfers={(LOG, 5)})
    receiver.send(EndBulk(LOG, 5, incoming=True, status=BulkStatus.CANCELLED), now=0.0)
    assert receiver.next_event(0.0, held) == ended(5, BulkStatus.CANCELLED, incoming=True)
    assert {getattr(event, "transfer", None) for event in events(receiver)} == {6}


def test_ch_5_what_is_held_back_opens_no_window() -> None:
    receiver = make()
    give(receiver, offer(5, 2 * BULK_WINDOW_BYTES))
    receiver.send(AcceptBulk(LOG, 5), now=0.0)
    for place in range(BULK_WINDOW_BYTES // 65_536):
        give(receiver, chunk(5, place + 1, place * 65_536, bytes(65_536)))
    got = [receiver.next_event(0.0, Held(transfers={(LOG, 5)})) for _ in range(2)]
    assert got[1] is None
    assert frames(receiver)[-1] == bulk_ack(5, 64, BULK_WINDOW_BYTES, BULK_WINDOW_BYTES)


# --- the end ------------------------------------------------------------------------------------


def test_ch_56_later_chunks_and_offers_are_answered_with_the_same_done() -> None:
    receiver = accepted(b"abc")
    give(receiver, chunk(5, 1, 0, b"abc"))
    events(receiver)
    receiver.send(EndBulk(LOG, 5, incoming=True, status=BulkStatus.OK), now=0.0)
    assert frames(receiver) == [done(5, 0, RECEIVER)]
    for late in (chunk(5, 2, 0, b"abc"), offer(5, 3, hashlib.sha256(b"abc").digest()), done(5, 2, SENDER)):
        give(receiver, late)
        assert frames(receiver) == [done(5, 0, RECEIVER)]
    assert events(receiver) == [ended(5, BulkStatus.OK, incoming=True)]


def test_ch_56_a_wrong_hash() -> None:
    receiver = accepted(b"abc", sha256=bytes(32))
    give(receiver, chunk(5, 1, 0, b"abc"))
    assert frames(receiver) == [done(5, 1, RECEIVER)]
    # The bytes are not worth anything any more: they are let go with the transfer.
    assert events(receiver) == [ended(5, BulkStatus.HASH_MISMATCH, incoming=True)]


def test_ch_56_cancelled_by_the_sender() -> None:
    receiver = accepted()
    give(receiver, chunk(5, 1, 0, b"abc"), chunk(5, 3, 10, b"abc"), done(5, 2, SENDER))
    assert frames(receiver) == [done(5, 2, RECEIVER)]
    assert events(receiver) == [ended(5, BulkStatus.CANCELLED, incoming=True)]
    assert receiver.next_deadline() is None


def test_ch_56_cancelled_before_its_offer_arrived() -> None:
    receiver = make()
    give(receiver, done(5, 2, SENDER), offer(5, 10))
    assert frames(receiver) == [done(5, 2, RECEIVER)]
    assert events(receiver) == []


@pytest.mark.parametrize("status", [0, 1, 3])
def test_ch_56_the_sender_can_only_cancel(status: int) -> None:
    refuses(accepted(), done(5, status, SENDER), ProtocolViolationError)


def test_ch_56_cancelled_by_the_receiver() -> None:
    sender, receiver = make(), make()
    number = sender.send(OfferBulk(LOG, "log", DATA, SHA), now=0.0)
    settle(sender, receiver)
    receiver.send(AcceptBulk(LOG, number), now=0.0)
    carry(receiver, sender)
    events(receiver)
    receiver.send(EndBulk(LOG, number, incoming=True, status=BulkStatus.CANCELLED), now=0.0)
    settle(sender, receiver)
    assert events(sender)[-1] == ended(number, BulkStatus.CANCELLED, incoming=False)
    assert events(receiver) == [ended(number, BulkStatus.CANCELLED, incoming=True)]
    sender.send(EndBulk(LOG, number, incoming=False, status=BulkStatus.CANCELLED), now=0.0)  # too late, no harm
    assert frames(sender) == []


def test_malformed_transfer_frames() -> None:
    receiver = accepted()
    for good in (offer(6, 1), accept(5), bulk_ack(5, 0, 0, 0), done(5, 2, SENDER)):
        refuses(receiver, good + b"\0", MalformedError)
        for size in range(2, len(good)):
            refuses(receiver, good[:size], MalformedError)
    wrong = bytearray(bulk_ack(5, 0, 0, 0) + bytes(17 * 16))
    wrong[24] = 17
    refuses(receiver, bytes(wrong), MalformedError)
    refuses(receiver, done(5, 2, SENDER)[:5] + b"\2", MalformedError)
    refuses(receiver, offer(6, 1, name="\u00e9")[:-1] + b"\xff", MalformedError)
