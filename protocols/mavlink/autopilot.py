"""What an autopilot says of itself: which it is, whether its motors may turn, what it does (specs/11-mavlink.md, 11.5).

Numbers of modes, since MAVLink has none of its own: PX4, https://docs.px4.io/main/en/flight_modes/, its custom mode
being a main mode in byte 2 and a sub-mode in byte 3; ArduPilot, https://ardupilot.org/copter/docs/parameters.html and
those of Plane and Rover, ``FLTMODE1``.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from protocols.mavlink.head import FrameHead

SILENT_S: Final = 10.0
"""After this another autopilot may take the place of one that is not heard (MV-40)."""
LANDED_S: Final = 5.0
"""That it has landed is said again and again: when only its heartbeats go on, nobody knows."""
_ARMED: Final = 0x80
_NO_AUTOPILOT: Final = 8
_GROUND_STATION: Final = 6
_STANDBY: Final = 3
_ON_GROUND: Final = 1
_CUSTOM_MODE: Final = 1.0

_HEARTBEAT: Final = struct.Struct("<IBBBB")
_LANDED: Final = struct.Struct("<BB")


class Make(IntEnum):
    """Autopilots of which the modes are known (MAV_AUTOPILOT)."""

    OTHER = -1
    ARDUPILOT = 3
    PX4 = 12


class Family(Enum):
    """Vehicles of ArduPilot, each with modes of its own."""

    COPTER = "copter"
    PLANE = "plane"
    ROVER = "rover"
    OTHER = "other"


_FAMILIES: Final = {
    **dict.fromkeys((2, 3, 4, 13, 14, 15, 29, 35), Family.COPTER),
    **dict.fromkeys((1, *range(19, 26)), Family.PLANE),
    **dict.fromkeys((10, 11), Family.ROVER),
}
"""MAV_TYPE -> family."""


class MavCommand(IntEnum):
    """Commands that we send (MAV_CMD)."""

    NAV_LOITER_UNLIM = 17
    NAV_RETURN_TO_LAUNCH = 20
    NAV_LAND = 21
    DO_SET_MODE = 176
    COMPONENT_ARM_DISARM = 400


@dataclass(frozen=True, slots=True)
class Order:
    """A COMMAND_LONG, but for whom it is."""

    command: MavCommand
    """What."""
    parameters: tuple[float, ...] = ()
    """The first of its seven parameters; the rest are 0."""


RETURN_HOME: Final = Order(MavCommand.NAV_RETURN_TO_LAUNCH)
LAND: Final = Order(MavCommand.NAV_LAND)
LOITER: Final = Order(MavCommand.NAV_LOITER_UNLIM)
DISARM: Final = Order(MavCommand.COMPONENT_ARM_DISARM, (0.0,))

_PX4_AUTO: Final = 4
_PX4_GOING_HOME: Final = frozenset({(_PX4_AUTO, 5), (_PX4_AUTO, 6), (_PX4_AUTO, 9)})
"""Return, Land, Precision land."""
_GOING_HOME: Final = {
    Family.COPTER: frozenset({6, 9, 21, 27}),
    Family.PLANE: frozenset({11, 20, 21, 26}),
    Family.ROVER: frozenset({11, 12}),
    Family.OTHER: frozenset[int](),
}
"""RTL, Land and their kin."""
_HOLDS: Final[dict[tuple[Make, Family], Order]] = {
    (Make.PX4, family): Order(MavCommand.DO_SET_MODE, (_CUSTOM_MODE, float(_PX4_AUTO), 3.0)) for family in Family
} | {
    (Make.ARDUPILOT, Family.COPTER): Order(MavCommand.DO_SET_MODE, (_CUSTOM_MODE, 17.0)),
    (Make.ARDUPILOT, Family.PLANE): Order(MavCommand.DO_SET_MODE, (_CUSTOM_MODE, 12.0)),
    (Make.ARDUPILOT, Family.ROVER): Order(MavCommand.DO_SET_MODE, (_CUSTOM_MODE, 4.0)),
}
"""The mode that holds without sticks: PX4 Hold; ArduPilot Brake, Loiter, Hold."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What an autopilot has said last."""

    system: int
    """Its system id."""
    component: int
    """Its component id."""
    make: Make
    """Whose modes it has."""
    family: Family
    """What it flies."""
    mode: int
    """``custom_mode``."""
    armed: bool
    """Whether the motors may turn."""
    standby: bool
    """Its state is MAV_STATE_STANDBY: with ArduPilot, armed or not, it has landed."""

    @property
    def name(self) -> str:
        """What to call it in a line for people."""
        if self.make is Make.PX4:
            return "PX4"
        if self.make is Make.OTHER:
            return "autopilot"
        return "ArduPilot" if self.family is Family.OTHER else f"ArduPilot {self.family.value}"


class AutopilotView:
    """One autopilot, as its frames describe it."""

    def __init__(self) -> None:
        self.heartbeat: Heartbeat | None = None
        """What it said last; None before the first."""
        self.heard_s = -math.inf
        """When its last heartbeat came."""
        self._landed_s = -math.inf
        self._readers: dict[int, Callable[[FrameHead, float], None]] = {0: self._on_heartbeat, 245: self._on_landed}

    @property
    def armed(self) -> bool:
        """Whether the motors may turn, as it has said last (MV-41)."""
        return self.heartbeat is not None and self.heartbeat.armed

    @property
    def is_on_ground(self) -> bool:
        """Whether it says that it stands on the ground; False when it says nothing of that."""
        said = self.heartbeat
        if said is None:
            return False
        return self.heard_s <= self._landed_s + LANDED_S or (said.make is Make.ARDUPILOT and said.standby)

    @property
    def is_going_home(self) -> bool:
        """Whether it returns or lands already (MV-51)."""
        said = self.heartbeat
        if said is None:
            return False
        if said.make is Make.PX4:
            return (said.mode >> 16 & 0xFF, said.mode >> 24 & 0xFF) in _PX4_GOING_HOME
        return said.make is Make.ARDUPILOT and said.mode in _GOING_HOME[said.family]

    @property
    def hold(self) -> Order:
        """What makes it hold here (11.6)."""
        said = self.heartbeat
        if self.is_on_ground:
            return DISARM
        return LOITER if said is None else _HOLDS.get((said.make, said.family), LOITER)

    def is_from(self, head: FrameHead) -> bool:
        """Whether the autopilot sent a frame."""
        said = self.heartbeat
        return said is not None and (head.system, head.component) == (said.system, said.component)

    def feed_untrusted(self, head: FrameHead, now: float) -> None:
        """Take a frame, of whomever. Never raises."""
        reader = self._readers.get(head.message)
        if reader is not None:
            reader(head, now)

    def _on_heartbeat(self, head: FrameHead, now: float) -> None:
        mode, kind, autopilot, base_mode, state = _HEARTBEAT.unpack(_filled(head.payload, _HEARTBEAT.size))
        if autopilot == _NO_AUTOPILOT or kind == _GROUND_STATION:
            return
        armed = bool(base_mode & _ARMED)
        if self.heartbeat is not None and not self.is_from(head):
            if now - self.heard_s <= SILENT_S or (self.armed and not armed):
                return
            self._landed_s = -math.inf
        self.heard_s = now
        make = Make(autopilot) if autopilot in set(Make) else Make.OTHER
        family = _FAMILIES.get(kind, Family.OTHER)
        self.heartbeat = Heartbeat(head.system, head.component, make, family, mode, armed, state == _STANDBY)

    def _on_landed(self, head: FrameHead, now: float) -> None:
        if self.is_from(head):
            _, landed = _LANDED.unpack(_filled(head.payload, _LANDED.size))
            self._landed_s = now if landed == _ON_GROUND else -math.inf


def _filled(payload: bytes, size: int) -> bytes:
    return payload[:size].ljust(size, b"\0")
