"""What a remote controller passes on from its drone to its mobiles: what it understands, as it came."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from nodes.errors import LinkClosedError
from nodes.flight import FlightModel
from nodes.link import Link
from nodes.stations.passing import Passing
from nodes.stations.telemetry import of_model
from nodes.stations.vehicle import PLAN, ModelVehicle
from protocols.airlink import AIRLINK, encode
from protocols.errors import QueueFullError
from protocols.events import SendState, SendStream, StateReceived, StreamReceived
from specs.airlink.stream import MavlinkFrame
from specs.registry import ChannelId

STATE, BATTERY, *_ = of_model(FlightModel(PLAN).state, PLAN)
KEY = AIRLINK.row(STATE).id
FRAME = encode(MavlinkFrame(b"\xfe" + bytes(7)))


@dataclass(eq=False)
class Far:
    """A link to somebody further on."""

    error: Exception | None = None
    sent: list[Any] = field(default_factory=list[Any])

    def send_now(self, message: object) -> int:
        if self.error is not None:
            raise self.error
        self.sent.append(message)
        return 0


def to(far: Far) -> Link:
    return cast("Link", far)


def shown(message: Any = STATE, key: int | None = None) -> StateReceived:  # any message
    return StateReceived(ChannelId.TELEMETRY, AIRLINK.row(message).id if key is None else key, encode(message))


@pytest.fixture
def seen() -> list[object]:
    return []


@pytest.fixture
def passing(seen: list[object]) -> Passing:
    return Passing(AIRLINK, seen.append)


def test_what_is_understood_goes_on_as_it_came(passing: Passing, seen: list[object]) -> None:
    one, other = Far(), Far()
    passing.attach(to(one))
    passing.attach(to(other))
    assert passing.take_untrusted(shown()) == encode(STATE)
    assert passing.take_untrusted(StreamReceived(ChannelId.MAVLINK, 1, FRAME)) is None  # it is no telemetry
    expected = [SendState(ChannelId.TELEMETRY, KEY, encode(STATE)), SendStream(ChannelId.MAVLINK, FRAME)]
    assert one.sent == other.sent == expected
    assert seen == [STATE, MavlinkFrame(b"\xfe" + bytes(7))]
    assert (passing.passed, passing.malformed) == (2, 0)


@pytest.mark.parametrize(
    "event",
    [
        StateReceived(ChannelId.TELEMETRY, KEY, b"\xff\xff nothing"),
        StateReceived(ChannelId.TELEMETRY, KEY, b""),
        StateReceived(ChannelId.TELEMETRY, KEY, encode(STATE)[:-1]),
        StateReceived(ChannelId.TELEMETRY, KEY, FRAME),
        StreamReceived(ChannelId.MAVLINK, 1, encode(STATE)),
        StreamReceived(ChannelId.VIDEO, 1, b"\xff\xff nothing"),
    ],
    ids=repr,
)
def test_what_says_nothing_stays_here(passing: Passing, seen: list[object], event: Any) -> None:
    far = Far()
    passing.attach(to(far))
    assert passing.take_untrusted(event) is None
    assert (far.sent, seen, passing.malformed) == ([], [], 1)


def test_al_5_a_message_under_a_wrong_key_stays_here(passing: Passing) -> None:
    far = Far()
    passing.attach(to(far))
    assert passing.take_untrusted(shown(key=KEY + 1)) is None
    assert far.sent == []
    assert passing.malformed == 1
    late = Far()
    passing.attach(to(late))
    assert late.sent == []  # nor is it remembered


def test_who_comes_later_is_shown_the_latest_of_each(passing: Passing) -> None:
    first = shown()
    passing.take_untrusted(shown(BATTERY))
    passing.take_untrusted(first)
    vehicle = ModelVehicle()
    newer = shown(vehicle.telemetry()[1])
    passing.take_untrusted(newer)
    passing.take_untrusted(StreamReceived(ChannelId.MAVLINK, 1, FRAME))
    far = Far()
    passing.attach(to(far))
    assert sorted(message.data for message in far.sent) == sorted([first.data, newer.data])


def test_who_comes_after_the_source_has_gone_is_shown_nothing_old(passing: Passing) -> None:
    passing.take_untrusted(shown())
    passing.forget()
    far = Far()
    passing.attach(to(far))
    assert far.sent == []


def test_what_is_our_own_is_shown_and_remembered(passing: Passing) -> None:
    early, late = Far(), Far()
    passing.attach(to(early))
    passing.show(7, b"quality")
    passing.attach(to(late))
    assert early.sent == late.sent == [SendState(ChannelId.TELEMETRY, 7, b"quality")]


@pytest.mark.parametrize("error", [QueueFullError("full"), LinkClosedError("down")], ids=repr)
def test_a_link_that_takes_nothing_keeps_nobody_from_the_rest(passing: Passing, error: Exception) -> None:
    broken, well, gone = Far(error), Far(), Far()
    for far in (broken, gone, well):
        passing.attach(to(far))
    passing.detach(to(gone))
    passing.detach(to(gone))
    passing.take_untrusted(shown())
    passing.take_untrusted(StreamReceived(ChannelId.MAVLINK, 1, FRAME))
    assert len(well.sent) == 2
    assert gone.sent == []
