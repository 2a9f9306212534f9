"""Alternating rounds: ours, peer, ours, peer; after a warm-up of both."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.bench.harness.model import AbsentError, Case, Json, Measure, Outcome, Reading, Samples, Side, Sweep

_MIN_WARM_UP_S = 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float
    """Length of a round."""

    @property
    def is_quick(self) -> bool:
        """Whether this is to be over soon, and no more."""
        return self.seconds < FULL.seconds


QUICK = Effort(3, 0.15)
QUICK_MORE = Effort(2, 0.1)
"""What has no target."""
FULL = Effort(5, 0.9)
Tell = Callable[[str], None]
"""Takes a line about what is happening."""


async def contest(case: Case, effort: Effort, tell: Tell) -> Outcome:
    """Measure both sides of a case. What goes wrong with ours is raised."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        tell("setting up")
        ours = await stack.enter_async_context(case.ours())
        peer = await _enter(stack, case.peer, outcome)
        seconds = effort.seconds * case.length
        if case.warm_up:
            tell("warming up")
            await ours(max(_MIN_WARM_UP_S, seconds / 3))
            peer = await _warm_up(peer, max(_MIN_WARM_UP_S, seconds / 3), outcome)
        mine: list[Reading] = []
        theirs: list[Reading] = []
        rounds = min(effort.rounds, case.quick_rounds if effort.is_quick else case.max_rounds)
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            mine.append(await ours(seconds))
            if peer is not None:
                theirs.append(await peer(seconds))
        outcome.ours = Samples(mine)
        outcome.peer = Samples(theirs) if theirs else None
    return outcome


async def _enter(stack: AsyncExitStack, side: Side | None, outcome: Outcome) -> Measure | None:
    if side is None:
        return None
    try:
        return await stack.enter_async_context(side())
    except (AbsentError, ImportError) as reason:
        outcome.absent = str(reason)
        return None


async def _warm_up(peer: Measure | None, seconds: float, outcome: Outcome) -> Measure | None:
    if peer is None:
        return None
    try:
        await peer(seconds)
    except AbsentError as reason:
        outcome.absent = str(reason)
        return None
    return peer


def _say_nothing(_: str) -> None:
    """Points are told of one by one."""


async def sweep(plan: Sweep, effort: Effort, tell: Tell) -> Json:
    """Measure every point of a sweep."""
    points: list[Json] = []
    absent = ""
    for x in (effort.is_quick and plan.quick_xs) or plan.xs:
        case = Case(
            name=plan.name,
            what=plan.what,
            unit=plan.unit,
            ours=plan.ours(x),
            peer=plan.peer(x) if plan.peer else None,
            length=plan.length,
            max_rounds=plan.max_rounds,
            quick_rounds=1,
        )
        tell(f"{x} {plan.x_unit}")
        outcome = await contest(case, effort, _say_nothing)
        entry = outcome.as_dict(case, None)
        points.append({"x": x, "ours": entry["ours"], "peer": entry["peer"], "ratio": entry["ratio"]})
        absent = outcome.absent or absent
    told: Json = {"name": plan.name, "what": plan.what, "unit": plan.unit, "x_unit": plan.x_unit, "points": points}
    told |= {"ours": None, "peer": None, "peer_name": plan.peer_name, "ratio": None}
    return told | ({"absent": absent} if absent else {})
