"""Whether a run is ok: what is wrong with it, as one line each."""

from collections.abc import Iterator
from typing import Final

from nodes.topology.board import Board
from nodes.topology.record import RunRecord
from nodes.topology.tables import Topology
from specs.registry import Role

SEEN_S: Final = 3.0
"""Telemetry that came so long ago, or less, came just now."""
LIVE_S: Final = 5.0
"""The same of telemetry at a cloud, to which it comes in parcels."""


def open_points(topology: Topology, board: Board, record: RunRecord, *, whole: bool) -> Iterator[str]:
    """Give what is not there and may still come; ``whole``: whether what the topology expects is judged."""
    for link in board.links:
        if not board.is_up(link):
            yield f"the link from {link.maker} to {link.answerer} ({link.name}) is not up"
    for name in topology.of_role(Role.RC):
        for drone in topology.nodes[name].drones:
            if record.seen_ago_s(name, drone) > SEEN_S:
                yield f"no telemetry of {drone} has come to {name} in the last {SEEN_S:g} s"
    for cloud in record.clouds():
        if record.live_ago_s(cloud) > LIVE_S:
            yield f"no telemetry has come to {cloud} in the last {LIVE_S:g} s"
    if whole:
        yield from _expected(topology, record)


def _expected(topology: Topology, record: RunRecord) -> Iterator[str]:
    expects = topology.expects
    if record.hand_over_count < expects.hand_overs:
        yield f"{record.hand_over_count} hand-overs, and {expects.hand_overs} are expected"
    for cloud in record.clouds():
        count = record.flights_at(cloud)
        if topology.nodes[cloud].drones and count < expects.flights:
            yield f"{count} flights at {cloud}, and {expects.flights} are expected"


def faults(record: RunRecord) -> Iterator[str]:
    """Give what has happened and should not have."""
    yield from record.faults
    for alarm in record.unexplained.values():
        yield f"alarm {alarm.kind} at {alarm.node}: {alarm.text}"
