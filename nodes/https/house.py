"""What all connections of a server share."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.https.limits import HttpLimits
from nodes.https.messages import Handler
from nodes.https.watch import Alarm, AlarmKind, HttpCounters, OnAlarm
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

    def alarm(self, kind: AlarmKind, peer: Address, detail: str) -> None:
        """Tell of something, unless it has been told often in this second."""
        left_out = self.rations.note(kind.name, trio.current_time())
        if left_out is None:
            return
        more = f" ({left_out} more of the kind)" if left_out else ""
        _log.warning("%s: %s: %s%s", peer, kind.value, detail, more)
        if self.on_alarm is not None:
            self.on_alarm(Alarm(kind, peer, detail))
