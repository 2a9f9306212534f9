"""specs/3-channels.md, 3.8: the frames of the link itself; packets that no table has (LK-17); streams (LK-57)."""

import pytest

from protocols.crypto.suites import SUITES
from protocols.events import DownReason, PairingStored
from specs.registry import CloseCode, InnerType, PacketType, Role
from tests.machines import (
    DRONE,
    RC,
    Device,
    Scene,
    StreamScene,
    config,
    datagram_link,
    datagram_scene,
    open_pairing,
    pair_over,
    pair_over_stream,
    stream_link,
    talk,
)

FAST = SUITES[4]
BY_CARRIER = pytest.mark.parametrize("carrier", ["datagrams", "stream"])


def link(carrier: str) -> Scene | StreamScene:
    return datagram_link(FAST) if carrier == "datagrams" else stream_link(FAST)


def from_drone(scene: Scene | StreamScene, frame: bytes) -> None:
    """Let the drone say a frame of our making."""
    scene.rc.machine.receive(scene.drone.link.sessions[0].seal(frame), scene.world.now, DRONE)
    scene.rc.turn(scene.world.now)


def from_rc(scene: Scene | StreamScene, frame: bytes) -> None:
    scene.drone.machine.receive(scene.rc.link.sessions[0].seal(frame), scene.world.now, RC)
    scene.drone.turn(scene.world.now)


def said(scene: Scene | StreamScene) -> list[bytes]:
    """Return the frames that the RC says now."""
    drone = scene.drone.link.sessions[0]
    return [drone.open_untrusted(packet) for packet, _ in scene.rc.machine.data_to_send(scene.world.now)]


@BY_CARRIER
def test_ch_60_a_pong_for_a_ping(carrier: str) -> None:
    """CH-60: the same id comes back; a PONG that answers nothing is ignored."""
    scene = link(carrier)
    from_drone(scene, bytes((InnerType.PONG, 0, 0, 0)) + b"none")
    from_drone(scene, bytes((InnerType.PING, 0, 0, 0)) + b"ab\xff\0")
    assert said(scene) == [bytes((InnerType.PONG, 0, 0, 0)) + b"ab\xff\0"]
    assert scene.rc.link.is_open


@BY_CARRIER
def test_ch_61_only_the_responder_asks_for_a_rekey(carrier: str) -> None:
    """CH-61: the initiator begins one when asked; one that asks ends the link."""
    scene = link(carrier)
    scene.world.run_for(6.0)
    scene.world.settle()
    from_drone(scene, bytes((InnerType.REKEY_REQUEST, 0, 0, 0)))
    scene.world.run_for(1.0)
    assert scene.rc.link.stats().link.rekeys == 1
    scene.world.settle()
    from_rc(scene, bytes((InnerType.REKEY_REQUEST, 0, 0, 0)))
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]


@BY_CARRIER
def test_ch_62_a_challenge_is_returned(carrier: str) -> None:
    """CH-62: the same 8 bytes; an answer to nothing is ignored."""
    scene = link(carrier)
    from_drone(scene, bytes((InnerType.PATH_RESPONSE, 0, 0, 0)) + b"nothing!")
    from_drone(scene, bytes((InnerType.PATH_CHALLENGE, 0, 0, 0)) + b"eightby!")
    assert said(scene) == [bytes((InnerType.PATH_RESPONSE, 0, 0, 0)) + b"eightby!"]


@BY_CARRIER
@pytest.mark.parametrize("code", CloseCode)
def test_ch_63_close_ends_the_link_whatever_its_code(carrier: str, code: CloseCode) -> None:
    """CH-63: nothing is answered."""
    scene = link(carrier)
    from_drone(scene, bytes((InnerType.CLOSE, 0, 0, code)))
    assert [down.code for down in scene.rc.downs()] == [code]
    assert said(scene) == []


@BY_CARRIER
def test_ch_64_a_confirmation_outside_of_a_pairing(carrier: str) -> None:
    """CH-64: ends a session, from either side; in a pairing it stands (PR-30)."""
    scene = link(carrier)
    from_rc(scene, bytes((InnerType.PAIRING_CONFIRM, 0, 0, 0)))
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]
    pairing = datagram_scene(FAST)
    rc = pair_over(pairing, open_pairing(pairing.drone, pairing.world.now))
    assert len(rc.all(PairingStored)) == 1


@BY_CARRIER
def test_ch_65_padding(carrier: str) -> None:
    """CH-65: any length, zeros only."""
    scene = link(carrier)
    for zeros in (0, 1, 1_000):
        from_drone(scene, bytes((InnerType.PADDING,)) + bytes(zeros))
    assert said(scene) == []
    talk(scene)
    from_drone(scene, bytes((InnerType.PADDING,)) + bytes(9) + b"\1")
    assert [down.reason for down in scene.rc.downs()] == [DownReason.PROTOCOL]


@pytest.mark.parametrize("status", [0, 1, 3])
def test_ch_58_the_sender_of_an_object_can_only_cancel(status: int) -> None:
    """CH-58: OK, HASH_MISMATCH and REFUSED are the receiver's."""
    scene = datagram_link(FAST)
    from_drone(scene, bytes((InnerType.BULK_DONE, 6, 0, 9, status, 0)))
    assert [down.code for down in scene.rc.downs()] == [CloseCode.PROTOCOL]


@pytest.mark.parametrize("kind", [InnerType.BULK_ACCEPT, InnerType.BULK_DONE])
def test_ch_58_a_word_on_a_transfer_that_never_was(kind: InnerType) -> None:
    """CH-58: from the receiver of an object that nobody offered."""
    scene = datagram_link(FAST)
    rest = bytes((2, 1)) if kind is InnerType.BULK_DONE else bytes(8)
    from_drone(scene, bytes((kind, 6, 0, 9)) + rest)
    assert [down.code for down in scene.rc.downs()] == [CloseCode.PROTOCOL]


@pytest.mark.parametrize("kind", [0, 7, 255, PacketType.INITIATION, PacketType.FINISH])
def test_lk_17_an_unknown_datagram_is_silence(kind: int) -> None:
    """LK-17: at the initiator; what only responders take is unknown to it too."""
    scene = datagram_link(FAST)
    before = scene.rc.counts["malformed"]
    scene.rc.machine.receive(bytes((kind,)) + bytes(99), scene.world.now, DRONE)
    assert scene.rc.counts["malformed"] == before + 1
    talk(scene)


@pytest.mark.parametrize("kind", [0, 7, 255, PacketType.RESPONSE, PacketType.COOKIE_REPLY, PacketType.REFUSED])
def test_lk_17_an_unknown_datagram_is_silence_at_the_responder(kind: int) -> None:
    scene = datagram_link(FAST)
    scene.drone.machine.receive(bytes((kind,)) + bytes(99), scene.world.now, RC)
    assert scene.drone.counts["malformed"] == 1
    talk(scene)


@pytest.mark.parametrize("kind", [0, 7, 255, PacketType.RESPONSE, PacketType.COOKIE_REPLY, PacketType.REFUSED])
def test_lk_17_an_unknown_record_ends_the_link(kind: int) -> None:
    """LK-17: and what does not belong to this side; nothing of ours is said any more."""
    scene = stream_link(FAST)
    scene.drone.machine.receive(bytes((0, 1, kind, 0, kind)), scene.world.now)
    scene.drone.turn(scene.world.now)
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]
    assert scene.drone.machine.data_to_send(scene.world.now) == []


def test_lk_57_a_stream_for_a_pairing_and_a_stream_for_its_session() -> None:
    """LK-57: after the CLOSE of a pairing the stream is over at both ends."""
    scene = pair_over_stream(Device(Role.RC, "rc"), Device(Role.DRONE, "drone"), config(FAST))
    assert len(scene.rc.all(PairingStored)) == 1
    assert scene.rc.machine.is_over
    assert scene.drone.machine.is_over


@pytest.mark.parametrize("continues", [0, 0x0BAD_0BAD])
def test_lk_57_a_further_initiation_names_the_session_in_use(continues: int) -> None:
    """LK-57: a new association, or another one's, has no place on this stream."""
    scene = stream_link(FAST)
    body = bytes((1, 1, FAST.id, 2, 0, 0, 0, 9, 1, 2, 1, 0)) + continues.to_bytes(4, "big")
    record = b"".join(((len(body) + 108).to_bytes(2, "big"), bytes((PacketType.INITIATION, 0)), body, bytes(108)))
    scene.drone.machine.receive(record, scene.world.now)
    scene.drone.turn(scene.world.now)
    assert [down.reason for down in scene.drone.downs()] == [DownReason.PROTOCOL]
