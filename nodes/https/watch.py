"""What a server counts, and what it tells of at once: coarse, for operators. Peers choose none of the words."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from protocols.guards.address import Address


class AlarmKind(Enum):
    """What has happened."""

    HANDSHAKE_REFUSED = "a TLS handshake was refused"
    """No certificate, a wrong one, an old version, or no TLS at all."""
    REQUEST_REFUSED = "a request that is none"
    """The front check has refused it."""
    CROWDED = "a connection had to go for another"
    """A limit of connections was reached."""
    HASTY = "connections come too fast"
    """One was closed before its TLS handshake."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What somebody should know of."""

    kind: AlarmKind
    """What."""
    peer: Address
    """Of whom; for CROWDED: who came when it was full."""
    detail: str
    """Why, in a few words of ours."""


OnAlarm = Callable[[Alarm], None]
"""Called on the loop; must not wait, must not raise."""


@dataclass(slots=True)
class HttpCounters:
    """Since the start of the server."""

    accepted: int = 0
    """Connections."""
    turned_away: int = 0
    """Connections that were closed before TLS, as too many came in a short time."""
    handshakes: int = 0
    """TLS handshakes that were completed."""
    handshakes_refused: int = 0
    """TLS handshakes that failed."""
    evicted: int = 0
    """Connections that had to go for others."""
    timed_out: int = 0
    """Connections that were too slow: handshake, head, body or response."""
    requests: int = 0
    """Requests that a handler got."""
    requests_refused: int = 0
    """Heads, or bodies, that the front check refused."""
    crashed: int = 0
    """Handlers that ended with an error which is a bug of ours."""
