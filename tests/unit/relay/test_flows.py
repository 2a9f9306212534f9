"""nodes/relay: flows between neighbours, through relays, and what bounds them (specs/5-relay.md, 5.1, 5.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.ports import Interrupted
from nodes.relay import WAYS, RelayForwarder, RelayInitiator, RelayLimits, RelayResponder, RelayStation
from nodes.relay.flows import FLOW, OPEN_AGAIN_S, FlowEvent, FlowState
from protocols.errors import FlowRefusedError, LinkTimeoutError, UsageError
from protocols.events import RelayClosed, RelayDatagram, RelayMessage, RelayOpen, RelayOpened, RelayRefused
from protocols.guards.address import Address, local_address, relay_address
from protocols.link.train import Train, one
from specs.registry import MAX_RELAY_DATAGRAM_BYTES, LinkType, RelayRefusal, Role
from tests.conftest import examples
from tests.helpers.devices import Drbg
from tests.helpers.relays import Hop, Line, Place, settle
from tests.property.test_relay import messages

MOBILE_LINK, CLOUD_LINK = LinkType.REMOTE_MOBILE, LinkType.REMOTE_CLOUD
NOBODY = bytes(15) + b"\x99"


@dataclass
class Time:
    """A clock that a test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def key(role: Role, number: int = 0) -> bytes:
    return bytes(14) + bytes((number, role))


@dataclass
class Row:
    """Cloud, mobile, RC and drone, in a row."""

    limits: RelayLimits = field(default_factory=RelayLimits)
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.cloud, self.mobile, self.rc, self.drone = (
            self.place(role) for role in (Role.CLOUD, Role.MOBILE, Role.RC, Role.DRONE)
        )
        for each in (self.mobile, self.rc):
            each.station.forwarder = RelayForwarder(each.station, each.role)
        self.http, self.ground, self.air = (
            Line(self.cloud, self.mobile),
            Line(self.mobile, self.rc),
            Line(self.rc, self.drone),
        )
        self.answers = self.drone.station.responder(MOBILE_LINK)
        self.answers_cloud = self.drone.station.responder(CLOUD_LINK)

    def place(self, role: Role, number: int = 0) -> Place:
        entropy = Drbg(f"{role} {number} {self.time.now}")
        station = RelayStation({key(role, number)}, limits=self.limits, entropy=entropy, clock=self.time)
        return Place(key(role, number), role, station)

    def settle(self) -> None:
        settle(self.http, self.ground, self.air)

    def open(self, opener: Place | None = None, link_type: LinkType = MOBILE_LINK) -> RelayInitiator:
        """Open a flow to the drone."""
        opener = opener or self.mobile
        relay = self.mobile if opener.role is Role.CLOUD else self.rc
        flow = opener.station.open(relay.key_id, self.drone.key_id, link_type)
        carrier = RelayInitiator(flow)
        flow.ask()
        self.settle()
        return carrier

    def say(self, carrier: RelayInitiator | RelayResponder, data: bytes, to: Address | None = None) -> None:
        """Send a datagram, and let it arrive."""
        target = carrier.address if isinstance(carrier, RelayInitiator) else to
        assert carrier.send_now((one(data, target),)) == ()
        self.settle()


def taken(carrier: RelayInitiator | RelayResponder) -> list[tuple[bytes, Address | None]]:
    return [(bytes(train.data), train.address) for train in carrier.take()]


def datas(carrier: RelayInitiator | RelayResponder) -> list[bytes]:
    return [data for data, _ in taken(carrier)]


def converse(row: Row, carrier: RelayInitiator, responder: RelayResponder | None = None) -> Address:
    """A datagram each way; where the opener is, as the responder sees it."""
    responder = responder or row.answers
    row.say(carrier, b"up")
    ((data, address),) = taken(responder)
    assert data == b"up"
    assert address is not None
    row.say(responder, b"down", address)
    assert taken(carrier) == [(b"down", carrier.address)]
    return address


# --- opening ------------------------------------------------------------------------------------


def test_a_flow_through_one_relay_and_through_two() -> None:
    row = Row()
    converse(row, row.open())
    converse(row, row.open(row.cloud, CLOUD_LINK), row.answers_cloud)
    assert row.rc.station.counts.forwarded == 4
    assert row.mobile.station.counts.forwarded == 2


def test_rl_31_addresses_are_neighbours_and_their_numbers() -> None:
    row = Row()
    carrier = row.open(row.cloud, CLOUD_LINK)
    seen = converse(row, carrier, row.answers_cloud)
    (opened,) = row.http.hops[0].said(RelayOpen)
    assert carrier.address == relay_address(row.mobile.key_id, opened.flow)
    (onward,) = row.air.hops[0].said(RelayOpen)
    assert seen == relay_address(row.rc.key_id, onward.flow)


def test_rl_1_open_is_said_again_once_in_a_second_and_no_datagram_goes_before_the_answer() -> None:
    row = Row()
    row.ground.tap = lambda hop, message: () if hop is row.ground.hops[1] else (message,)  # no answer comes back
    carrier = row.open()
    hop = row.ground.hops[0]
    for _ in range(10):
        row.say(carrier, b"too early")
        row.time.now += OPEN_AGAIN_S / 4
    assert hop.said(RelayOpen) == [hop.sent[0]] * 3
    assert hop.said(RelayDatagram) == []
    assert carrier.lost == 10
    row.ground.tap = lambda _, message: (message,)
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"asks again")
    converse(row, carrier)


def test_rl_2_open_said_again_changes_nothing_and_is_answered_alike() -> None:
    row = Row()
    row.open()
    mobile = row.ground.hops[0]
    before = len(row.air.hops[0].sent)
    for _ in range(5):
        mobile.send(mobile.sent[0])
    row.settle()
    assert len(row.ground.hops[1].said(RelayOpened)) == 6
    assert len(row.air.hops[0].sent) == before
    assert row.rc.station.counts.opened == 1


def test_rl_2_a_number_that_is_used_for_another_destination_ends_the_earlier_flow() -> None:
    row = Row()
    carrier = row.open()
    address = converse(row, carrier)
    mobile = row.ground.hops[0]
    mobile.send(RelayOpen(carrier.address.port, row.drone.key_id, CLOUD_LINK))
    row.settle()
    assert RelayClosed(address.port, by_opener=True) in row.air.hops[0].sent
    row.say(carrier, b"now of the other type")
    assert (datas(row.answers), datas(row.answers_cloud)) == ([], [b"now of the other type"])


@pytest.mark.parametrize(
    ("link_type", "destination", "code"),
    [
        (MOBILE_LINK, key(Role.RC), RelayRefusal.NOT_ALLOWED),  # the RC itself takes none
        (LinkType.AIRLINK, key(Role.DRONE), RelayRefusal.NOT_ALLOWED),
        (LinkType.GROUNDLINK, key(Role.RC), RelayRefusal.NOT_ALLOWED),
        (MOBILE_LINK, key(Role.MOBILE), RelayRefusal.NOT_ALLOWED),  # back to where it came from
        (MOBILE_LINK, key(Role.CLOUD), RelayRefusal.NO_WAY),
        (MOBILE_LINK, NOBODY, RelayRefusal.NO_WAY),
    ],
)
def test_rl_3_and_21_what_is_refused(link_type: LinkType, destination: bytes, code: RelayRefusal) -> None:
    row = Row()
    mobile = row.ground.hops[0]
    mobile.send(RelayOpen(1, destination, link_type))
    row.settle()
    assert row.ground.hops[1].sent == [RelayRefused(1, code)]
    assert row.air.hops[0].sent == []
    assert row.rc.station.counts.refused == 1


def test_rl_3_a_type_that_the_destination_does_not_take() -> None:
    row = Row()
    trio.run(row.answers_cloud.aclose)
    carrier = row.open(row.cloud, CLOUD_LINK)
    assert carrier.refusal is RelayRefusal.NOT_ALLOWED
    assert row.http.hops[1].said(RelayOpened) == []


def test_rl_3_nodes_that_are_no_relays_forward_nothing() -> None:
    row = Row()
    row.rc.station.forwarder = None
    assert row.open().refusal is RelayRefusal.NOT_ALLOWED


def test_rl_3_opened_is_said_when_the_whole_way_is() -> None:
    row = Row()
    row.air.tap = lambda hop, message: () if hop is row.air.hops[1] else (message,)
    row.open()
    assert row.ground.hops[1].sent == []
    row.air.tap = lambda _, message: (message,)
    row.time.now += OPEN_AGAIN_S
    row.ground.hops[0].send(row.ground.hops[0].sent[0])
    row.settle()
    assert [type(each) for each in row.ground.hops[1].sent] == [RelayOpened]


# --- healing ------------------------------------------------------------------------------------


def test_rl_5_what_belongs_to_no_flow_is_answered_closed_and_closed_is_not_answered() -> None:
    row = Row()
    mobile, rc = row.ground.hops
    for message, answer in (
        (RelayDatagram(5, by_opener=True, data=b"x"), RelayClosed(5, by_opener=False)),
        (RelayDatagram(6, by_opener=False, data=b"x"), RelayClosed(6, by_opener=True)),
        (RelayOpened(7), RelayClosed(7, by_opener=True)),
    ):
        mobile.send(message)
        row.settle()
        assert rc.sent.pop() == answer
    for silent in (
        RelayClosed(5, by_opener=True),
        RelayClosed(6, by_opener=False),
        RelayRefused(7, RelayRefusal.BUSY),
    ):
        mobile.send(silent)
    row.settle()
    assert rc.sent == []
    assert row.rc.station.counts.unknown == 5
    assert row.mobile.station.counts.unknown == 1  # the RC's CLOSED of a flow that it is said to have opened


def test_rl_5_a_relay_that_restarts_costs_what_was_on_its_way() -> None:
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    row.time.now += 10.0
    row.rc.station = row.place(Role.RC).station
    row.rc.station.forwarder = RelayForwarder(row.rc.station, Role.RC)
    row.air.join()
    row.ground.join()
    row.settle()
    after = converse(row, carrier)
    assert after.host == before.host
    assert after.port != before.port  # a path that changes


def test_rl_5_a_neighbour_that_has_forgotten_is_told_anew() -> None:
    """Its link is the same, but its table is not."""
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    row.ground.hops[1].send(RelayClosed(carrier.address.port, by_opener=False))
    row.settle()
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"asks again")
    assert converse(row, carrier) == before  # the relay had it all the time


def test_rl_6_a_flow_goes_on_when_the_link_to_the_relay_is_replaced() -> None:
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    row.ground.part()
    row.say(carrier, b"lost")
    row.ground.join()
    row.settle()
    assert converse(row, carrier) == before
    assert row.rc.station.counts.opened == 1


def test_rl_6_and_23_a_flow_goes_on_when_the_link_behind_the_relay_is_replaced() -> None:
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    said = len(row.ground.hops[1].said(RelayOpened, RelayRefused, RelayClosed))
    row.air.part()
    row.say(carrier, b"lost")
    assert row.rc.station.counts.no_way == 1
    row.air.join()
    row.settle()
    assert converse(row, carrier) == before
    assert len(row.ground.hops[1].said(RelayRefused, RelayClosed)) == 0
    assert len(row.ground.hops[1].said(RelayOpened)) == said + 1  # harmless


def test_rl_23_the_relay_opens_anew_what_the_next_has_forgotten() -> None:
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    row.air.hops[1].send(RelayClosed(before.port, by_opener=False))
    row.settle()
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"makes it ask again")
    assert converse(row, carrier) == before
    assert row.ground.hops[1].said(RelayClosed) == []


def test_rl_23_and_refuses_what_the_next_refuses_then() -> None:
    row = Row()
    carrier = row.open()
    before = converse(row, carrier)
    trio.run(row.answers.aclose)  # the drone closes the flow, and takes none any more
    row.time.now += OPEN_AGAIN_S
    row.settle()
    row.say(carrier, b"asks")
    assert carrier.refusal is RelayRefusal.NOT_ALLOWED
    assert row.drone.station.incoming(row.rc.key_id, before.port) is None
    again = row.drone.station.responder(MOBILE_LINK)
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"asks again")
    converse(row, carrier, again)


def test_a_drone_that_is_away_is_no_way_and_there_is_one_when_it_is_back() -> None:
    row = Row()
    row.air.part()
    carrier = row.open()
    assert carrier.refusal is RelayRefusal.NO_WAY
    row.air.join()
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"asks again")
    converse(row, carrier)


def test_open_said_again_while_the_next_is_away_is_no_way() -> None:
    row = Row()
    carrier = row.open()
    converse(row, carrier)
    row.air.part()
    row.ground.join()  # opens its flows anew
    row.settle()
    assert carrier.refusal is RelayRefusal.NO_WAY


def test_closing_ends_the_flow_at_every_hop() -> None:
    row = Row()
    carrier = row.open(row.cloud, CLOUD_LINK)
    address = converse(row, carrier, row.answers_cloud)
    trio.run(carrier.aclose)
    trio.run(carrier.aclose)
    row.settle()
    assert row.drone.station.incoming(row.rc.key_id, address.port) is None
    for line in (row.http, row.ground, row.air):
        assert len(line.hops[0].said(RelayClosed)) == 1
    row.say(row.answers_cloud, b"nobody", address)
    assert row.answers_cloud.lost == 1


def test_a_neighbour_that_is_revoked_is_forgotten_with_its_flows() -> None:
    row = Row()
    carrier = row.open()
    converse(row, carrier)
    row.rc.station.detach(row.mobile.key_id)
    row.rc.station.detach(row.mobile.key_id)
    row.settle()
    assert len(row.air.hops[0].said(RelayClosed)) == 1
    row.say(carrier, b"to nobody")
    assert row.rc.station.neighbour(row.mobile.key_id) is None
    row.rc.station.detach(row.drone.key_id)
    assert taken(row.answers) == []


def test_a_next_neighbour_that_is_revoked_refuses_its_flows() -> None:
    row = Row()
    carrier = row.open()
    row.rc.station.detach(row.drone.key_id)
    row.settle()
    assert carrier.refusal is RelayRefusal.NO_WAY


# --- ways and limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("before", Role)
@pytest.mark.parametrize("after", Role)
@pytest.mark.parametrize("link_type", LinkType)
def test_rl_21_only_what_the_table_has(role: Role, before: Role, after: Role, link_type: LinkType) -> None:
    row = Row()
    first, relay, last = row.place(before, 1), row.place(role, 2), row.place(after, 3)
    relay.station.forwarder = RelayForwarder(relay.station, role)
    lines = Line(first, relay), Line(relay, last)
    lines[0].hops[0].send(RelayOpen(1, last.key_id, link_type))
    settle(*lines)
    allowed = link_type in WAYS.get(role, {}).get((before, after), ())
    assert bool(lines[1].hops[0].sent) is allowed
    assert len(lines[0].hops[1].said(RelayRefused)) == 1  # the last takes nothing, if it was asked at all


def test_rl_21_the_ways_lead_from_mobile_and_cloud_to_the_drone() -> None:
    assert dict(WAYS) == {
        Role.RC: {(Role.MOBILE, Role.DRONE): {MOBILE_LINK, CLOUD_LINK}, (Role.CLOUD, Role.DRONE): {CLOUD_LINK}},
        Role.MOBILE: {(Role.CLOUD, Role.RC): {CLOUD_LINK}},
    }


def test_rl_21_a_dock_joins_its_cloud_to_each_of_its_drones() -> None:
    """The destination alone says which: nothing of one flow comes to the other drone."""
    row = Row()
    http, other = Line(row.cloud, row.rc), row.place(Role.DRONE, 1)
    air = Line(row.rc, other)
    answers = {row.drone.key_id: row.answers_cloud, other.key_id: other.station.responder(CLOUD_LINK)}
    for drone, responder in answers.items():
        flow = row.cloud.station.open(row.rc.key_id, drone, CLOUD_LINK)
        carrier = RelayInitiator(flow)
        flow.ask(at_once=True)
        settle(http, row.air, air)
        carrier.send_now((one(drone, carrier.address),))
        settle(http, row.air, air)
        assert [data for data, _ in taken(responder)] == [drone]
    assert all(taken(responder) == [] for responder in answers.values())


@pytest.mark.parametrize("link_type", [LinkType.AIRLINK, LinkType.GROUNDLINK, MOBILE_LINK])
def test_rl_21_a_cloud_gets_nothing_of_a_dock_but_links_of_its_own_kind(link_type: LinkType) -> None:
    row = Row()
    http = Line(row.cloud, row.rc)
    http.hops[0].send(RelayOpen(1, row.drone.key_id, link_type))
    http.hops[0].send(RelayOpen(2, row.mobile.key_id, CLOUD_LINK))
    settle(http, row.air, row.ground)
    assert http.hops[1].said(RelayRefused) == [RelayRefused(each, RelayRefusal.NOT_ALLOWED) for each in (1, 2)]


def test_rl_21_who_proves_no_role_passes_nothing_and_gets_nothing() -> None:
    """A cloud knows its devices by certificates, which have no roles (CL-42)."""
    row = Row()
    line = Line(row.cloud, row.rc)
    nobody = Hop(key(Role.MOBILE, 7), None, lambda _hop, _message: None)
    row.rc.station.attach(nobody)
    nobody.take(RelayOpen(1, row.drone.key_id, MOBILE_LINK))
    line.hops[0].send(RelayOpen(2, nobody.key_id, CLOUD_LINK))
    settle(line, row.air)
    assert nobody.said(RelayRefused) == [RelayRefused(1, RelayRefusal.NOT_ALLOWED)]
    assert line.hops[1].said(RelayRefused) == [RelayRefused(2, RelayRefusal.NOT_ALLOWED)]


def test_rl_20_two_peers_are_kept_apart() -> None:
    row = Row()
    other = row.place(Role.MOBILE, 1)
    line = Line(other, row.rc)
    flow = other.station.open(row.rc.key_id, row.drone.key_id, MOBILE_LINK)
    second = RelayInitiator(flow)
    flow.ask()
    settle(line, row.air)
    first = row.open()
    where = converse(row, first)
    second.send_now((one(b"other", second.address),))
    settle(line, row.air)
    ((data, elsewhere),) = taken(row.answers)
    assert (data, elsewhere == where) == (b"other", False)
    row.answers.send_now((one(b"to the first", where), one(b"to the other", elsewhere)))
    settle(line, row.air, row.ground)
    assert (datas(first), datas(second)) == ([b"to the first"], [b"to the other"])


def test_rl_20_a_neighbour_reaches_no_flow_of_another() -> None:
    """The number of somebody else's flow is nothing in one's own."""
    row = Row()
    first = row.open()
    where = converse(row, first)
    other = row.place(Role.MOBILE, 1)
    line = Line(other, row.rc)
    for number in (first.address.port, where.port):
        for by_opener in (True, False):
            line.hops[0].send(RelayDatagram(number, by_opener=by_opener, data=b"forged"))
            line.hops[0].send(RelayClosed(number, by_opener=by_opener))
    line.hops[0].send(RelayRefused(where.port, RelayRefusal.NO_WAY))
    settle(line, row.air, row.ground)
    assert (taken(row.answers), taken(first)) == ([], [])
    assert converse(row, first) == where


def test_rl_20_route_may_be_the_users() -> None:
    row = Row()
    asked: list[tuple[bytes, bytes]] = []

    def route(hop: object, wanted: RelayOpen) -> bytes | None:
        assert isinstance(hop, Hop)
        asked.append((hop.key_id, wanted.destination))
        return row.rc.key_id if wanted.destination == row.drone.key_id else None

    row.mobile.station.forwarder = RelayForwarder(row.mobile.station, Role.MOBILE, route=route)
    converse(row, row.open(row.cloud, CLOUD_LINK), row.answers_cloud)
    row.http.hops[0].send(RelayOpen(1, NOBODY, CLOUD_LINK))
    row.settle()
    assert row.http.hops[1].said(RelayRefused) == [RelayRefused(1, RelayRefusal.NO_WAY)]
    assert asked == [(row.cloud.key_id, row.drone.key_id), (row.cloud.key_id, NOBODY)]


def test_rl_22_a_neighbour_has_so_many_flows_and_no_more() -> None:
    row = Row(RelayLimits(flows=8, forwarded_flows=3))
    mobile, rc = row.ground.hops
    row.ground.tap = lambda hop, message: (
        () if hop is rc else (message,)
    )  # the mobile's own station knows nothing of it
    for number in range(10):
        mobile.send(RelayOpen(number, row.drone.key_id, MOBILE_LINK))
    row.settle()
    assert rc.said(RelayOpened) == [RelayOpened(number) for number in range(3)]
    assert rc.said(RelayRefused) == [RelayRefused(number, RelayRefusal.BUSY) for number in range(3, 10)]
    assert len(row.air.hops[0].said(RelayOpen)) == 3
    row.air.tap = lambda hop, message: () if hop is row.air.hops[1] else (message,)
    for number in range(100, 120):
        row.air.hops[0].send(RelayOpen(number, row.drone.key_id, MOBILE_LINK))
    row.settle()
    assert len(row.air.hops[1].said(RelayOpened)) == 8


def test_rl_22_one_that_was_silent_for_long_gives_way_and_a_live_one_does_not() -> None:
    limits = RelayLimits(forwarded_flows=2)
    row = Row(limits)
    silent, alive = row.open(), row.open()
    converse(row, silent)
    row.time.now += limits.idle_s - 1.0
    converse(row, alive)
    row.time.now += 1.0
    third = row.open()
    converse(row, third)
    assert row.rc.station.counts.evicted == 1
    assert row.open().refusal is RelayRefusal.BUSY
    converse(row, alive)
    assert RelayClosed(silent.address.port, by_opener=False) in row.ground.hops[1].sent
    assert len(row.air.hops[0].said(RelayClosed)) == 1


def test_rl_22_so_many_new_flows_and_no_more() -> None:
    """Each is an address: who opens and closes them would never be short of tokens for initiations at the drone."""
    row = Row()
    mobile, rc = row.ground.hops
    row.ground.tap = lambda hop, message: () if hop is rc else (message,)

    def churn(first: int) -> int:
        before = row.drone.station.counts.opened
        for number in range(first, first + 1_000):
            mobile.send(RelayOpen(number, row.drone.key_id, MOBILE_LINK))
            mobile.send(RelayClosed(number, by_opener=True))
            row.settle()
        return row.drone.station.counts.opened - before

    limits = RelayLimits()
    assert churn(0) == limits.forwarded_opens_burst
    assert rc.said(RelayRefused)[-1] == RelayRefused(999, RelayRefusal.BUSY)
    row.time.now += 1.0
    assert churn(1_000) == limits.forwarded_opens_per_s
    row.air.tap = lambda hop, message: () if hop is row.air.hops[1] else (message,)
    before = row.drone.station.counts.opened
    for number in range(1_000):  # the remote controller itself
        row.air.hops[0].send(RelayOpen(number, row.drone.key_id, MOBILE_LINK))
        row.air.hops[0].send(RelayClosed(number, by_opener=True))
    row.settle()
    assert 0 < row.drone.station.counts.opened - before <= limits.opens_burst


def test_rl_22_so_many_datagrams_and_no_more() -> None:
    row = Row(RelayLimits(datagrams_per_s=10.0, burst=20.0))
    carrier = row.open()
    for _ in range(100):
        row.say(carrier, b"up")
    arrived = taken(row.answers)
    assert len(arrived) == 20
    for _ in range(100):
        row.say(row.answers, b"down", arrived[0][1])  # another neighbour, another bucket
    assert len(taken(carrier)) == 20
    assert row.rc.station.counts.over_rate == 160
    row.time.now += 1.0
    for _ in range(100):
        row.say(carrier, b"up")
    assert len(taken(row.answers)) == 10


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), messages), max_size=60))
def test_rl_33_whatever_neighbours_say_a_relay_goes_on(said: list[tuple[int, RelayMessage]]) -> None:
    row = Row()
    carrier = row.open()
    for side, message in said:
        (row.ground, row.air)[side].hops[side].send(message)
        row.settle()
    assert sum(len(line.hops[1].said(RelayOpened)) for line in (row.ground, row.air)) <= 4 * len(said) + 2
    row.time.now += OPEN_AGAIN_S
    row.say(carrier, b"asks, if need be")
    taken(row.answers)
    taken(carrier)
    converse(row, carrier)


def test_a_flow_has_a_row_for_everything_that_a_neighbour_says() -> None:
    assert FLOW.keys() == {(state, event) for state in FlowState for event in FlowEvent}


# --- carriers -----------------------------------------------------------------------------------


def test_one_carrier_for_a_type() -> None:
    row = Row()
    with pytest.raises(UsageError):
        row.drone.station.responder(MOBILE_LINK)
    trio.run(row.answers.aclose)
    row.drone.station.responder(MOBILE_LINK)


def test_trains_are_cut_into_datagrams_and_what_no_flow_takes_is_lost() -> None:
    row = Row()
    carrier = row.open()
    carrier.send_now((Train(bytes(2_500), 1_000, carrier.address), Train(b"x", 1, None)))
    row.settle()
    assert [len(data) for data in datas(row.answers)] == [1_000, 1_000, 500]
    for address in (local_address("elsewhere"), relay_address(row.rc.key_id, 12345), relay_address(NOBODY, 1)):
        carrier.send_now((one(b"x", address),))
        row.answers.send_now((one(b"x", address),))
    carrier.send_now((one(bytes(MAX_RELAY_DATAGRAM_BYTES + 1), carrier.address),))
    row.settle()
    assert (carrier.lost, row.answers.lost) == (4, 3)
    assert (taken(carrier), taken(row.answers)) == ([], [])


def test_ch_4_what_a_node_does_not_take_is_bounded_and_fair() -> None:
    row = Row(RelayLimits(burst=10_000.0))
    flood, other = row.open(), row.open()
    for number in range(500):
        row.say(flood, number.to_bytes(2, "big") + bytes(1_000))
    row.say(other, b"few")
    got = [bytes(train.data) for _ in range(20) for train in row.answers.take()]
    assert got[1] == b"few"  # the second: flows take turns
    assert got[-1][:2] == (499).to_bytes(2, "big")
    assert row.answers.dropped == 501 - len(got) > 200


async def test_receive_waits_is_interrupted_and_ends() -> None:
    row = Row()
    carrier = row.open()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _interrupts() -> None:
            await trio.testing.wait_all_tasks_blocked()
            carrier.interrupt()

        with pytest.raises(Interrupted):
            await carrier.receive()
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _reads() -> None:
            got.extend(bytes(train.data) for train in await row.answers.receive())

        await trio.testing.wait_all_tasks_blocked()
        await carrier.send((one(b"up", carrier.address),))
        row.settle()
    assert got == [b"up"]
    await carrier.aclose()
    for call in (carrier.receive(), carrier.send(())):
        with pytest.raises(trio.ClosedResourceError):
            await call
    assert carrier.send_now((one(b"x", carrier.address),)) == ()
    row.settle()
    assert taken(row.answers) == []


# --- towards ------------------------------------------------------------------------------------


async def delivering(row: Row) -> None:
    """Deliver every now and then."""
    while True:
        row.settle()
        row.time.now = trio.current_time()
        await trio.sleep(0.01)


async def test_towards_waits_for_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    row = Row(time=Time(trio.current_time()))
    said: list[Hop] = []

    def lossy(hop: Hop, message: RelayMessage) -> Iterable[RelayMessage]:
        said.append(hop)
        return () if len(said) <= 3 else (message,)

    row.ground.tap = lossy
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delivering, row)
        start = trio.current_time()
        carrier, address = await row.mobile.station.towards(row.rc.key_id, row.drone.key_id, MOBILE_LINK)
        assert address == carrier.address
        assert 2 * OPEN_AGAIN_S < trio.current_time() - start < 5 * OPEN_AGAIN_S
        nursery.cancel_scope.cancel()
    converse(row, carrier)
    assert autojump_clock.autojump_threshold == 0.0


@pytest.mark.parametrize("code", RelayRefusal)
async def test_rl_2_towards_says_why_not(code: RelayRefusal, autojump_clock: trio.testing.MockClock) -> None:
    row = Row()
    row.ground.tap = lambda hop, message: (
        (RelayRefused(message.flow, code),) if hop is row.ground.hops[1] else (message,)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delivering, row)
        with pytest.raises(FlowRefusedError):
            await row.mobile.station.towards(row.rc.key_id, row.drone.key_id, MOBILE_LINK)
        nursery.cancel_scope.cancel()
    assert len(row.ground.hops[0].said(RelayClosed)) == 1
    assert autojump_clock.autojump_threshold == 0.0


async def test_towards_gives_up_when_nobody_answers(autojump_clock: trio.testing.MockClock) -> None:
    row = Row()
    row.ground.tap = lambda _, __: ()
    start = trio.current_time()
    with pytest.raises(LinkTimeoutError):
        await row.mobile.station.towards(row.rc.key_id, row.drone.key_id, MOBILE_LINK, timeout_s=4.5)
    assert trio.current_time() - start == 4.5
    assert len(row.ground.hops[0].said(RelayOpen)) == 5
    row.ground.part()
    for relay in (row.rc.key_id, NOBODY):
        with pytest.raises(FlowRefusedError):
            await row.mobile.station.towards(relay, row.drone.key_id, MOBILE_LINK)
    assert autojump_clock.autojump_threshold == 0.0


async def test_towards_that_is_cancelled_leaves_no_flow(autojump_clock: trio.testing.MockClock) -> None:
    row = Row()
    with trio.move_on_after(0.5):
        await row.mobile.station.towards(row.rc.key_id, row.drone.key_id, MOBILE_LINK)
    row.settle()
    assert len(row.ground.hops[0].said(RelayClosed)) == 1
    (opened,) = row.air.hops[0].said(RelayOpen)
    assert RelayClosed(opened.flow, by_opener=True) in row.air.hops[0].sent
    assert row.drone.station.incoming(row.rc.key_id, opened.flow) is None
    assert autojump_clock.autojump_threshold == 0.0
