"""What an idle link costs the drone in memory."""

from tests.bench.harness.crowd import memory_per_link
from tests.bench.harness.model import Case

CASE = Case(
    name="link-memory",
    what="resident memory of a listener's process per idle link, with 1,000 of them",
    unit="bytes",
    ours=memory_per_link(1_000),
    max_rounds=3,
    quick_rounds=1,
    warm_up=False,
)
