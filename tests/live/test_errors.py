"""What goes wrong in the field: one clear line that says what to do, nothing lost, and the node serves others."""

import contextlib
import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from nodes import Drone, Endpoint, RemoteController, StateDir
from nodes.flight import ModelFlight, tlog_records
from nodes.ports import CarrierName
from nodes.stores.counterfile import NAME as COUNTERS_FILE
from nodes.stores.memory import MemoryKeyStore
from nodes.stores.peerfiles import COUNTERS_NAME, PEERS_NAME
from protocols.crypto.suites import SUITES, Suite
from protocols.errors import (
    AerolinkError,
    CodeFormatError,
    ConfigError,
    CounterLostError,
    LinkTimeoutError,
    NotPairedError,
    PolicyError,
    RevokedError,
    StorageError,
    SuiteRefusedError,
    UsageError,
)
from protocols.events import AlarmKind
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode
from tests.live.commands import run_apart, run_here
from tests.live.kit import (
    CARRIERS,
    CLASSICAL,
    DEADLINE_S,
    LOOPBACK,
    QUICK,
    Pair,
    config_of,
    make_key,
    one_line,
    paired,
    state_with_key,
    stores_in,
    stores_of,
    until,
)

FAST = config_of(CLASSICAL, QUICK)
SILENCE = "no answer: wrong code, or no device in pairing mode"
both = pytest.mark.parametrize("carrier", CARRIERS)


def kinds(node: Drone | RemoteController) -> set[AlarmKind]:
    return {alarm.kind for alarm in node.alarms}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def fails(
    drone: Drone, where: Endpoint, rc: RemoteController, key_id: bytes, carrier: CarrierName
) -> AerolinkError:
    """Try to connect; return the error, after a look that the drone still serves somebody else."""
    with pytest.raises(AerolinkError) as caught:
        await rc.connect(key_id, where, carrier)
    async with RemoteController(stores_of(), FAST) as other:
        peer = await other.pair(drone.open_pairing(), where, carrier)
        await (await other.connect(peer.key_id, where, carrier)).close()
    return caught.value


# --- linking codes ------------------------------------------------------------------------------


@both
async def test_a_wrong_code(carrier: CarrierName, tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S), state_with_key(tmp_path / "rc") as state:
        async with Drone(stores_of(), FAST) as drone, RemoteController(stores_in(state), FAST) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            code = drone.open_pairing()
            with pytest.raises(LinkTimeoutError) as caught:
                await rc.pair(LinkingCode.generate(os.urandom), where, carrier)
            assert one_line(caught.value) == SILENCE
            assert PEERS_NAME not in files(tmp_path / "rc")
            counters = drone.handshake_counters()
            assert counters["wrong_mac1" if carrier == "udp" else "failed"] >= 1
            assert counters["tries_refused"] == 0
            await rc.pair(code, where, carrier)  # the code lives on


def test_a_mistyped_code_is_found_before_a_byte_leaves() -> None:
    with pytest.raises(CodeFormatError, match="typing mistake"):
        LinkingCode.parse("3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS6")


@both
async def test_an_expired_code(carrier: CarrierName) -> None:
    with trio.fail_after(DEADLINE_S):
        async with Drone(stores_of(), FAST) as drone, RemoteController(stores_of(), FAST) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            code = drone.open_pairing(lifetime_s=0.01)
            await until(lambda: not drone.is_pairing)
            with pytest.raises(LinkTimeoutError) as caught:
                await rc.pair(code, where, carrier)
            assert one_line(caught.value) == SILENCE
            assert drone.handshake_counters()["pairing_closed"] >= 1
            await rc.pair(drone.open_pairing(), where, carrier)


@pytest.mark.parametrize("lifetime_s", [0.0, -1.0, 301.0, float("nan")])
async def test_a_code_cannot_live_longer_than_five_minutes(lifetime_s: float) -> None:
    async with Drone(stores_of(), FAST) as drone:
        with pytest.raises(UsageError, match="at most 300 s"):
            drone.open_pairing(lifetime_s=lifetime_s)


# --- peers --------------------------------------------------------------------------------------


@both
async def test_a_drone_that_does_not_know_us(carrier: CarrierName) -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with Drone(stores_of(pair.drone_key), FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            error = await fails(drone, where, rc, pair.drone_id, carrier)
            assert isinstance(error, NotPairedError)
            assert "not paired there, or revoked" in one_line(error)
            assert AlarmKind.UNKNOWN_PEER in kinds(drone)


async def test_a_drone_that_we_do_not_know() -> None:
    async with RemoteController(stores_of(), FAST) as rc:
        with pytest.raises(NotPairedError) as caught:
            await rc.connect(bytes(16), Endpoint("127.0.0.1", 9))
        assert "aerolink pair" in one_line(caught.value)


async def _revoke(pair: Pair, where: str) -> None:
    stores, key_id = (pair.drone, pair.rc_id) if where == "drone" else (pair.rc, pair.drone_id)
    record = await stores.peers.find(key_id)
    assert record is not None
    await stores.peers.put(replace(record, state=PeerState.REVOKED))


@both
@pytest.mark.parametrize("side", ["drone", "rc"])
async def test_a_revoked_peer(carrier: CarrierName, side: str) -> None:
    pair = await paired()
    await _revoke(pair, side)
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, FAST) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            error = await fails(drone, where, rc, pair.drone_id, carrier)
            assert "revoked" in one_line(error)
            if side == "drone":  # not told apart from "not paired" on the outside
                assert isinstance(error, NotPairedError)
                assert AlarmKind.REVOKED_PEER in kinds(drone)
                with pytest.raises((PolicyError, LinkTimeoutError)):
                    await rc.pair(drone.open_pairing(), where, carrier)
            else:
                assert isinstance(error, RevokedError)


# --- suites -------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("suite", [replace(CLASSICAL, id=1, kem="MLKEM768"), replace(CLASSICAL, id=99)])
async def test_a_suite_that_is_not_allowed_or_not_known(carrier: CarrierName, suite: Suite) -> None:
    pair = await paired()
    proposed = replace(FAST, suites=(suite,))
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as drone, RemoteController(pair.rc, proposed) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            error = await fails(drone, where, rc, pair.drone_id, carrier)
            assert isinstance(error, SuiteRefusedError)
            assert one_line(error) == "no link; the other device hints: it does not allow this suite"


async def test_a_suite_that_needs_another_key() -> None:
    pair = await paired("25519")
    pair.rc = replace(pair.rc, keys=MemoryKeyStore([pair.rc_key, make_key()]))
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(pair.rc, replace(FAST, suites=(CLASSICAL, SUITES[4]))) as rc:
            with pytest.raises(UsageError) as caught:
                await rc.connect(pair.drone_id, Endpoint("127.0.0.1", 9))
            assert "needs P256" in one_line(caught.value)


# --- what a disk loses --------------------------------------------------------------------------


@both
async def test_the_counters_of_a_controller_are_lost(carrier: CarrierName, tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S), state_with_key(tmp_path / "rc") as state:
        async with Drone(stores_of(), FAST) as drone, RemoteController(stores_in(state), FAST) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            peer = await rc.pair(drone.open_pairing(), where, carrier)
            (tmp_path / "rc" / COUNTERS_FILE).unlink()
            before = files(tmp_path / "rc")
            error = await fails(drone, where, rc, peer.key_id, carrier)
            assert isinstance(error, CounterLostError)
            assert "pair the devices again" in one_line(error)
            assert files(tmp_path / "rc") == before
            peer = await rc.pair(drone.open_pairing(), where, carrier)
            await rc.connect(peer.key_id, where, carrier)


@both
async def test_the_counters_of_a_drones_peers_are_lost(carrier: CarrierName, tmp_path: Path) -> None:
    where = LOOPBACK
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(stores_of(), FAST) as rc:
            with state_with_key(tmp_path / "drone") as state:
                async with Drone(stores_in(state), FAST) as drone:
                    where = await drone.listen(LOOPBACK, carrier)
                    peer = await rc.pair(drone.open_pairing(), where, carrier)
                    await (await rc.connect(peer.key_id, where, carrier)).close()
            (tmp_path / "drone" / COUNTERS_NAME).unlink()
            with state_with_key(tmp_path / "drone") as state:
                async with Drone(stores_in(state), FAST) as drone:
                    where = await drone.listen(where, carrier)
                    error = await fails(drone, where, rc, peer.key_id, carrier)
                    assert isinstance(error, NotPairedError)
                    one_line(error)
                    lost = [alarm.detail for alarm in drone.alarms if alarm.kind is AlarmKind.COUNTER_LOST]
                    assert lost
                    assert all("pair the devices again" in detail for detail in lost)
                    await rc.pair(drone.open_pairing(), where, carrier)
                    await rc.connect(peer.key_id, where, carrier)


def _damaged(folder: Path, how: str) -> str:
    """Do something to the key file; return what the line must say."""
    key = folder / "identity-P256.pem"
    if how == "missing":
        key.unlink()
        return "aerolink keys generate"
    if how == "readable by all":
        key.chmod(0o644)
        return "chmod 600"
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    return "restore the file from a backup"


@pytest.mark.parametrize("how", ["missing", "readable by all", "damaged"])
@pytest.mark.parametrize("kind", [Drone, RemoteController])
async def test_a_key_file_that_must_not_be_used(kind: type[Drone | RemoteController], how: str, tmp_path: Path) -> None:
    state_with_key(tmp_path / "state").close()
    advice = _damaged(tmp_path / "state", how)
    before = files(tmp_path / "state")
    with StateDir.open(tmp_path / "state") as state:
        node = kind(stores_in(state), FAST)
        with pytest.raises(ConfigError) as caught:
            await node.__aenter__()
        assert advice in one_line(caught.value)
        assert "identity-P256.pem" in str(caught.value)
        assert "nonsense" not in str(caught.value)
    assert files(tmp_path / "state") == before


# --- ports --------------------------------------------------------------------------------------


@both
async def test_a_port_in_use(carrier: CarrierName) -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with Drone(pair.drone, FAST) as first, Drone(stores_of(), FAST) as second:
            where = await first.listen(LOOPBACK, carrier)
            with pytest.raises(ConfigError) as caught:
                await second.listen(where, carrier)
            assert one_line(caught.value) == f"{where}: the port is in use by another program"
            elsewhere = await second.listen(LOOPBACK, carrier)
            assert elsewhere != where
            async with RemoteController(pair.rc, FAST) as rc:
                await rc.connect(pair.drone_id, where, carrier)


async def test_places_where_nobody_is() -> None:
    pair = await paired()
    with trio.fail_after(DEADLINE_S):
        async with RemoteController(pair.rc, FAST) as rc:
            with pytest.raises(ConfigError, match="nobody listens there"):
                await rc.connect(pair.drone_id, Endpoint("127.0.0.1", 9), "tcp")
            with pytest.raises(LinkTimeoutError, match="no answer from 127"):
                await rc.connect(pair.drone_id, Endpoint("127.0.0.1", 9), "udp")
        async with Drone(pair.drone, FAST) as drone:
            for carrier in CARRIERS:
                with pytest.raises(ConfigError, match="does not have that address"):
                    await drone.listen(Endpoint("192.0.2.1", 0), carrier)


# --- a full disk --------------------------------------------------------------------------------


class Disk:
    """A disk that can be filled and emptied again."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch | None) -> None:
        self.path = path
        self._patch = monkeypatch
        self._filler = path / "filler"

    def fill(self) -> None:
        if self._patch is not None:
            self._patch.setattr("nodes.stores.directory.write_all", _no_space)
            return
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))

    def empty(self) -> None:
        if self._patch is not None:
            self._patch.undo()
        self._filler.unlink(missing_ok=True)


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


@pytest.fixture(params=["a small file system", "injected"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    if request.param == "injected":
        yield Disk(tmp_path, monkeypatch)
        return
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "aerolink-test", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system needs root; the injected error stands for it")
    try:
        yield Disk(place, None)
    finally:
        subprocess.run(["umount", str(place)], check=True)


async def test_the_disk_of_a_controller_is_full(disk: Disk) -> None:
    with trio.fail_after(DEADLINE_S), state_with_key(disk.path / "rc") as state:
        async with Drone(stores_of(), FAST) as drone, RemoteController(stores_in(state), FAST) as rc:
            where = await drone.listen(LOOPBACK)
            peer = await rc.pair(drone.open_pairing(), where)
            disk.fill()
            before = files(disk.path / "rc")
            error = await fails(drone, where, rc, peer.key_id, "udp")  # no counters can be reserved
            assert isinstance(error, StorageError)
            assert "No space left on device; free some space and try again" in one_line(error)
            with pytest.raises(StorageError) as caught:
                await rc.pair(drone.open_pairing(), where)
            assert "free some space" in one_line(caught.value)
            assert files(disk.path / "rc") == before
            disk.empty()
            await rc.connect(peer.key_id, where)


async def test_the_disk_of_a_drone_is_full(disk: Disk) -> None:
    with trio.fail_after(DEADLINE_S), state_with_key(disk.path / "drone") as state:
        async with (
            Drone(stores_in(state), FAST) as drone,
            RemoteController(stores_of(), FAST) as rc,
            RemoteController(stores_of(), FAST) as late,
        ):
            where = await drone.listen(LOOPBACK)
            peer = await rc.pair(drone.open_pairing(), where)
            disk.fill()
            before = files(disk.path / "drone")
            link = await rc.connect(peer.key_id, where)  # whoever is known is served
            await drone.next_link()
            await until(lambda: AlarmKind.STORE_FAILED in kinds(drone))
            with pytest.raises(LinkTimeoutError):
                await late.pair(drone.open_pairing(), where)
            assert all("free some space" in alarm.detail for alarm in drone.alarms)
            assert all(alarm.detail.isprintable() for alarm in drone.alarms)
            assert files(disk.path / "drone") == before
            assert link.down is None
            disk.empty()
            await late.pair(drone.open_pairing(), where)
            assert link.down is None
    with state_with_key(disk.path / "drone") as state:  # what was confirmed meanwhile has been made up for
        records = {record.state for record in state.peer_files.all()}
        assert PeerState.PAIRED in records


# --- commands -----------------------------------------------------------------------------------


def command_fails(code: int, *arguments: str | Path, typed: str = "", apart: bool = False) -> str:
    """Run a command that fails; return its one line."""
    done = (run_apart if apart else run_here)(*arguments, typed=typed)
    assert done.code == code, done
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err + done.out
    line = done.err.rstrip("\n")
    assert line.isprintable()
    return line


def config(folder: Path, role: str = "rc", more: str = "", port: int = 9) -> Path:
    state_with_key(folder / role).close()
    where = {"drone": f'listen = "127.0.0.1:{port}"', "rc": f'connect = "127.0.0.1:{port}"'}[role]
    file = folder / f"{role}.toml"
    file.write_text(f'[node]\nrole = "{role}"\nstate_dir = "{role}"\n{more}\n[link]\n{where}\n')
    return file


def test_commands_with_a_config_that_cannot_be_used(tmp_path: Path) -> None:
    good = config(tmp_path).read_text()
    before = files(tmp_path / "rc")
    assert "there is no such file" in command_fails(3, "pair", "--config", tmp_path / "none.toml")
    assert "name a configuration file" in command_fails(3, "pair", "--config", tmp_path)
    for text, words in (
        (good.replace("state_dir", "state_dri"), "rc.toml:3: "),
        (good.replace('role = "rc"', "role ="), "rc.toml:2: this is not valid TOML"),
        (good + 'suites = ["P256_ROT13_SHA256"]\n', "there are only"),
    ):
        (tmp_path / "rc.toml").write_text(text)
        assert words in command_fails(3, "pair", "--config", tmp_path / "rc.toml")
        assert (tmp_path / "rc.toml").read_text() == text
    assert files(tmp_path / "rc") == before


def test_commands_with_keys_that_cannot_be_used(tmp_path: Path) -> None:
    file = config(tmp_path)
    for how in ("damaged", "readable by all", "missing"):
        advice = _damaged(tmp_path / "rc", how)
        before = files(tmp_path / "rc")
        typed = LinkingCode.generate(os.urandom).text() + "\n"
        assert advice in command_fails(3, "pair", "--config", file, typed=typed)
        assert files(tmp_path / "rc") == before


def test_a_command_where_nobody_answers(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        file = config(tmp_path, more="", port=nobody.getsockname()[1])
        file.write_text(file.read_text().replace("[link]", '[link]\ncarrier = "tcp"'))
        code = LinkingCode.generate(os.urandom).text()
        line = command_fails(3, "pair", "--config", file, typed=code + "\n", apart=True)
        assert "nobody listens there" in line
        assert code not in line


def test_a_command_whose_port_is_in_use(tmp_path: Path) -> None:
    for kind, carrier in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
        with socket.socket(type=kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if carrier == "tcp":
                taken.listen()
            port = taken.getsockname()[1]
            line = command_fails(3, "demo", "--port", str(port), "--carrier", carrier, "--seconds", "1")
            assert f"127.0.0.1:{port}: the port is in use by another program" in line
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        file = config(tmp_path, "drone", port=taken.getsockname()[1])
        assert "in use by another program" in command_fails(3, "pair", "--config", file)


def test_a_command_with_a_suite_that_is_not_known() -> None:
    line = command_fails(2, "demo", "--suite", "P256_ROT13_SHA256")
    assert "P256_ROT13_SHA256" in line
    assert "P256_AESGCM_SHA256" in line


def test_a_command_with_a_corrupt_log(tmp_path: Path) -> None:
    frames = [frame for _, frame in zip(range(50), ModelFlight().frames(), strict=False)]
    log = tmp_path / "flight.tlog"
    for content in (b"", bytes(4_096), bytes(range(200)) * 100, b"".join(tlog_records(frames, 0))[:20]):
        log.write_bytes(content)
        assert "flight.tlog" in command_fails(3, "demo", "--replay", log, "--speed", "max")
        assert log.read_bytes() == content
    assert "flight.tlog" in command_fails(3, "demo", "--replay", tmp_path / "no" / "flight.tlog")


def test_a_command_in_a_folder_of_another_node(tmp_path: Path) -> None:
    file = config(tmp_path, "drone", port=0)
    with StateDir.open(tmp_path / "drone"):
        assert "stop that node first" in command_fails(3, "pair", "--config", file)


def test_a_command_on_a_full_disk(disk: Disk) -> None:
    if disk.path.name != "small":
        pytest.skip("another process cannot be told to fail")
    file = config(disk.path)
    disk.fill()
    before = files(disk.path / "rc")
    line = command_fails(3, "keys", "generate", "--state-dir", file.parent / "rc", "--dh", "25519", apart=True)
    assert "free some space" in line
    assert files(disk.path / "rc") == before
