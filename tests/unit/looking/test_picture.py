"""The picture of a topology: locks, reasons, who may fly; at every width, in plain terminals too."""

import io
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from rich.console import Console
from rich.panel import Panel

from nodes.looking.book import NodeStatus, StatusBook
from nodes.looking.graph import graph_of
from nodes.looking.picture import CLOSED, OPEN, Edge, draw
from nodes.stations.notes import Alarmed, DroneSeen, Holds, LinkIsDown, LinkIsUp, LinkMeter, RightsTold, Shown

SUITE = "P256+MLKEM768_AESGCM_SHA256"
ROLES = {"drone": "drone", "rc": "rc", "mobile": "mobile", "cloud": "cloud"}
SWARM = {"alpha": "drone", "bravo": "drone", "charlie": "drone", "rc": "rc", "mobile": "mobile", "cloud": "cloud"}
SWARM_EDGES = (
    *(Edge("rc", drone, "drone-rc") for drone in ("alpha", "bravo", "charlie")),
    Edge("mobile", "rc", "rc-mobile"),
    Edge("mobile", "cloud", "mobile-cloud"),
    Edge("mobile", "alpha", "mobile-drone"),
    *(Edge("cloud", drone, "cloud-drone") for drone in ("alpha", "bravo", "charlie")),
)
WIDTHS = (60, 61, 66, 72, 80, 100, 133)


def fingerprint(name: str) -> str:
    return f"{name}-print"


def book_of(roles: dict[str, str], *, ids: bool = True) -> StatusBook:
    book = StatusBook(lambda: 1.0)
    for name, role in roles.items():
        book.enter(name, role, 1, (fingerprint(name),) if ids else ())
    return book


def link(book: StatusBook, one: str, other: str, name: str, carrier: str, roles: dict[str, str]) -> None:
    """Bring a link up at both ends."""
    for here, there in ((one, other), (other, one)):
        book.take(LinkIsUp(here, SUITE, fingerprint(there), 12.0, name, carrier, roles[there]))
    book.take(LinkMeter(one, name, {}, 0, 12.34, 1, fingerprint(other)))


def chain(*, ids: bool = True) -> StatusBook:
    book = book_of(ROLES, ids=ids)
    link(book, "drone", "rc", "drone-rc", "udp", ROLES)
    link(book, "rc", "mobile", "rc-mobile", "tcp", ROLES)
    book.take(LinkIsUp("mobile", "TLS_AES_256_GCM_SHA384", "0123abcd", 5.0, "mobile-cloud", "https"))
    link(book, "mobile", "drone", "mobile-drone", "relay", ROLES)
    link(book, "cloud", "drone", "cloud-drone", "relay", ROLES)
    return book


def rendered(
    nodes: Sequence[NodeStatus],
    edges: Iterable[Edge] = (),
    width: int = 80,
    *,
    legend: bool = True,
    encoding: str = "utf-8",
) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(file=file, width=width, color_system=None)
    console.print(draw(nodes, edges, legend=legend))
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


def test_the_chain() -> None:
    book = chain()
    book.take(Holds("flight", "mobile", "drone", fingerprint("mobile")))
    book.take(Shown("drone", 0, "flying, 12.3 m high, 4.0 m/s"))
    book.take(LinkIsDown("rc", "rc-mobile", fingerprint("mobile"), "nothing heard"))
    book.take(Alarmed("cloud", "LOG_REFUSED", "text"))
    assert rendered(book.nodes(), width=78) == [
        "╭─ drone ─────╮      ╭─ rc ────────╮      ╭─ mobile ────╮      ╭─ cloud ─────╮",
        "│flying       ├─[#]──┤             ├─[ ]──┤             ├─[#]──┤             │",
        "│             │      │             │      │MAY FLY      │      │1 alarm      │",
        "╰─────────┬─┬─╯      ╰─────────────╯      ╰─┬───────────╯      ╰─┬───────────╯",
        "          │ ╰──────────────[#]──────────────╯                    │",
        "          ╰──────────────────────────[#]─────────────────────────╯",
        "[#] drone-rc     UDP    P256+MLKEM768_AESGCM_SHA256 12.3 ms",
        "[#] mobile-drone relays P256+MLKEM768_AESGCM_SHA256 12.3 ms",
        "[#] cloud-drone  relays P256+MLKEM768_AESGCM_SHA256 12.3 ms",
        "[ ] rc-mobile    TCP    open: nothing heard",
        "[#] mobile-cloud HTTPS  TLS_AES_256_GCM_SHA384",
    ]
    assert draw(book.nodes()).locked == (4, 5)


def test_three_drones() -> None:
    book = book_of(SWARM)
    link(book, "rc", "alpha", "drone-rc", "udp", SWARM)
    book.take(Holds("flight", "rc", "alpha", fingerprint("rc")))
    book.ended("mobile", "killed")
    lines = rendered(book.nodes(), SWARM_EDGES, 60)
    assert lines[:12] == [
        "╭─ alpha ─╮",
        "│drone    ├[#]─╮",
        "│         │    │",
        "╰─────────╯    │",
        "╭─ bravo ─╮    │ ╭─ rc ────╮     ╭─ mobile ╮     ╭─ cloud ─╮",
        "│drone    ├[ ]─┼─┤         ├─[ ]─┤not there├─[ ]─┤         │",
        "│         │    │ │MAY FLY..│     │         │     │         │",
        "╰─────────╯    │ ╰─────────╯     ╰─────────╯     ╰─────────╯",
        "╭─ charlie╮    │",
        "│drone    ├[ ]─╯",
        "│         │",
        "╰─────────╯",
    ]
    assert lines[12].split() == ["[#]", "rc", "-", "alpha", "UDP", SUITE, "12.3", "ms"]
    assert len(lines) == 12 + len(SWARM_EDGES)
    assert draw(book.nodes(), SWARM_EDGES).locked == (1, 9)


def test_in_plain_ascii() -> None:
    lines = rendered(chain().nodes(), width=60, encoding="ascii")
    assert lines[0] == "+- drone -+     +- rc ----+     +- mobile +     +- cloud -+"
    assert lines[3].startswith("+-----+-+-+")
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_row_is_ever_wrapped(width: int, encoding: str) -> None:
    hostile = {"d" * 200: "drone", "名前は長い": "rc", "evil\x1b[2J": "mobile", "Käfer": "cloud"}
    book = book_of(hostile)
    names = list(hostile)
    edges = [Edge(one, other, "x" * 100) for one, other in pairwise(names)]
    book.ended(names[0], "y" * 500)
    link(book, names[1], names[2], "rc-mobile", "tcp", hostile)
    book.take(LinkIsDown(names[1], "rc-mobile", fingerprint(names[2]), "reason " * 50 + "\x1b[2J\n"))
    for nodes, wanted in ((book.nodes(), edges), (chain().nodes(), ()), (book_of(SWARM).nodes(), SWARM_EDGES)):
        lines = rendered(nodes, wanted, width, encoding=encoding)
        assert len(lines) == draw(nodes, wanted).height(width)
        assert all(len(line) <= width for line in lines)
        assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("width", range(20, 60))
def test_a_narrow_terminal_gets_what_fits(width: int) -> None:
    lines = rendered(chain().nodes(), width=width)
    assert len(lines) == (11 if width >= 55 else 5)
    assert sum(line.startswith(CLOSED) for line in lines) == 5


def test_inside_of_a_panel() -> None:
    file = io.StringIO()
    Console(file=file, width=70).print(Panel(draw(chain().nodes()), padding=(0, 2)))
    lines = file.getvalue().splitlines()
    assert len(lines) == 11 + 2
    assert {len(line) for line in lines} == {70}


def test_many_nodes_are_a_list() -> None:
    roles = {f"d{number}": "drone" for number in range(40)} | {"rc": "rc"}
    edges = [Edge("rc", name, "drone-rc") for name in roles if name != "rc"]
    lines = rendered(book_of(roles).nodes(), edges, 100)
    assert len(lines) == 40
    assert all(line.startswith(f"{OPEN} rc - d") and line.endswith("open: not yet up") for line in lines)


def test_nothing_at_all() -> None:
    assert rendered((), ()) == []
    assert rendered(chain().nodes(), legend=False)[-1].strip().startswith("╰")


def test_two_operators() -> None:
    book = book_of({"drone": "drone", "left": "rc", "right": "rc"})
    book.take(Holds("flight", "rc", "drone", fingerprint("right")))
    assert rendered(book.nodes(), [Edge("left", "drone", "drone-rc"), Edge("right", "drone", "drone-rc")], 62)[:8] == [
        "                                    ╭─ left ─────────────────╮",
        "                           ╭─────[ ]┤rc                      │",
        "╭─ drone ────────────────╮ │        │                        │",
        "│                        ├─┤        ╰────────────────────────╯",
        "│                        │ │        ╭─ right ────────────────╮",
        "╰────────────────────────╯ ╰─────[ ]┤rc                      │",
        "                                    │MAY FLY                 │",
        "                                    ╰────────────────────────╯",
    ]


# --- who is who ---------------------------------------------------------------------------------


def test_ends_are_joined_without_fingerprints_where_roles_are_enough() -> None:
    with_ids, without = graph_of(chain().nodes()), graph_of(chain(ids=False).nodes())
    assert with_ids.wires.keys() == without.wires.keys()
    assert [len(wire.ends) for wire in without.wires.values()] == [len(wire.ends) for wire in with_ids.wires.values()]
    assert len(without.boxes) == len(with_ids.boxes) == 4


def test_two_links_of_one_name_go_to_two_peers() -> None:
    book = book_of({"rc": "rc", "alpha": "drone"})
    for name in ("alpha", "bravo"):
        book.take(LinkIsUp("rc", SUITE, fingerprint(name), 1.0, "drone-rc", "udp", "drone"))
    graph = graph_of(book.nodes(), [Edge("rc", "alpha", "drone-rc")])
    assert {wire.other: len(wire.ends) for wire in graph.wires.values()} == {"alpha": 1, "drone brav": 1}


def test_one_end_that_says_down_opens_the_lock() -> None:
    book = chain()
    book.take(LinkIsDown("drone", "drone-rc", fingerprint("rc"), "replaced"))
    (wire,) = (wire for wire in graph_of(book.nodes()).wires.values() if wire.link == "drone-rc")
    assert (wire.up, wire.reason, len(wire.ends)) == (False, "replaced", 2)


def test_peers_that_are_not_looked_at_are_boxes_without_an_inside() -> None:
    book = chain()
    book.take(RightsTold("rc", fingerprint("drone"), fingerprint("rc"), ""))
    book.take(DroneSeen("rc", fingerprint("drone"), "landed", 0.0))
    graph = graph_of([book.status("rc")])
    assert {name: (box.role, box.status is None) for name, box in graph.boxes.items()} == {
        "rc": ("rc", False),
        "drone dron": ("drone", True),
        "mobile mobi": ("mobile", True),
    }
    assert graph.boxes["rc"].flies == ["drone dron"]
    assert graph.boxes["drone dron"].doing == "landed, 0.0 m high"


def test_what_a_mobile_shows_of_its_vehicle_is_what_the_only_drone_does() -> None:
    book = chain()
    book.take(Shown("mobile", 0, "landing, 0.5 m high, 0.0 m/s"))
    assert {name: box.doing for name, box in graph_of(book.nodes()).boxes.items() if box.doing} == {
        "drone": "landing, 0.5 m high"
    }
    book.take(DroneSeen("rc", fingerprint("drone"), "holding", 3.0))
    book.take(Shown("drone", 0, "flying, 4.0 m high"))
    assert graph_of(book.nodes()).boxes["drone"].doing == "flying, 4.0 m high"


def test_of_its_rights_a_drone_knows_best() -> None:
    book = chain()
    book.take(Holds("flight", "rc", "drone", fingerprint("rc")))
    book.take(RightsTold("mobile", fingerprint("drone"), fingerprint("mobile"), ""))
    graph = graph_of(book.nodes())
    assert {name: box.flies for name, box in graph.boxes.items() if box.flies} == {"rc": ["drone"]}
    book.take(Holds("flight", "nobody", "drone", ""))
    assert not any(box.flies for box in graph_of(book.nodes()).boxes.values())
