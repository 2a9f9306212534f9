"""Messages of the groundlink and of the links end to end (specs/6-groundlink.md), packed by hand."""

import struct
from typing import Any, Final

from tests.tools.make_vectors import airlink
from tests.tools.make_vectors.base import Json, secret

_GROUND, _MOBILE, _CLOUD = "groundlink", "remote mobile", "remote cloud"
_UP, _DOWN, _BOTH = "up", "down", "both"
_OWN: Final = {
    "LinkQuality": (0x0308, _GROUND, _BOTH), "ShownDrone": (0x0309, _GROUND, _DOWN),
    "SealingKeys": (0x0207, _CLOUD, _UP), "LogReceipt": (0x0208, _CLOUD, _UP),
    "RevokePeer": (0x0209, _CLOUD, _UP), "VerifyingKeys": (0x0281, _CLOUD, _DOWN),
}  # fmt: skip
_OF_THE_AIRLINK: Final = {
    _GROUND: (
        "Heartbeat LogOffer Answer FlightState Battery Gnss Camera Home Settings AuthorityState MediaFrame MavlinkFrame"
    ),
    _MOBILE: (
        "Sticks Heartbeat Command GoTo CameraControl ChangeSettings AuthorityRequest Answer FlightState Battery Gnss "
        "Camera Home Settings AuthorityState MavlinkFrame"
    ),
}
_OF_THE_AIRLINK[_CLOUD] = _OF_THE_AIRLINK[_MOBILE]


def _row(message: str, what: str, body: bytes, **fields: Any) -> Json:
    number, link, direction = _OWN[message]
    return {"name": f"{message}: {what}", "link": link, "message": message, "channel": number >> 8,
            "direction": direction, "fields": fields, "bytes": struct.pack(">H", number) + body}  # fmt: skip


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _own() -> list[Json]:
    peer, digest = secret("peer", 16), secret("log")
    rows = [
        _row("LinkQuality", f"link {link}", struct.pack(">BB16sIHII", link, up, peer, rtt, lost, 2**32 - 1, 7),
             link=link, up=bool(up), peer=peer, rtt_us=rtt, lost_permille=lost,
             received_bytes_s=2**32 - 1, sent_bytes_s=7)
        for link, up, rtt, lost in ((1, 1, 2_000, 0), (2, 0, 0, 1_000), (3, 1, 2**32 - 1, 7), (4, 0, 1, 1))
    ]  # fmt: skip
    rows.append(_row("ShownDrone", "a drone", bytes(2) + peer, peer=peer))
    key, longest = secret("hpke", 33), bytes(4_096)
    rows += [_row("SealingKeys", f"{len(each)} bytes", _sized(each), hpke_public=each) for each in (key, longest)]
    rows.append(
        _row("VerifyingKeys", "two keys", _sized(key) + _sized(longest), ecdsa_public=key, mldsa_public=longest)
    )
    rows.append(_row("LogReceipt", "a flight", bytes(2) + peer + digest, flight_id=peer, sha256=digest))
    rows.append(_row("RevokePeer", "a device", bytes(2) + peer, peer=peer))
    return rows


def _shared() -> list[Json]:
    """One of each message that a link has in common with the airlink, as it stands there."""
    first: dict[str, Json] = {}
    for row in airlink.vectors():
        first.setdefault(row["message"], row)
    found: list[Json] = []
    for link, names in _OF_THE_AIRLINK.items():
        for name in names.split():
            row = {**first[name], "link": link, "name": f"{name}: {link}"}
            if link == _GROUND and name == "MavlinkFrame":
                row["direction"] = _DOWN
            found.append(row)
    return found


def vectors() -> list[Json]:
    """Return every message of every link but the airlink."""
    return [*_own(), *_shared()]


def failures() -> list[Json]:
    """Return messages that are refused on these links (GL-1, GL-2, GL-10)."""
    found: list[Json] = []

    def add(row: Json, what: str, expect: str, **other: Any) -> None:
        whole: Json = {**row, "expect": expect, "name": f"{row['name']}, {what}", **other}
        whole["direction"] = _UP if whole["direction"] == _BOTH else whole["direction"]
        found.append({key: whole[key] for key in ("name", "link", "channel", "direction", "bytes", "expect")})

    for row in {each["message"]: each for each in reversed(_own())}.values():  # the first of each
        data: bytes = row["bytes"]
        for link in (_GROUND, _MOBILE, _CLOUD):
            if link != row["link"]:
                add(row, f"on {link}", "unknown number", link=link)
        add(row, "one byte less", "length", bytes=data[:-1])
        add(row, "one byte more", "length", bytes=data + b"\0")
        add(row, "another channel", "wrong channel", channel=1 + row["channel"] % 6)
        if row["direction"] != _BOTH:
            add(row, "the wrong way", "wrong way", direction=_DOWN if row["direction"] == _UP else _UP)
    quality, receipt = _own()[0], next(row for row in _own() if row["message"] == "LogReceipt")
    for what, place, value, expect in (
        ("link 5", 2, b"\5", "unknown value"), ("link 0", 2, b"\0", "unknown value"),
        ("up 2", 3, b"\2", "unknown value"),
        ("1,001 lost", 24, b"\x03\xe9", "out of range"),
    ):  # fmt: skip
        wire: bytes = quality["bytes"]
        add(quality, what, expect, bytes=wire[:place] + value + wire[place + len(value) :])
    add(receipt, "reserved byte", "reserved bits", bytes=receipt["bytes"][:3] + b"\1" + receipt["bytes"][4:])
    keys = next(row for row in _own() if row["message"] == "SealingKeys")
    add(keys, "no key", "length", bytes=keys["bytes"][:2] + bytes(2))
    add(keys, "a key of 4,097 bytes", "length", bytes=keys["bytes"][:2] + _sized(bytes(4_097)))
    for row in airlink.vectors():
        if row["message"] in {"Sticks", "Command", "GoTo", "CameraControl", "ChangeSettings", "AuthorityRequest"}:
            add({**row, "link": _GROUND}, "on a groundlink", "unknown number")
        elif row["message"] == "MavlinkFrame":
            add({**row, "link": _GROUND}, "up on a groundlink", "wrong way", direction=_UP)
        elif row["message"] in {"MediaFrame", "LogOffer"}:
            add({**row, "link": _MOBILE}, "on a link end to end", "unknown number")
    return found
