"""Telemetry of the model, read back with pymavlink."""

import math
from collections import Counter, defaultdict
from typing import Any

import pytest
from pymavlink.dialects.v20 import common

from nodes.flight import (
    FlightDigest,
    FlightFrame,
    FlightModel,
    FlightPlan,
    ModelFlight,
    Telemetry,
    digest_flight,
    encode_flight,
    read_replay,
    telemetry,
    tlog_records,
)
from nodes.flight.source import FlightSource
from nodes.flight.telemetry import STREAMS


def decode(frames: list[FlightFrame]) -> list[tuple[float, Any]]:
    parser = common.MAVLink(None)
    return [(frame.time_s, parser.decode(bytearray(frame.data))) for frame in frames]


@pytest.fixture(scope="module")
def flight() -> list[FlightFrame]:
    source: FlightSource = ModelFlight()
    assert (source.name, source.skipped_bytes) == ("model", 0)
    return list(source.frames())


def test_every_frame_is_mavlink_2_in_order_and_numbered(flight: list[FlightFrame]) -> None:
    messages = decode(flight)
    assert 800 < len(messages) < 5_000
    assert all(frame.data[0] == 0xFD for frame in flight)
    assert [message.get_seq() for _, message in messages] == [index % 256 for index in range(len(messages))]
    assert [frame.time_s for frame in flight] == sorted(frame.time_s for frame in flight)
    assert flight[0].time_s == 0


def test_each_message_comes_at_its_rate(flight: list[FlightFrame]) -> None:
    times: dict[str, list[float]] = defaultdict(list)
    for time_s, message in decode(flight):
        times[message.get_type().lower()].append(time_s)
    assert set(times) == {name for name, _, _ in STREAMS} | {"statustext"}
    for name, rate_hz, _ in STREAMS:
        gaps = Counter(round(after - before, 3) for before, after in zip(times[name], times[name][1:], strict=False))
        assert gaps == {1 / rate_hz: len(times[name]) - 1}, name


def test_status_texts_tell_the_phases(flight: list[FlightFrame]) -> None:
    texts = [message.text for _, message in decode(flight) if message.get_type() == "STATUSTEXT"]
    assert texts == ["landed", "armed", "taking off", "holding", "flying", "returning", "landing", "landed"]


def test_the_messages_agree_with_the_state() -> None:
    model, out = FlightModel(), Telemetry()
    out.due(model.state)
    model.apply_command("take_off")
    while model.state.time_s < 8:
        model.step(0.01)
    model.apply_command("fly_route")
    state = model.step(0.01)
    found = {message.get_type(): message for _, message in decode([FlightFrame(0, x) for x in out.due(state)])}
    place, hud, battery = found["GLOBAL_POSITION_INT"], found["VFR_HUD"], found["BATTERY_STATUS"]
    assert place.lat == round(state.latitude_deg * 1e7)
    assert place.relative_alt == round(state.position_m.up * 1_000)
    assert place.vz == -round(state.velocity_mps.up * 100)
    assert found["ATTITUDE"].roll == pytest.approx(state.attitude_rad.roll, abs=1e-6)
    assert hud.alt == pytest.approx(state.altitude_m, rel=1e-6)
    assert 40 < hud.throttle < 70
    assert sum(battery.voltages[:4]) == pytest.approx(state.battery_v * 1_000, abs=4)
    assert found["SYS_STATUS"].voltage_battery == round(state.battery_v * 1_000)
    assert found["GPS_RAW_INT"].time_usec == round(state.time_s * 1e6)
    assert found["HEARTBEAT"].base_mode & 0x80
    assert found["HEARTBEAT"].custom_mode == 3


def test_after_a_gap_each_stream_is_due_once() -> None:
    model, out = FlightModel(), Telemetry()
    assert len(out.due(model.state)) == len(STREAMS) + 1
    for _ in range(40):
        model.step(0.25)
    assert len(out.due(model.state)) == len(STREAMS)
    assert out.due(model.state) == []


def test_the_whole_flight_survives_the_container_and_a_log(flight: list[FlightFrame], tmp_path: Any) -> None:
    digest = FlightDigest.of(flight)
    assert digest_flight(encode_flight(flight)) == digest
    path = tmp_path / "model.tlog"
    path.write_bytes(b"".join(tlog_records(flight, 1_700_000_000_000_000)))
    replay = read_replay(path)
    assert FlightDigest.of(replay.frames()) == digest
    assert replay.skipped_bytes == 0
    assert replay.duration_s == pytest.approx(flight[-1].time_s, abs=1e-5)


def test_extreme_plans_fit_their_fields() -> None:
    for plan in (
        FlightPlan(-85, -180, -500, 1, 1, 20),
        FlightPlan(85, 180, 9_000, 200, 120, 20),
    ):
        assert math.isfinite(decode(list(ModelFlight(plan).frames()))[-1][0])


def test_a_flight_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "LONGEST_FLIGHT_S", 10.0)
    assert list(ModelFlight().frames())[-1].time_s < 10
