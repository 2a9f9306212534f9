"""A battery that sags under load and runs down: four lithium cells."""

CAPACITY_MAH = 5_200.0
LOW_SHARE = 0.2
FULL_V = 16.8
EMPTY_V = 13.2
RESISTANCE_OHM = 0.02

IDLE_A = 0.2
"""Drawn by the electronics alone."""

ARMED_A = 1.5
"""Drawn with the motors turning on the ground."""

HOVER_A = 16.0
"""Drawn to stay in the air; more to climb, less to sink."""

CLIMB_A_PER_MPS = 2.0


class Battery:
    """State of charge, moved on by what was drawn."""

    def __init__(self) -> None:
        self.used_mah = 0.0
        self.current_a = IDLE_A

    def draw(self, current_a: float, dt_s: float) -> None:
        """Draw a current for a while."""
        self.current_a = current_a
        self.used_mah = min(self.used_mah + current_a * dt_s / 3.6, CAPACITY_MAH)

    @property
    def remaining(self) -> float:
        """Share of the charge left, 0 to 1."""
        return 1 - self.used_mah / CAPACITY_MAH

    @property
    def voltage_v(self) -> float:
        """Under the present load."""
        return EMPTY_V + (FULL_V - EMPTY_V) * self.remaining - self.current_a * RESISTANCE_OHM

    @property
    def low(self) -> bool:
        """Whether it is time to go home."""
        return self.remaining < LOW_SHARE
