"""specs/1-link.md, 1.11: path MTU discovery of whole links; CH-66."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from protocols.crypto.suites import SUITES
from protocols.events import DownReason, SendControl, SendState, SendStream, StreamReceived
from protocols.guards.address import ip_address
from protocols.link.batch import OVERHEAD_BYTES
from protocols.link.config import LinkConfig
from protocols.link.connection import Connection
from protocols.link.pmtu import MAX_CONFIRM_S, SCOUT_BYTES
from specs.registry import ChannelId, InnerType, PacketType
from tests.machines import (
    DRONE,
    EVE,
    RC,
    Datagram,
    Node,
    Scene,
    Tap,
    commands,
    config,
    connect,
    datagram_link,
    datagram_scene,
    offer,
    say,
    stream_link,
    talk,
)

FAST = SUITES[4]
SEARCHES = config(FAST, probe_max_bytes=None)
PROBE = bytes((InnerType.PROBE, 0, 0, 0))
ACK = bytes((InnerType.PROBE_ACK, 0, 0, 0))


def narrow(size: int, *, source: object = None) -> Tap:
    """Drop data datagrams of more than ``size`` bytes, in both directions or from one end."""
    return lambda sent: [sent] if len(sent.data) <= size or source not in {None, sent.source} else []


def searching(size: int, *, settings: LinkConfig = SEARCHES) -> Scene:
    """A link over a path that passes datagrams up to a size, both ends of which may look for it."""
    scene = datagram_scene(FAST, settings=settings)
    scene.world.taps.append(narrow(size))
    connect(scene)
    return scene


def sizes(scene: Scene) -> tuple[int | None, int | None]:
    return scene.rc.link.stats().datagram_bytes, scene.drone.link.stats().datagram_bytes


@contextmanager
def overheard(link: Connection) -> Generator[list[tuple[int, int, int]]]:
    """Note (type, length of the datagram, size that data may use) of all that a link seals one by one."""
    said: list[tuple[int, int, int]] = []
    session = link.sessions[0]
    seal = session.seal

    def note(frame: bytes) -> bytes:
        said.append((frame[0], len(frame) + OVERHEAD_BYTES, link.channels.max_frame_bytes + OVERHEAD_BYTES))
        return seal(frame)

    session.seal = note  # type: ignore[method-assign]
    yield said
    session.seal = seal  # type: ignore[method-assign]


@pytest.mark.parametrize(("size", "found"), [(65_507, 65_507), (8_972, 8_972), (1_472, 1_472), (1_200, 1_200)])
def test_lk_87_both_ends_find_what_the_path_takes(size: int, found: int) -> None:
    scene = searching(size)
    scene.world.run_for(1.0)
    assert sizes(scene) == (found, found)
    talk(scene)


def test_lk_87_each_direction_for_itself() -> None:
    scene = datagram_scene(FAST, settings=SEARCHES)
    scene.world.taps.append(narrow(1_472, source=RC))
    connect(scene)
    scene.world.run_for(1.0)
    assert sizes(scene) == (1_472, 65_507)


def test_lk_85_data_are_never_larger_than_what_has_passed() -> None:
    """LK-85: an object and pictures from the first moment on, while the search goes on and the path narrows."""
    scene = searching(8_972)
    with overheard(scene.drone.link) as said:
        offer(scene.drone.link, bytes(200_000), scene.world.now)
        for number in range(100):
            if number == 50:
                scene.world.taps[0] = narrow(1_300)
            scene.drone.link.send(SendStream(ChannelId.VIDEO, bytes(30_000)), scene.world.now)
            scene.world.run_for(0.05)
        scene.world.run_for(2.0)
    data = [(length, allowed) for kind, length, allowed in said if kind != InnerType.PROBE]
    assert max(length for length, _ in data) > 8_000
    assert all(length <= allowed for length, allowed in data)
    assert scene.rc.finished == [bytes(200_000)]
    assert 1_236 < (sizes(scene)[1] or 0) <= 1_300


def test_lk_85_handshakes_keep_their_sizes() -> None:
    """LK-85: and a rekey needs nothing of what was found."""
    scene = searching(1_472, settings=replace(SEARCHES, rekey_after_s=5.0))
    scene.world.run_for(20.0)
    assert scene.rc.link.stats().link.rekeys >= 2
    assert sizes(scene) == (1_472, 1_472)
    assert max(len(each.data) for each in scene.world.log if each.data[0] != PacketType.DATA) <= 1_452


@pytest.mark.parametrize("settings", [config(FAST), config(FAST, max_datagram_bytes=600, probe_max_bytes=None)])
def test_lk_87_who_does_not_search_sends_no_probe(settings: LinkConfig) -> None:
    """Nor does he who has made datagrams small; he answers those who do."""
    scene = datagram_scene(FAST, settings=SEARCHES, drone_settings=settings)
    connect(scene)
    scene.world.run_for(5.0)
    assert sizes(scene) == (65_507, settings.max_datagram_bytes)
    assert all(len(data) < 100 for data in scene.world.sent_by(DRONE, PacketType.DATA))


def test_lk_86_a_lost_probe_is_no_congestion_and_no_silence() -> None:
    """LK-86: an object that is sent while probes get lost loses no chunk; the link stays up, and where it is."""
    scene = searching(1_472)
    offer(scene.drone.link, bytes(500_000), scene.world.now)
    scene.world.run_until(lambda: scene.rc.finished)
    stats = scene.drone.link.stats()
    assert stats.channels.bulk.lost == stats.channels.bulk.retransmitted == 0
    assert stats.link.moves == stats.link.moves_refused == 0
    assert scene.drone.downs() == scene.rc.downs() == []


def test_lk_86_nothing_before_the_peer_has_proven_its_address() -> None:
    """LK-86, LK-83: to several addresses of an initiation go challenges, and no probe."""
    scene = datagram_scene(FAST, settings=SEARCHES)

    def double(sent: Datagram) -> list[Datagram]:
        return [sent, replace(sent, source=EVE)] if sent.source == RC and sent.data[0] == 1 else [sent]

    scene.world.taps.append(double)
    connect(scene)
    scene.world.run_for(5.0)
    assert all(len(data) < 200 for data in scene.world.sent_to(EVE))
    assert sizes(scene)[0] == 65_507


def test_lk_86_the_search_begins_with_the_first_sign_of_the_peer() -> None:
    """LK-86: if the first PING's answer is lost, with the next."""
    scene = datagram_scene(FAST, settings=SEARCHES)
    lost = [True]

    def first(sent: Datagram) -> list[Datagram]:
        if sent.source == DRONE and sent.data[0] == PacketType.DATA and len(sent.data) == SCOUT_BYTES and lost:
            lost.clear()
            return []
        return [sent]

    scene.world.taps.append(first)
    connect(scene)
    scene.world.run_for(4.5)
    assert sizes(scene) == (65_507, 65_507)


def test_lk_88_a_moved_peer_is_probed_anew() -> None:
    """LK-88: back to the base with the move; the new path has another size; nothing that is queued is lost."""
    scene = searching(65_507)
    scene.world.run_for(1.0)
    roamed = ip_address("2001:db8::2", 9)
    scene.rc.address = roamed
    scene.world.taps[0] = narrow(1_452)
    say(scene.rc.link, b"from elsewhere", scene.world.now)
    scene.world.run_until(lambda: scene.drone.link.address == roamed)
    assert sizes(scene)[1] == 1_200
    offer(scene.drone.link, bytes(100_000), scene.world.now)
    scene.world.run_for(2.0)
    assert sizes(scene)[1] == 1_452
    scene.world.run_until(lambda: scene.rc.finished)


def test_lk_89_a_black_hole_under_pictures() -> None:
    """LK-89: nothing acknowledges pictures; probes of the size in use find out, and pictures come again."""
    scene = searching(8_972)
    scene.world.run_for(1.0)

    def film(seconds: float) -> int:
        before = len(scene.rc.received(StreamReceived))
        for _ in range(int(seconds * 20)):
            scene.drone.link.send(SendStream(ChannelId.VIDEO, bytes(20_000)), scene.world.now)
            scene.world.run_for(0.05)
        return len(scene.rc.received(StreamReceived)) - before

    assert film(2.0) >= 38
    scene.world.taps[0] = narrow(1_472)
    film(MAX_CONFIRM_S + 1.0)
    assert sizes(scene)[1] == 1_472
    assert film(1.0) >= 18


def test_lk_89_a_black_hole_under_an_object() -> None:
    """LK-89: chunks are cut anew, and the object arrives."""
    scene = searching(65_507)
    scene.world.run_for(1.0)
    scene.world.latency_s = 0.1
    thing = bytes(range(256)) * 16_000
    offer(scene.drone.link, thing, scene.world.now)
    scene.world.run_for(1.0)
    assert scene.rc.objects
    scene.world.taps[0] = narrow(1_472)
    scene.world.run_until(lambda: scene.rc.finished, 120.0)
    assert scene.rc.finished == [thing]
    scene.world.run_for(5.0)
    assert sizes(scene)[1] == 1_472


def test_lk_89_acknowledged_chunks_save_the_probes() -> None:
    scene = searching(65_507)
    scene.world.run_for(1.0)
    scene.world.latency_s = 0.2
    began = scene.world.now
    with overheard(scene.drone.link) as said:
        offer(scene.drone.link, bytes(60_000_000), began)
        scene.world.run_until(lambda: scene.rc.finished)
    assert scene.world.now - began > 4.5
    assert [kind for kind, length, _ in said if kind == InnerType.PROBE and length > SCOUT_BYTES] == []


def test_lk_89_commands_pass_whatever_the_path_becomes() -> None:
    """A unit is cut for the base, also while far more passes: it keeps its bytes for ever (CH-21)."""
    settings = replace(SEARCHES, max_datagram_bytes=700, probe_max_bytes=9_000)
    scene = searching(9_000, settings=settings)
    scene.world.run_for(1.0)
    assert sizes(scene) == (9_000, 9_000)
    say(scene.rc.link, bytes(60_000), scene.world.now)
    scene.world.taps[0] = narrow(700)
    scene.world.run_until(lambda: commands(scene.drone))
    assert commands(scene.drone) == [bytes(60_000)]


def test_lk_89_what_is_too_large_now_is_dropped() -> None:
    """Sticks and items that were accepted when more passed; they are counted."""
    scene = searching(8_972)
    scene.world.run_for(1.0)
    link, now = scene.drone.link, scene.world.now
    scene.rc.address = ip_address("2001:db8::2", 9)
    say(scene.rc.link, b"from elsewhere", now)
    scene.world.taps.append(lambda sent: [] if sent.target == RC else [sent])
    scene.world.run_for(0.1)
    link.send(SendControl(ChannelId.CONTROL, bytes(4_000), 60.0), now)
    link.send(SendState(ChannelId.TELEMETRY, 1, bytes(4_000)), now)
    link.channels.max_frame_bytes = 1_168
    channels = link.stats().channels
    assert (channels.control.dropped, channels.state.dropped) == (1, 1)


# --- CH-66 ----------------------------------------------------------------------------------------


def from_drone(scene: Node, drone: Connection, frame: bytes, now: float) -> None:
    scene.machine.receive(drone.sessions[0].seal(frame), now, None if drone.address is None else DRONE)
    scene.turn(now)


@pytest.mark.parametrize("carrier", ["datagrams", "stream"])
@pytest.mark.parametrize("zeros", [0, 1, 1_000, 65_000])
def test_ch_66_an_answer_for_a_probe(carrier: str, zeros: int) -> None:
    """CH-66: of any length, on any carrier; an acknowledgement of nothing is ignored."""
    scene = datagram_link(FAST) if carrier == "datagrams" else stream_link(FAST)
    drone, now = scene.drone.link, scene.world.now
    from_drone(scene.rc, drone, ACK + b"none", now)
    from_drone(scene.rc, drone, PROBE + b"an i" + bytes(zeros), now)
    said = [drone.sessions[0].open_untrusted(packet) for packet, _ in scene.rc.machine.data_to_send(now)]
    assert said == [ACK + b"an i"]
    assert scene.rc.link.is_open
    assert (scene.rc.link.stats().datagram_bytes is None) is (carrier == "stream")


@pytest.mark.parametrize(
    "frame", [PROBE + b"an i" + b"\0\1", PROBE + b"an", ACK + b"an i" + b"\0", ACK, PROBE[:2] + b"\1\0" + b"an i"]
)
def test_ch_66_what_is_no_probe_ends_the_link(frame: bytes) -> None:
    """CH-66: every byte behind the id is zero; an acknowledgement has one length."""
    scene = datagram_link(FAST)
    from_drone(scene.rc, scene.drone.link, frame, scene.world.now)
    assert [down.reason for down in scene.rc.downs()] == [DownReason.PROTOCOL]


def test_ch_66_a_flood_of_probes_gets_few_answers() -> None:
    """CH-66: at most what may wait for the carrier; none is larger than what it answers."""
    scene = datagram_link(FAST)
    for number in range(1_000):
        from_drone(scene.rc, scene.drone.link, PROBE + number.to_bytes(4, "big"), scene.world.now)
    answers = scene.rc.machine.data_to_send(scene.world.now)
    assert len(answers) == 64
    assert {len(data) for data, _ in answers} == {SCOUT_BYTES}


def test_ch_66_who_lies_about_answers_hurts_himself() -> None:
    """Acknowledging what never came makes us send what does not arrive; to him, and nothing goes elsewhere."""
    scene = datagram_scene(FAST, settings=SEARCHES)
    scene.world.taps.append(narrow(1_472))
    connect(scene)
    for guess in range(1, 40):
        from_drone(scene.rc, scene.drone.link, ACK + guess.to_bytes(4, "big"), scene.world.now)
    scene.world.run_for(30.0)
    assert scene.rc.link.is_open
    assert {each.target for each in scene.world.log if each.source == RC} == {DRONE}
