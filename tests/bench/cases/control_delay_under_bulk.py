"""How long control waits while an object fills the link."""

from tests.bench.harness.bulk import control_under_bulk
from tests.bench.harness.model import Case

CASE = Case(
    name="control-delay-under-bulk",
    what="control every 5 ms while send_object fills the same link over UDP; p99 from send_now to receive",
    unit="ms",
    ours=control_under_bulk(),
    length=2.0,
)
