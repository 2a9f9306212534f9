"""The parts of the demo that need no socket."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from trio.testing import MockClock

from nodes.demo.lines import MAX_LINE_BYTES, LineReader
from nodes.demo.options import DemoOptions
from nodes.demo.panel import Panel
from nodes.demo.report import Report
from nodes.demo.view import LiveView, PlainView, View, open_view
from nodes.flight import FlightModel, ModelFlight
from nodes.stations import notes
from nodes.stations.notes import (
    Alarmed,
    Delivered,
    Failed,
    Finished,
    Flight,
    Line,
    LinkIsUp,
    Meter,
    Note,
    Parsing,
    Ready,
)
from nodes.stations.observed import Observed
from nodes.stations.telemetry import described, of_model
from nodes.stations.vehicle import PLAN, ModelVehicle, RecordedVehicle
from protocols.airlink import decode_untrusted, encode
from protocols.errors import MalformedError
from protocols.link.config import LinkConfig
from specs.airlink.command import CommandCode, Result
from specs.airlink.control import Sticks
from specs.airlink.numbers import Direction
from specs.airlink.telemetry import Battery, FlightPhase, FlightState, Gnss
from specs.registry import ChannelId

CODE = "3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS5"
COUNTS = {name: {"sent": 3, "received": 2, "lost": 1} for name in notes.CLASSES}
FLIGHT = Flight("model", 5, 100, "ab" * 32, 7)
DELIVERED = Delivered(5, 100, "ab" * 32, 0.25)
DRONE = Finished("drone", COUNTS, 1, frames=9, requests=1, answers=1)
RC = Finished("rc", COUNTS, 1, frames=8, requests=5, answers=5)
METER = Meter("rc", 10.0, 1_000, 2_000_000, COUNTS, 1.5, 1, 50, 100, 8, "holding, 4.0 m high")
GOOD: tuple[Note, ...] = (
    Line("drone", "listens"),
    Parsing(50, 100),
    Parsing(100, 100),
    LinkIsUp("rc", "P256_AESGCM_SHA256", "abcd-efgh", 3.5),
    LinkIsUp("drone", "P256_AESGCM_SHA256", "ijkl-mnop", 2.5),
    replace(METER, node="drone"),
    METER,
    replace(METER, at_s=11.0, received_bytes=3_000_000),
    FLIGHT,
    DELIVERED,
    DRONE,
    RC,
)
ALARM = Alarmed("drone", "UNKNOWN_PEER", "a device that is not paired asked for a link")


def report_of(*told: Note) -> Report:
    report = Report(DemoOptions())
    for note in told:
        report.take(note)
    return report


# --- notes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("note", [*GOOD, ALARM, Ready("127.0.0.1:1", CODE), Failed("rc", "KeyError", "x")], ids=repr)
def test_notes_cross_a_pipe(note: Note) -> None:
    line = notes.to_line(note)
    assert "\n" not in line
    assert notes.from_line(line) == note


@pytest.mark.parametrize("line", ["", "x", "[]", "7", "{}", '{"note": "Nothing"}', '{"note": "Line"}', '{"note": []}'])
def test_a_line_that_is_no_note(line: str) -> None:
    with pytest.raises(MalformedError):
        notes.from_line(line)


def test_the_linking_code_is_in_no_repr() -> None:
    assert CODE not in repr(Ready("127.0.0.1:1", CODE))


async def test_lines_are_cut_wherever_the_pipe_cuts_them() -> None:
    near, far = trio.testing.memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            for byte in b"one\ntw\xc3\xb6\n\nlast":
                await near.send_all(bytes([byte]))
            await near.aclose()

        lines = LineReader(far)
        assert [await lines.next_line() for _ in range(4)] == ["one", "tw\xf6", "", None]


async def test_a_line_without_an_end_is_not_collected_for_ever() -> None:
    near, far = trio.testing.memory_stream_one_way_pair()
    await near.send_all(bytes(2 * MAX_LINE_BYTES))
    assert await LineReader(far).next_line() is None


# --- options ----------------------------------------------------------------------------------------


def test_options_cross_a_pipe_and_know_their_defaults() -> None:
    options = DemoOptions(replay="x.tlog", carrier="tcp", speed="max", seconds=3.0)
    assert DemoOptions.from_json(options.to_json()) == options
    assert DemoOptions.from_command({"suite": None, "carrier": "tcp"}) == DemoOptions(carrier="tcp")
    assert DemoOptions().live_s == 20
    assert DemoOptions(speed="max").live_s == 1
    assert DemoOptions().flies_model
    assert not DemoOptions(speed="max").flies_model
    assert 0 < DemoOptions().link_config().rekey_after_s < LinkConfig().rekey_after_s


# --- report -----------------------------------------------------------------------------------------


def test_a_good_demo() -> None:
    report = report_of(*GOOD)
    assert report.problems == []
    found: Any = json.loads(json.dumps(report.as_dict()))
    assert found["ok"] is True
    assert found["links"][0]["by_class"]["control"] == {"sent": 6, "received": 4}
    assert found["links"][0]["rekeys"] == 1
    assert found["delivered"] == {"node": "rc", "messages": 5, "bytes": 100, "sha256": "ab" * 32, "seconds": 0.25}
    assert found["video"] == {"frames_sent": 9, "frames_received": 8, "frames_corrupt": 0}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (ALARM, "alarm at the drone"),
        (replace(DELIVERED, sha256="cd" * 32), "not the one that was sent"),
        (replace(DELIVERED, messages=4), "not the one that was sent"),
        (replace(RC, frames_corrupt=1), "1 video frames arrived damaged"),
        (replace(RC, frames=0), "no video arrived"),
        (replace(RC, answers=4), "1 commands of the rc were not answered"),
        (replace(DRONE, answers=0), "1 commands of the drone were not answered"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_makes_a_demo_fail(changed: Note, words: str) -> None:
    report = report_of(*GOOD, changed)
    assert not report.ok
    assert len(report.problems) == 1
    assert words in report.problems[0]


def test_a_demo_of_which_nothing_was_heard() -> None:
    report = report_of()
    assert len(report.problems) == 3
    found = report.as_dict()
    assert (found["ok"], found["links"], found["flight"], found["delivered"]) == (False, [], None, None)


# --- views ------------------------------------------------------------------------------------------


def _screen(**options: Any) -> tuple[io.StringIO, Console]:
    out = io.StringIO()
    return out, Console(file=out, width=110, height=50, highlight=False, **options)


def test_plain_lines_hold_no_control_characters() -> None:
    out, console = _screen(color_system=None)
    view = PlainView(console)
    for note in (*GOOD, ALARM, Line("rc", "evil\x1b[2J\nline")):
        view.take(note)
    view.conclude(report_of(*GOOD, ALARM))
    assert all(line.isprintable() for line in out.getvalue().splitlines())
    assert "drone: reads the log, 100 %" in out.getvalue()
    assert "not ok: alarm at the drone" in out.getvalue()


def test_the_live_view_shows_everything_and_leaves_the_summary() -> None:
    out, console = _screen(force_terminal=True, legacy_windows=False)
    with LiveView(console, DemoOptions()) as view:
        for note in GOOD:
            view.take(note)
    view.conclude(report_of(*GOOD))
    assert "sha256 arrived" in out.getvalue()


def test_the_panel() -> None:
    out, console = _screen(color_system=None)
    panel = Panel(DemoOptions())
    console.print(panel.render())
    assert "pairing over UDP" in out.getvalue()
    for note in (*GOOD, ALARM):
        panel.take(note)
        console.print(panel.render())
    text = out.getvalue()
    for words in ("round trip 1.50 ms", "rekeys 1", "holding, 4.0 m high", "ALARM at the drone", "8 of 8 frames"):
        assert words in text


@pytest.mark.parametrize("as_json", [False, True])
def test_which_view_there_is_without_a_terminal(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    view = open_view(DemoOptions(), as_json=as_json, logging_much=False)
    assert type(view) is (View if as_json else PlainView)
    view.take(GOOD[0])
    view.conclude(report_of(*GOOD))
    assert bool(capsys.readouterr().out) is not as_json


# --- vehicles ---------------------------------------------------------------------------------------


def test_what_a_recording_shows_is_what_was_flown() -> None:
    observed = Observed()
    for frame in ModelFlight(PLAN).frames():
        observed.feed_untrusted(frame.data)
        if frame.time_s > 5:
            break
    flight, battery, gnss = observed.telemetry()
    assert isinstance(flight, FlightState)
    assert flight.armed
    assert flight.phase is FlightPhase.FLYING
    assert abs(flight.latitude_deg_e7 / 1e7 - PLAN.latitude_deg) < 0.001
    assert isinstance(battery, Battery)
    assert 16_000 < battery.voltage_mv < 16_800
    assert isinstance(gnss, Gnss)
    assert gnss.satellites == 14


@given(st.builds(bytes.__add__, st.sampled_from([b"", b"\xfd", b"\xfe"]), st.binary(max_size=300)))
def test_no_frame_makes_telemetry_that_cannot_be_sent(frame: bytes) -> None:
    observed = Observed()
    observed.feed_untrusted(frame)
    for message in observed.telemetry():
        encode(message)


@given(st.sampled_from([0, 1, 24, 30, 33]), st.binary(max_size=60))
def test_no_payload_makes_telemetry_that_cannot_be_sent(number: int, payload: bytes) -> None:
    observed = Observed()
    head = bytes([0xFD, len(payload), 0, 0, 0, 1, 1]) + number.to_bytes(3, "little")
    observed.feed_untrusted(head + payload + b"\0\0")
    for message in observed.telemetry():
        assert decode_untrusted(ChannelId.TELEMETRY, encode(message), Direction.DOWN) == message


def test_every_state_of_the_model_can_be_told() -> None:
    for state in ModelFlight(PLAN).states():
        if round(state.time_s * 100) % 50 == 0:
            assert [encode(message) for message in of_model(state, PLAN)]


async def test_the_model_obeys_and_records(autojump_clock: MockClock) -> None:  # noqa: ARG001
    vehicle = ModelVehicle()
    passed: list[bytes] = []
    assert vehicle.command(CommandCode.LAND).result is Result.NOT_NOW
    assert vehicle.command(CommandCode.DISARM).result is Result.UNSUPPORTED
    assert vehicle.command(CommandCode.TAKE_OFF).result is Result.STARTED
    with trio.move_on_after(10):
        await vehicle.play(passed.append)
    assert passed == [frame.data for frame in vehicle.recorded]
    flight = vehicle.telemetry()[0]
    assert isinstance(flight, FlightState)
    assert flight.phase is FlightPhase.HOLDING
    vehicle.steer(Sticks(0, 1_000, 0, 0))


async def test_a_model_that_slept_does_not_catch_up(autojump_clock: MockClock) -> None:
    vehicle = ModelVehicle()
    passed: list[bytes] = []

    def give(data: bytes) -> None:
        passed.append(data)
        if len(passed) == 3:
            autojump_clock.jump(100)

    with trio.move_on_after(101):
        await vehicle.play(give)
    assert vehicle.recorded[-1].time_s < 5


async def test_a_recording_plays_on_whatever_the_pilot_says(autojump_clock: MockClock) -> None:  # noqa: ARG001
    frames = [frame for frame in ModelFlight(PLAN).frames() if frame.time_s < 3]
    vehicle = RecordedVehicle(frames)
    assert vehicle.telemetry() == []
    assert vehicle.command(CommandCode.LAND).result is Result.UNSUPPORTED
    vehicle.steer(Sticks(0, 0, 0, 0))
    passed: list[bytes] = []
    await vehicle.play(passed.append)
    assert passed == [frame.data for frame in frames]
    assert trio.current_time() == pytest.approx(frames[-1].time_s, abs=0.1)


def test_telemetry_in_a_line() -> None:
    assert described(None, None, None) == ""
    flight, battery, gnss, _ = of_model(FlightModel(PLAN).state, PLAN)
    assert isinstance(flight, FlightState)
    assert isinstance(battery, Battery)
    assert isinstance(gnss, Gnss)
    line = described(flight, battery, gnss)
    assert line == "landed, 0.0 m high, 0.0 m/s, battery 100 % 16.8 V, 14 satellites"
