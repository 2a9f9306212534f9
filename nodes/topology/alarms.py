"""Alarms that are the known consequence of a node that was killed and started again."""

from collections.abc import Mapping
from typing import Final

from nodes.topology.tables import Topology
from protocols.events import AlarmKind

CONSEQUENCE_S: Final = 20.0
"""An alarm that comes later than this after a death has another reason."""

AFTER_RESTART: Final[Mapping[AlarmKind, str]] = {
    AlarmKind.FLIGHT_HOLDER_LOST: "the pilot was killed, or the relay to him: the drone holds until he is back",
}
"""Kind -> why it is no fault after a restart; without a restart each of them is one."""


def explains(topology: Topology, dead: str, after_s: float, node: str, kind: str) -> bool:
    """Whether the death of a node ``after_s`` ago may be why another one, or itself anew, raises an alarm of a kind."""
    if kind not in {each.name for each in AFTER_RESTART} or after_s > CONSEQUENCE_S:
        return False
    table = topology.nodes[dead]
    flown = {*table.drones, *(topology.nodes[table.rc].drones if table.rc else ())}
    return node == dead or node in flown
