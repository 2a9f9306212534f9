"""The core's log lines: on the package's logger, with the id of the link, rationed, and without anything of a peer's.

The programs' side (format, rate limit of the handler) is tests/unit/test_logs.py; secrets are test_secrets.py.
"""

import ast
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from nodes.logs import LinkFilter, RateLimitFilter
from protocols.events import Alarm, AlarmKind
from protocols.link.log import DROPPED, LinkLog, link_id
from protocols.link.peers import PeerState
from protocols.link.stats import HandshakeCounters, LinkCounters
from tests.machines import (
    DRONE,
    EVE,
    config,
    connect,
    datagram_scene,
    make_client,
    open_pairing,
    pair_over,
    stream_link,
    talk,
)
from tests.tools.leaks import Recorder

ROOT = Path(__file__).parents[2]
SEEN_ELSEWHERE = {"initiations", "public_key_jobs", "cookies_sent", "confirmed", "paired"}
"""Counters of what is meant to happen: milestones have their own lines, or none."""


@pytest.fixture
def log() -> Iterator[Recorder]:
    """Everything that the core says, at the lowest level."""
    recorder, logger = Recorder(), logging.getLogger("protocols")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(recorder)
    yield recorder
    logger.setLevel(level)
    logger.removeHandler(recorder)


def lines(log: Recorder, *, hostile: bool | None = None) -> list[str]:
    marked = [(bool(getattr(record, "hostile", False)), record.getMessage()) for record in log.records]
    return [text for is_hostile, text in marked if hostile in {None, is_hostile}]


def links(log: Recorder) -> set[str]:
    return {str(getattr(record, "link", "missing")) for record in log.records}


def test_every_counter_that_a_stranger_can_move_has_a_line() -> None:
    counted = {field.name for field in fields(HandshakeCounters)} | {"failed_opens", "replays"}
    assert DROPPED.keys() == counted - SEEN_ELSEWHERE
    assert {"failed_opens", "replays"} <= {field.name for field in fields(LinkCounters)}
    assert len(set(DROPPED.values())) == len(DROPPED)


def test_the_milestones_of_a_link(log: Recorder) -> None:
    """Both ends say what happened, under the id of their peer, and nothing is marked as hostile but questions."""
    scene = datagram_scene(settings=config(rekey_after_s=20.0))
    connect(scene)
    talk(scene)
    scene.world.run_for(25.0)
    scene.rc.link.close()
    scene.world.settle()
    peers = {link_id(node.device.key_id("P256")) for node in (scene.rc, scene.drone)}
    assert links(log) == peers
    assert {record.name for record in log.records} == {"protocols.link"}
    assert {record.levelno for record in log.records} == {logging.DEBUG}
    up, confirmed, rekeyed = "link up: P256+MLKEM768_AESGCM_SHA256", "handshake: confirmed", "rekeyed: 1 so far"
    downs = ["link down: closed by us", "link down: closed by the peer"]
    assert lines(log, hostile=False) == [up, up, confirmed, confirmed, rekeyed, rekeyed, confirmed, *downs]
    assert set(lines(log, hostile=True)) == {"handshake: a peer is identified"}


def test_a_pairing_says_so(log: Recorder) -> None:
    scene = datagram_scene()
    pair_over(scene, open_pairing(scene.drone, scene.world.now))
    assert "pairing: the peer is to be stored" in lines(log)


def test_a_flood_is_rationed(log: Recorder) -> None:
    """One line per reason and second, after a burst; the count that it carries says how many there were."""
    scene = datagram_scene()
    connect(scene)
    log.records.clear()
    start = scene.world.now
    for number in range(2_000):
        data = bytes((number % 2 * 4, 0, 0, 0)) + number.to_bytes(4, "big") + bytes(60)  # types 0 and 4
        scene.world.inject(data, EVE, DRONE, number * 0.005)
    scene.world.run_for(10.0)
    seconds = scene.world.now - start
    assert {record.msg for record in log.records} == {DROPPED["malformed"], DROPPED["unknown_index"]}
    for reason in ("malformed", "unknown_index"):
        assert len([record for record in log.records if record.msg == DROPPED[reason]]) <= 5 + seconds + 1
        assert scene.drone.counts[reason] == 1_000
    assert all(getattr(record, "hostile", False) for record in log.records)


def test_what_a_stranger_sends_is_not_repeated(log: Recorder) -> None:
    """No text, address or number that he chose stands in a line."""
    scene = datagram_scene()
    connect(scene)
    for kind in range(256):
        scene.world.inject(bytes((kind,)) + b"%s\n\x1b[31mPWNED" * 80, EVE, DRONE)
    scene.world.settle()
    texts = "\n".join(lines(log))
    assert lines(log, hostile=True)
    assert not [word for word in ("PWNED", "\x1b", "eve", str(EVE)) if word in texts]


def test_a_revoked_device_and_an_old_counter(log: Recorder) -> None:
    scene = datagram_scene()
    connect(scene)
    rc, drone = scene.rc.device, scene.drone.device
    initiation = scene.world.sent_to(DRONE)[0]
    scene.world.run_for(11.0)
    scene.world.inject(initiation, EVE, DRONE)
    scene.world.settle()
    drone.peers = {key_id: replace(record, state=PeerState.REVOKED) for key_id, record in drone.peers.items()}
    client = make_client(rc, drone, scene.settings)
    scene.world.nodes[0] = client
    client.client.start(scene.world.now)
    scene.world.run_for(5.0)
    found = lines(log, hostile=True)
    assert "dropped: an old initiation counter (1 so far)" in found
    assert f"alarm: {AlarmKind.STALE_COUNTER.value}" in found
    assert f"alarm: {AlarmKind.REVOKED_PEER.value}" in found
    assert "refused by policy (1 so far)" in found


def test_tampered_records_end_a_stream_with_a_line(log: Recorder) -> None:
    scene = stream_link()
    scene.world.tamper = lambda _, data: data[:-1] + bytes((data[-1] ^ 1,))
    scene.rc.link.close()
    scene.world.settle()
    assert "link down: a record failed authentication" in lines(log, hostile=False)


def test_the_programs_handler_takes_the_lines(log: Recorder) -> None:
    """nodes/logs.py limits them once more, by kind: the counts do not make a kind of their own."""
    scene = datagram_scene()
    for number in range(50):
        scene.world.inject(b"\xff", EVE, DRONE, float(number))
    scene.world.run_for(60.0)
    assert len(log.records) > 20
    now = 0.0
    limit, name = RateLimitFilter(lambda: now, burst=3), LinkFilter()
    assert sum(limit.filter(record) for record in log.records if name.filter(record)) == 3


def test_nothing_is_counted_or_made_when_nobody_listens() -> None:
    """A flood costs a look at the level, and no more."""
    logger = logging.getLogger("protocols.link")
    assert not logger.isEnabledFor(logging.DEBUG)
    line = LinkLog()
    counters = HandshakeCounters(malformed=3)
    line.watch(counters, 1.0)
    line.event(Alarm(AlarmKind.LOAD_MODE, "detail"))
    line.dropped("malformed", 3, 1.0)
    recorder = Recorder()
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    try:
        line.watch(counters, 2.0)
        line.watch(counters, 3.0)
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(recorder)
    assert [record.getMessage() for record in recorder.records] == ["dropped: no packet of ours (3 so far)"]


def test_only_this_module_of_the_core_logs() -> None:
    """So that one place holds what may be said; and records are made under the packages' names."""
    loggers: dict[str, list[str]] = {}
    for path in [*ROOT.glob("specs/**/*.py"), *ROOT.glob("protocols/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "getLogger":
                loggers.setdefault(path.name, []).append(ast.dump(node))
    assert loggers.keys() == {"log.py"}
