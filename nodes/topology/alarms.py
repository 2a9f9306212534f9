"""Alarms that are the known consequence of a node that was killed and started again."""

from collections.abc import Mapping
from typing import Final

from protocols.events import AlarmKind

AFTER_RESTART: Final[Mapping[AlarmKind, str]] = {
    AlarmKind.FLIGHT_HOLDER_LOST: "the pilot was killed, or the relay to him: the drone holds until he is back",
}
"""Kind -> why it is no fault after a restart; without a restart each of them is one."""
