"""The schedule: the same answers as asking everybody, for a look at those to whom something happened."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.link.schedule import Schedule
from tests.conftest import examples


@dataclass(eq=False)
class Fake:
    """A connection, as far as a schedule sees it."""

    name: str = "?"
    due: float | None = None
    output: int = 0
    asked: int = field(default=0, repr=False)

    def next_deadline(self) -> float | None:
        self.asked += 1
        return self.due


def made(*dues: float | None) -> tuple[Schedule[Fake], list[Fake]]:
    schedule: Schedule[Fake] = Schedule()
    fakes = [Fake(str(place), due) for place, due in enumerate(dues)]
    for fake in fakes:
        schedule.touch(fake)
    return schedule, fakes


def turns(schedule: Schedule[Fake], limit: int = 100) -> list[Fake]:
    """Let them send, one piece a turn, as a machine does."""
    order: list[Fake] = []
    while len(order) < limit and (ready := schedule.next_ready()) is not None:
        if ready.output:
            ready.output -= 1
            order.append(ready)
            schedule.touch(ready)
    return order


def test_nothing() -> None:
    schedule, _ = made()
    assert (schedule.next_ready(), schedule.next_deadline()) == (None, None)
    assert (schedule.take_news(), schedule.take_due(1e9)) == ([], [])


def test_who_is_busy_waits_behind_those_that_became_ready() -> None:
    schedule, (busy, one, two) = made(None, None, None)
    busy.output, one.output, two.output = 5, 1, 2
    assert turns(schedule) == [busy, one, two, busy, two, busy, busy, busy]


def test_who_becomes_ready_meanwhile_waits_for_a_turn_of_each_at_most() -> None:
    schedule, (busy, other, late) = made(None, None, None)
    busy.output = other.output = 50
    assert turns(schedule, 10) == [busy, other] * 5
    late.output = 1
    schedule.touch(late)
    assert late in turns(schedule, 3)


def test_who_was_not_touched_is_not_looked_at() -> None:
    schedule, fakes = made(*map(float, range(100)))
    assert schedule.next_deadline() == 0.0
    assert turns(schedule) == []
    asked = [fake.asked for fake in fakes]
    fakes[3].due = -1.0
    schedule.touch(fakes[3])
    assert schedule.next_deadline() == -1.0
    assert [fake.asked - before for fake, before in zip(fakes, asked, strict=True)] == [0] * 3 + [1] + [0] * 96
    assert schedule.next_ready() is fakes[3]
    assert schedule.next_ready() is None


def test_news_is_told_once() -> None:
    schedule, (one, two) = made(None, None)
    assert schedule.take_news() == [one, two]
    assert schedule.take_news() == []
    schedule.touch(two)
    schedule.touch(two)
    assert schedule.take_news() == [two]


def test_deadlines_that_move() -> None:
    schedule, (one, two) = made(5.0, 6.0)
    assert schedule.next_deadline() == 5.0
    one.due = 7.0
    schedule.touch(one)
    assert schedule.next_deadline() == 6.0
    two.due = None
    schedule.touch(two)
    assert schedule.next_deadline() == 7.0
    two.due = 1.0
    schedule.touch(two)
    assert schedule.take_due(0.5) == []
    assert schedule.take_due(7.0) == [two, one]
    assert schedule.next_deadline() == 1.0  # who does nothing about it is due again
    assert schedule.take_news() == [one, two]


def test_the_forgotten_stay_forgotten() -> None:
    schedule, (one, two) = made(5.0, 6.0)
    one.output = 1
    schedule.next_deadline()
    schedule.forget(one)
    assert schedule.next_deadline() == 6.0
    assert schedule.take_news() == [two]
    assert schedule.next_ready() is two
    assert schedule.next_ready() is None
    schedule.forget(one)


@pytest.mark.parametrize("others", [0, 30])
def test_deadlines_that_go_to_and_fro_do_not_fill_the_heap(others: int) -> None:
    schedule, (first, *_) = made(*map(float, range(100, 101 + others)))
    for round_trip in range(1_000):
        for due in (round_trip / 1e6, 90.0):
            first.due = due
            schedule.touch(first)
            assert schedule.next_deadline() == due
    assert len(schedule._heap) <= 2 * (others + 1) + 16  # pyright: ignore[reportPrivateUsage]


class Differential(RuleBasedStateMachine):
    """Any operations, against asking everybody every time."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[Fake] = Schedule()
        self.present: list[Fake] = []
        self.news: set[Fake] = set()

    def touch(self, fake: Fake) -> None:
        self.schedule.touch(fake)
        self.news.add(fake)

    def pick(self, number: int) -> Fake:
        return self.present[number % len(self.present)]

    dues = st.none() | st.integers(0, 20).map(float)

    @rule(due=dues, output=st.integers(0, 3))
    def arrives(self, due: float | None, output: int) -> None:
        self.present.append(Fake(str(len(self.present)), due, output))
        self.touch(self.present[-1])

    @precondition(lambda self: self.present)
    @rule(number=st.integers(0, 50), due=dues, output=st.integers(0, 3))
    def changes(self, number: int, due: float | None, output: int) -> None:
        fake = self.pick(number)
        fake.due = due
        fake.output += output
        self.touch(fake)

    @precondition(lambda self: self.present)
    @rule(number=st.integers(0, 50))
    def leaves(self, number: int) -> None:
        fake = self.pick(number)
        self.present.remove(fake)
        self.schedule.forget(fake)
        self.news.discard(fake)

    @rule(limit=st.integers(0, 5))
    def sends(self, limit: int) -> None:
        had = {fake: fake.output for fake in self.present if fake.output}
        sent = turns(self.schedule, limit)
        assert len(sent) == min(limit, sum(had.values()))
        assert len(set(sent)) == min(len(sent), len(had)), "somebody was passed over"
        self.news.update(sent)

    @rule(now=st.integers(-1, 21).map(float), then=dues)
    def time_passes(self, now: float, then: float | None) -> None:
        expected = {fake for fake in self.present if fake.due is not None and fake.due <= now}
        taken = self.schedule.take_due(now)
        assert set(taken) == expected
        assert len(taken) == len(expected)
        assert [fake.due for fake in taken] == sorted(fake.due for fake in taken if fake.due is not None)
        for fake in taken:
            fake.due = then
        self.news.update(taken)

    @rule()
    def news_is_taken(self) -> None:
        news = self.schedule.take_news()
        assert set(news) == self.news
        assert len(news) == len(self.news)
        self.news.clear()

    @rule()
    def deadline(self) -> None:
        dues = [fake.due for fake in self.present if fake.due is not None]
        assert self.schedule.next_deadline() == min(dues, default=None)

    @invariant()
    def bounded(self) -> None:
        assert len(self.schedule._heap) <= 2 * len(self.present) + 20  # pyright: ignore[reportPrivateUsage]


TestDifferential = Differential.TestCase
TestDifferential.settings = settings(deadline=None, max_examples=examples(40))
