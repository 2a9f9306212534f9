import io
import logging
from collections.abc import Iterator

import pytest

from nodes.logs import (
    HOSTILE,
    MAX_KINDS,
    PACKAGES,
    LinkLogger,
    RateLimitFilter,
    alarms_are_said,
    set_up,
    take_down,
)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    take_down()
    for name in PACKAGES:
        logger = logging.getLogger(name)
        assert (logger.handlers, logger.level, logger.propagate) == ([], logging.NOTSET, True)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.usefixtures("restored")
def test_every_record_has_a_link() -> None:
    stream = io.StringIO()
    set_up("info", stream)
    logger = logging.getLogger("protocols.link")
    logger.info("without")
    LinkLogger(logger, "4f2a").info("with %d", 1)
    LinkLogger(logger, "4f2a").warning("and more", extra={"hostile": True})
    logger.debug("too fine")
    lines = stream.getvalue().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO    protocols.link [-] without",
        "INFO    protocols.link [4f2a] with 1",
        "WARNING protocols.link [4f2a] and more",
    ]


@pytest.mark.usefixtures("restored")
def test_setting_up_twice_does_not_write_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up("info", first)
    set_up("debug", second)
    logging.getLogger("nodes.x").debug("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("rich", [False, True])
def test_a_record_cannot_break_its_line_or_steer_the_terminal(rich: bool) -> None:
    stream = io.StringIO()
    set_up("info", stream, rich=rich)
    logging.getLogger("nodes").info("peer %s", "a\nINFO nodes [-] forged\x1b[2J [red]x[/red]")
    said = stream.getvalue()
    assert "\x1b" not in said
    assert "[red]" in said
    assert said.count("\n") == (said.count("\n") if rich else 1)


@pytest.mark.usefixtures("restored")
def test_a_terminal_gets_rich_and_a_file_does_not() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert type(set_up("info", Terminal())).__name__ == "RichHandler"
    assert type(set_up("info", io.StringIO())).__name__ == "StreamHandler"


def _record(message: str, *args: object, hostile: bool = True, name: str = "nodes") -> logging.LogRecord:
    record = logging.LogRecord(name, logging.INFO, "", 0, message, args, None)
    record.__dict__.update(HOSTILE if hostile else {})
    return record


def test_hostile_records_pass_at_a_rate_and_the_rest_is_counted() -> None:
    clock = Clock()
    limit = RateLimitFilter(clock, per_s=0.5, burst=2)
    passed = [limit.filter(_record("bad mac from %s", number)) for number in range(10)]
    assert passed == [True, True] + [False] * 8
    clock.now += 1.0
    assert not limit.filter(_record("bad mac from %s", 11))
    clock.now += 1.0
    record = _record("bad mac from %s", 12)
    assert limit.filter(record)
    assert record.getMessage() == "bad mac from 12 (9 more left out)"
    clock.now += 1000.0
    assert [limit.filter(_record("bad mac from %s", 0)) for _ in range(3)] == [True, True, False]


def test_kinds_do_not_fill_the_memory() -> None:
    limit = RateLimitFilter(Clock(), burst=3)
    passed = [limit.filter(_record(f"bad mac from {number}")) for number in range(MAX_KINDS + 10)]
    assert sum(passed) == MAX_KINDS + 3


def test_kinds_do_not_share_a_rate_and_others_have_none() -> None:
    clock = Clock()
    limit = RateLimitFilter(clock, burst=1)
    assert limit.filter(_record("one"))
    assert not limit.filter(_record("one"))
    assert limit.filter(_record("two"))
    assert limit.filter(_record("one", name="specs"))
    assert all(limit.filter(_record("one", hostile=False)) for _ in range(9))
    clock.now -= 50.0  # a clock that goes back gives nothing away
    assert not limit.filter(_record("one"))


@pytest.mark.usefixtures("restored")
def test_the_handler_limits_with_the_given_clock() -> None:
    stream = io.StringIO()
    set_up("info", stream, clock=Clock())
    for _ in range(100):
        logging.getLogger("protocols").info("noise", extra=HOSTILE)
    assert stream.getvalue().count("noise") == 5


def test_alarms_are_not_logged_where_they_are_said() -> None:
    stream = io.StringIO()
    set_up("warning", stream)
    alarms_are_said()
    try:
        log = logging.getLogger("nodes.node")
        log.warning("alarm: %s", "somebody knocks", extra={"hostile": True, "alarm": True})
        log.warning("something else")
    finally:
        take_down()
    assert "knocks" not in stream.getvalue()
    assert "something else" in stream.getvalue()
