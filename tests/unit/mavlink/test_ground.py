"""Ground stations: what goes up, and what does not (specs/11-mavlink.md, 11.4)."""

from dataclasses import dataclass, field
from typing import Any, cast

import trio

from nodes.config.mavlink import parse_mavlink_endpoint
from nodes.config.tables import MavlinkTable
from nodes.mavlink.ground import AGAIN_S, FRESH_S, PATIENCE_S, GroundPorts, fly, fly_with_ground
from nodes.stations.hands import Hands
from protocols.airlink import AIRLINK
from protocols.events import SendControl, SendStream
from specs.airlink.authority import AuthorityState
from specs.airlink.command import Answer, Result
from specs.airlink.numbers import NOBODY
from specs.airlink.stream import MavlinkFrame
from specs.registry import ChannelId
from tests.helpers.mavlink import by_hand, heartbeat, link
from tests.live.kit import virtual

OWN, OTHER = bytes(range(16)), bytes(16 * [7])
READS = by_hand(21, bytes((1, 1)))
ACTS = heartbeat(link(255, 190))


@dataclass
class NotedLink:
    """A link to a drone, which answers each request for the right."""

    key_id: bytes = OTHER
    sent: list[Any] = field(default_factory=list[Any])
    asked: list[float] = field(default_factory=list[float])
    result: Result = Result.NOT_ALLOWED

    def send_now(self, message: Any) -> int:
        self.sent.append(message)
        return 0

    async def request(self, _: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(trio.current_time())
        return AIRLINK.encode(Answer(self.result))

    def frames(self) -> list[bytes]:
        """What has gone up."""
        streams = [each for each in self.sent if isinstance(each, SendStream)]
        assert {each.channel for each in streams} <= {ChannelId.MAVLINK}
        found = [AIRLINK.decode_untrusted(each.channel, bytes(each.data)) for each in streams]
        return [each.frame for each in found if isinstance(each, MavlinkFrame)]


def told(holder: bytes) -> AuthorityState:
    return AuthorityState(0, 0, 0, holder, NOBODY, NOBODY, NOBODY)


def hands_of(holder: bytes | None) -> tuple[Hands, NotedLink]:
    drone = NotedLink()
    hands = Hands(cast("Any", drone), AIRLINK, OWN, lambda _: None)
    if holder is not None:
        hands.see(told(holder))
    return hands, drone


def ground_of(*hands: Hands) -> tuple[GroundPorts, list[str]]:
    lines: list[str] = []
    ground = GroundPorts((), lines.append)
    ground.attach(lambda: hands)
    return ground, lines


@virtual
async def test_mv_30_without_a_link_nothing_goes_up_and_nothing_is_kept() -> None:
    lines: list[str] = []
    ground = GroundPorts((), lines.append)
    ground.take_untrusted(READS)
    hands, drone = hands_of(OWN)
    ground.attach(list)
    ground.take_untrusted(ACTS)
    ground.attach(lambda: [hands])
    assert (ground.unreached, ground.sent_up, drone.frames()) == (2, 0, [])
    ground.take_untrusted(ACTS)
    assert drone.frames() == [ACTS]


@virtual
async def test_mv_31_who_holds_the_right_sends_everything() -> None:
    hands, drone = hands_of(OWN)
    ground, lines = ground_of(hands)
    for frame in (READS, ACTS):
        ground.take_untrusted(frame)
    assert drone.frames() == [READS, ACTS]
    assert (ground.sent_up, ground.refused, lines) == (2, 0, [])


@virtual
async def test_mv_32_who_does_not_hold_it_sends_what_only_reads_and_is_told_once() -> None:
    hands, drone = hands_of(OTHER)
    ground, lines = ground_of(hands)
    for _ in range(round(AGAIN_S) + 5):
        hands.see(told(OTHER))
        ground.take_untrusted(READS)
        ground.take_untrusted(ACTS)
        await trio.sleep(1)
    assert set(drone.frames()) == {READS}
    assert ground.refused == round(AGAIN_S) + 5
    assert lines == ["ground stations are only heard, not obeyed: another device holds the right to fly"]
    hands.see(told(NOBODY))
    ground.take_untrusted(ACTS)
    assert lines[1:] == ["ground stations are only heard, not obeyed: nobody holds the right to fly"]
    for holder in (OWN, OTHER, OTHER):
        hands.see(told(holder))
        ground.take_untrusted(ACTS)
        await trio.sleep(PATIENCE_S)
    assert len(lines) == 2
    await trio.sleep(AGAIN_S)
    hands.see(told(OTHER))
    ground.take_untrusted(ACTS)
    assert lines[2:] == lines[:1]


@virtual
async def test_mv_32_a_right_that_is_on_its_way_is_not_worth_a_line() -> None:
    hands, drone = hands_of(NOBODY)
    ground, lines = ground_of(hands)
    ground.take_untrusted(ACTS)
    await trio.sleep(PATIENCE_S - 0.1)
    ground.take_untrusted(ACTS)
    hands.see(told(OWN))
    ground.take_untrusted(ACTS)
    await trio.sleep(1)
    hands.see(told(OTHER))
    ground.take_untrusted(ACTS)
    assert (drone.frames(), ground.refused, lines) == ([ACTS], 3, [])


@virtual
async def test_mv_33_who_is_told_nothing_of_rights_sends_nothing() -> None:
    hands, drone = hands_of(None)
    ground, lines = ground_of(hands)
    ground.take_untrusted(READS)
    hands.see(told(OWN))
    await trio.sleep(FRESH_S + 0.1)
    ground.take_untrusted(READS)
    ground.take_untrusted(ACTS)
    assert (drone.frames(), ground.unreached, lines) == ([], 3, [])
    hands.see(told(OWN))
    ground.take_untrusted(ACTS)
    assert drone.frames() == [ACTS]


@virtual
async def test_each_drone_whose_right_we_hold_gets_it() -> None:
    (first, a), (second, b), (third, c) = hands_of(OWN), hands_of(OTHER), hands_of(OWN)
    ground, _ = ground_of(first, second, third)
    ground.take_untrusted(ACTS)
    ground.take_untrusted(READS)
    assert (a.frames(), b.frames(), c.frames()) == ([ACTS, READS], [READS], [ACTS, READS])


@virtual
async def test_mv_34_a_free_right_is_asked_for_again_and_again_and_less_often() -> None:
    hands, drone = hands_of(NOBODY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fly, hands)
        await trio.sleep(100)
        gaps = [after - before for before, after in zip(drone.asked, drone.asked[1:], strict=False)]
        assert gaps[:5] == sorted(gaps[:5])
        assert 1 <= gaps[0] < 3
        assert max(gaps) <= 30.1
        assert any(isinstance(each, SendControl) for each in drone.sent)
        nursery.cancel_scope.cancel()


@virtual
async def test_mv_34_nobody_elses_right_is_asked_for() -> None:
    hands, drone = hands_of(OTHER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fly, hands)
        await trio.sleep(10)
        assert drone.asked == []
        drone.result = Result.DONE
        hands.see(told(NOBODY))
        await trio.sleep(1.5)
        hands.see(told(OWN))
        await trio.sleep(10)
        assert len(drone.asked) == 1
        hands.see(told(NOBODY))  # it was taken from us, and is free: for somebody else
        await trio.sleep(29)
        assert len(drone.asked) == 1
        await trio.sleep(3)
        assert len(drone.asked) == 2
        nursery.cancel_scope.cancel()


def test_mv_34_only_a_station_with_ports_flies_and_only_if_it_is_to() -> None:
    port = parse_mavlink_endpoint("udpin:127.0.0.1:0")
    assert fly_with_ground(MavlinkTable(ports=(port,))) is fly
    assert fly_with_ground(MavlinkTable(ports=(port,), fly=False)) is None
    assert fly_with_ground(MavlinkTable()) is None
