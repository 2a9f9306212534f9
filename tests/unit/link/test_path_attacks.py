"""LK-81 to LK-83 under attack, over two machines: who never blocks a datagram gets no path, and reflects nothing.

In each of them genuine datagrams are neither dropped nor delayed by the attacker (but for losses of the link itself).
"""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from protocols.crypto.suites import SUITES
from protocols.events import DownReason, SendStream
from protocols.guards.address import Address, local_address
from protocols.link.connection import Connection
from specs.registry import ChannelId, InnerType, PacketType
from tests.machines import DRONE, RC, Datagram, Scene, datagram_link, datagram_scene, say

FAST = SUITES[4]
EARLIER_S = 0.009
"""Copies arrive a millisecond before the originals."""
EVES = tuple(local_address(f"eve {number}", 9) for number in range(4))


def racer_of_the_opening(scene: Scene, addresses: tuple[Address, ...], sent: Counter[Address], *, relay: bool) -> None:
    """Re-send the initiation from several addresses first; relay for the first of them, slowly, if told to."""
    world, home = scene.world, addresses[0]

    def race(datagram: Datagram) -> list[Datagram]:
        if datagram.source == RC and datagram.data[0] == PacketType.INITIATION:
            for address in addresses:
                world.inject(datagram.data, address, DRONE, EARLIER_S)
        if datagram.target in addresses:
            sent[datagram.target] += len(datagram.data)
            if relay and datagram.target == home:
                world.inject(datagram.data, home, RC if datagram.source == DRONE else DRONE, 0.025)
            return []
        return [datagram]

    world.taps.append(race)


def film(scene: Scene, seconds: float) -> None:
    """Let the drone send video, as much as it may."""
    for _ in range(int(seconds * 10)):
        for link in scene.drone.links:
            if link.is_open:
                link.send(SendStream(ChannelId.VIDEO, bytes(50_000)), scene.world.now)
        scene.world.run_for(0.1)


@pytest.mark.parametrize("relay", [False, True], ids=["silent", "relays"])
@pytest.mark.parametrize("many", [1, 4])
def test_lk_83_a_racer_of_the_opening_gets_neither_the_path_nor_a_stream(many: int, relay: bool) -> None:
    """LK-83: wherever the first copies came from, the address that answers is used, and nothing is sent before."""
    scene = datagram_scene(FAST)
    sent = Counter[Address]()
    racer_of_the_opening(scene, EVES[:many], sent, relay=relay)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(0.3)
    film(scene, 5.0)
    assert [link.address for link in scene.drone.links] == [RC]
    assert scene.rc.downs() == scene.drone.downs() == []
    answers_and_challenges = 3_000
    assert all(size < answers_and_challenges for size in sent.values())


def test_lk_83_nobody_is_sent_a_stream_that_he_did_not_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """LK-83: a paired peer that writes a victim's address on its datagrams, and answers no challenge, gets no link."""
    victim = local_address("victim", 9)
    scene = datagram_scene(FAST)
    sent = Counter[Address]()
    racer_of_the_opening(scene, (victim,), sent, relay=False)
    genuine: Callable[..., None] = Connection._HANDLERS[InnerType.PATH_CHALLENGE]  # pyright: ignore[reportPrivateUsage]

    def deaf(connection: Connection, *arguments: object) -> None:
        if not connection.initiator:
            genuine(connection, *arguments)

    handlers = {**Connection._HANDLERS, InnerType.PATH_CHALLENGE: deaf}  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(Connection, "_HANDLERS", handlers)
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(0.3)
    film(scene, 5.0)
    assert {down.reason for down in scene.drone.downs()} == {DownReason.NO_ANSWER}
    assert sent[victim] < 3_000


def test_lk_81_an_observer_cannot_keep_the_peer_from_moving() -> None:
    """LK-81: whoever sends a copy of everything from a new spoofed address, and earlier, delays nothing."""
    scene = datagram_link(FAST)
    moved = local_address("rc elsewhere", 2)
    spoofed = iter(range(10_000))

    def veto(sent: Datagram) -> list[Datagram]:
        if sent.source == moved and sent.data[0] == PacketType.DATA:
            scene.world.inject(sent.data, local_address(f"spoofed {next(spoofed)}"), DRONE, EARLIER_S)
        return [] if sent.target == RC else [sent]

    scene.world.taps.append(veto)
    scene.rc.address = moved
    for _ in range(20):
        say(scene.rc.link, b"x", scene.world.now)
        scene.world.run_for(0.1)
    assert scene.drone.link.address == moved
    assert scene.rc.downs() == []


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_lk_82_a_racer_on_a_link_that_loses_by_itself_gets_nothing(loss: float) -> None:
    """LK-82: fifteen tokens go to the address in use within the grace time; all of them must be lost."""
    scene, eve, dice = datagram_link(FAST), EVES[0], random.Random(7)

    def race(sent: Datagram) -> list[Datagram]:
        if sent.source == RC and sent.data[0] == PacketType.DATA:
            scene.world.inject(sent.data, eve, DRONE, EARLIER_S)
        if sent.target == eve:
            scene.world.inject(sent.data, eve, RC if sent.source == DRONE else DRONE, 0.02)
            return []
        return [] if dice.random() < loss else [sent]

    scene.world.taps.append(race)
    for _ in range(240):
        say(scene.rc.link, b"x", scene.world.now)
        scene.world.run_for(0.25)
        assert scene.drone.link.address == RC
    assert scene.drone.link.stats().link.moves_refused > 0
