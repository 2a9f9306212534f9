"""What each step of a 1,200-byte message costs; the "peer" is the same with the payloads that loopback takes."""

from tests.bench.harness.budget import ONE_EACH_BYTES, SHARED_BYTES, STEPS, step_cost
from tests.bench.harness.model import Side, Sweep


def _alone(step: int) -> Side:
    return step_cost(step, ONE_EACH_BYTES)


def _shared(step: int) -> Side:
    return step_cost(step, SHARED_BYTES)


CASE = Sweep(
    name="budget",
    what="nanoseconds per 1,200-byte message and step (specs/performance.md), one datagram each; peer: 54 share one",
    unit="ns",
    x_unit="step",
    xs=tuple(range(1, len(STEPS) + 1)),
    ours=_alone,
    peer=_shared,
    peer_name="the same, 64 KiB payloads",
)
