"""`control`: CH-10 to CH-14."""

import pytest

from protocols.errors import MalformedError, MessageTooLargeError, UsageError
from protocols.events import ControlReceived, SendControl, SendStream
from specs.registry import ChannelId
from tests.unit.channels.pair import UDP_FRAME, carry, control, events, frames, give, make, refuses


def sticks(data: bytes = b"sticks", lifetime_s: float = 0.5) -> SendControl:
    return SendControl(ChannelId.CONTROL, data, lifetime_s)


def test_ch_10_layout() -> None:
    sender = make()
    sender.send(sticks(lifetime_s=65.535), now=2.5)
    assert frames(sender, 2.5) == [control(0, 2_500, b"sticks", 65_535)]
    sender.send(sticks(lifetime_s=0.001), now=2**32 / 1000 + 0.25)  # the clock wraps
    assert frames(sender, 2**32 / 1000 + 0.25) == [control(1, 250, b"sticks", 1)]


@pytest.mark.parametrize("lifetime_s", [0.0, 0.0009, 65.6, -1.0, float("nan"), float("inf")])
def test_ch_10_lifetimes_that_do_not_exist(lifetime_s: float) -> None:
    sender = make()
    with pytest.raises(UsageError):
        sender.send(sticks(lifetime_s=lifetime_s), now=0.0)
    assert not sender.has_output(0.0)


def test_ch_10_a_lifetime_of_0_is_malformed() -> None:
    wrong = bytearray(control(0, 0))
    wrong[2:4] = b"\0\0"
    refuses(make(), bytes(wrong), MalformedError)


def test_delivered_with_age_and_expiry() -> None:
    receiver = make()
    give(receiver, control(0, 1_000), now=50.0)
    give(receiver, control(1, 1_100, b"x", 400), now=50.3)
    assert events(receiver) == [
        ControlReceived(ChannelId.CONTROL, b"x", pytest.approx(0.2), pytest.approx(50.5))  # type: ignore[arg-type]
    ]


def test_ch_11_only_a_greater_sequence_is_delivered() -> None:
    receiver = make()
    got: list[bytes] = []
    for sequence in (0, 3, 3, 1, 2, 4, 0):
        give(receiver, control(sequence, 0, bytes([sequence])))
        got += [event.data for event in events(receiver) if isinstance(event, ControlReceived)]
    assert got == [b"\0", b"\3", b"\4"]
    assert receiver.stats().control.dropped == 4


def test_ch_11_a_sequence_does_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.channels.base.LAST_SEQUENCE", 1)
    sender = make()
    for _ in range(2):
        sender.send(sticks(), now=0.0)
    with pytest.raises(UsageError):
        sender.send(sticks(), now=0.0)


def test_ch_12_older_than_its_lifetime_is_not_delivered() -> None:
    """An attacker holds messages back and releases them later."""
    receiver = make()
    give(receiver, control(0, 1_000), now=1.0)
    events(receiver)
    give(receiver, control(1, 1_100, lifetime_ms=500), now=1.7)  # 600 ms late
    assert events(receiver) == []
    assert receiver.stats().control.stale == 1
    give(receiver, control(2, 1_200, lifetime_ms=500), now=1.7)  # 500 ms late: just alive
    assert len(events(receiver)) == 1


def test_ch_12_a_stale_message_does_not_raise_the_sequence() -> None:
    receiver = make()
    give(receiver, control(0, 1_000), now=1.0)
    give(receiver, control(9, 1_000), now=9.0)
    give(receiver, control(1, 9_000, b"fresh"), now=9.0)
    assert [event.data for event in events(receiver) if isinstance(event, ControlReceived)] == [b"fresh"]


def test_ch_12_control_that_stays_too_old_is_seen() -> None:
    """Counted, and since when: what a node needs to make the link anew."""
    receiver = make()
    give(receiver, control(0, 1_000), now=1.0)
    since = [receiver.control_stale_since]
    for tick in range(50):
        give(receiver, control(1 + tick, 2_000 + 20 * tick), now=6.0 + 0.02 * tick)
    since.append(receiver.control_stale_since)
    assert receiver.stats().control.stale == 50
    give(receiver, control(60, 7_000), now=7.1)
    since.append(receiver.control_stale_since)
    assert since == [None, 6.0, None]


def test_ch_14_what_waited_longer_than_its_lifetime_is_not_handed_out() -> None:
    receiver = make()
    give(receiver, control(0, 1_000, lifetime_ms=300), now=1.0)
    give(receiver, control(1, 1_100, lifetime_ms=300), now=1.3)  # 200 ms old
    assert receiver.next_event(1.41) is None
    assert receiver.stats().control.stale == 1
    give(receiver, control(2, 1_400, b"x", lifetime_ms=300), now=1.4)
    assert isinstance(receiver.next_event(1.7), ControlReceived)
    assert receiver.stats().control.stale == 1


def test_ch_13_only_the_newest_unsent_message_is_kept() -> None:
    sender, receiver = make(), make()
    for number in range(5):
        sender.send(sticks(bytes([number])), now=0.0)
    assert carry(sender, receiver) == 1
    assert [event.data for event in events(receiver) if isinstance(event, ControlReceived)] == [b"\4"]
    assert sender.stats().control.dropped == 4


def test_ch_13_dropped_when_its_lifetime_has_passed() -> None:
    sender = make()
    sender.send(sticks(lifetime_s=0.25), now=1.0)
    assert sender.has_output(1.25)
    assert not sender.has_output(1.26)
    assert frames(sender, 1.26) == []
    assert sender.stats().control.dropped == 1
    assert sender.stats().control.sent == 0


def test_a_slow_reader_gets_the_newest_only() -> None:
    receiver = make()
    give(receiver, control(0, 0, b"old"), control(1, 0, b"new"))
    assert [event.data for event in events(receiver) if isinstance(event, ControlReceived)] == [b"new"]
    assert receiver.stats().control.dropped == 1


def test_one_payload_at_most() -> None:
    sender = make()
    sender.send(sticks(bytes(UDP_FRAME - 12)), now=0.0)
    assert len(frames(sender)[0]) == UDP_FRAME
    with pytest.raises(MessageTooLargeError):
        sender.send(sticks(bytes(UDP_FRAME - 11)), now=0.0)


def test_a_path_that_shrinks_drops_what_no_longer_fits() -> None:
    sender = make()
    sender.send(sticks(bytes(900)), now=0.0)
    sender.max_frame_bytes = 912
    assert sender.has_output(0.0)
    sender.max_frame_bytes = 911
    assert frames(sender) == []
    assert sender.stats().control.dropped == 1


def test_the_wrong_message_and_short_frames() -> None:
    channels = make()
    with pytest.raises(UsageError):
        channels.send(SendStream(ChannelId.CONTROL, b""), now=0.0)
    for size in range(2, 12):
        refuses(channels, control(0, 0)[:size], MalformedError)
