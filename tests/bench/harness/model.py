"""What is measured, and what comes out of it. Standard library only: peers in other environments import this too."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Json = dict[str, Any]
Sense = Literal[">=", "<="]


class AbsentError(Exception):
    """A peer cannot run here; the text is the reason."""


def reason_of(error: BaseException) -> str:
    """Return one line that says what went wrong."""
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inside:
        return reason_of(inside[0])
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


@dataclass(frozen=True, slots=True)
class Reading:
    """What one round gave."""

    value: float
    """In the unit of its case."""
    notes: dict[str, float] = field(default_factory=dict[str, float])
    """What else is worth telling, for example the share that was lost."""


Measure = Callable[[float], Awaitable[Reading]]
"""Run one round of about so many seconds."""
Side = Callable[[], AbstractAsyncContextManager[Measure]]
"""Ours or a peer: set up once, measured in rounds, taken down. Raises AbsentError when it cannot run here."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach."""

    sense: Sense
    value: float
    plain: bool = False
    """Whether it is compared with our value itself, and not with a ratio."""

    def is_met(self, value: float) -> bool:
        """Whether a value reaches it."""
        return value >= self.value if self.sense == ">=" else value <= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison. Its file stands in ``tests/bench/cases``."""

    name: str
    what: str
    """One line: what is compared with what."""
    unit: str
    """Of both values."""
    ours: Side
    peer: Side | None = None
    peer_name: str | None = None
    explanation: str = ""
    """Why the ratio is as large as it is, where it is above 20."""
    length: float = 1.0
    """Rounds are this many times as long as others."""
    max_rounds: int = 99
    """Where further rounds tell nothing new, or cost too much."""
    quick_rounds: int = 99
    """The same for a quick run."""
    warm_up: bool = True
    """Whether a round that does not count goes before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The same measurement at several sizes or numbers; for the plot, and for specs/performance.md."""

    name: str
    what: str
    unit: str
    x_unit: str
    """What is varied."""
    xs: Sequence[int]
    quick_xs: Sequence[int] = ()
    """Those of a quick run, if not all."""
    ours: Callable[[int], Side]
    peer: Callable[[int], Side] | None = None
    peer_name: str | None = None
    length: float = 0.3
    max_rounds: int = 3


EXPLAIN_ABOVE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Samples:
    """The rounds of one side."""

    readings: Sequence[Reading]

    @property
    def median(self) -> float:
        return statistics.median(each.value for each in self.readings)

    def as_dict(self) -> Json:
        """Median, extremes, rounds, and the medians of what else was noted."""
        values = [each.value for each in self.readings]
        told: Json = {"median": self.median, "min": min(values), "max": max(values), "rounds": len(values)}
        for name in self.readings[0].notes:
            told[name] = statistics.median(each.notes[name] for each in self.readings)
        return told


@dataclass(slots=True)
class Outcome:
    """What the rounds of a case gave."""

    ours: Samples | None = None
    peer: Samples | None = None
    absent: str = ""
    """Why the peer did not run."""
    error: str = ""
    """Why ours did not."""

    def as_dict(self, case: Case, target: Target | None) -> Json:
        """Return the entry of a report (docs/benchmarks.md)."""
        ours = self.ours.median if self.ours else None
        peer = self.peer.median if self.peer else None
        plain = case.peer is None
        ratio = ours / peer if ours is not None and peer and not plain else None
        told: Json = {
            "name": case.name,
            "ours": ours,
            "peer": peer,
            "peer_name": case.peer_name,
            "ratio": ratio,
            "unit": case.unit,
            "what": case.what,
            "ours_rounds": self.ours.as_dict() if self.ours else None,
            "peer_rounds": self.peer.as_dict() if self.peer else None,
        }
        if target is not None:
            value = ours if target.plain else ratio
            met = value is not None and target.is_met(value)
            told |= {"target": target.value, "targets_sense": target.sense, "met": met}
        if self.absent:
            told["absent"] = self.absent
        if self.error:
            told["error"] = self.error
        if ratio is not None and case.explanation and max(ratio, 1 / ratio) > EXPLAIN_ABOVE:
            told["explanation"] = case.explanation
        return told
