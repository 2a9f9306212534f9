"""``aerolink pair``: two state folders, two screens, real sockets."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from nodes.config import Config, parse
from nodes.demo.lines import LineReader
from nodes.pairing import PairingScreen, check_name, pair_drone, pair_rc
from nodes.ports import CarrierName
from nodes.stores.statedir import StateDir
from protocols.errors import ConfigError, PairingClosedError, UsageError
from protocols.link.peers import PeerState
from protocols.pairing import LinkingCode
from tests.live.commands import run_here
from tests.live.kit import CARRIERS, DEADLINE_S, state_with_key, until

COMMAND: Final = (sys.executable, "-P", "-c", "import sys; from nodes.cli import main; sys.exit(main())")


def config_of(folder: Path, role: str, carrier: CarrierName, port: int) -> Config:
    where = {"drone": f'listen = "127.0.0.1:{port}"', "rc": f'connect = "127.0.0.1:{port}"'}[role]
    file = folder / f"{role}.toml"
    file.write_text(
        f'[node]\nrole = "{role}"\nstate_dir = "{role}"\n[link]\ncarrier = "{carrier}"\n'
        f'suites = ["P256_AESGCM_SHA256"]\n{where}\n'
    )
    if not (folder / role).exists():
        state_with_key(folder / role).close()
    return parse(file.read_bytes(), file)


def objects(screen: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in screen.getvalue().splitlines()]


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_both_ends_are_paired_for_good(tmp_path: Path, carrier: CarrierName) -> None:
    shown, answered = io.StringIO(), io.StringIO()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            drone = config_of(tmp_path, "drone", carrier, 0)
            nursery.start_soon(pair_drone, drone, "my hand", 60.0, PairingScreen(shown, as_json=True))
            await until(lambda: "\n" in shown.getvalue())
            (told,) = objects(shown)
            rc = config_of(tmp_path, "rc", carrier, int(told["endpoint"].rpartition(":")[2]))
            code = LinkingCode.parse(told["code"])
            await pair_rc(rc, "my drone", code, PairingScreen(answered, as_json=True))
    assert objects(shown)[-1]["peer"]["name"] == "my hand"
    assert objects(answered)[-1]["peer"]["name"] == "my drone"
    for folder, role, name in (("drone", "RC", "my hand"), ("rc", "DRONE", "my drone")):
        with StateDir.open(tmp_path / folder, read_only=True) as state:
            (peer,) = state.peer_files.all()
        assert (peer.role.name, peer.state, peer.name) == (role, PeerState.PAIRED, name)


async def test_a_window_in_which_nobody_pairs(tmp_path: Path, autojump_clock: MockClock) -> None:  # noqa: ARG001
    screen = io.StringIO()
    with pytest.raises(PairingClosedError, match="run `aerolink pair` again"):
        await pair_drone(config_of(tmp_path, "drone", "udp", 0), "", 300.0, PairingScreen(screen, as_json=False))
    assert "Linking code: " in screen.getvalue()
    assert all(line.isprintable() for line in screen.getvalue().splitlines())


async def test_keys_that_are_not_there(tmp_path: Path) -> None:
    config = config_of(tmp_path, "drone", "udp", 0)
    next((tmp_path / "drone").glob("identity-*")).unlink()
    with pytest.raises(ConfigError, match="aerolink keys generate"):
        await pair_drone(config, "", 1.0, PairingScreen(io.StringIO(), as_json=False))


@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "bell\a"])
def test_names_that_no_store_keeps(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


async def _command(folder: Path, role: str, typed: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, "pair", "--config", str(folder / f"{role}.toml"), *options]
    return await trio.run_process(command, stdin=typed.encode(), capture_stdout=True, capture_stderr=True, check=False)


async def test_two_commands_pair_and_the_code_comes_over_stdin(tmp_path: Path) -> None:
    config_of(tmp_path, "drone", "tcp", 0)
    with trio.fail_after(DEADLINE_S):
        drone = await trio.lowlevel.open_process(
            [*COMMAND, "pair", "--config", str(tmp_path / "drone.toml"), "--json"], stdout=subprocess.PIPE
        )
        assert drone.stdout is not None
        async with drone.stdout:
            lines = LineReader(drone.stdout)
            told = json.loads(await lines.next_line() or "")
            config_of(tmp_path, "rc", "tcp", int(told["endpoint"].rpartition(":")[2]))
            rc = await _command(tmp_path, "rc", told["code"].lower() + "\n")
            assert (rc.returncode, rc.stderr) == (0, b"")
            assert rc.stdout.startswith(b"Paired with drone ")
            assert json.loads(await lines.next_line() or "")["ok"] is True
            assert await drone.wait() == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "no linking code came"),
        ("ABC\n", "28 characters"),
        ("3M4J-NK92-A7V4-72FC-9RDF-7PFY-BXS6\n", "typing mistake"),
    ],
)
def test_a_mistyped_code_is_one_line_and_never_repeated(tmp_path: Path, typed: str, words: str) -> None:
    config_of(tmp_path, "rc", "udp", 9)
    ended = run_here("pair", "--config", tmp_path / "rc.toml", "--json", typed=typed)
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert not typed.strip() or typed.strip() not in ended.err + ended.out
