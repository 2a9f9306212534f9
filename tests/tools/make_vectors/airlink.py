"""Airlink messages (specs/4-airlink.md), packed by hand."""

import struct
from typing import Any, Final

from tests.tools.make_vectors.base import Json, secret

_UP, _DOWN, _BOTH = "up", "down", "both"
_NUMBERS: Final = {
    "Sticks": (0x0101, _UP), "Heartbeat": (0x0102, _BOTH), "Command": (0x0201, _UP), "GoTo": (0x0202, _UP),
    "CameraControl": (0x0203, _UP), "ChangeSettings": (0x0204, _UP), "LogOffer": (0x0205, _DOWN),
    "AuthorityRequest": (0x0206, _UP), "AuthorityState": (0x0307, _DOWN),
    "Answer": (0x0280, _BOTH), "FlightState": (0x0301, _DOWN), "Battery": (0x0302, _DOWN), "Gnss": (0x0303, _DOWN),
    "Camera": (0x0304, _DOWN), "Home": (0x0305, _DOWN), "Settings": (0x0306, _DOWN), "MediaFrame": (0x0401, _DOWN),
    "MavlinkFrame": (0x0501, _BOTH),
}  # fmt: skip
_MAP: Final = bytes.fromhex("82a4686f6d65c3a5737065656407")  # {"home": true, "speed": 7}
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


def _row(message: str, what: str, layout: str, *values: Any, tail: bytes = b"", **fields: Any) -> Json:
    number, direction = _NUMBERS[message]
    return {
        "name": f"{message}: {what}",
        "message": message,
        "channel": number >> 8,
        "direction": direction,
        "fields": fields,
        "bytes": struct.pack(">H" + layout, number, *values) + tail,
    }


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def vectors() -> list[Json]:
    """Return every message."""
    return [*_control(), *_command(), *_telemetry(), *_stream()]


def _control() -> list[Json]:
    names = ("roll_permille", "pitch_permille", "yaw_permille", "throttle_permille", "buttons")
    sticks = {"at rest": (0, 0, 0, 0, 0), "lowest": (-1000,) * 4 + (127,), "highest": (1000,) * 4 + (64,)}
    rows: list[Json] = []
    for what, values in sticks.items():
        fields: Json = dict(zip(names, values, strict=True))
        rows.append(_row("Sticks", what, "4hH", *values, **fields))
    beats = [_row("Heartbeat", f"state {n}", "BxI", n, 2**32 - 1, state=n, time_ms=2**32 - 1) for n in (1, 4)]
    return rows + beats


def _command() -> list[Json]:
    found = [_row("Command", f"code {code}", "H", code, code=code) for code in range(1, 8)]
    places = {"north pole": (900_000_000, 1_800_000_000, _HIGHEST), "south": (-900_000_000, -1_800_000_000, _LOWEST)}
    found += [_place("GoTo", what, place) for what, place in places.items()]
    for action, tilt, zoom in ((0, -9000, 100), (3, 9000, 3200)):
        found.append(_row("CameraControl", f"action {action}", "BxhH", action, tilt, zoom,
                          action=action, tilt_cdeg=tilt, zoom_percent=zoom))  # fmt: skip
    found.append(_row("ChangeSettings", "two settings", "", tail=_sized(_MAP), settings=_MAP))
    digest = secret("log")
    for name in ("flight-0007.tlog", "\u00fc" * 100):
        text = name.encode()
        sized = bytes((len(text),)) + text
        tail = sized + struct.pack(">Q", 2**64 - 1) + digest + _sized(b"\x80")
        found.append(_row("LogOffer", f"name of {len(text)} bytes", "", tail=tail, name=name, size_bytes=2**64 - 1,
                          sha256=digest, details=b"\x80"))  # fmt: skip
    for action in range(1, 9):
        peer = secret("peer", 16) if action in {2, 3} else bytes(16)
        found.append(_row("AuthorityRequest", f"action {action}", "BB", action, 1 + action % 2, tail=peer,
                          action=action, right=1 + action % 2, peer=peer))  # fmt: skip
    for result in range(7):
        said = f"result {result}" if result else ""
        found.append(_row("Answer", f"result {result}", "BB", result, len(said), tail=said.encode(),
                          result=result, text=said))  # fmt: skip
    return found


def _place(message: str, what: str, place: tuple[int, int, int]) -> Json:
    latitude, longitude, altitude = place
    return _row(message, what, "2x3i", *place,
                latitude_deg_e7=latitude, longitude_deg_e7=longitude, altitude_mm=altitude)  # fmt: skip


def _telemetry() -> list[Json]:
    names = (
        "time_ms phase armed latitude_deg_e7 longitude_deg_e7 altitude_mm height_mm velocity_north_cm_s "
        "velocity_east_cm_s velocity_down_cm_s roll_cdeg pitch_cdeg yaw_cdeg"
    )
    states: dict[str, tuple[int, ...]] = {
        "landed": (0, 1, 0, 473_977_420, 85_455_940, 488_000, 0, 0, 0, 0, 0, 0, 0),
        "lowest": (0, 2, 0, -900_000_000, -1_800_000_000, _LOWEST, _LOWEST, *(-32_768,) * 3, -18_000, -9_000, 0),
        "highest": (
            2**32 - 1, 7, 1, 900_000_000, 1_800_000_000, _HIGHEST, _HIGHEST, *(32_767,) * 3, 18_000, 9_000, 35_999,
        ),
    }  # fmt: skip
    found: list[Json] = []
    for what, values in states.items():
        fields: Json = dict(zip(names.split(), values, strict=True))
        fields["armed"] = bool(fields["armed"])
        found.append(_row("FlightState", what, "2xIBB2x4i3h2hH", *values, **fields))
    for percent, current in ((0, _LOWEST), (100, _HIGHEST)):
        found.append(_row("Battery", f"{percent} %", "HIiI", percent, 22_200, current, 1_300, remaining_percent=percent,
                          voltage_mv=22_200, current_ma=current, used_mah=1_300))  # fmt: skip
    found += [
        _row("Gnss", f"fix {fix}", "BBII", fix, 17, 14, 2**32 - 1, fix=fix, satellites=17, horizontal_error_mm=14,
             vertical_error_mm=2**32 - 1)
        for fix in (0, 2, 3, 4, 5, 6)
    ]  # fmt: skip
    for recording, tilt, zoom in ((False, -9_000, 100), (True, 9_000, 3_200)):
        found.append(_row("Camera", f"tilt {tilt}", "BxhHII", recording, tilt, zoom, 5, 60_000, recording=recording,
                          tilt_cdeg=tilt, zoom_percent=zoom, photos=5, free_mib=60_000))  # fmt: skip
    found.append(_place("Home", "a field", (473_977_420, 85_455_940, 488_000)))
    found.append(_row("Settings", "two settings", "", tail=_sized(_MAP), settings=_MAP))
    one, other = secret("holder", 16), secret("candidate", 16)
    for what, peers in {"nobody": (bytes(16),) * 4, "one flies, another may": (one, other, other, bytes(16))}.items():
        peer_names = ("flight_holder", "flight_candidate", "payload_holder", "payload_candidate")
        waiting, changes = (0, 0) if what == "nobody" else (255, 2**32 - 1)
        found.append(_row("AuthorityState", what, "BBI", waiting, 0, changes, tail=b"".join(peers),
                          flight_waiting=waiting, payload_waiting=0, changes=changes,
                          **dict(zip(peer_names, peers, strict=True))))  # fmt: skip
    return found


def _mavlink(mark: int, payload: int, flags: int) -> bytes:
    head = bytes((mark, payload, flags)) + (bytes(3) if mark == 0xFE else bytes(7))
    return head + secret("mavlink", payload + 2 + (13 if mark == 0xFD and flags & 1 else 0))


def _stream() -> list[Json]:
    picture = secret("picture", 40)
    found = [
        _row("MediaFrame", f"flags {flags}", "HII", flags, 2**32 - 1, 7, tail=data,
             flags=flags, number=2**32 - 1, time_ms=7, data=data)
        for flags, data in ((0, b""), (1, picture))
    ]  # fmt: skip
    frames = {
        "MAVLink 1 without payload": _mavlink(0xFE, 0, 9),
        "MAVLink 2": _mavlink(0xFD, 9, 0),
        "MAVLink 2, signed, longest": _mavlink(0xFD, 255, 1),
    }
    return found + [_row("MavlinkFrame", what, "", tail=frame, frame=frame) for what, frame in frames.items()]


def failures() -> list[Json]:
    """Return messages that are refused (AL-1, AL-2, AL-4, AL-7)."""
    good: dict[str, bytes] = {row["message"]: row["bytes"] for row in vectors()}
    found: list[Json] = []

    def add(message: str, what: str, data: bytes, expect: str, *, channel: int = 0, direction: str = "") -> None:
        number, way = _NUMBERS[message]
        direction = direction or (way if way != _BOTH else _UP)
        found.append({"name": f"{message}: {what}", "channel": channel or number >> 8, "direction": direction,
                      "bytes": data, "expect": expect})  # fmt: skip

    for message, data in good.items():
        way = _NUMBERS[message][1]
        add(message, "another channel", data, "wrong channel", channel=1 + (_NUMBERS[message][0] >> 8) % 6)
        if way != _BOTH:
            add(message, "the wrong way", data, "wrong way", direction=_DOWN if way == _UP else _UP)
        if message != "MediaFrame":
            add(message, "one byte less", data[:-1], "length")
            add(message, "one byte more", data + b"\0", "length")
    for message, what, place, value in (
        ("Sticks", "roll 1001", 2, struct.pack(">h", 1001)), ("Sticks", "throttle -1001", 8, struct.pack(">h", -1001)),
        ("GoTo", "latitude above 90 degrees", 4, struct.pack(">i", 900_000_001)),
        ("GoTo", "longitude below -180 degrees", 8, struct.pack(">i", -1_800_000_001)),
        ("CameraControl", "zoom 99 %", 6, struct.pack(">H", 99)), ("Battery", "101 %", 2, struct.pack(">H", 101)),
        ("FlightState", "yaw 36000", 38, struct.pack(">H", 36_000)),
        ("FlightState", "pitch 9001", 36, struct.pack(">h", 9_001)),
    ):  # fmt: skip
        add(message, what, good[message][:place] + value + good[message][place + len(value) :], "out of range")
    for message, what, place, code in (
        ("Sticks", "button 128", 11, 128), ("Heartbeat", "state 0", 2, 0), ("Heartbeat", "state 5", 2, 5),
        ("Command", "code 0", 3, 0), ("Command", "code 8", 3, 8), ("Answer", "result 7", 2, 7), ("Gnss", "fix 1", 2, 1),
        ("FlightState", "phase 8", 8, 8), ("FlightState", "armed 2", 9, 2), ("Camera", "recording 2", 2, 2),
        ("MediaFrame", "flag 2", 3, 2), ("AuthorityRequest", "action 0", 2, 0), ("AuthorityRequest", "action 9", 2, 9),
        ("AuthorityRequest", "right 0", 3, 0), ("AuthorityRequest", "right 3", 3, 3),
    ):  # fmt: skip
        add(message, what, good[message][:place] + bytes((code,)) + good[message][place + 1 :], "unknown value")
    for message, place in (("Heartbeat", 3), ("GoTo", 2), ("CameraControl", 3), ("FlightState", 3), ("Home", 3)):
        data = good[message]
        add(message, "reserved byte", data[:place] + b"\x01" + data[place + 1 :], "reserved bits")
    number = struct.pack(">H", 0x0204)
    for what, encoded in {"an array": b"\x90", "keys out of order": bytes.fromhex("82a162c3a161c3"),
                          "a longer form": bytes.fromhex("81a161cc07"), "a map that ends early": b"\x81",
                          "bytes after the map": b"\x80\x80"}.items():  # fmt: skip
        add("ChangeSettings", what, number + _sized(encoded), "map")
    long = bytes.fromhex("81a161c503e3") + bytes(995)
    add("ChangeSettings", "a map of 1,001 bytes", number + _sized(long), "length")
    for what, code in {"a number that nobody knows": 0x02FF, "a user's number": 0x8201, "number 0": 0}.items():
        add("Command", what, struct.pack(">HH", code, 1), "unknown number")
    add("Command", "one byte in all", b"\x02", "unknown number")
    frame = _mavlink(0xFD, 9, 0)
    for what, wrong in {"another mark": b"\x55" + frame[1:], "a wrong length": frame[:1] + b"\x0a" + frame[2:],
                        "signed without a signature": frame[:2] + b"\x01" + frame[3:]}.items():  # fmt: skip
        add("MavlinkFrame", what, struct.pack(">H", 0x0501) + wrong, "mavlink")
    return found
