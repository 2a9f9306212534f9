"""The command as a person or a program meets it: help, mistakes, exit codes."""

import errno
import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from nodes.cli import aerolink, main
from nodes.cli_options import LOG_LEVELS
from nodes.logs import take_down
from protocols.crypto.suites import SUITES

COMMANDS = (
    (),
    ("bench",),
    ("cloud",),
    ("cloud", "token"),
    ("cloud", "devices"),
    ("cloud", "revoke"),
    ("cloud", "notify"),
    ("cloud", "notices"),
    ("cloud", "clock"),
    ("demo",),
    ("monitor",),
    ("node",),
    ("pair",),
    ("run",),
    ("status",),
    ("topology",),
    ("topology", "check"),
    ("topology", "list"),
    ("topology", "show"),
    ("tunnel",),
    ("vectors",),
    ("config",),
    ("config", "check"),
    ("keys",),
    ("keys", "generate"),
    ("keys", "show"),
    ("keys", "export"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("keys", "forget"),
)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    yield
    take_down()


class Ran:
    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = main(arguments)
        self.out, self.err = capsys.readouterr()

    @property
    def last(self) -> Any:
        return json.loads(self.out.splitlines()[-1])

    def is_one_line(self) -> bool:
        return self.err.startswith("aerolink: ") and self.err.count("\n") == 1 and "Traceback" not in self.err


def test_the_list_of_commands_is_complete() -> None:
    def names(command: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        if not isinstance(command, click.Group):
            return [path]
        context = click.Context(command)
        found = [path]
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found += names(inner, (*path, name))
        return found

    assert sorted(names(aerolink, ())) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_understood(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    ran = Ran(capsys, *command, "--help")
    assert (ran.code, ran.err) == (0, "")
    text = " ".join(ran.out.split())
    assert f"Example: aerolink {' '.join(command)}".strip() in text
    if "Commands:" not in text:
        listed, _, example = text.partition("Example:")
        assert all(option in listed for option in re.findall(r"--[a-z-]+", example))


@pytest.mark.parametrize(
    "command",
    [path for path in COMMANDS if path not in {(), ("cloud",), ("config",), ("keys",), ("topology",)}],
    ids=" ".join,
)
def test_every_command_speaks_json_and_logs(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    out = Ran(capsys, *command, "--help").out
    assert "--json" in out
    assert "--log-level" in out


def test_help_of_demo_names_every_suite(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(Ran(capsys, "demo", "--help").out.split())
    assert all(suite.name in text for suite in SUITES.values())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys, "--version")
    assert ran.code == 0
    assert re.fullmatch(r"aerolink \d+\.\d+\.\d+ from /.+\n", ran.out)


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Ran(capsys)
    assert ran.code == 2
    assert "Commands:" in ran.out + ran.err


MISTAKES = (
    ("fly",),
    ("demo", "--warp"),
    ("demo", "--suite", "rot13"),
    ("demo", "--suite", "Noise_IK_25519_AESGCM_SHA256"),
    ("demo", "--carrier", "pigeon"),
    ("demo", "--speed", "ludicrous"),
    ("demo", "--seconds", "0"),
    ("demo", "--seconds", "nan"),
    ("demo", "--port", "65536"),
    ("pair",),
    ("vectors",),
    ("config", "check"),
    ("keys", "revoke"),
    ("keys", "revoke", "abc"),
    ("keys", "generate", "--dh", "rot13"),
    ("--log-level", "loud", "demo"),
)


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_mistake_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    as_json: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["keys", "generate"])
    capsys.readouterr()
    ran = Ran(capsys, *arguments, *(["--json"] if as_json else []))
    assert ran.code == 2
    assert ran.is_one_line()
    if as_json:
        assert ran.last["ok"] is False
        assert ran.last["error"]["exit_code"] == 2
        assert f"aerolink: {ran.last['error']['message']}\n" == ran.err
    else:
        assert ran.out == ""


@pytest.mark.parametrize("name", [suite.name for suite in SUITES.values()])
def test_suites_in_any_case_and_as_noise_names(name: str) -> None:
    from nodes.cli_options import SuiteName

    for given in (name, name.lower(), f"Noise_IKhfs+psk2_{name}", f"noise_xx_{name.upper()}"):
        assert SuiteName().convert(given, None, None) == name


@pytest.mark.parametrize(
    "options", [(), pytest.param(("--processes",), marks=pytest.mark.slow)], ids=["inside", "processes"]
)
@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "is empty"), (b"boot text, no frame\n" * 50, "holds no MAVLink frame")],
    ids=["missing", "empty", "corrupt"],
)
def test_a_log_that_cannot_be_played(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, words: str, options: tuple[str, ...]
) -> None:
    log = tmp_path / "flight.tlog"
    if content is not None:
        log.write_bytes(content)
    ran = Ran(capsys, "demo", "--replay", str(log), "--json", *options)
    assert ran.code == 3
    assert ran.is_one_line()
    assert words in ran.err
    assert ran.last["error"]["kind"] == "StorageError"


def test_keys_from_making_to_listing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = ("--state-dir", str(tmp_path / "state"))
    made = Ran(capsys, "keys", "generate", *folder, "--dh", "25519_ChaChaPoly_BLAKE2s", "--json")
    assert (made.code, made.last["dh"]) == (0, "25519")
    shown = Ran(capsys, "keys", "show", *folder, "--json")
    assert shown.last["keys"] == [{name: made.last[name] for name in ("dh", "fingerprint", "key_id")}]
    assert "PUBLIC KEY" in Ran(capsys, "keys", "export", *folder, "--dh", "25519").out
    assert Ran(capsys, "keys", "list", *folder).out == "no paired devices\n"
    again = Ran(capsys, "keys", "generate", *folder, "--dh", "25519")
    assert again.code == 3
    assert again.is_one_line()
    assert "--force" in again.err
    assert Ran(capsys, "keys", "generate", *folder, "--dh", "25519", "--force").code == 0


def test_config_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "drone.toml"
    file.write_text('[node]\nrole = "drone"\n')
    assert Ran(capsys, "config", "check", str(file)).code == 0
    file.write_text('[node]\nrole = "drone"\ncolour = "red"\n')
    bad = Ran(capsys, "config", "check", str(file), "--json")
    assert bad.code == 1
    assert bad.last["problems"][0]["line"] == 3


def test_vectors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    file.write_text('{"vectors": []}')
    missing = Ran(capsys, "vectors", str(tmp_path / "missing.json"), "--json")
    assert missing.code == 1
    assert missing.last["ok"] is False
    assert missing.last["notes"]
    plain = Ran(capsys, "vectors", str(tmp_path / "missing.json"))
    assert plain.out.splitlines()[-1] == "0 passed, 0 failed, 0 unsupported"


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_log_levels_are_taken_before_and_after_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, level: str
) -> None:
    folder = ("--state-dir", str(tmp_path / "state"))
    assert Ran(capsys, "--log-level", level, "keys", "generate", *folder).code == 0
    assert Ran(capsys, "keys", "show", *folder, "--log-level", level.upper()).code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("keys", "list", "--state-dir"), 3),
        (("cloud", "devices", "--state-dir"), 3),
        (("status", "--state-dir"), 3),
        (("node", "drone", "--config"), 3),
        (("pair", "--config"), 3),
        (("config", "check"), 1),
    ],
    ids=lambda value: "" if isinstance(value, int) else "-".join(map(str, value)),
)
def test_what_belongs_to_another_user(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
) -> None:
    """It is the machine's matter, not one of usage; root may read everything, so the system is played here."""

    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    def deny(*_: object, **__: object) -> bool:
        return False

    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" if "dir" in arguments[-1] else tmp_path / "node.toml"
    (tmp_path / "node.toml").write_text('[node]\nrole = "drone"\n')
    with monkeypatch.context() as patched:
        patched.setattr("os.access", deny)
        for name in ("os.open", "os.stat", "pathlib.Path.exists", "pathlib.Path.read_bytes", "pathlib.Path.open"):
            patched.setattr(name, refuse)
        ran = main([*arguments, str(file)])
    said = capsys.readouterr()
    assert ran == code
    assert "internal" not in said.err
    assert len((said.out + said.err).splitlines()) == 1
