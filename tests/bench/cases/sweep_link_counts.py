"""What a message costs a drone at each number of links."""

from tests.bench.harness.crowd import cost_per_message
from tests.bench.harness.model import Sweep

CASE = Sweep(
    name="sweep-link-counts",
    what="processor time of a listener's process per 1,200-byte message; as many messages over one link as over all",
    unit="us",
    x_unit="links",
    xs=(1, 10, 100, 1_000),
    quick_xs=(1, 100, 1_000),
    ours=cost_per_message,
    length=0.7,
)
