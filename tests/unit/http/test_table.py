"""Who has to go when somebody else comes (specs/http-front.md, HF-30 to HF-32)."""

from dataclasses import replace

import pytest

from nodes.https import HttpLimits
from nodes.https.table import ConnectionTable, Seat, Stage

LIMITS = HttpLimits(connections=4, connections_per_source=3, handshakes=2)


class Hall:
    """A table, and who has had to go."""

    def __init__(self, limits: HttpLimits = LIMITS) -> None:
        self.table = ConnectionTable(limits)
        self.gone: list[str] = []
        self.now = 0.0

    def come(self, name: str, stage: Stage, source: str | None = None) -> bool:
        self.now += 1
        seat = Seat((source or name).encode(), lambda: self.gone.append(name))
        admitted, gone = self.table.admit(seat, self.now)
        assert len(gone) == len(self.gone[len(self.gone) - len(gone) :])
        seat.enter(stage, self.now)
        return admitted


def test_hf_30_a_limit_in_all() -> None:
    hall = Hall()
    for name in "abcde":
        assert hall.come(name, Stage.IDLE)
    assert hall.gone == ["a"]
    assert len(hall.table) == 4


def test_hf_30_a_limit_per_source() -> None:
    """Whoever comes too often takes his own place."""
    hall = Hall()
    assert hall.come("good", Stage.HANDSHAKE)
    for name in "abcd":
        assert hall.come(name, Stage.BODY, source="x")
    assert hall.gone == ["a"]
    assert len(hall.table) == 4


def test_hf_30_a_limit_of_handshakes() -> None:
    hall = Hall()
    for name in "abc":
        assert hall.come(name, Stage.HANDSHAKE)
    assert hall.gone == ["a"]
    assert len(hall.table) == 2


def test_hf_31_who_has_proven_least_goes_first() -> None:
    hall = Hall(replace(LIMITS, connections=5))
    for stage in (Stage.BODY, Stage.IDLE, Stage.HEAD, Stage.HANDSHAKE, Stage.CLOSING):
        assert hall.come(stage.name, stage)
    for number in range(5):
        assert hall.come(f"new {number}", Stage.BUSY)
    assert hall.gone == ["CLOSING", "HANDSHAKE", "HEAD", "IDLE", "BODY"]


def test_hf_31_among_equals_the_oldest_goes() -> None:
    """What counts is since when it is so, not since when it is there; a stage taken twice begins once."""
    hall = Hall()
    seats = [Seat(bytes((number,)), lambda: None) for number in range(3)]
    for seat in seats:
        hall.table.admit(seat, 1.0)
        seat.enter(Stage.IDLE, 1.0)
    seats[0].enter(Stage.BUSY, 5.0)
    seats[0].enter(Stage.IDLE, 6.0)
    seats[1].enter(Stage.IDLE, 7.0)
    seats[2].enter(Stage.BUSY, 2.0)
    seats[2].enter(Stage.IDLE, 3.0)
    assert [hall.table.drop_worst() for _ in range(4)] == [seats[1], seats[2], seats[0], None]


def test_hf_32_who_is_served_stays() -> None:
    hall = Hall()
    for name in "abcd":
        assert hall.come(name, Stage.BUSY)
    assert not hall.come("e", Stage.HANDSHAKE)
    assert hall.gone == []
    assert len(hall.table) == 4


def test_hf_32_who_is_served_stays_for_his_own_source_too() -> None:
    hall = Hall()
    for name in "abc":
        assert hall.come(name, Stage.BUSY, source="x")
    assert not hall.come("d", Stage.HANDSHAKE, source="x")
    assert hall.come("e", Stage.HANDSHAKE, source="y")


def test_a_place_that_is_left_is_free() -> None:
    hall = Hall(replace(LIMITS, connections_per_source=1))
    seat = Seat(b"x", lambda: None)
    assert hall.table.admit(seat, 0.0) == (True, [])
    hall.table.remove(seat)
    hall.table.remove(seat)
    assert len(hall.table) == 0
    assert hall.come("a", Stage.BUSY, source="x")
    assert hall.table.up_to(Stage.BODY) == []
    assert len(hall.table.up_to(Stage.BUSY)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "connections",
        "connections_per_source",
        "handshakes",
        "body_bytes_per_s",
        "new_per_s",
        "new_at_once",
        "new_per_source_per_s",
        "new_per_source_at_once",
    ],
)
def test_limits_that_could_never_work_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HttpLimits(**{name: 0})  # type: ignore[arg-type]
