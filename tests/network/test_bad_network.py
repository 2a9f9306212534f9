"""Pairing, session, commands and objects over a bad network: seeded, with virtual time; each prints what it did."""

import sys
from dataclasses import replace

import pytest

from protocols.crypto.suites import SUITES, Suite
from protocols.events import LinkUp, PeerMoved, Rekeyed, SendControl, SendState, SendStream, StreamReceived
from specs.registry import ChannelId
from tests.machines import (
    RC,
    Node,
    Scene,
    Weather,
    commands,
    config,
    connect,
    datagram_scene,
    make_client,
    offer,
    open_pairing,
    pair_over,
    say,
)

MILD = Weather(drop=0.05, duplicate=0.05, corrupt=0.02, jitter_s=0.02)
BAD = Weather(drop=0.15, duplicate=0.15, corrupt=0.05, jitter_s=0.1)
TERRIBLE = Weather(drop=0.3, duplicate=0.2, corrupt=0.05, jitter_s=0.3)


def report(scene: Scene, name: str, seed: int) -> None:
    """Say what the weather did, and what the link did about it."""
    up, down = scene.rc.link.stats(), scene.drone.link.stats()
    sys.stdout.write(
        f"{name}, seed {seed}: {scene.world.now - 1_000:.1f} s, {dict(scene.world.carried)}; "
        f"rekeys {up.link.rekeys}, failed opens {down.link.failed_opens}, replays {down.link.replays}; "
        f"commands again {up.channels.command.retransmitted}, chunks again {down.channels.bulk.retransmitted}\n"
    )


def persist(scene: Scene) -> Scene:
    """Connect, again and again if need be, as a person would."""
    for port in range(10, 20):
        client = make_client(scene.rc.device, scene.drone.device, scene.settings, at=replace(RC, port=port))
        scene.world.nodes[0] = client
        attempt = replace(scene, rc=client)
        client.client.start(scene.world.now)
        scene.world.run_until(lambda client=client: client.downs() or (client.links and scene.drone.links))  # type: ignore[misc]
        if client.links and client.link.is_open:
            return attempt
    raise AssertionError("ten attempts failed")


def pair_persistently(scene: Scene, seed: int) -> Node:
    code = open_pairing(scene.drone, scene.world.now, f"code {seed}")
    for _ in range(4):
        node = pair_over(scene, code)
        if node.counts["paired"]:
            return node
    raise AssertionError("four pairings failed")


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("weather", [MILD, BAD, TERRIBLE], ids=["mild", "bad", "terrible"])
def test_everything_arrives(weather: Weather, seed: int) -> None:
    """From the linking code to the last byte: 5 to 30 % loss, duplicates, reordering, corruption; rekeys on the way."""
    suite: Suite = SUITES[1 + seed]
    scene = datagram_scene(suite, settings=config(suite, rekey_after_s=15.0), weather=weather, dice=seed)
    scene.rc.device.peers.clear()
    scene.drone.device.peers.clear()
    pair_persistently(scene, seed)
    scene = persist(scene)
    thing = bytes(range(256)) * (400 if weather is TERRIBLE else 2_000)
    offer(scene.drone.link, thing, scene.world.now)
    for number in range(120):
        say(scene.rc.link, b"%d" % number, scene.world.now)
        say(scene.drone.link, b"%d" % number, scene.world.now)
        scene.rc.link.send(SendControl(ChannelId.CONTROL, b"sticks"), scene.world.now)
        scene.drone.link.send(SendState(ChannelId.TELEMETRY, number % 7, b"%d" % number), scene.world.now)
        scene.drone.link.send(SendStream(ChannelId.VIDEO, b"%d" % number * 900), scene.world.now)
        scene.world.run_for(0.25)
    scene.world.run_until(
        lambda: scene.rc.finished and len(commands(scene.rc)) == len(commands(scene.drone)) == 120, 300.0
    )
    expected = [b"%d" % number for number in range(120)]
    assert commands(scene.rc) == commands(scene.drone) == expected
    assert scene.rc.finished == [thing]
    frames = [message.data for message in scene.rc.received(StreamReceived)]
    assert set(frames) <= {each * 900 for each in expected}
    assert len(frames) == len(set(frames))
    assert scene.rc.all(Rekeyed)
    assert len(scene.rc.all(LinkUp)) == 1
    assert scene.drone.counts["tries_refused"] == 0
    report(scene, "everything", seed)


@pytest.mark.parametrize("seed", [3, 4])
def test_roaming_in_bad_weather(seed: int) -> None:
    """The RC changes its address every few seconds, in loss and reordering; the endpoint follows; nothing is lost."""
    scene = datagram_scene(SUITES[4], weather=replace(BAD, drop=0.1), dice=seed)
    connect(scene, 60.0)
    for number in range(100):
        if number % 25 == 24:
            scene.rc.address = replace(RC, port=100 + number)
        say(scene.rc.link, b"%d" % number, scene.world.now)
        scene.world.run_for(0.3)
    scene.world.run_until(lambda: len(commands(scene.drone)) == 100, 60.0)
    assert commands(scene.drone) == [b"%d" % number for number in range(100)]
    scene.world.run_until(lambda: scene.drone.link.address == scene.rc.address, 15.0)
    assert 1 <= len(scene.drone.all(PeerMoved)) <= 8
    assert scene.rc.downs() == scene.drone.downs() == []
    report(scene, "roaming", seed)


@pytest.mark.parametrize("seed", [5])
def test_outages(seed: int) -> None:
    """The path is gone for 8 s, and back: the link survives; for 12 s: it ends at both, and a new one comes up."""
    scene = datagram_scene(SUITES[4], weather=MILD, dice=seed)
    connect(scene, 60.0)
    say(scene.rc.link, b"before", scene.world.now)
    scene.world.weather = Weather(drop=1.0)
    scene.world.run_for(8.0)
    scene.world.weather = MILD
    scene.world.run_until(lambda: commands(scene.drone) == [b"before"], 30.0)
    assert scene.rc.link.is_open
    scene.world.weather = Weather(drop=1.0)
    scene.world.run_for(13.0)
    assert scene.rc.link.is_down
    assert list(scene.drone.machine.connections()) == []
    scene.world.weather = MILD
    again = persist(scene)
    say(again.rc.link, b"after", again.world.now)
    again.world.run_until(lambda: commands(again.drone)[-1:] == [b"after"], 30.0)
    report(again, "outages", seed)
