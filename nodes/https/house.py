"""What all connections of a server share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.https.door import Door
from nodes.https.limits import HttpLimits
from nodes.https.messages import Handler
from nodes.https.table import ConnectionTable
from nodes.https.watch import Alarm, AlarmKind, HttpCounters, OnAlarm
from protocols.errors import QueueFullError
from protocols.guards.address import Address
from protocols.guards.ratelimit import LogLimiter

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class House:
    """One per server."""

    handler: Handler
    """Whom requests go to."""
    limits: HttpLimits
    """What a connection may cost."""
    counters: HttpCounters
    """What has happened."""
    wall_clock: Callable[[], float]
    """Unix seconds."""
    on_alarm: OnAlarm | None = None
    """Who wants to know."""
    closing: trio.Event = field(default_factory=trio.Event)
    """The server closes: what never ends by itself ends now."""
    rations: LogLimiter = field(default_factory=lambda: LogLimiter(lines_per_s=5.0, burst=20.0))
    """A flood makes no flood of alarms; counters count all of it."""

    table: ConnectionTable = field(init=False)
    """Who is there."""
    door: Door = field(init=False)
    """How fast they may come."""
    held_bytes: int = 0
    """What has arrived of bodies of requests that are not answered yet."""

    def __post_init__(self) -> None:
        """Make the table and the door."""
        self.table = ConnectionTable(self.limits)
        self.door = Door(self.limits)

    def hold(self, count: int, peer: Address) -> None:
        """Note that more of a body has arrived; who keeps us waiting has to go for it, if it is too much (HF-38).

        QueueFullError if nobody keeps us waiting.
        """
        self.held_bytes += count
        if self.held_bytes <= self.limits.bodies_bytes:
            return
        if self.table.drop_body() is None:
            raise QueueFullError("too much of bodies is held at one time")
        self.counters.evicted += 1
        self.alarm(AlarmKind.CROWDED, peer, "the room for bodies is used up")

    def alarm(self, kind: AlarmKind, peer: Address, detail: str) -> None:
        """Tell of something, unless it has been told often in this second."""
        left_out = self.rations.note(kind.name, trio.current_time())
        if left_out is None:
            return
        more = f" ({left_out} more of the kind)" if left_out else ""
        _log.warning("%s: %s: %s%s", peer, kind.value, detail, more)
        if self.on_alarm is not None:
            self.on_alarm(Alarm(kind, peer, detail))
