"""``aerolink tunnel`` and ``--mavlink``: what a person may ask for, and what is said when it makes no sense."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from nodes import RemoteController, working
from nodes.cli import main
from nodes.config import Config, parse
from nodes.config.mavlink import parse_mavlink_endpoint
from nodes.logs import take_down
from nodes.stations.notes import Line, Note
from nodes.stores.statedir import StateDir
from nodes.working import Errands, setting_up
from protocols.crypto.suites import DEFAULT_SUITE
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode
from specs.registry import Role
from tests.live.kit import LOOPBACK, make_key, one_line, record_of, stores_of

CODE = LinkingCode(bytes(range(16)))
OWN = bytes(range(16))
PORT = "udpin:127.0.0.1:14550"


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, Errands]]:
    """What a station would have been started with; it shows a code, and says something."""
    found: list[tuple[Config, Errands]] = []

    async def work(config: Config, errands: Errands, say: Callable[[Note], None]) -> None:
        await trio.lowlevel.checkpoint()
        found.append((config, errands))
        for peer in errands.shows:
            errands.on_code(peer, CODE, OWN)
        say(Line(config.name, "works"))

    monkeypatch.setattr(working, "work", work)
    return found


def run(folder: Path, role: str, *options: str, text: str = "", command: tuple[str, ...] = ()) -> int:
    file = folder / "node.toml"
    file.write_text(f'[node]\nrole = "{role}"\n{text}')
    end = command or ("tunnel", "drone" if role == "drone" else "ground")
    try:
        return main([*end, "--config", str(file), *options])
    finally:
        take_down()


def pair(folder: Path, *roles: Role, state: PeerState = PeerState.PAIRED) -> None:
    """Let the node know devices of these roles."""
    with StateDir.open(folder / "state", create=True) as kept:
        for role in roles:
            kept.peer_files.put(record_of(make_key(), role, state=state))


# --- what it begins with --------------------------------------------------------------------------


def test_the_first_start_of_a_drone_makes_a_key_shows_a_code_and_waits(
    tmp_path: Path, worked: list[tuple[Config, Errands]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "drone", "--mavlink", PORT) == 0
    (config, errands), out = worked[0], capsys.readouterr().out
    assert config.mavlink.ports == (parse_mavlink_endpoint(PORT),)
    assert (errands.shows, errands.renews) == ((Role.RC,), True)
    assert out.startswith(f"drone: made a key for this device: {DEFAULT_SUITE.dh}, ")
    assert f"Linking code: {CODE.text()}\n" in out
    assert out.endswith("drone: works\n")
    assert run(tmp_path, "drone", "--mavlink", PORT) == 0
    assert "made a key" not in capsys.readouterr().out


def test_on_a_terminal_the_code_is_a_picture_as_well(
    tmp_path: Path,
    worked: list[tuple[Config, Errands]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", property(lambda _: True))
    run(tmp_path, "drone", "--mavlink", PORT)
    assert worked
    assert "▄" in capsys.readouterr().out


def test_a_program_reads_an_object_a_line(
    tmp_path: Path, worked: list[tuple[Config, Errands]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "drone", "--mavlink", PORT, "--json") == 0
    made, code, works = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert worked
    assert (made["event"], works["text"]) == ("Line", "works")
    assert code == {"event": "code", "for": "rc", "code": CODE.text(), "key_id": OWN.hex()}


def test_a_paired_drone_just_runs(tmp_path: Path, worked: list[tuple[Config, Errands]]) -> None:
    pair(tmp_path, Role.RC)
    assert run(tmp_path, "drone", "--mavlink", PORT) == 0
    assert run(tmp_path, "drone", "--mavlink", PORT, "--pair") == 0
    assert [(errands.shows, errands.renews) for _, errands in worked] == [((), False), ((Role.RC,), False)]


def test_who_was_revoked_is_no_peer(tmp_path: Path, worked: list[tuple[Config, Errands]]) -> None:
    pair(tmp_path, Role.RC, state=PeerState.REVOKED)
    assert run(tmp_path, "drone", "--mavlink", PORT) == 0
    assert worked[0][1].shows == (Role.RC,)


@pytest.mark.parametrize(
    ("role", "known", "options", "asks"),
    [
        ("rc", (), (), (Role.DRONE,)),
        ("rc", (Role.DRONE,), (), ()),
        ("rc", (Role.DRONE,), ("--pair",), (Role.DRONE,)),
        ("mobile", (), (), (Role.RC, Role.DRONE)),
        ("mobile", (Role.DRONE,), (), (Role.RC,)),
        ("mobile", (Role.RC,), (), (Role.DRONE,)),
        ("mobile", (Role.RC, Role.DRONE), (), ()),
        ("mobile", (Role.RC, Role.DRONE), ("--pair",), (Role.DRONE,)),
    ],
)
def test_the_ground_asks_for_the_code_of_whom_it_does_not_know(
    tmp_path: Path,
    worked: list[tuple[Config, Errands]],
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    known: tuple[Role, ...],
    options: tuple[str, ...],
    asks: tuple[Role, ...],
) -> None:
    codes = {Role.RC: LinkingCode(bytes(16)), Role.DRONE: CODE}
    first: list[LinkingCode] = []

    async def pair_with_rc(_: Config, code: LinkingCode, _say: object) -> None:
        await trio.lowlevel.checkpoint()
        assert worked == []
        first.append(code)

    pair(tmp_path, *known)
    monkeypatch.setattr(setting_up, "pair_with_rc", pair_with_rc)
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(codes[each].text() + "\n" for each in asks)))
    assert run(tmp_path, role, "--mavlink", PORT, *options) == 0
    drone = Role.DRONE in asks
    expected = Errands(asks=Role.DRONE if drone else None, code=CODE if drone else None)
    assert replace(worked[0][1], on_code=expected.on_code) == expected
    assert first == [codes[Role.RC]] * (Role.RC in asks)


async def test_a_mobile_pairs_with_its_rc_first(tmp_path: Path) -> None:
    said: list[Note] = []
    rc_stores = stores_of(make_key())
    async with RemoteController(rc_stores) as rc:
        where = await rc.listen(LOOPBACK, "tcp")
        text = f'[node]\nrole = "mobile"\n[ground]\nconnect = "{where}"\n'
        config = parse(text.encode(), tmp_path / "node.toml")
        assert len(setting_up.make_keys(config)) == 1
        await setting_up.pair_with_rc(config, rc.open_pairing(), said.append)
    assert setting_up.paired_roles(config) == {Role.RC}
    assert [peer.role for peer in await rc_stores.peers.all()] == [Role.MOBILE]
    assert isinstance(said[0], Line)
    assert said[0].text.startswith("paired with rc ")


def test_ports_of_the_file_are_enough_and_options_go_before_them(
    tmp_path: Path, worked: list[tuple[Config, Errands]]
) -> None:
    pair(tmp_path, Role.DRONE)
    text = '[mavlink]\nports = ["udpout:127.0.0.1:1"]\nfly = false\n'
    assert run(tmp_path, "rc", text=text) == 0
    assert run(tmp_path, "rc", "--mavlink", PORT, "--mavlink", "tcpin:127.0.0.1:2", text=text) == 0
    assert [[str(port) for port in config.mavlink.ports] for config, _ in worked] == [
        ["udpout:127.0.0.1:1"],
        [PORT, "tcpin:127.0.0.1:2"],
    ]
    assert worked[1][0] == replace(worked[0][0], mavlink=worked[1][0].mavlink)
    assert not worked[1][0].mavlink.fly


def test_a_node_takes_ports_as_well(tmp_path: Path, worked: list[tuple[Config, Errands]]) -> None:
    assert run(tmp_path, "rc", "--mavlink", PORT, command=("node", "rc")) == 0
    assert [str(port) for port in worked[0][0].mavlink.ports] == [PORT]


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "options", "text", "words"),
    [
        ("drone", (), "", "--mavlink udpin:127.0.0.1:14550"),
        ("rc", (), "", "--mavlink udpout:127.0.0.1:14550"),
        ("cloud", (), "", "`tunnel ground` needs one of role rc or mobile"),
        ("cloud", ("--mavlink", PORT), "", "a cloud has no MAVLink ports"),
        ("drone", ("--mavlink", PORT, "--mavlink", "udpin:127.0.0.1:1"), "", "a drone has one autopilot"),
        ("drone", ("--mavlink", PORT), "[flight]\nmodel = true\n", '"model" or "replay"'),
        ("rc", ("--mavlink", "udp:127.0.0.1:1"), "", "write udpin:HOST:PORT"),
        ("rc", ("--mavlink", "udpout:127.0.0.1:0"), "", "needs the port of the other end"),
        ("rc", ("--mavlink", "serial:/dev/ttyS0:fast"), "", "a baud rate is a whole number"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    worked: list[tuple[Config, Errands]],
    capsys: pytest.CaptureFixture[str],
    role: str,
    options: tuple[str, ...],
    text: str,
    words: str,
) -> None:
    assert run(tmp_path, role, *options, text=text) == 2
    line = capsys.readouterr().err
    assert words in one_line(RuntimeError(line.removesuffix("\n")))
    assert worked == []
    assert not (tmp_path / "state").exists()


def test_the_end_of_another_role(
    tmp_path: Path, worked: list[tuple[Config, Errands]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "rc", "--mavlink", PORT, command=("tunnel", "drone")) == 2
    assert "is the configuration of a rc; `tunnel drone` needs one of role drone" in capsys.readouterr().err
    assert worked == []


@pytest.mark.parametrize(("typed", "words"), [("", "no linking code came on stdin"), ("AAAA-BBBB\n", "linking code")])
def test_a_code_that_is_none(
    tmp_path: Path,
    worked: list[tuple[Config, Errands]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    words: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert run(tmp_path, "rc", "--mavlink", PORT) == 2
    line = capsys.readouterr().err
    assert words in one_line(RuntimeError(line.removesuffix("\n")))
    assert worked == []


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tunnel", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Example: aerolink tunnel drone --config drone.toml --mavlink serial:/dev/ttyACM0:57600" in words
    assert "aerolink tunnel ground --config rc.toml" in words
