"""What the demo was asked for."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from nodes.flight.pace import Speed
from nodes.ports import CarrierName
from protocols.crypto.suites import DEFAULT_SUITE, Suite, suite_by_name
from protocols.link.config import LinkConfig

REAL_S: Final = 20.0
"""How long a demo in real speed plays, unless told otherwise."""
MAX_SPEED_S: Final = 1.0
"""How long video and control run at least in a demo at full speed, so that there is something to see."""
REKEY_S: Final = 8.0
"""Far below what a link needs (120 s): a demo of 20 s shows two rekeys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """Everything both ends must agree on."""

    replay: str | None = None
    """Telemetry log to play; None flies the built-in model."""
    suite: str = DEFAULT_SUITE.name
    """Name of the suite."""
    carrier: CarrierName = "udp"
    """What carries the link."""
    speed: Speed = "real"
    """``real`` records for some time and transfers what was recorded; ``max`` transfers a whole flight at once."""
    seconds: float | None = None
    """How long to play; None takes the default of the speed."""
    port: int = 0
    """Where the drone listens on loopback; 0 lets the system choose."""
    two: bool = False
    """Only drone and remote controller, and what passes between them."""
    log_level: str = "warning"
    """Least severe messages that a child logs."""

    @classmethod
    def from_command(cls, given: Mapping[str, Any]) -> Self:
        """Return the options that the command line gave; None stands for a default."""
        return cls(**{name: value for name, value in given.items() if value is not None})

    @property
    def live_s(self) -> float:
        """How long live data is to flow."""
        if self.seconds is not None:
            return self.seconds
        return REAL_S if self.speed == "real" else MAX_SPEED_S

    @property
    def flies_model(self) -> bool:
        """Whether the built-in model flies live and its flight is recorded meanwhile."""
        return self.replay is None and self.speed == "real"

    @property
    def replay_path(self) -> Path | None:
        return None if self.replay is None else Path(self.replay)

    def suite_row(self) -> Suite:
        """Return the suite; UnsupportedError."""
        return suite_by_name(self.suite)

    def link_config(self) -> LinkConfig:
        """Return the rules of the demo's link."""
        return LinkConfig(suites=(self.suite_row(),), rekey_after_s=REKEY_S)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        return cls(**json.loads(line))
