"""What a recording shows of its vehicle: the few MAVLink messages that every autopilot sends, read from the frames.

Layouts: https://mavlink.io/en/messages/common.html. MAVLink 2 leaves zeros at the end of a payload out, so a
payload is filled up before it is read. A frame that says something impossible changes nothing.
"""

import math
import struct
from collections.abc import Callable
from typing import Final

from protocols.airlink import Message
from specs.airlink.telemetry import Battery, FlightPhase, FlightState, Gnss, GnssFix

_MAVLINK_2: Final = 0xFD
_ARMED: Final = 0x80
_NO_AUTOPILOT: Final = 8
_OFF_GROUND_MM: Final = 1_000

_HEARTBEAT: Final = struct.Struct("<IBBBBB")
_SYS_STATUS: Final = struct.Struct("<3I HHh 6H b")
_GPS: Final = struct.Struct("<Qiii HHHH BB")
_ATTITUDE: Final = struct.Struct("<I3f3f")
_POSITION: Final = struct.Struct("<I iiii hhh H")
_U16: Final = 0xFFFF


class Observed:
    """The vehicle as its frames have described it so far."""

    def __init__(self) -> None:
        self._armed = False
        self._roll_pitch_yaw = (0, 0, 0)
        self._position: tuple[int, ...] | None = None
        self._battery: Battery | None = None
        self._gnss: Gnss | None = None
        self._readers: dict[int, tuple[struct.Struct, Callable[..., None]]] = {
            0: (_HEARTBEAT, self._on_heartbeat),
            1: (_SYS_STATUS, self._on_sys_status),
            24: (_GPS, self._on_gps),
            30: (_ATTITUDE, self._on_attitude),
            33: (_POSITION, self._on_position),
        }

    def feed_untrusted(self, frame: bytes) -> None:
        """Take one frame; never raises."""
        head = 10 if frame[:1] == bytes([_MAVLINK_2]) else 6
        if len(frame) < head + 2:
            return
        number = int.from_bytes(frame[7:10], "little") if head == 10 else frame[5]
        row = self._readers.get(number)
        if row is not None:
            layout, read = row
            payload = frame[head : head + frame[1]][: layout.size].ljust(layout.size, b"\0")
            read(*layout.unpack(payload))

    def telemetry(self) -> list[Message]:
        """Return what is known."""
        known: list[Message | None] = [self._flight(), self._battery, self._gnss]
        return [message for message in known if message is not None]

    def _flight(self) -> FlightState | None:
        if self._position is None:
            return None
        time_ms, latitude, longitude, altitude_mm, height_mm, north, east, down, _ = self._position
        phase = FlightPhase.FLYING if height_mm > _OFF_GROUND_MM else FlightPhase.ARMED
        roll, pitch, yaw = self._roll_pitch_yaw
        return FlightState(
            time_ms=time_ms,
            phase=phase if self._armed else FlightPhase.LANDED,
            armed=self._armed,
            latitude_deg_e7=latitude,
            longitude_deg_e7=longitude,
            altitude_mm=altitude_mm,
            height_mm=height_mm,
            velocity_north_cm_s=north,
            velocity_east_cm_s=east,
            velocity_down_cm_s=down,
            roll_cdeg=roll,
            pitch_cdeg=pitch,
            yaw_cdeg=yaw,
        )

    # --- one reader per message -----------------------------------------------------------------

    def _on_heartbeat(self, *fields: int) -> None:
        _, _, autopilot, base_mode, _, _ = fields
        if autopilot != _NO_AUTOPILOT:  # a ground station's own
            self._armed = bool(base_mode & _ARMED)

    def _on_sys_status(self, *fields: int) -> None:
        voltage_mv, current_ca, percent = fields[4], fields[5], fields[-1]
        if voltage_mv != _U16 and 0 <= percent <= 100:
            used = self._battery.used_mah if self._battery else 0
            self._battery = Battery(percent, voltage_mv, max(current_ca, 0) * 10, used)

    def _on_gps(self, *fields: int) -> None:
        """The dilutions of precision stand for the errors: one metre each."""
        *_, kind, satellites = fields
        horizontal, vertical = (0 if value == _U16 else value * 10 for value in fields[4:6])
        fix = GnssFix(kind) if kind in set(GnssFix) else GnssFix.NONE
        self._gnss = Gnss(fix, 0 if satellites == 0xFF else satellites, horizontal, vertical)

    def _on_attitude(self, *fields: float) -> None:
        _, roll, pitch, yaw, *_ = fields
        if all(math.isfinite(angle) and abs(angle) < 7 for angle in (roll, pitch, yaw)):
            roll, pitch = (math.remainder(angle, math.tau) for angle in (roll, pitch))
            tilt = min(max(round(math.degrees(pitch) * 100), -9_000), 9_000)
            self._roll_pitch_yaw = (round(math.degrees(roll) * 100), tilt, round(math.degrees(yaw) * 100) % 36_000)

    def _on_position(self, *fields: int) -> None:
        _, latitude, longitude, *_ = fields
        if abs(latitude) <= 900_000_000 and abs(longitude) <= 1_800_000_000:
            self._position = fields
