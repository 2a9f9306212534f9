"""The parts of the chain's demo that need no socket: notes, report, panel, lines."""

import io
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from nodes.demo.chain_panel import ChainPanel
from nodes.demo.chain_report import LINKS, NODES, ChainReport
from nodes.demo.mailbox import Mailbox
from nodes.demo.options import DemoOptions
from nodes.demo.view import LiveView, PlainView
from nodes.looking.picture import CLOSED, OPEN
from nodes.stations import notes
from nodes.stations.notes import (
    Alarmed,
    Carry,
    Delivered,
    Finished,
    Flight,
    HandedOver,
    Holds,
    Line,
    LinkIsDown,
    LinkIsUp,
    LinkMeter,
    Live,
    Note,
    Parsing,
    Progress,
    Shown,
)
from nodes.stations.sentences import Quarters, sentence

SUITE = "P256_AESGCM_SHA256"
COUNTS = {name: {"sent": 3, "received": 2, "lost": 1} for name in notes.CLASSES}
MORE = {name: {"sent": 13, "received": 12, "lost": 1} for name in notes.CLASSES}
CARRIERS = dict(zip(LINKS, ("udp", "tcp", "https", "relay", "relay"), strict=True))
UPS = tuple(LinkIsUp(node, SUITE, "abcd-efgh", 3.5, name, CARRIERS[name]) for name, node in LINKS.items())
FLIGHT = Flight("x.tlog", 5, 100, "ab" * 32, 7)
DELIVERED = Delivered(5, 100, "ab" * 32, 0.25, "cloud")
THERE, BACK = HandedOver("flight", "rc", "mobile", 10.0), HandedOver("flight", "mobile", "rc", 11.5)
ENDS = tuple(
    Finished(name, {}, 0, frames, requests=asked, answers=asked)
    for name, frames, asked in zip(NODES, (9, 8, 0, 0), (0, 7, 3, 0), strict=True)
)
METERS = (
    LinkMeter("rc", "drone-rc", COUNTS, 0, 1.25),
    LinkMeter("drone", "drone-rc", COUNTS, 1, 1.25),
    LinkMeter("rc", "drone-rc", MORE, 1, 1.5),
    LinkMeter("rc", "drone-rc", COUNTS, 2, None, 2),
)
GOOD: tuple[Note, ...] = (
    Line("drone", "listens"),
    Parsing(50, 100),
    Parsing(100, 100),
    *UPS,
    LinkIsUp("drone", SUITE, "ijkl-mnop", 2.5, "drone-rc", "udp"),
    Holds("flight", "rc"),
    *METERS,
    Shown("drone", 9),
    Shown("rc", 8),
    Shown("mobile", vehicle="holding, 4.0 m high"),
    FLIGHT,
    Holds("flight", "mobile"),
    THERE,
    Holds("flight", "rc"),
    BACK,
    Progress("mobile", "cafe0123", 50, 200),
    Progress("mobile", "cafe0123", 200, 200),
    Live(993),
    DELIVERED,
    LinkIsDown("rc", "drone-rc"),
    *ENDS,
)
ALARM = Alarmed("mobile", "RELAY_TAMPERS", "a relay tampers")
KEYS = ["ok", "links", "flight", "delivered", "live", "authority", "video", "alarms"]


def report_of(*told: Note) -> ChainReport:
    report = ChainReport(DemoOptions())
    for note in told:
        report.take(note)
    return report


def without(*kinds: type) -> Iterable[Note]:
    return (note for note in GOOD if not isinstance(note, kinds))


# --- notes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("note", [*GOOD, Carry("rc", "drone", "code")], ids=repr)
def test_notes_cross_a_pipe(note: Note) -> None:
    line = notes.to_line(note)
    assert "\n" not in line
    assert notes.from_line(line) == note


def test_what_is_carried_is_in_no_repr() -> None:
    assert "secret" not in repr(Carry("rc", "drone", "secret"))


async def test_what_is_carried_waits_until_it_is_asked_for() -> None:
    mailbox = Mailbox()
    mailbox.put(Carry("rc", "drone", "a"))
    mailbox.put(Carry("rc", "drone", "b"))
    assert [await mailbox.get("drone"), await mailbox.get("drone")] == ["b", "b"]


# --- report -----------------------------------------------------------------------------------------


def test_a_good_demo() -> None:
    report = report_of(*GOOD)
    assert report.problems == []
    found: Any = json.loads(json.dumps(report.as_dict()))
    assert list(found) == KEYS
    assert found["ok"] is True
    assert [(link["name"], link["carrier"]) for link in found["links"]] == list(CARRIERS.items())
    air, _, cloud, *_ = found["links"]
    assert air["by_class"]["control"] == {"sent": 13 + 3 + 3, "received": 12 + 2 + 2}  # the last of each link and end
    assert air["rekeys"] == 2
    assert cloud["by_class"]["state"] == {"sent": 993, "received": 993}
    assert cloud["by_class"]["bulk"] == {"sent": 1, "received": 1}
    assert found["delivered"] == {"node": "cloud", "messages": 5, "bytes": 100, "sha256": "ab" * 32, "seconds": 0.25}
    assert found["live"] == {"messages": 993}
    assert found["authority"] == [
        {"right": "flight", "before": "rc", "after": "mobile", "at_s": 10.0},
        {"right": "flight", "before": "mobile", "after": "rc", "at_s": 11.5},
    ]
    assert found["video"] == {"frames_sent": 9, "frames_received": 8, "frames_corrupt": 0}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (ALARM, "alarm at the mobile"),
        (DELIVERED, "delivered 2 times"),
        (BACK, "did not go from the rc to the mobile and back"),
        (replace(FLIGHT, messages=4), "not the one that was flown"),
        (replace(FLIGHT, sha256="cd" * 32), "not the one that was flown"),
        (Live(0), "no telemetry reached the cloud"),
        (replace(ENDS[1], frames_corrupt=1), "1 video frames arrived damaged"),
        (replace(ENDS[1], frames=0), "no video arrived"),
        (replace(ENDS[2], answers=1), "2 commands of the mobile were not answered"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_makes_a_demo_fail(changed: Note, words: str) -> None:
    report = report_of(*GOOD, changed)
    assert not report.ok
    assert len(report.problems) == 1
    assert words in report.problems[0]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (LinkIsUp, "the link cloud-drone did not come up"),
        (Finished, "the cloud did not finish"),
        (Delivered, "the flight was not delivered"),
        (Flight, "the flight was not delivered"),
        (HandedOver, "did not go from the rc to the mobile and back"),
        (Live, "no telemetry reached the cloud"),
    ],
)
def test_what_must_not_be_missing(missing: type, words: str) -> None:
    assert any(words in problem for problem in report_of(*without(missing)).problems)


def test_a_link_counts_at_the_end_that_makes_it() -> None:
    at_the_other_end = LinkIsUp("drone", SUITE, "ijkl-mnop", 2.5, "mobile-drone", "relay")
    assert report_of(at_the_other_end).links == {}


def test_a_demo_of_which_nothing_was_heard() -> None:
    report = report_of()
    assert len(report.problems) == len(LINKS) + len(NODES) + 3
    found = report.as_dict()
    assert list(found) == KEYS
    assert (found["links"], found["flight"], found["delivered"], found["authority"]) == ([], None, None, [])


# --- lines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "line"),
    [
        (UPS[0], f"rc: drone-rc up over UDP with abcd-efgh, {SUITE}, handshake 3.5 ms"),
        (UPS[4], f"cloud: cloud-drone up over relays with abcd-efgh, {SUITE}, handshake 3.5 ms"),
        (THERE, "drone: the flight right is handed over from rc to mobile"),
        (Progress("mobile", "cafe0123", 50, 200), "mobile: log cafe0123 uploaded to 25 %"),
        (Progress("mobile", "cafe0123", 0, 0), "mobile: log cafe0123 uploaded to 100 %"),
        (DELIVERED, "cloud: has the flight, 5 messages in 0.250 s, sha256 abababababababab..."),
        (Live(7), ""),
        (Shown("drone", 9), ""),
        (METERS[0], ""),
        (Carry("rc", "drone", "secret"), ""),
    ],
    ids=repr,
)
def test_what_notes_say(note: Note, line: str) -> None:
    assert sentence(note) == line


def test_progress_is_told_in_quarters() -> None:
    quarters = Quarters()
    uploads = [Progress("mobile", "a", done, 100) for done in (0, 10, 25, 30, 60, 80, 99, 100)]
    assert [note.done_bytes for note in uploads if quarters.passes(note)] == [25, 60, 80, 100]
    assert quarters.passes(Progress("mobile", "b", 30, 100))  # each object has quarters of its own
    assert quarters.passes(Parsing(30, 100))
    assert not quarters.passes(Parsing(40, 100))
    assert quarters.passes(Line("rc", "x"))
    assert quarters.passes(Line("rc", "x"))


# --- views ------------------------------------------------------------------------------------------


def _screen(width: int = 120, **options: Any) -> tuple[io.StringIO, Console]:
    out = io.StringIO()
    return out, Console(file=out, width=width, height=50, highlight=False, **options)


def _drawn(panel: ChainPanel, rows: int = 50, width: int = 120) -> str:
    out, console = _screen(width, color_system=None)
    console.print(panel.render(rows))
    return out.getvalue()


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_plain_lines_hold_no_control_characters() -> None:
    out, console = _screen(color_system=None)
    view = PlainView(console)
    for note in (*GOOD, ALARM, Line("rc", "evil\x1b[2J\nline")):
        view.take(note)
    view.conclude(report_of(*GOOD, ALARM))
    lines = out.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    assert len([line for line in lines if "uploaded to" in line]) == 2
    for words in ("cloud: has the flight", "993 messages of telemetry", "not ok: alarm at the mobile", "at the cloud"):
        assert words in out.getvalue()
    assert all(any(line.startswith(name) for line in lines) for name in LINKS)


def test_the_live_view_shows_everything_and_leaves_the_summary() -> None:
    out, console = _screen(force_terminal=True, legacy_windows=False)
    with LiveView(console, DemoOptions()) as view:
        for note in GOOD:
            view.take(note)
    view.conclude(report_of(*GOOD))
    text = out.getvalue()
    assert "may fly" in text
    assert "sha256 arrived" in text


def test_the_panel_before_anything_has_happened() -> None:
    text = _drawn(ChainPanel(DemoOptions(carrier="tcp")))
    assert all(name in text for name in LINKS)
    assert "nobody" in text
    assert "TCP" in text
    assert "not there yet" in text


def test_the_panel_after_everything_has_happened() -> None:
    panel = ChainPanel(DemoOptions())
    for note in (*GOOD, ALARM):
        panel.take(note)
        _drawn(panel)
    text = _drawn(panel)
    links = {line.split()[1]: line.split() for line in text.splitlines() if len(line.split()) > 3}
    assert links["drone-rc"][2] == "up/s"  # the table of its traffic, which comes later
    assert links["rc-mobile"][2:5] == ["TCP", CLOSED, "3.5"]
    assert links["mobile-cloud"][2:4] == ["HTTPS", CLOSED]
    for words in (
        "UDP     [ ] ",
        "rc   handed over: rc to mobile at 10.0 s, mobile to rc at 11.5 s",
        "holding, 4.0 m high",
        "993 messages of telemetry",
        "5 messages verified and unsealed at the cloud",
        "8 of 9 frames",
        "0.0 of 0.0 MB read",
        "ALARM at the mobile",
    ):
        assert words in text


def test_a_link_that_comes_back_is_up_again() -> None:
    panel = ChainPanel(DemoOptions())
    for note, lock in (
        (UPS[1], CLOSED),
        (LinkIsDown("mobile", "rc-mobile", reason="nothing heard"), OPEN),
        (UPS[1], CLOSED),
    ):
        panel.take(note)
        assert f"TCP     {lock} " in _drawn(panel)
        panel.take(LinkIsDown("rc", "rc-mobile"))  # its other end
        assert f"TCP     {lock} " in _drawn(panel)


def test_rates_are_those_of_about_a_second() -> None:
    clock = Clock()
    panel = ChainPanel(DemoOptions(), clock)
    for count in range(20):
        sent = {name: {"sent": 10 * count, "received": 0, "lost": 0} for name in notes.CLASSES}
        panel.take(LinkMeter("rc", "drone-rc", sent, 0))
        clock.now_s += 0.2
    row = next(line for line in _drawn(panel).splitlines() if "control" in line)
    assert row.split()[1:] == ["control", "50", "0", "190", "0", "0", "│"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((), "not there yet"),
        ((UPS[3],), "recording, 0 of 20 s"),
        ((UPS[3], FLIGHT), "5 messages, to be sealed and sent on"),
        ((UPS[3], FLIGHT, Progress("mobile", "x", 1_000_000, 4_000_000)), "1.00 of 4.00 MB uploaded"),
        ((UPS[3], FLIGHT, Progress("mobile", "x", 4, 4), DELIVERED), "5 messages verified"),
    ],
)
def test_how_far_the_flight_is(told: tuple[Note, ...], words: str) -> None:
    panel = ChainPanel(DemoOptions(), Clock())
    for note in told:
        panel.take(note)
    assert words in _drawn(panel)


def test_the_panel_has_a_picture_where_there_is_room() -> None:
    panel = ChainPanel(DemoOptions())
    for note in GOOD:
        panel.take(note)
    panel.take(LinkIsDown("mobile", "mobile-cloud", reason="nobody listens there"))
    for rows, is_drawn in ((30, False), (31, True), (50, True)):
        text = _drawn(panel, rows, 80)
        assert ("─[#]─" in text) is is_drawn
        assert "links locked" in text
        assert "open: nobod" in text


@pytest.mark.parametrize("rows", [24, 25, 30, 31, 36, 42, 43, 50])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_panel_fits_the_screen(rows: int, width: int) -> None:
    panel = ChainPanel(DemoOptions())
    for note in (*GOOD, ALARM, *(Line("rc", "word " * 60) for _ in range(20))):
        panel.take(note)
    lines = _drawn(panel, rows, width).splitlines()
    assert len(lines) <= rows
    assert max(map(len, lines)) <= width
    assert all(any(f" {name} " in line for line in lines) for name in LINKS)
