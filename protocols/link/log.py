"""What the core logs: sparse debug lines on the logger ``protocols.link``, each with the id of its link.

A machine's drops are counted where they happen (``stats``); here counters that moved become lines, once per round of
the pump, so that a flood costs no more than its counting. What a stranger can cause is marked hostile and rationed by
``now``, one key per reason. No line holds a secret, an address, or anything that a peer chose.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from protocols.events import (
    Alarm,
    Event,
    LinkDown,
    LinkUp,
    PairingStored,
    PeerConfirmed,
    PeerIdentified,
    PeerMoved,
    Rekeyed,
)
from protocols.guards.ratelimit import LogLimiter
from protocols.link.stats import HandshakeCounters

_log: Final = logging.getLogger("protocols.link")
NO_LINK: Final = "-"
_LINES_PER_S: Final = 1.0
_BURST: Final = 5.0

DROPPED: Final[Mapping[str, str]] = {
    "malformed": "dropped: no packet of ours (%d so far)",
    "wrong_mac1": "dropped: wrong mac1 (%d so far)",
    "pairing_closed": "dropped: a pairing, but no code is active (%d so far)",
    "wrong_mac2": "dropped: no valid cookie, under load (%d so far)",
    "rate_limited": "dropped: above the rate of its source (%d so far)",
    "duplicates": "the same initiation again (%d so far)",
    "failed": "dropped: a handshake message that does not decrypt, or lies (%d so far)",
    "stale_counters": "dropped: an old initiation counter (%d so far)",
    "refused": "refused by policy (%d so far)",
    "evicted": "a pending handshake gave way to a newer one (%d so far)",
    "expired": "a pending handshake was never confirmed (%d so far)",
    "unknown_index": "dropped: an index that is nobody's (%d so far)",
    "replies_dropped": "an answer did not fit the queue (%d so far)",
    "tries_refused": "a pairing try was refused (%d so far)",
    "failed_opens": "dropped: a packet whose tag does not verify (%d so far)",
    "replays": "dropped: a counter seen before, or too old (%d so far)",
}
"""Line of each counter that a stranger can move."""

_Line = tuple[str, tuple[object, ...]]
_NOTHING_SEEN: Final[Mapping[str, int]] = {}
_MILESTONES: Final[Mapping[type[Any], Callable[[Any], _Line]]] = {
    PeerIdentified: lambda _: ("handshake: a peer is identified", ()),
    PairingStored: lambda _: ("pairing: the peer is to be stored", ()),
    PeerConfirmed: lambda _: ("handshake: confirmed", ()),
    LinkUp: lambda event: ("link up: %s", (event.suite,)),
    LinkDown: lambda event: ("link down: %s", (event.reason.value,)),
    Rekeyed: lambda event: ("rekeyed: %d so far", (event.count,)),
    PeerMoved: lambda _: ("the peer's address changed", ()),
    Alarm: lambda event: ("alarm: %s", (event.kind.value,)),
}


def link_id(key_id: bytes | None) -> str:
    """Return how a link is called in every record: the start of its peer's key id."""
    return key_id.hex()[:8] if key_id else NO_LINK


class LinkLog:
    """The lines of one machine or one connection; most of a thousand links never write one."""

    __slots__ = ("_key_id", "_limiter", "_now", "_seen")

    def __init__(self, key_id: bytes | None = None) -> None:
        self._key_id = key_id
        self._limiter: LogLimiter | None = None
        self._seen: Mapping[str, int] = _NOTHING_SEEN
        self._now = 0.0

    def watch(self, counters: HandshakeCounters, now: float) -> None:
        """Write a line for each reason whose counter moved since the last call."""
        self._now = now
        if not _log.isEnabledFor(logging.DEBUG):
            return
        current = counters.as_dict()
        for name, count in current.items():
            if count != self._seen.get(name, 0) and name in DROPPED:
                self.dropped(name, count, now)
        self._seen = current

    def dropped(self, reason: str, count: int, now: float) -> None:
        """Write the line of one reason, if there is one left to spend."""
        if _log.isEnabledFor(logging.DEBUG):
            self._hostile(reason, (DROPPED[reason], (count,)), self._key_id, now)

    def event(self, event: Event, key_id: bytes | None = None) -> None:
        """Write the line of a milestone; without a link it may be a stranger's doing."""
        describe = _MILESTONES.get(type(event))
        if describe is None or not _log.isEnabledFor(logging.DEBUG):
            return
        text, args = describe(event)
        if key_id is None:
            who = event.key_id if isinstance(event, PeerIdentified | PairingStored) else None
            self._hostile(f"{text} {args}", (text, args), who or self._key_id, self._now)
        else:
            _log.debug(text, *args, extra={"link": link_id(key_id)})

    def _hostile(self, reason: str, line: _Line, key_id: bytes | None, now: float) -> None:
        if self._limiter is None:
            self._limiter = LogLimiter(_LINES_PER_S, _BURST)
        if self._limiter.note(reason, now) is not None:
            text, args = line
            _log.debug(text, *args, extra={"hostile": True, "link": link_id(key_id)})
