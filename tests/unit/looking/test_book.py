"""The status book: counters never go back, memory is bounded, rights and alarms are kept by kind."""

from typing import Any

import pytest

from nodes.looking.book import (
    ALARM_TEXTS,
    LATEST,
    MAX_KINDS,
    MAX_LINKS,
    MAX_NODES,
    MAX_RIGHTS,
    MAX_TEXT,
    NOBODY,
    StatusBook,
)
from nodes.looking.status import LinkStatus
from nodes.stations.notes import (
    CLASSES,
    Alarmed,
    Counts,
    DroneSeen,
    Holds,
    Line,
    LinkIsDown,
    LinkIsMissed,
    LinkIsUp,
    LinkMeter,
    Live,
    Progress,
    RightsTold,
    Shown,
)

RC = "rrrr-rrrr"
MOBILE = "mmmm-mmmm"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> StatusBook:
    return StatusBook(clock)


def up(peer: str = RC, role: str = "rc", **more: Any) -> LinkIsUp:
    return LinkIsUp("drone", "SUITE", peer, 12.5, **{"link": "drone-rc", "carrier": "udp", "role": role, **more})


def down(reason: str = "nothing heard", peer: str = RC) -> LinkIsDown:
    return LinkIsDown("drone", "drone-rc", peer, reason)


def counts(state: int) -> Counts:
    none = dict.fromkeys(("sent", "received", "lost"), 0)
    return {name: none | ({"sent": state} if name == "state" else {}) for name in CLASSES}


def meter(sent: int, times: int = 1, rekeys: int = 0, rtt_ms: float | None = 2.0, peer: str = RC) -> LinkMeter:
    return LinkMeter("drone", "drone-rc", counts(sent), rekeys, rtt_ms, times, peer)


def only_link(book: StatusBook) -> LinkStatus:
    (link,) = book.status("drone").links
    return link


def test_a_link_from_beginning_to_end(book: StatusBook, clock: Clock) -> None:
    book.take(up())
    book.take(meter(5, rekeys=1))
    clock.now_s += 3
    link = only_link(book)
    assert (link.name, link.peer, link.role, link.carrier, link.suite) == ("drone-rc", RC, "rc", "udp", "SUITE")
    assert (link.up, link.reason, link.since_s, link.handshake_ms, link.rtt_ms) == (True, "", 3.0, 12.5, 2.0)
    assert (link.rekeys, link.times, link.classes["state"]["sent"]) == (1, 1, 5)
    book.take(down())
    link = only_link(book)
    assert (link.up, link.reason, link.since_s, link.rtt_ms) == (False, "nothing heard", 0.0, None)
    assert (link.suite, link.rekeys, link.classes["state"]["sent"]) == ("SUITE", 1, 5)


def test_counters_go_on_when_a_link_is_made_anew(book: StatusBook) -> None:
    for times in range(1, 4):
        book.take(up())
        book.take(meter(10, times, rekeys=2))
        book.take(down())
    link = only_link(book)
    assert (link.times, link.rekeys, link.classes["state"]["sent"]) == (3, 6, 30)


def test_counters_never_go_back_while_one_link_replaces_the_other(book: StatusBook) -> None:
    """At a drone the new association is up before the old one has ended."""
    seen: list[int] = []
    for note in (up(), meter(10), up(), meter(1, 2), meter(12), down("replaced"), meter(3, 2), meter(4, 2)):
        book.take(note)
        seen.append(only_link(book).classes["state"]["sent"])
    assert seen == [0, 10, 10, 11, 13, 13, 15, 16]
    assert only_link(book).up
    book.take(down())
    assert not only_link(book).up


def test_meters_of_links_that_nobody_ended_are_bounded_and_counted(book: StatusBook) -> None:
    for times in range(1, 100):
        book.take(up())
        book.take(meter(1, times))
    assert only_link(book).classes["state"]["sent"] == 99


def test_a_node_that_has_ended_has_no_link(book: StatusBook) -> None:
    book.enter("drone", "drone", 42, ("dddd-dddd",))
    book.take(up())
    book.take(up())
    book.ended("drone", "killed")
    status = book.status("drone")
    assert (status.running, status.why, status.links[0].up) == (False, "killed", False)
    assert status.links[0].reason == "the node has ended"
    book.enter("drone", "drone", 43)
    book.take(up())
    book.take(down())
    assert book.status("drone").running
    assert not only_link(book).up
    book.ended("nobody knows it", "")


def test_a_note_without_a_peer_is_about_the_only_link_of_its_name(book: StatusBook) -> None:
    book.take(LinkIsUp("mobile", "TLS", "abcd", 5.0, "mobile-cloud", "https"))
    book.take(LinkIsDown("mobile", "mobile-cloud"))
    (link,) = book.status("mobile").links
    assert (link.peer, link.up, link.reason) == ("abcd", False, "closed")


def test_a_link_that_is_not_there_yet_says_why(book: StatusBook) -> None:
    book.take(LinkIsMissed("drone", "drone-rc", RC, "rc", "no answer"))
    link = only_link(book)
    assert (link.up, link.reason, link.role, link.times, link.carrier) == (False, "no answer", "rc", 0, "")
    book.take(up())
    book.take(LinkIsMissed("drone", "drone-rc", RC, "rc", "too late"))
    assert (only_link(book).up, only_link(book).reason) == (True, "")
    book.take(down())
    book.take(LinkIsMissed("drone", "drone-rc", RC, "rc", "nobody listens there"))
    assert only_link(book).reason == "nobody listens there"


def test_a_drone_begins_without_rights(book: StatusBook) -> None:
    for _ in range(2):
        book.enter("drone", "drone")
        assert book.status("drone").rights == {"flight": NOBODY, "payload": NOBODY}
        book.take(Holds("flight", "rc", "drone", RC))


def test_rights(book: StatusBook) -> None:
    book.enter("drone", "drone")
    book.take(up())
    book.take(Holds("flight", "rc", "drone", RC))
    book.take(Holds("payload", NOBODY, "drone", ""))
    assert book.status("drone").rights == {"flight": "rc", "payload": NOBODY}
    assert book.status("drone").held[0].holder_id == RC
    book.take(Holds("flight", "mobile", "drone", MOBILE))
    assert book.status("drone").rights["flight"] == "mobile"


def test_rights_that_a_drone_has_told(book: StatusBook) -> None:
    book.enter("r1", "rc", 1, (RC,))
    book.take(LinkIsUp("r1", "SUITE", MOBILE, 1.0, "rc-mobile", "tcp", "mobile"))
    book.take(RightsTold("r1", "drone one", RC, MOBILE))
    book.take(RightsTold("r1", "drone two", "", "xxxx-yyyy-zzzz"))
    held = [(each.drone, each.right, each.holder) for each in book.status("r1").held]
    assert held == [
        ("drone one", "flight", "rc"),
        ("drone one", "payload", "mobile"),
        ("drone two", "flight", NOBODY),
        ("drone two", "payload", "xxxx-yyyy"),
    ]
    assert book.status("r1").rights == {"flight": "rc", "payload": "mobile"}


def test_alarms_are_counted_by_kind(book: StatusBook) -> None:
    for number in range(5):
        book.take(Alarmed("drone", "UNKNOWN_PEER", f"number {number}"))
    book.take(Alarmed("drone", "LOAD_MODE", "load\x1b[2J"))
    first, second = book.status("drone").alarms
    assert (first.kind, first.count, first.texts) == ("UNKNOWN_PEER", 5, ("number 2", "number 3", "number 4"))
    assert len(first.texts) == ALARM_TEXTS
    assert second.texts == ("load?[2J",)


def test_what_else_is_shown(book: StatusBook, clock: Clock) -> None:
    book.enter("sky", "cloud", 7, ("cccc",))
    clock.now_s += 9
    book.take(Live(12))
    book.take(Shown("drone", 3, "flying"))
    book.take(Shown("drone", 4))
    book.take(Line("drone", "has begun"))
    book.take(DroneSeen("drone", "dddd", "taking_off", 1.25))
    assert book.status("drone").drones == {"dddd": "taking off, 1.2 m high"}
    cloud, drone = book.nodes()
    assert (cloud.live, cloud.uptime_s, cloud.pid, cloud.ids, cloud.role) == (12, 9.0, 7, ("cccc",), "cloud")
    assert (drone.vehicle, drone.role, drone.latest) == ("flying", "drone", ("drone: has begun",))


def test_memory_is_bounded(book: StatusBook, clock: Clock) -> None:
    for number in range(2 * MAX_LINKS):
        clock.now_s += 1
        book.take(up(f"peer {number}"))
        if number:
            book.take(down(peer=f"peer {number}"))
        book.take(Alarmed("drone", f"KIND {number}", "x" * 10_000))
        book.take(Line("drone", "y" * 10_000))
        book.take(Progress("drone", "log", number, 2 * MAX_LINKS))
        book.take(Line(f"node {number}", "here"))
        book.take(RightsTold("drone", f"drone {number}", RC, ""))
        book.take(DroneSeen("drone", f"drone {number}", "landed", 0.0))
    status = book.status("drone")
    assert (len(status.links), len(book.nodes())) == (MAX_LINKS, MAX_NODES)
    assert status.links[0].up  # those that are down made room
    assert len(status.alarms) <= MAX_KINDS + 1
    assert (len(status.latest), len(status.drones), len(status.held)) == (LATEST, MAX_LINKS, MAX_RIGHTS)
    assert sum(each.count for each in status.alarms) == 2 * MAX_LINKS
    assert max(len(text) for text in (*status.latest, *status.alarms[0].texts)) == MAX_TEXT
