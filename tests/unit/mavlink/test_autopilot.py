"""What an autopilot says of itself, and what it is told (specs/11-mavlink.md, 11.5 and 11.6)."""

import struct

import pytest

from protocols.mavlink.autopilot import DISARM, LANDED_S, LOITER, SILENT_S, AutopilotView, MavCommand, Order
from protocols.mavlink.head import head_untrusted
from tests.helpers.mavlink import ARDUPILOT, FIXED_WING, OTHER, PX4, QUADROTOR, ROVER, by_hand, heartbeat, link

GROUND_STATION, NO_AUTOPILOT = 6, 8
PX4_RETURN, PX4_LAND, PX4_PRECISION, PX4_MISSION = (4 << 16 | sub << 24 for sub in (5, 6, 9, 4))


def view_of(*frames: bytes) -> AutopilotView:
    view = AutopilotView()
    for frame in frames:
        view.feed_untrusted(head_untrusted(frame), 0.0)
    return view


@pytest.mark.parametrize("version", [1, 2])
def test_mv_40_the_first_that_names_an_autopilot_is_it(version: int) -> None:
    gimbal = heartbeat(link(1, 154), autopilot=NO_AUTOPILOT, armed=True)
    station = heartbeat(link(255, 190), kind=GROUND_STATION, armed=True)
    other = heartbeat(link(2, 1), armed=True)
    view = view_of(gimbal, station)
    assert view.heartbeat is None
    view = view_of(gimbal, station, heartbeat(link(7, 1, version)), other)
    assert view.heartbeat
    assert (view.heartbeat.system, view.heartbeat.component, view.armed) == (7, 1, False)


def test_mv_40_another_takes_the_place_of_one_that_is_silent() -> None:
    view, other = view_of(heartbeat(link(1))), head_untrusted(heartbeat(link(2), armed=True))
    view.feed_untrusted(other, SILENT_S)
    assert not view.armed
    view.feed_untrusted(other, SILENT_S + 0.1)
    assert view.heartbeat
    assert (view.heartbeat.system, view.armed) == (2, True)


def test_mv_40_one_that_is_not_armed_does_not_land_one_that_is() -> None:
    view = view_of(heartbeat(link(1), armed=True))
    view.feed_untrusted(head_untrusted(heartbeat(link(2))), 1_000.0)
    assert view.armed
    view.feed_untrusted(head_untrusted(heartbeat(link(2), armed=True)), 1_001.0)
    assert view.heartbeat
    assert view.heartbeat.system == 2


def test_what_stood_on_the_ground_and_says_no_more_may_fly() -> None:
    view = view_of(heartbeat(autopilot=PX4, armed=True), by_hand(245, b"\0\1"))
    assert view.hold == DISARM
    view.feed_untrusted(head_untrusted(heartbeat(autopilot=PX4, armed=True)), LANDED_S + 0.1)
    assert view.hold.command is MavCommand.DO_SET_MODE


def test_mv_41_armed_is_what_was_said_last() -> None:
    sender = link()
    view = view_of(heartbeat(sender), heartbeat(sender, armed=True))
    assert view.armed
    view.feed_untrusted(head_untrusted(heartbeat(sender)), 1_000.0)
    assert not view.armed


def test_a_heartbeat_that_is_cut_is_filled_up() -> None:
    """Version 2 leaves zeros out: here all of them, and then type and autopilot are 0."""
    view = view_of(by_hand(0, b"\1"))
    assert view.heartbeat
    assert (view.heartbeat.mode, view.armed) == (1, False)


@pytest.mark.parametrize(
    ("frame", "order"),
    [
        (heartbeat(autopilot=PX4), Order(MavCommand.DO_SET_MODE, (1.0, 4.0, 3.0))),
        (heartbeat(autopilot=ARDUPILOT, kind=QUADROTOR), Order(MavCommand.DO_SET_MODE, (1.0, 17.0))),
        (heartbeat(autopilot=ARDUPILOT, kind=FIXED_WING), Order(MavCommand.DO_SET_MODE, (1.0, 12.0))),
        (heartbeat(autopilot=ARDUPILOT, kind=ROVER), Order(MavCommand.DO_SET_MODE, (1.0, 4.0))),
        (heartbeat(autopilot=ARDUPILOT, kind=12), LOITER),
        (heartbeat(autopilot=OTHER), LOITER),
        (heartbeat(autopilot=250), LOITER),
        (heartbeat(autopilot=ARDUPILOT, state=3), DISARM),
    ],
)
def test_what_holds_each_of_them(frame: bytes, order: Order) -> None:
    assert view_of(frame).hold == order


def landed(value: int, system: int = 1) -> bytes:
    return by_hand(245, struct.pack("<BB", 0, value), system=system)


def test_who_says_that_it_stands_on_the_ground_is_stopped() -> None:
    up = heartbeat(autopilot=PX4, armed=True)
    assert view_of(up, landed(1)).hold == DISARM
    assert view_of(up, landed(1), landed(2)).hold != DISARM
    assert view_of(up, landed(1, system=9)).hold != DISARM
    assert view_of(landed(1)).hold == LOITER


@pytest.mark.parametrize(
    ("autopilot", "kind", "mode", "goes"),
    [
        (PX4, QUADROTOR, PX4_RETURN, True),
        (PX4, QUADROTOR, PX4_LAND, True),
        (PX4, QUADROTOR, PX4_PRECISION, True),
        (PX4, QUADROTOR, PX4_MISSION, False),
        *((ARDUPILOT, QUADROTOR, mode, True) for mode in (6, 9, 21, 27)),
        (ARDUPILOT, QUADROTOR, 11, False),
        *((ARDUPILOT, FIXED_WING, mode, True) for mode in (11, 20, 21, 26)),
        (ARDUPILOT, FIXED_WING, 6, False),
        (ARDUPILOT, ROVER, 11, True),
        (ARDUPILOT, 12, 11, False),
        (OTHER, QUADROTOR, 6, False),
    ],
)
def test_mv_51_what_returns_or_lands_already(autopilot: int, kind: int, mode: int, goes: bool) -> None:
    assert view_of(heartbeat(autopilot=autopilot, kind=kind, mode=mode)).is_going_home is goes
    assert not AutopilotView().is_going_home


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (heartbeat(autopilot=PX4), "PX4"),
        (heartbeat(kind=FIXED_WING), "ArduPilot plane"),
        (heartbeat(kind=12), "ArduPilot"),
        (heartbeat(autopilot=OTHER), "autopilot"),
    ],
)
def test_what_people_call_it(frame: bytes, name: str) -> None:
    view = view_of(frame)
    assert view.heartbeat
    assert view.heartbeat.name == name
