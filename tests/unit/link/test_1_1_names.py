"""specs/1-link.md, 1.1: keys, suites, names."""

import hashlib
import re
from pathlib import Path

import pytest

from protocols.crypto.fingerprint import key_id_of
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import UsageError
from protocols.events import DownReason
from protocols.link.config import Identity, LinkConfig
from protocols.link.handshake import PATTERNS
from specs.registry import HandshakeKind, LinkType, PacketType, RefusalCode, Role, SuiteId
from tests.machines import (
    DRONE,
    RC,
    DatagramWorld,
    Device,
    Scene,
    acquaint,
    config,
    connect,
    datagram_scene,
    make_client,
    make_listener,
    talk,
)

PAGE = Path(__file__).parents[3] / "specs" / "1-link.md"
BY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


def test_lk_1_one_static_key_per_dh_function() -> None:
    """LK-1: suites with the same DH function share the key; one without its key is a usage error."""
    device = Device(Role.DRONE, "d")
    assert device.identity.key(SUITES[1].dh) is device.identity.key(SUITES[3].dh)
    assert device.identity.key(SUITES[2].dh) is device.identity.key(SUITES[4].dh)
    with pytest.raises(UsageError, match="P256"):
        Identity(Role.DRONE, {}).key("P256")


def test_lk_2_the_suites_are_the_rows_of_the_page() -> None:
    """LK-2: id, name and KEM of each row, and no other."""
    rows = re.findall(r"^\| (\d) \| `([^`]+)`[^|]*\| ([^|]+?) \|", PAGE.read_text(), re.MULTILINE)
    assert [(int(number), name, kem != "-") for number, name, kem in rows] == [
        (suite.id, suite.name, suite.kem is not None) for suite in SUITES.values()
    ]
    assert sorted(SUITES) == sorted(SuiteId)
    with pytest.raises(UsageError):
        LinkConfig(suites=())


@BY_SUITE
def test_lk_3_noise_names(suite: Suite) -> None:
    """LK-3: XXhfs+psk0 and IKhfs+psk2 with a KEM, XXpsk0 and IKpsk2 without."""
    infix = "hfs+" if suite.kem else ""
    assert suite.noise_name(PATTERNS[HandshakeKind.PAIRING]) == f"Noise_XX{infix}psk0_{suite.name}"
    assert suite.noise_name(PATTERNS[HandshakeKind.SESSION]) == f"Noise_IK{infix}psk2_{suite.name}"


@pytest.mark.parametrize("allowed", [1, 2, 3, 4])
@pytest.mark.parametrize("proposed", [1, 2, 3, 4])
def test_lk_4_the_responder_takes_the_suite_or_not(proposed: int, allowed: int) -> None:
    """LK-4: no fallback: the initiator proposes one suite, again and again, whatever is answered."""
    ours, theirs = SUITES[proposed], SUITES[allowed]
    scene = datagram_scene(ours, drone_settings=config(theirs))
    if ours is theirs:
        connect(scene)
        assert scene.rc.link.suite is ours
        return
    scene.rc.client.start(scene.world.now)
    scene.world.run_for(15.0)
    assert {each[2] for each in scene.world.sent_by(RC, PacketType.INITIATION)} == {ours.id}
    assert [(down.reason, down.hint) for down in scene.rc.downs()] == [(DownReason.NO_ANSWER, RefusalCode.SUITE)]
    assert scene.drone.counts["public_key_jobs"] == 0
    assert scene.drone.links == []


def test_lk_4_the_first_suite_is_proposed_and_any_allowed_one_taken() -> None:
    """LK-4: the allow-list is the responder's."""
    suites = (SUITES[3], SUITES[1])
    scene = datagram_scene(
        SUITES[3], settings=LinkConfig(suites=suites), drone_settings=LinkConfig(suites=suites[::-1])
    )
    connect(scene)
    assert scene.rc.link.suite is SUITES[3]
    assert scene.drone.link.suite is SUITES[3]
    talk(scene)


@pytest.mark.parametrize(("dh", "size"), [("P256", 65), ("25519", 32)])
def test_lk_5_key_ids(dh: str, size: int) -> None:
    """LK-5: the first 16 bytes of SHA-256(label || length of the DH name || DH name || key)."""
    public = bytes(range(size))
    spelled = b"Aerolink key id v1" + bytes((len(dh),)) + dh.encode() + public
    assert key_id_of(dh, public) == hashlib.sha256(spelled).digest()[:16]


def test_one_machine_serves_every_suite() -> None:
    """A listener with all suites takes clients of each."""
    settings = LinkConfig(suites=tuple(SUITES.values()))
    drone = Device(Role.DRONE, "all")
    listener = make_listener(drone, settings)
    for suite in SUITES.values():
        rc = Device(Role.RC, f"rc {suite.id}")
        acquaint(rc, drone, suite.dh)
        client = make_client(rc, drone, config(suite))
        scene = Scene(DatagramWorld(client, listener), client, listener, settings)
        connect(scene)
        talk(scene)
    assert len(list(listener.machine.connections())) == 4
    assert listener.address == DRONE


def test_the_roles_of_each_link_type_are_fixed() -> None:
    assert {kind: LinkConfig(link_type=kind).roles for kind in LinkType} == {
        LinkType.AIRLINK: (Role.RC, Role.DRONE),
        LinkType.GROUNDLINK: (Role.MOBILE, Role.RC),
        LinkType.REMOTE_MOBILE: (Role.MOBILE, Role.DRONE),
        LinkType.REMOTE_CLOUD: (Role.CLOUD, Role.DRONE),
    }
