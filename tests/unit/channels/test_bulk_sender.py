"""`bulk`: the sending half against a receiver that is written by hand (CH-50, CH-52, CH-54 to CH-56)."""

import hashlib

import pytest

from protocols.channels import Channels
from protocols.channels.limits import MAX_BULK_FLIGHT_BYTES, MAX_DONE_REPEATS, MAX_TRANSFERS
from protocols.errors import MessageTooLargeError, ProtocolViolationError, QueueFullError, UsageError
from protocols.events import BulkAccepted, BulkEnded, BulkStatus, EndBulk, OfferBulk
from specs.inner import BulkDirection
from specs.registry import MAX_BULK_BYTES, ChannelClass, ChannelId
from tests.unit.channels.pair import (
    FIRST_TRANSFER,
    UDP_FRAME,
    accept,
    bulk_ack,
    chunk,
    done,
    events,
    frames,
    give,
    make,
    offer,
    refuses,
    settle,
)
from tests.unit.channels.picture import snapshot

LOG = ChannelId.LOG
N = FIRST_TRANSFER
SENDER, RECEIVER = BulkDirection.FROM_SENDER, BulkDirection.FROM_RECEIVER
BODY = 1_152
DATA = bytes(index * 7 % 251 for index in range(100 * BODY))
SHA = hashlib.sha256(DATA).digest()
WIDE = len(DATA)


def the_offer(data: bytes | memoryview = DATA, name: str = "log", sha256: bytes = SHA) -> OfferBulk:
    return OfferBulk(LOG, name, data, sha256)


def cancel(number: int = N) -> EndBulk:
    return EndBulk(LOG, number, incoming=False, status=BulkStatus.CANCELLED)


def sending(window_to: int = WIDE, now: float = 0.0, *, reliable: bool = False) -> Channels:
    """A sender whose offer was accepted and whose window is open; nothing sent yet."""
    sender = make(reliable=reliable, frame=1_168)
    assert sender.send(the_offer(), now) == N
    assert frames(sender, now) == [offer(N, len(DATA), SHA)]
    give(sender, accept(N), bulk_ack(N, 0, 0, window_to), now=now)
    assert events(sender) == [BulkAccepted(LOG, N, 0)]
    return sender


def part(place: int, packet: int) -> bytes:
    return chunk(N, packet, place * BODY, DATA[place * BODY :][:BODY])


# --- offers -------------------------------------------------------------------------------------


def test_ch_50_the_offer_is_repeated_until_it_is_answered() -> None:
    sender = make()
    sender.send(the_offer(), now=1.0)
    first = frames(sender, 1.0)
    for expected in (1.5, 2.5, 4.5, 6.5):
        assert sender.next_deadline() == expected
        sender.handle_deadline(expected - 0.01)
        assert frames(sender, expected - 0.01) == []
        sender.handle_deadline(expected)
        assert frames(sender, expected) == first
    sender.handle_deadline(8.5)
    give(sender, accept(N), now=8.5)
    assert frames(sender, 8.5) == []  # not even the repetition that was due


def test_ch_50_also_until_the_window_is_known() -> None:
    """The BULK_ACK that opens the window may be lost as well."""
    sender = make()
    sender.send(the_offer(), now=0.0)
    first = frames(sender)
    give(sender, bulk_ack(N, 0, 0, WIDE), accept(N))  # it overtook the ACCEPT, and says nothing before it
    assert frames(sender) == []
    deadline = sender.next_deadline()
    assert deadline is not None
    sender.handle_deadline(deadline)
    assert frames(sender, deadline) == first
    give(sender, accept(N), bulk_ack(N, 0, 0, WIDE), now=1.0)
    assert frames(sender, 1.0)[0] == part(0, 1)
    assert events(sender) == [BulkAccepted(LOG, N, 0)]


def test_ch_51_acceptances_that_end_the_link() -> None:
    sender = make()
    sender.send(the_offer(), now=0.0)
    frames(sender)
    refuses(sender, accept(N, len(DATA) + 1), ProtocolViolationError)
    refuses(sender, accept(N + 1), ProtocolViolationError)
    give(sender, accept(N, 10))
    refuses(sender, accept(N, 11), ProtocolViolationError)
    give(sender, accept(N, 10))


def test_offers_that_cannot_be_made() -> None:
    sender = make()

    before = snapshot(sender)
    for message in (
        the_offer(name="n" * 256),
        the_offer(name="\ud800"),
        the_offer(sha256=bytes(31)),
        EndBulk(LOG, N, incoming=False, status=BulkStatus.CANCELLED),
    ):
        with pytest.raises(UsageError):
            sender.send(message, now=0.0)
    assert snapshot(sender) == before
    sender.send(the_offer(name="é" * 127), now=0.0)
    for status in (BulkStatus.OK, BulkStatus.REFUSED, BulkStatus.HASH_MISMATCH):
        with pytest.raises(UsageError):
            sender.send(EndBulk(LOG, N, incoming=False, status=status), now=0.0)


def test_too_large_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BULK_BYTES == 2**40
    monkeypatch.setattr("protocols.channels.bulk_sender.MAX_BULK_BYTES", len(DATA) - 1)
    with pytest.raises(MessageTooLargeError):
        make().send(the_offer(), now=0.0)


def test_ch_4_transfers_are_bounded() -> None:
    sender = make()
    assert sender.room(ChannelClass.BULK) == MAX_TRANSFERS
    numbers = [sender.send(the_offer(b"x"), now=0.0) for _ in range(MAX_TRANSFERS)]
    assert len(set(numbers)) == MAX_TRANSFERS
    with pytest.raises(QueueFullError):
        sender.send(the_offer(b"x"), now=0.0)
    frames(sender)
    give(sender, done(numbers[3], 3, RECEIVER))
    assert sender.send(the_offer(b"x"), now=0.0) == numbers[-1] + 1


def test_ch_50_numbers_are_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.bulk_sender._NUMBERS", 3)
    sender = make()
    numbers: list[int] = []
    for _ in range(3):
        numbers.append(sender.send(the_offer(b"x"), now=0.0))
        frames(sender)
        give(sender, done(numbers[-1], 3, RECEIVER))
    assert sorted(numbers) == [0, 1, 2]
    with pytest.raises(UsageError):
        sender.send(the_offer(b"x"), now=0.0)


def test_an_object_of_other_elements_is_sent_as_bytes() -> None:
    sender, receiver = make(), make()
    sender.send(the_offer(memoryview(b"12345678").cast("I")), now=0.0)
    settle(sender, receiver)
    offered = receiver.next_event()
    assert getattr(offered, "size_bytes", None) == 8


# --- chunks, windows, losses --------------------------------------------------------------------


def test_ch_52_packet_numbers_rise_and_chunks_fill_the_payload() -> None:
    sender = sending()
    assert frames(sender) == [part(place, place + 1) for place in range(32)]  # the initial window


def test_ch_55_the_receivers_window_is_respected() -> None:
    sender = sending(window_to=3 * BODY + 10)
    assert len(frames(sender)) == 3  # the small rest waits: the window may move
    give(sender, bulk_ack(N, 3, 3 * BODY, 3 * BODY + 10))
    assert frames(sender) == [chunk(N, 4, 3 * BODY, DATA[3 * BODY :][:10])]
    give(sender, bulk_ack(N, 4, 3 * BODY + 10, 3 * BODY + 10))
    assert frames(sender) == []


def test_ch_55_a_closed_window_is_polled() -> None:
    sender = sending(window_to=BODY)
    frames(sender)
    give(sender, bulk_ack(N, 1, BODY, BODY), now=0.1)
    deadline = sender.next_deadline()
    assert deadline is not None
    sender.handle_deadline(deadline)
    assert frames(sender, deadline) == [offer(N, len(DATA), SHA)]
    give(sender, accept(N), bulk_ack(N, 1, BODY, 2 * BODY), now=deadline)
    assert frames(sender, deadline) == [part(1, 2)]


def test_ch_55_a_window_never_shrinks() -> None:
    sender = sending(window_to=4 * BODY)
    give(sender, bulk_ack(N, 0, 0, BODY))
    assert len(frames(sender)) == 4


@pytest.mark.parametrize("reliable", [False, True])
def test_ch_55_what_is_in_flight_is_bounded_whatever_the_receiver_allows(reliable: bool) -> None:
    """A receiver that opens every window, and acknowledges what it has not seen, does not fill our memory."""
    data = bytes(4 * MAX_BULK_FLIGHT_BYTES)
    sender = make(reliable=reliable, frame=UDP_FRAME)
    number = sender.send(the_offer(data), now=0.0)
    frames(sender)
    give(sender, accept(number), bulk_ack(number, 0, 0, 2**40))
    packets = sent = received = 0
    for turn in range(20):
        for frame in frames(sender, turn * 0.001):
            packets += 1
            sent = max(sent, int.from_bytes(frame[8:16], "big") + len(frame) - 16)
        assert sent - received <= MAX_BULK_FLIGHT_BYTES
        received = sent if turn < (2 if reliable else 8) else received
        give(sender, bulk_ack(number, packets, received, 2**40), now=turn * 0.001)
    assert received < sent == received + MAX_BULK_FLIGHT_BYTES // BODY * BODY


def test_ch_55_sent_again_when_three_later_packets_overtook() -> None:
    sender = sending()
    frames(sender)
    give(sender, bulk_ack(N, 3, 0, WIDE, (BODY, 3 * BODY)))
    assert all(frame[8:16] != bytes(8) for frame in frames(sender))
    give(sender, bulk_ack(N, 4, 0, WIDE, (BODY, 4 * BODY)))
    again = frames(sender)
    assert again[0][8:] == part(0, 1)[8:]  # the same bytes in a new packet
    assert int.from_bytes(again[0][4:8], "big") > 32
    stats = sender.stats().bulk
    assert (stats.lost, stats.retransmitted) == (1, 1)


def test_ch_55_a_packet_that_was_late_only_is_not_sent_again() -> None:
    sender = sending()
    frames(sender)
    give(sender, bulk_ack(N, 4, 0, WIDE, (BODY, 4 * BODY)), bulk_ack(N, 5, 5 * BODY, WIDE))
    frames(sender)
    assert sender.stats().bulk.retransmitted == 0
    assert sender.stats().bulk.lost == 1


def test_ch_54_an_ack_full_of_ranges_is_silent_about_the_rest() -> None:
    sender = sending()
    frames(sender)
    ranges = [(place * BODY, (place + 1) * BODY) for place in range(1, 33, 2)]
    give(sender, bulk_ack(N, 32, 0, WIDE, *ranges[:15]))
    assert sender.stats().bulk.lost == 15  # up to packet 29: overtaken and not named
    sender = sending()
    frames(sender)
    give(sender, bulk_ack(N, 32, 0, WIDE, *(pair for pair in ranges)))
    assert sender.stats().bulk.lost == 15
    sender = sending()
    frames(sender)
    small = [(place, place + 1) for place in range(1, 33, 2)]
    give(sender, bulk_ack(N, 32, 0, WIDE, *small))
    assert sender.stats().bulk.lost == 0


def test_ch_55_the_timer_finds_what_is_missing() -> None:
    sender = sending(now=1.0)
    sent = frames(sender, 1.0)
    deadline = sender.next_deadline()
    assert deadline == pytest.approx(1.5)
    sender.handle_deadline(1.4)
    assert frames(sender, 1.4) == []
    sender.handle_deadline(1.5)
    again = frames(sender, 1.5)
    assert [frame[8:] for frame in again] == [frame[8:] for frame in sent[:2]]  # the smallest window
    assert sender.next_deadline() == pytest.approx(2.5)


def test_lost_chunks_are_cut_anew_when_the_path_shrinks() -> None:
    sender, receiver = make(), make()
    number = sender.send(the_offer(), now=0.0)
    settle(sender, receiver)
    assert frames(sender) == []
    give(sender, accept(number), bulk_ack(number, 0, 0, WIDE))
    frames(sender)
    sender.max_frame_bytes = 700
    sender.handle_deadline(5.0)
    again = frames(sender, 5.0)
    assert [int.from_bytes(frame[8:16], "big") for frame in again] == [0, 684]


def test_turns_between_transfers() -> None:
    sender = make()
    numbers = [sender.send(the_offer(), now=0.0) for _ in range(2)]
    frames(sender)
    for number in numbers:
        give(sender, accept(number), bulk_ack(number, 0, 0, WIDE))
    order = [int.from_bytes(frame[2:4], "big") - N for frame in frames(sender)]
    assert order[:6] == [0, 1, 0, 1, 0, 1]
    sender.send(the_offer(b""), now=0.0)
    assert len(frames(sender)) == 1  # an offer does not wait for the congestion window


def test_a_reliable_carrier_has_no_timer_and_no_congestion_window() -> None:
    sender = sending(reliable=True)
    assert len(frames(sender)) == 100
    assert sender.next_deadline() is None
    give(sender, bulk_ack(N, 100, 0, WIDE, (50 * BODY, 100 * BODY)))
    sender.handle_deadline(100.0)
    assert frames(sender, 100.0) == []


@pytest.mark.parametrize(
    "wrong",
    [
        bulk_ack(N, 4, 0, WIDE),  # a packet that was never sent
        bulk_ack(N, 3, 3 * BODY + 1, WIDE),  # bytes that were never sent
        bulk_ack(N, 3, 2**64 - 1, 2**64 - 1),
        bulk_ack(N, 3, BODY, WIDE, (2 * BODY, 3 * BODY + 1)),
        bulk_ack(N, 3, BODY, BODY - 1),  # a window behind what has arrived
        bulk_ack(N, 3, BODY, WIDE, (BODY, 2 * BODY)),  # touches received_to
        bulk_ack(N, 3, BODY, WIDE, (BODY - 1, 2 * BODY)),
        bulk_ack(N, 3, 0, WIDE, (10, 10)),  # empty
        bulk_ack(N, 3, 0, WIDE, (20, 10)),
        bulk_ack(N, 3, 0, WIDE, (10, 20), (20, 30)),  # touching
        bulk_ack(N, 3, 0, WIDE, (30, 40), (10, 20)),
        bulk_ack(N + 1, 3, 0, WIDE),
        done(N, 0, RECEIVER),  # OK before everything was sent
        done(N, 1, RECEIVER),
        done(N + 1, 2, RECEIVER),
    ],
)
def test_ch_54_claims_that_end_the_link(wrong: bytes) -> None:
    sender = sending(window_to=3 * BODY)
    assert len(frames(sender)) == 3
    refuses(sender, wrong, ProtocolViolationError)
    give(sender, bulk_ack(N, 3, 3 * BODY, WIDE))
    assert frames(sender)[0] == part(3, 4)


def test_ch_54_acknowledging_less_than_the_accepted_offset() -> None:
    sender = make()
    sender.send(the_offer(), now=0.0)
    frames(sender)
    give(sender, accept(N, 100))
    refuses(sender, bulk_ack(N, 0, 99, WIDE), ProtocolViolationError)


# --- the end ------------------------------------------------------------------------------------


def test_ch_56_done_is_polled_for_when_everything_has_arrived() -> None:
    sender = make()
    sender.send(the_offer(b"abc"), now=0.0)
    frames(sender)
    give(sender, accept(N), bulk_ack(N, 0, 0, WIDE))
    assert frames(sender) == [chunk(N, 1, 0, b"abc")]
    give(sender, bulk_ack(N, 1, 3, WIDE), now=0.1)
    deadline = sender.next_deadline()
    assert deadline is not None
    sender.handle_deadline(deadline)
    assert frames(sender, deadline) == [offer(N, 3, SHA)]
    give(sender, done(N, 0, RECEIVER), now=deadline)
    assert events(sender)[-1] == BulkEnded(LOG, N, incoming=False, status=BulkStatus.OK)
    assert sender.next_deadline() is None
    for late in (accept(N), bulk_ack(N, 1, 3, WIDE), done(N, 0, RECEIVER)):
        give(sender, late)
    assert events(sender) == []


def test_ch_56_done_without_an_acceptance() -> None:
    """The receiver had the whole object, and its ACCEPT was lost."""
    sender = make()
    sender.send(the_offer(), now=0.0)
    frames(sender)
    give(sender, done(N, 0, RECEIVER))
    assert events(sender) == [BulkEnded(LOG, N, incoming=False, status=BulkStatus.OK)]


def test_ch_56_cancelled_and_repeated_until_confirmed() -> None:
    sender = sending(now=1.0)
    frames(sender, 1.0)
    sender.send(cancel(), now=1.0)
    assert events(sender) == [BulkEnded(LOG, N, incoming=False, status=BulkStatus.CANCELLED)]
    assert frames(sender, 1.0) == [done(N, 2, SENDER)]
    sender.send(cancel(), now=1.0)
    give(sender, bulk_ack(N, 3, 3 * BODY, WIDE), accept(N), now=1.0)  # crossed it
    assert frames(sender, 1.0) == []
    deadline = sender.next_deadline()
    assert deadline == 1.5
    sender.handle_deadline(1.5)
    assert frames(sender, 1.5) == [done(N, 2, SENDER)]
    give(sender, done(N, 2, RECEIVER), now=1.6)
    assert sender.next_deadline() is None
    assert events(sender) == []
    assert sender.room(ChannelClass.BULK) == MAX_TRANSFERS
    # What was in flight no longer counts against the others.
    sender.send(the_offer(), now=2.0)
    frames(sender, 2.0)
    give(sender, accept(N + 1), bulk_ack(N + 1, 0, 0, WIDE), now=2.0)
    assert len(frames(sender, 2.0)) >= 32


def test_ch_56_a_cancellation_is_not_repeated_for_ever() -> None:
    sender = sending()
    sender.send(cancel(), now=0.0)
    count = len(frames(sender))
    while (deadline := sender.next_deadline()) is not None:
        sender.handle_deadline(deadline)
        count += len(frames(sender, deadline))
    assert count == MAX_DONE_REPEATS + 1


def test_ch_56_a_reliable_carrier_brings_the_cancellation() -> None:
    sender = sending(reliable=True)
    sender.send(cancel(), now=0.0)
    assert frames(sender) == [done(N, 2, SENDER)]
    assert sender.room(ChannelClass.BULK) == MAX_TRANSFERS
    give(sender, done(N, 2, RECEIVER))


def test_ch_52_packet_numbers_do_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.outgoing.U32", 3)
    sender = sending()
    assert frames(sender) == [part(0, 1), part(1, 2), part(2, 3), done(N, 2, SENDER)]
    assert events(sender) == [BulkEnded(LOG, N, incoming=False, status=BulkStatus.CANCELLED)]
