"""Notes as lines for people."""

from collections.abc import Callable
from typing import Any, Final

from nodes.stations.notes import Alarmed, Delivered, HandedOver, Line, LinkIsUp, Note, Parsing, Progress, RightsTold

CARRIERS: Final = {"udp": "UDP", "tcp": "TCP", "https": "HTTPS", "relay": "relays"}
"""Carrier -> what people call it."""


def sentence(note: Note) -> str:
    """Return a note as one line for a person; nothing for those that only carry numbers."""
    tell = _SENTENCES.get(type(note))
    return "" if tell is None else tell(note)


def percent(done: int, total: int) -> int:
    """Return how much of something is done; all of nothing is."""
    return 100 if total <= 0 else 100 * min(done, total) // total


class Quarters:
    """Lets what tells of progress pass once for each quarter, and everything else always."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def passes(self, note: Note) -> bool:
        """Whether a note is worth a line."""
        if not isinstance(note, Parsing | Progress):
            return True
        what = f"{note.node} {note.what}" if isinstance(note, Progress) else ""
        quarter = percent(note.done_bytes, note.total_bytes) // 25
        if quarter == self._told.get(what, 0):
            return False
        self._told[what] = quarter
        return True


def _link_is_up(note: LinkIsUp) -> str:
    name = f"{note.link} up over {CARRIERS.get(note.carrier, note.carrier)}" if note.carrier else "link up"
    return f"{note.node}: {name} with {note.peer}, {note.suite}, handshake {note.handshake_ms:.1f} ms"


def _delivered(note: Delivered) -> str:
    took = f"{note.messages:,} messages in {note.seconds:.3f} s"
    return f"{note.node}: has the flight, {took}, sha256 {note.sha256[:16]}..."


def _handed_over(note: HandedOver) -> str:
    before, after = who(note.before, note.before_id), who(note.after, note.after_id)
    return f"{note.node}: the {note.right} right is handed over from {before} to {after}"


def who(role: str, fingerprint: str) -> str:
    """Name the holder of a right: of two devices of one role, the role alone does not tell which."""
    return role if not fingerprint or role == _short(fingerprint) else f"{role} {_short(fingerprint)}"


def _rights_told(note: RightsTold) -> str:
    flight, payload = (_short(holder) if holder else "nobody" for holder in (note.flight_id, note.payload_id))
    rest = "" if payload == flight else f", and {payload} has the payload"
    return f"{note.node}: the drone {_short(note.drone)} says that {flight} may fly{rest}"


def _short(fingerprint: str) -> str:
    """Enough of a fingerprint for `aerolink keys` to find it."""
    return fingerprint[:9]


def _progress(note: Progress) -> str:
    return f"{note.node}: log {note.what} uploaded to {percent(note.done_bytes, note.total_bytes)} %"


_SENTENCES: Final[dict[type[Any], Callable[[Any], str]]] = {
    Line: lambda note: f"{note.node}: {note.text}",
    LinkIsUp: _link_is_up,
    Parsing: lambda note: f"drone: reads the log, {percent(note.done_bytes, note.total_bytes)} %",
    Progress: _progress,
    HandedOver: _handed_over,
    RightsTold: _rights_told,
    Delivered: _delivered,
    Alarmed: lambda note: f"ALARM at the {note.node}: {note.text}",
}
