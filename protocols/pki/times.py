"""Unix seconds to the datetime values that X.509 builders want, and back: nothing here asks a clock."""

from datetime import UTC, datetime
from typing import Final

from protocols.pki.errors import ClockError
from specs.certificates import BACKDATE_S, CA_LIFETIME_S

_MAX_UNIX_S: Final = 4_102_444_800
"""2100-01-01: a clock beyond it is wrong."""


def time_text(unix_s: float) -> str:
    """Return a time as people read it: ``2026-07-01 12:00 UTC``."""
    return f"{utc(int(min(max(0, unix_s), _MAX_UNIX_S))):%Y-%m-%d %H:%M} UTC"


def sound(now: float) -> float:
    if not BACKDATE_S <= now < _MAX_UNIX_S - CA_LIFETIME_S:
        raise ClockError(f"the clock of this machine says {time_text(now)}: set it")
    return now


def utc(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def unix(at: datetime) -> int:
    return int(at.timestamp())
