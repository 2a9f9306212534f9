"""What a vehicle is, as messages of the `telemetry` channel (specs/4-airlink.md)."""

import math
from typing import Final

from nodes.flight import FlightPlan, Phase
from nodes.flight import FlightState as ModelState
from protocols.airlink import Message
from specs.airlink.telemetry import Battery, FlightPhase, FlightState, Gnss, GnssFix, Home

PHASES: Final = {
    Phase.LANDED: FlightPhase.LANDED,
    Phase.ARMED: FlightPhase.ARMED,
    Phase.TAKING_OFF: FlightPhase.TAKING_OFF,
    Phase.FLYING: FlightPhase.FLYING,
    Phase.HOLDING: FlightPhase.HOLDING,
    Phase.RETURNING: FlightPhase.RETURNING,
    Phase.LANDING: FlightPhase.LANDING,
}


def of_model(state: ModelState, plan: FlightPlan) -> list[Message]:
    """Return everything that the model knows about itself."""
    flight = FlightState(
        time_ms=round(state.time_s * 1_000) & 0xFFFF_FFFF,
        phase=PHASES[state.phase],
        armed=state.armed,
        latitude_deg_e7=round(state.latitude_deg * 1e7),
        longitude_deg_e7=round(state.longitude_deg * 1e7),
        altitude_mm=round(state.altitude_m * 1_000),
        height_mm=round(state.position_m.up * 1_000),
        velocity_north_cm_s=round(state.velocity_mps.north * 100),
        velocity_east_cm_s=round(state.velocity_mps.east * 100),
        velocity_down_cm_s=-round(state.velocity_mps.up * 100),
        roll_cdeg=round(math.degrees(state.attitude_rad.roll) * 100),
        pitch_cdeg=round(math.degrees(state.attitude_rad.pitch) * 100),
        yaw_cdeg=round(math.degrees(state.attitude_rad.yaw) * 100) % 36_000,
    )
    battery = Battery(
        remaining_percent=round(state.battery_remaining * 100),
        voltage_mv=round(state.battery_v * 1_000),
        current_ma=round(state.battery_a * 1_000),
        used_mah=round(state.battery_used_mah),
    )
    home = Home(round(plan.latitude_deg * 1e7), round(plan.longitude_deg * 1e7), round(plan.altitude_m * 1_000))
    return [flight, battery, Gnss(GnssFix.THREE_D, 14, 800, 1_200), home]


def described(flight: FlightState | None, battery: Battery | None, gnss: Gnss | None) -> str:
    """Return what a pilot wants to know, in one line; nothing before the first message."""
    parts: list[str] = []
    if flight is not None:
        speed_mps = math.hypot(flight.velocity_north_cm_s, flight.velocity_east_cm_s) / 100
        parts.append(flight.phase.name.lower().replace("_", " "))
        parts.append(f"{flight.height_mm / 1_000:.1f} m high")
        parts.append(f"{speed_mps:.1f} m/s")
    if battery is not None:
        parts.append(f"battery {battery.remaining_percent} % {battery.voltage_mv / 1_000:.1f} V")
    if gnss is not None:
        parts.append(f"{gnss.satellites} satellites")
    return ", ".join(parts)
