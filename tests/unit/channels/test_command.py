"""`command`: CH-20 to CH-25."""

import pytest

from protocols.channels import Held
from protocols.channels.limits import COMMAND_QUEUE_BYTES, COMMAND_READ_BYTES, MAX_OPEN_REQUESTS
from protocols.errors import (
    MalformedError,
    MessageTooLargeError,
    ProtocolViolationError,
    QueueFullError,
    UsageError,
)
from protocols.events import AnswerReceived, CommandReceived, SendCommand, SendControl
from specs.registry import ChannelClass, ChannelId, CommandFlags
from tests.unit.channels.pair import (
    UDP_FRAME,
    ack,
    carry,
    command,
    control,
    events,
    frames,
    give,
    make,
    refuses,
    settle,
    state,
)
from tests.unit.channels.picture import snapshot

BODY = UDP_FRAME - 12
MORE, ANSWER = CommandFlags.MORE, CommandFlags.ANSWER


def request(data: bytes = b"") -> SendCommand:
    return SendCommand(ChannelId.COMMAND, data)


def answer(reply_to: int, data: bytes = b"") -> SendCommand:
    return SendCommand(ChannelId.COMMAND, data, reply_to)


def asked(number: int, data: bytes = b"") -> CommandReceived:
    return CommandReceived(ChannelId.COMMAND, number, data)


def answered(reply_to: int, data: bytes = b"") -> AnswerReceived:
    return AnswerReceived(ChannelId.COMMAND, reply_to, data)


# --- messages and units -------------------------------------------------------------------------


def test_ch_20_units_and_ch_21_ids() -> None:
    sender = make()
    data = bytes(range(256)) * 10
    assert sender.send(request(b"one"), now=0.0) == 0
    assert sender.send(request(data), now=0.0) == 1
    assert sender.send(request(), now=0.0) == 4
    assert frames(sender) == [
        command(0, b"one"),
        command(1, data[:BODY], MORE),
        command(2, data[BODY : 2 * BODY], MORE),
        command(3, data[2 * BODY :]),
        command(4),
    ]
    assert sender.stats().command.sent == 3


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("size", [0, 1, BODY, BODY + 1, 2 * BODY, 65_536])
def test_ch_20_any_size_arrives(size: int, reliable: bool) -> None:
    sender, receiver = make(reliable=reliable), make(reliable=reliable)
    data = bytes(index % 251 for index in range(size))
    sender.send(request(data), now=0.0)
    settle(sender, receiver)
    assert events(receiver) == [asked(0, data)]


def test_ch_20_at_most_65536_bytes() -> None:
    sender = make()
    with pytest.raises(MessageTooLargeError):
        sender.send(request(bytes(65_537)), now=0.0)
    receiver = make(reliable=True)
    give(receiver, command(0, bytes(65_000), MORE))
    refuses(receiver, command(1, bytes(537)), ProtocolViolationError)
    give(receiver, command(1, bytes(536)))
    assert events(receiver) == [asked(0, bytes(65_536))]


@pytest.mark.parametrize("wrong", [(MORE | ANSWER, 0), (ANSWER, 0), (ANSWER, 7)])
def test_ch_20_units_of_one_message_have_the_same_flags(wrong: tuple[int, int]) -> None:
    receiver = make()
    receiver.send(request(), now=0.0)
    frames(receiver)
    give(receiver, command(0, b"a", MORE))
    refuses(receiver, command(1, b"b", *wrong), ProtocolViolationError)
    give(receiver, command(1, b"b"))
    assert events(receiver) == [asked(0, b"ab")]


def test_ch_20_also_when_the_gap_closes_later() -> None:
    receiver = make()
    give(receiver, command(1, b"b", ANSWER, 0), command(2, b"c"))
    refuses(receiver, command(0, b"a", MORE), ProtocolViolationError)
    assert events(receiver) == []


def test_units_without_bytes_leave_nothing_behind() -> None:
    receiver = make()
    for sequence in range(1000):
        give(receiver, command(sequence, b"", MORE))
    give(receiver, command(1000, b"end"))
    assert events(receiver) == [asked(0, b"end")]


def test_ch_21_reply_to_without_answer_and_unknown_flags() -> None:
    receiver = make()
    refuses(receiver, command(0, b"", 0, 1), ProtocolViolationError)
    wrong = bytearray(command(0))
    wrong[3] = 4
    refuses(receiver, bytes(wrong), MalformedError)
    wrong[2:4] = b"\x80\0"
    refuses(receiver, bytes(wrong), MalformedError)


def test_ch_22_in_order_each_once_whatever_happens_below() -> None:
    receiver = make()
    give(receiver, *(command(sequence, bytes([sequence])) for sequence in (3, 1, 1, 0, 0, 2, 3, 2)))
    assert events(receiver) == [asked(number, bytes([number])) for number in range(4)]
    assert receiver.stats().command.dropped == 4


# --- acknowledgements ---------------------------------------------------------------------------


def test_ch_23_next_and_bitmap() -> None:
    receiver = make()
    give(receiver, command(0), command(2), command(5), command(64))
    assert frames(receiver) == [ack(1, 1 << 0 | 1 << 3 | 1 << 62)]
    assert frames(receiver) == []
    give(receiver, command(1))
    assert frames(receiver) == [ack(3, 1 << 1 | 1 << 60)]


def test_ch_23_a_double_is_acknowledged_again() -> None:
    """Our ACK may have been lost."""
    receiver = make()
    give(receiver, command(0))
    frames(receiver)
    give(receiver, command(0))
    assert frames(receiver) == [ack(1)]


@pytest.mark.parametrize("wrong", [(4, 0), (3, 1), (0, 1 << 2), (2, 1), (2**32 - 1, 2**64 - 1)])
def test_ch_23_of_units_that_were_never_sent(wrong: tuple[int, int]) -> None:
    sender = make()
    for _ in range(3):
        sender.send(request(), now=0.0)
    frames(sender)
    refuses(sender, ack(*wrong), ProtocolViolationError)
    give(sender, ack(3))


def test_ch_23_of_units_that_only_wait_to_be_sent() -> None:
    sender = make()
    sender.send(request(), now=0.0)
    refuses(sender, ack(1), ProtocolViolationError)


def test_a_malformed_ack() -> None:
    sender = make()
    sender.send(request(), now=0.0)
    frames(sender)
    refuses(sender, ack(0) + b"\0", MalformedError)
    refuses(sender, ack(0)[:-1], MalformedError)
    wrong = bytearray(ack(0))
    wrong[2] = 1
    refuses(sender, bytes(wrong), MalformedError)


def test_an_old_ack_takes_nothing_back() -> None:
    sender = make()
    for _ in range(5):
        sender.send(request(), now=0.0)
    frames(sender)
    give(sender, ack(4), ack(0), ack(2, 1))
    sender.handle_deadline(10.0)
    assert frames(sender, 10.0) == [command(4)]


# --- the window and the timer -------------------------------------------------------------------


def test_ch_24_at_most_64_in_flight() -> None:
    sender = make()
    for _ in range(100):
        sender.send(request(), now=0.0)
    assert len(frames(sender)) == 64
    give(sender, ack(0, 2**63 - 1))  # all but the first: the window still begins at 0
    assert frames(sender) == [command(0)]
    give(sender, ack(64))
    assert len(frames(sender)) == 36


def test_ch_24_a_unit_beyond_the_window_ends_the_link() -> None:
    receiver = make()
    refuses(receiver, command(65), ProtocolViolationError)
    give(receiver, command(64))
    give(receiver, command(0))
    refuses(receiver, command(66), ProtocolViolationError)
    give(receiver, command(65))


def test_ch_24_sent_again_when_the_timer_expires() -> None:
    sender = make()
    sender.send(request(b"a"), now=1.0)
    assert sender.next_deadline() is None  # not sent yet
    first = frames(sender, 1.0)
    for expected in (1.5, 2.5, 4.5, 6.5):  # 0.5 s, doubled, at most 2 s
        assert sender.next_deadline() == expected
        sender.handle_deadline(expected - 0.001)
        assert frames(sender, expected - 0.001) == []
        sender.handle_deadline(expected)
        assert sender.next_deadline() is None
        assert frames(sender, expected) == first
    give(sender, ack(1), now=7.0)
    assert sender.next_deadline() is None
    stats = sender.stats().command
    assert (stats.sent, stats.lost, stats.retransmitted) == (1, 4, 4)
    sender.send(request(), now=8.0)
    frames(sender, 8.0)
    assert sender.next_deadline() == 8.5  # an ACK ends the doubling


def test_ch_24_the_timer_follows_the_round_trip() -> None:
    """RFC 6298, and Karn: only units that were sent once are measured."""
    sender = make()
    assert sender.rtt_s is None
    sender.rtt_sample(0.02, 0.0)
    sender.send(request(), now=1.0)
    frames(sender, 1.0)
    assert sender.next_deadline() == pytest.approx(1.06)
    give(sender, ack(1), now=1.02)
    assert sender.rtt_s == pytest.approx(0.02)
    sender.send(request(), now=2.0)
    frames(sender, 2.0)
    deadline = sender.next_deadline()
    assert deadline is not None
    sender.handle_deadline(deadline)
    frames(sender, deadline)
    give(sender, ack(2), now=9.0)
    assert sender.rtt_s == pytest.approx(0.02)


def test_ch_24_sent_again_when_three_later_units_were_acknowledged() -> None:
    sender = make()
    for number in range(6):
        sender.send(request(bytes([number])), now=0.0)
    frames(sender)
    give(sender, ack(0, 0b011))
    assert frames(sender) == []
    give(sender, ack(0, 0b111))
    assert frames(sender) == [command(0, b"\0")]
    give(sender, ack(0, 0b11111))
    assert frames(sender) == []  # only those that were sent after it count now


def test_a_lost_unit_that_arrived_after_all_is_not_sent_again() -> None:
    sender = make()
    for _ in range(4):
        sender.send(request(), now=0.0)
    frames(sender)
    give(sender, ack(0, 0b111))
    assert sender.has_output(0.0)
    give(sender, ack(4))
    assert frames(sender) == []
    assert sender.stats().command.retransmitted == 0


def test_lost_units_go_before_new_ones() -> None:
    sender = make()
    for _ in range(4):
        sender.send(request(), now=0.0)
    frames(sender)
    sender.send(request(b"new"), now=0.0)
    sender.handle_deadline(1.0)
    assert frames(sender, 1.0) == [command(0), command(1), command(2), command(3), command(4, b"new")]


def test_a_reliable_carrier_needs_no_timer() -> None:
    sender = make(reliable=True)
    for _ in range(6):
        sender.send(request(), now=0.0)
    frames(sender)
    give(sender, ack(0, 0b11111))
    sender.handle_deadline(100.0)
    assert sender.next_deadline() is None
    assert frames(sender, 100.0) == []


# --- requests and answers -----------------------------------------------------------------------


def test_ch_25_asked_and_answered() -> None:
    rc, drone = make(), make()
    number = rc.send(request(b"take off"), now=0.0)
    carry(rc, drone)
    assert events(drone) == [asked(number, b"take off")]
    drone.send(answer(number, b"flying" * 300), now=0.0)
    carry(drone, rc)
    assert events(rc) == [answered(number, b"flying" * 300)]


def test_ch_25_answers_that_end_the_link() -> None:
    rc = make()
    first = rc.send(request(), now=0.0)
    frames(rc)
    unsent = rc.send(request(bytes(2 * BODY)), now=0.0)
    rc.next_frame(0.0)  # its first unit only
    refuses(rc, command(0, b"", ANSWER, 9), ProtocolViolationError)  # never sent
    refuses(rc, command(0, b"", ANSWER, unsent), ProtocolViolationError)  # not yet sent
    refuses(rc, command(0, b"", ANSWER | MORE, 9), ProtocolViolationError)
    give(rc, command(0, b"", ANSWER, first))
    refuses(rc, command(1, b"", ANSWER, first), ProtocolViolationError)  # answered already


def test_ch_25_two_answers_behind_a_gap() -> None:
    rc = make()
    first = rc.send(request(), now=0.0)
    frames(rc)
    give(rc, command(1, b"", ANSWER, first), command(2, b"", ANSWER, first))
    refuses(rc, command(0), ProtocolViolationError)


def test_ch_25_an_answer_names_an_open_request() -> None:
    drone = make()
    give(drone, command(0))
    with pytest.raises(UsageError):
        drone.send(answer(1), now=0.0)
    drone.send(answer(0), now=0.0)
    before = snapshot(drone)
    with pytest.raises(UsageError):
        drone.send(answer(0), now=0.0)
    assert snapshot(drone) == before


def test_ch_25_open_requests_are_bounded_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_OPEN_REQUESTS == 4096
    monkeypatch.setattr("protocols.channels.command.MAX_OPEN_REQUESTS", 3)
    rc, drone = make(), make()
    for _ in range(3):
        rc.send(request(), now=0.0)
    with pytest.raises(QueueFullError):
        rc.send(request(), now=0.0)
    settle(rc, drone)
    events(drone)
    give(drone, command(3))
    frames(drone)
    with pytest.raises(UsageError):
        drone.send(answer(0), now=0.0)  # the oldest made room for the newest
    drone.send(answer(1), now=0.0)
    carry(drone, rc)
    rc.send(request(), now=0.0)


# --- bounds -------------------------------------------------------------------------------------


def test_ch_4_the_sending_queue_is_bounded() -> None:
    sender = make()
    room = sender.room(ChannelClass.COMMAND)
    assert 0.9 * COMMAND_QUEUE_BYTES < room < COMMAND_QUEUE_BYTES
    while sender.room(ChannelClass.COMMAND) >= 60_000:
        sender.send(request(bytes(60_000)), now=0.0)
    last = sender.room(ChannelClass.COMMAND)
    sender.send(request(bytes(last)), now=0.0)
    before = snapshot(sender)
    with pytest.raises(QueueFullError):
        sender.send(request(bytes(2 * BODY)), now=0.0)
    assert snapshot(sender) == before
    receiver = make()
    for _ in range(1000):
        settle(sender, receiver)
        events(receiver)
    assert sender.room(ChannelClass.COMMAND) == room


@pytest.mark.parametrize("reliable", [False, True])
def test_ch_4_a_slow_reader_stops_the_sender_and_loses_nothing(reliable: bool) -> None:
    sender, receiver = make(reliable=reliable), make(reliable=reliable)
    size, sent, now = 30_000, 0, 0.0
    for _ in range(400):
        while sender.room(ChannelClass.COMMAND) >= size and sent < 200:
            sender.send(request(sent.to_bytes(2, "big") + bytes(size - 2)), now)
            sent += 1
        settle(sender, receiver, now)
    held = receiver.stats().command.received
    assert COMMAND_READ_BYTES // (size + 64) <= held <= COMMAND_READ_BYTES // size + 1
    got: list[int] = []
    while len(got) < 200:
        now += 2.0
        sender.handle_deadline(now)
        got += [
            int.from_bytes(event.data[:2], "big") for event in events(receiver) if isinstance(event, CommandReceived)
        ]
        settle(sender, receiver, now)
        while sender.room(ChannelClass.COMMAND) >= size and sent < 200:
            sender.send(request(sent.to_bytes(2, "big") + bytes(size - 2)), now)
            sent += 1
        settle(sender, receiver, now)
    assert got == list(range(200))


def test_ch_5_commands_that_are_held_back_stop_nothing_else() -> None:
    receiver = make()
    give(receiver, *(command(number) for number in range(64)))
    give(receiver, control(0, 0), state(1, 0))
    held = Held(commands=True)
    got = [receiver.next_event(0.0, held) for _ in range(3)]
    assert [type(event).__name__ for event in got] == ["ControlReceived", "StateReceived", "NoneType"]
    assert events(receiver) == [asked(number) for number in range(64)]


def test_sequences_do_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.base.LAST_SEQUENCE", 2)
    sender = make()
    sender.send(request(bytes(2 * BODY)), now=0.0)
    before = snapshot(sender)
    with pytest.raises(UsageError):
        sender.send(request(bytes(2 * BODY)), now=0.0)
    assert snapshot(sender) == before
    sender.send(request(), now=0.0)


def test_the_wrong_message_and_short_frames() -> None:
    channels = make()
    with pytest.raises(UsageError):
        channels.send(SendControl(ChannelId.COMMAND, b""), now=0.0)
    for size in range(2, 12):
        refuses(channels, command(0)[:size], MalformedError)


def test_units_keep_their_size_when_the_path_shrinks() -> None:
    """Their sequence names their bytes; so they are cut for the smallest path from the start."""
    sender, receiver = make(frame=1_400), make(frame=1_400)
    sender.send(request(bytes(5000)), now=0.0)
    assert max(map(len, frames(sender))) == 1_168
    sender.max_frame_bytes = 1_168
    sender.handle_deadline(1.0)
    carry(sender, receiver, 1.0)
    assert events(receiver) == [asked(0, bytes(5000))]
