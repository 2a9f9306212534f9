"""No secret reaches a log, a repr, a str or an error (issue: observability; specs/threat-model.md).

Complete pairings, sessions and failures run between machines while every key that is made, agreed or derived is
remembered, every object of ours that is reachable is printed, and every error and log record is kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from nodes.stores.directory import PrivateDirectory
from nodes.stores.keyfiles import FileKeyStore, KeyFiles
from nodes.stores.memory import MemoryCounterStore, MemoryKeyStore, MemoryPeerDirectory
from nodes.stores.peerfiles import FilePeerDirectory, PeerFiles
from protocols.crypto.dh import DH_FUNCTIONS
from protocols.crypto.keyfile import parse_private_key_pem, parse_public_key_pem, private_key_pem
from protocols.crypto.keys import FixedKeySource, SystemKeySource, load_static_key
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import CodeFormatError, ConfigError, KeyFormatError
from protocols.guards.cookie import CookieJar
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode, PairingWindow
from tests.machines import (
    DRONE,
    EVE,
    Datagram,
    Scene,
    config,
    connect,
    datagram_scene,
    devices,
    make_client,
    open_pairing,
    pair_over,
    pair_over_stream,
    stream_link,
    talk,
)
from tests.tools.watch import Watch, watching


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    yield from watching(monkeypatch)


def looking(watch: Watch, scene: Scene, every: int) -> Callable[[Datagram], list[Datagram]]:
    """Return a tap that prints everything at each so-many-th datagram: handshakes are looked at half-way."""
    count = 0

    def tap(sent: Datagram) -> list[Datagram]:
        nonlocal count
        count += 1
        if count % every == 0:
            watch.look(scene, watch)
        return [sent]

    return tap


def pair_and_talk(watch: Watch, suite: Suite) -> Scene:
    """Pair with a wrong and with the right code, open a session, talk, rekey."""
    rc, drone = devices("secret", dh=suite.dh)
    scene = datagram_scene(suite, rc=rc, drone=drone, settings=config(suite, load_initiations_per_s=20.0))
    scene.world.taps.append(looking(watch, scene, 1))
    code = open_pairing(scene.drone, scene.world.now)
    other = LinkingCode.generate(lambda size: bytes(range(size)))
    watch.look(code, PairingWindow(code, 0.0))
    pair_over(scene, other, limit_s=30.0)
    watch.look(pair_over(scene, code))
    scene.rc = scene.world.nodes[0] = make_client(rc, drone, scene.settings)
    connect(scene)
    talk(scene)
    scene.world.taps[:] = [looking(watch, scene, 20)]
    scene.world.run_for(130.0)  # a rekey
    talk(scene)
    watch.look(scene)
    return scene


def attack(watch: Watch, scene: Scene) -> None:
    """Tamper with, replay and cut datagrams; flood; come back as a revoked device and as a stranger."""
    world, target = scene.world, DRONE
    sent = [datagram.data for datagram in world.log if datagram.target == target]
    by_kind = {data[0]: data for data in sent}
    for data in (*by_kind.values(), sent[-1]):
        for changed in (data[:-1] + bytes((data[-1] ^ 1,)), data[:40], data[:7], data, b"", b"\xff" + data[1:]):
            world.inject(changed, EVE, target)
    for number in range(60):
        world.inject(by_kind[1][:-1] + bytes((number,)), EVE, target)
    world.settle()
    rc, drone = scene.rc.device, scene.drone.device
    drone.peers = {key: replace(record, state=PeerState.REVOKED) for key, record in drone.peers.items()}
    client = make_client(rc, drone, scene.settings)
    world.nodes[0] = client
    client.client.start(world.now)
    world.run_for(20.0)
    watch.look(scene, client, drone.peers)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_datagrams(watch: Watch, suite: Suite) -> None:
    scene = pair_and_talk(watch, suite)
    attack(watch, scene)
    jar = CookieJar(scene.drone.device.boot()[0])
    watch.look(jar)
    expected = {
        "Client", "Listener", "Connection", "Responder", "Initiator", "Pending", "HandshakeJob", "Established",
        "HandshakeState", "SymmetricState", "StaticAgreements", "Progress", "Setup", "SessionKeys", "DatagramSession",
        "LinkingCode", "PairingWindow", "PeerRecord", "PairingStored", "PeerIdentified", "Identity", "CookieJar",
        "Channels", "LinkLog",
        "P256Key" if suite.dh == "P256" else "X25519Key",
    }  # fmt: skip
    assert expected - watch.classes == set()
    assert suite.kem is None or "MlKem768Key" in watch.classes
    assert len(watch.secrets) > 1_000
    assert len(watch.errors) > 20
    assert {record.name.split(".")[0] for record in watch.log.records} == {"protocols"}
    assert watch.leaks() == set()


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_streams(watch: Watch, suite: Suite) -> None:
    rc, drone = devices("secret", dh=None)
    paired = pair_over_stream(rc, drone, config(suite))
    watch.look(paired)
    linked = stream_link(suite, rc=rc, drone=drone)
    talk(linked)
    watch.look(linked)
    linked.world.tamper = lambda _, data: data[:-1] + bytes((data[-1] ^ 1,))
    linked.rc.link.close()
    linked.world.run_for(1.0)
    watch.look(linked, paired)
    assert {"StreamServer", "RecordSession", "RecordBuffer", "Client"} - watch.classes == set()
    assert watch.errors
    assert watch.leaks() == set()


def test_stores_and_files(watch: Watch, tmp_path: Path) -> None:
    """Key files that are damaged, too open, or of somebody else; directories; codes that are mistyped."""
    folder = tmp_path / "state"
    record = devices("secret")[0].peers.popitem()[1]
    watch.secrets.add("pair secret", record.pair_secret)
    with PrivateDirectory.open(folder, create=True) as directory:
        files = KeyFiles(directory)
        keys = [files.generate(dh) for dh in ("P256", "25519")]
        store, peers = FileKeyStore(files), FilePeerDirectory(PeerFiles(directory))
        trio.run(store.static_key, "P256")
        trio.run(peers.put, record)
        watch.look(store, peers, files, directory, record, keys, FixedKeySource([keys[0].private_bytes()]))
        for pem in damaged(private_key_pem(keys[0])):
            with pytest.raises(KeyFormatError):
                parse_private_key_pem(pem)
            with pytest.raises(KeyFormatError):
                parse_public_key_pem(pem)
            files.path("P256").write_bytes(pem)
            with pytest.raises(ConfigError):
                files.load("P256")
        files.path("25519").chmod(0o644)
        with pytest.raises(ConfigError):
            files.load("25519")
    memory = MemoryKeyStore(keys), MemoryPeerDirectory([record]), MemoryCounterStore()
    watch.look(memory, SystemKeySource())
    for dh, function in DH_FUNCTIONS.items():
        with pytest.raises(KeyFormatError):
            load_static_key(dh, keys[0].private_bytes()[:-1] + bytes(function.private_length))
    code = LinkingCode.generate(lambda size: bytes(range(7, 7 + size)))
    for typed in (code.text()[:-1], code.text()[:-1] + "!", "U" + code.text()[1:], code.text()[:-1] + "=", "7" * 28):
        with pytest.raises(CodeFormatError):
            LinkingCode.parse(typed)
    assert len(watch.errors) > 10
    assert watch.leaks() == set()


def damaged(pem: bytes) -> list[bytes]:
    """Return what a key file can become."""
    head, body, tail = pem.partition(b"\n")[0], pem.split(b"\n")[1:-2], pem.split(b"\n")[-2]
    return [
        b"\n".join((head, b"".join(body)[:-8], tail)),
        b"\n".join((head, b"A" + b"".join(body)[1:], tail)),
        b"\n".join(body),
        pem + pem,
        pem.replace(b"PRIVATE", b"ENCRYPTED PRIVATE"),
        pem[:60],
    ]
