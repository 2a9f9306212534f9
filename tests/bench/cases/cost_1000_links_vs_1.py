"""What a message costs a drone with a thousand links, beside a drone with one."""

from tests.bench.harness.crowd import cost_per_message
from tests.bench.harness.model import Case

CASE = Case(
    name="cost-1000-links-vs-1",
    what="processor time of a listener's process per 1,200-byte message; as many messages over one link as over all",
    unit="us",
    ours=cost_per_message(1_000),
    peer=cost_per_message(1),
    peer_name="one link",
    quick_rounds=2,
)
