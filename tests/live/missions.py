"""What a vehicle of tests has and is given: parameters, and missions, which ground stations keep in files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.live.mavwire import Message


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a mission, as MISSION_ITEM_INT has it."""

    command: int = 16
    """A waypoint."""
    frame: int = 3
    """Relative to home."""
    params: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    x: int = 0
    """Latitude, degrees * 1e7."""
    y: int = 0
    """Longitude."""
    z: float = 0.0
    """Metres."""

    @classmethod
    def of(cls, message: Message) -> "Item":
        """Read a MISSION_ITEM_INT."""
        params = (message.param1, message.param2, message.param3, message.param4)
        return cls(message.command, message.frame, params, message.x, message.y, message.z)

    def fields(self, system: int, component: int, number: int) -> tuple[object, ...]:
        """Write a MISSION_ITEM_INT."""
        head = (system, component, number, self.frame, self.command, int(number == 0), 1)
        return (*head, *self.params, self.x, self.y, self.z)


def route(count: int) -> list[Item]:
    """Home and waypoints."""
    return [Item(x=473_977_420 + 1_000 * step, y=85_455_940 - 700 * step, z=20.0 + step % 7) for step in range(count)]


def parameters(count: int = 200) -> dict[str, float]:
    """Names of up to 16 characters, and values that a float holds."""
    return {f"P{number:03}_{'RATE_FILTER'[: number % 12]}": number * 0.25 for number in range(count)}


# --- files --------------------------------------------------------------------------------------


def waypoint_file(items: Sequence[Item]) -> str:
    """Write a mission as ground stations keep it (https://mavlink.io/en/file_formats/)."""
    lines = ["QGC WPL 110"]
    for number, item in enumerate(items):
        place = f"{item.x / 1e7:.7f}\t{item.y / 1e7:.7f}\t{item.z}"
        params = "\t".join(str(param) for param in item.params)
        lines.append(f"{number}\t{int(not number)}\t{item.frame}\t{item.command}\t{params}\t{place}\t1")
    return "\n".join(lines) + "\n"


def read_waypoint_file(text: str) -> list[Item]:
    """Read what :func:`waypoint_file` writes, and what MAVProxy saves."""
    items: list[Item] = []
    for line in text.splitlines()[1:]:
        words = line.split("\t")
        p1, p2, p3, p4, latitude_deg, longitude_deg, z = (float(word) for word in words[4:11])
        x, y = round(latitude_deg * 1e7), round(longitude_deg * 1e7)
        items.append(Item(int(words[3]), int(words[2]), (p1, p2, p3, p4), x, y, z))
    return items


def alike(some: Sequence[Item], others: Sequence[Item]) -> bool:
    """Whether missions differ by no more than MAVProxy's arithmetic: it cuts coordinates off where it should round."""
    near = [abs(one.x - other.x) <= 1 and abs(one.y - other.y) <= 1 for one, other in zip(some, others, strict=True)]
    return all(near) and [replace(each, x=0, y=0) for each in some] == [replace(each, x=0, y=0) for each in others]
