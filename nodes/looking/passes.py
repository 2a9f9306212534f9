"""Which notes others may see (CS-11), and as what."""

from dataclasses import asdict
from typing import Any, Final

from nodes.config.reader import one_line
from nodes.stations.notes import (
    Alarmed,
    Delivered,
    DroneSeen,
    Failed,
    Flight,
    FlightKept,
    HandedOver,
    Holds,
    Line,
    LinkIsDown,
    LinkIsMissed,
    LinkIsUp,
    Live,
    Note,
    Parsing,
    Progress,
    RightsTold,
    Shown,
)
from nodes.stations.sentences import sentence

PASSES: Final[frozenset[type[Note]]] = frozenset(
    {
        Alarmed,
        Delivered,
        DroneSeen,
        Failed,
        Flight,
        FlightKept,
        HandedOver,
        Holds,
        Line,
        LinkIsDown,
        LinkIsMissed,
        LinkIsUp,
        Live,
        Parsing,
        Progress,
        RightsTold,
        Shown,
    }
)
"""Kinds that hold no secret. What is not here does not pass: meters, since each status has what they say; and
:class:`~nodes.stations.notes.Ready` and :class:`~nodes.stations.notes.Carry`, since they are secrets."""


def seen(note: Note, *, tells: bool = True) -> dict[str, Any] | None:
    """Return what others see of a note; None for nothing. ``tells``: whether it is worth a line for people."""
    if type(note) not in PASSES:
        return None
    return {"note": type(note).__name__, "fields": asdict(note), "text": one_line(sentence(note)) if tells else ""}
