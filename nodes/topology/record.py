"""What has happened in a run: starts, hand-overs, flights, telemetry, alarms; from notes as they come."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.stations.notes import Alarmed, DroneSeen, FlightKept, HandedOver, LinkIsUp, Live, Note
from nodes.topology.alarms import explains
from nodes.topology.board import Board
from nodes.topology.tables import Topology
from specs.registry import Role

MAX_ROWS: Final = 10_000
"""Rows of each kind that are kept of a long run; more are only counted."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """A right went from one hand into another."""

    drone: str
    """Name of the drone."""
    right: str
    """``flight`` or ``payload``."""
    before: str
    """Name of the node that had it."""
    after: str
    """Name of the node that has it."""
    at_s: float
    """Seconds since the run began."""


@dataclass(frozen=True, slots=True)
class KeptFlight:
    """A cloud has a flight."""

    cloud: str
    """Name of the cloud."""
    drone: str
    """Name of the drone."""
    flight: str
    """The drone's name for it."""
    messages: int
    """Frames."""


@dataclass(frozen=True, slots=True)
class RaisedAlarm:
    """A node has raised an alarm."""

    node: str
    """Name of the node."""
    kind: str
    """Name of the alarm."""
    text: str
    """For the operator."""
    at_s: float
    """Seconds since the run began."""


class RunRecord:
    """Takes the notes of a run."""

    def __init__(self, topology: Topology, board: Board, clock: Callable[[], float]) -> None:
        """``clock``: seconds, never back; the run begins now."""
        self.hand_overs: Final[list[HandOver]] = []
        """In order."""
        self.hand_over_count = 0
        """All of them."""
        self.flights: Final[dict[tuple[str, str, str], KeptFlight]] = {}
        """By cloud, drone and flight: a flight counts once."""
        self.alarms: Final[list[RaisedAlarm]] = []
        """In order."""
        self.unexplained: Final[dict[tuple[str, str], RaisedAlarm]] = {}
        """(node, kind) -> the first alarm of the kind there that no death of a node explains."""
        self.starts: Final[Counter[str]] = Counter()
        """Name of a node -> how often it has begun."""
        self.faults: Final[list[str]] = []
        """Nodes that ended of their own accord."""
        self.ups: Final[Counter[tuple[str, str, str]]] = Counter()
        """(node, link, peer) -> how often that link came up there."""
        self._topology = topology
        self._board = board
        self._clock = clock
        self._began_s = clock()
        self._seen_s: dict[tuple[str, str], float] = {}
        self._died_s: dict[str, float] = {}
        self._live: dict[str, int] = {}
        self._live_s: dict[str, float] = {}
        self._live_before: Counter[str] = Counter()

    @property
    def at_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began_s

    def begin(self, name: str) -> None:
        """A node begins, for the first time or again."""
        self.starts[name] += 1
        self._live_before[name] += self._live.pop(name, 0)

    def end(self, name: str) -> None:
        """A node has died."""
        self._died_s[name] = self._clock()

    def take(self, node: str, note: Note) -> None:
        """Take a note of a node."""
        match note:
            case HandedOver():
                self._take_hand_over(note)
            case FlightKept():
                drone = self._board.name_of(note.drone)
                self.flights[node, drone, note.flight] = KeptFlight(node, drone, note.flight, note.messages)
            case Alarmed():
                self._take_alarm(node, note)
            case DroneSeen():
                self._seen_s[node, self._board.name_of(note.drone)] = self._clock()
            case Live():
                if note.messages > self._live.get(node, 0):
                    self._live_s[node] = self._clock()
                self._live[node] = note.messages
            case LinkIsUp():
                self.ups[node, note.link, self._board.name_of(note.peer)] += 1
            case _:
                pass

    def _take_alarm(self, node: str, note: Alarmed) -> None:
        alarm = RaisedAlarm(node, note.kind, note.text, round(self.at_s, 3))
        if len(self.alarms) < MAX_ROWS:
            self.alarms.append(alarm)
        now_s = self._clock()
        deaths = self._died_s.items()
        if not any(explains(self._topology, dead, now_s - died_s, node, note.kind) for dead, died_s in deaths):
            self.unexplained.setdefault((node, note.kind), alarm)

    def _take_hand_over(self, note: HandedOver) -> None:
        self.hand_over_count += 1
        if len(self.hand_overs) < MAX_ROWS:
            before, after = self._board.name_of(note.before_id), self._board.name_of(note.after_id)
            self.hand_overs.append(HandOver(note.node, note.right, before, after, round(self.at_s, 3)))

    def seen_ago_s(self, node: str, drone: str) -> float:
        """Return how long ago telemetry of a drone has come to a node; infinite: never."""
        seen_s = self._seen_s.get((node, drone))
        return float("inf") if seen_s is None else self._clock() - seen_s

    def telemetry_at(self, cloud: str) -> int:
        """Return how many messages of telemetry have come to a cloud, over all its lives."""
        return self._live.get(cloud, 0) + self._live_before[cloud]

    def live_ago_s(self, cloud: str) -> float:
        """Return how long ago telemetry has come to a cloud while it was made; infinite: never."""
        live_s = self._live_s.get(cloud)
        return float("inf") if live_s is None else self._clock() - live_s

    def flights_at(self, cloud: str) -> int:
        """Return how many flights a cloud has verified, unsealed and stored in this run."""
        return sum(flight.cloud == cloud for flight in self.flights.values())

    def clouds(self) -> tuple[str, ...]:
        """Return the names of the clouds."""
        return self._topology.of_role(Role.CLOUD)
