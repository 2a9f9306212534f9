"""``aerolink node``: what a person may ask of which role, and what is said when it makes no sense."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from nodes import working
from nodes.cli import main
from nodes.logs import take_down
from nodes.stations.notes import Alarmed, Line, LinkMeter, Live, Note, Progress
from nodes.working import Errands
from protocols.enrolment import EnrolmentToken
from protocols.pairing import LinkingCode
from specs.registry import Role

CODE = LinkingCode(bytes(range(16)))
TOKEN = EnrolmentToken(bytes(range(16)), bytes(16))
OWN = bytes(range(16))
KEY_ID = OWN.hex()
NOTES: tuple[Note, ...] = (
    Line("drone", "evil\x1b[2J\nline"),
    *(Progress("mobile", "a", done, 100) for done in range(0, 101, 5)),
    LinkMeter("drone", "drone-rc", {}, 0),
    Live(7),
    Alarmed("rc", "KIND", "text"),
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Errands]:
    """What a station would have been started with; each shows a code, and says something."""
    found: list[Errands] = []

    async def work(_: object, errands: Errands, say: Callable[[Note], None]) -> None:
        await trio.lowlevel.checkpoint()
        found.append(errands)
        for peer in errands.shows:
            errands.on_code(peer, CODE, OWN)
        for note in NOTES:
            say(note)

    monkeypatch.setattr(working, "work", work)
    return found


def run(folder: Path, role: str, *options: str, of: str | None = None) -> int:
    file = folder / "node.toml"
    file.write_text(f'[node]\nrole = "{of or role}"\n')
    try:
        return main(["node", role, "--config", str(file), *options])
    finally:
        take_down()


@pytest.mark.parametrize(
    ("role", "options", "typed", "expected"),
    [
        ("drone", (), "", Errands()),
        (
            "drone",
            ("--pair", "rc", "--pair", "cloud", "--pair", "rc", "--pair", "mobile"),
            "",
            Errands((Role.RC, Role.CLOUD, Role.RC, Role.MOBILE)),
        ),
        ("rc", ("--pair", "mobile"), "", Errands((Role.MOBILE,))),
        ("rc", ("--pair", "mobile", "--pair", "drone"), CODE.text(), Errands((Role.MOBILE,), Role.DRONE, CODE)),
        ("mobile", ("--pair", "drone"), CODE.text(), Errands((), Role.DRONE, CODE)),
        (
            "mobile",
            ("--pair", "drone", "--drone", KEY_ID),
            CODE.text(),
            Errands((), Role.DRONE, CODE, OWN),
        ),
        (
            "mobile",
            ("--enrol", "--pair", "rc"),
            f"{TOKEN.text().lower()}\n{CODE.text()}",
            Errands((), Role.RC, CODE, None, TOKEN.text()),
        ),
        ("cloud", ("--pair", "drone", "--drone", KEY_ID), CODE.text(), Errands((), Role.DRONE, CODE, OWN)),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_what_may_be_asked(
    tmp_path: Path,
    asked: list[Errands],
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    options: tuple[str, ...],
    typed: str,
    expected: Errands,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
    assert run(tmp_path, role, *options) == 0
    (errands,) = asked
    for name in ("shows", "asks", "code", "drone_id", "token"):
        assert getattr(errands, name) == getattr(expected, name)
    assert TOKEN.text() not in repr(errands)


@pytest.mark.parametrize(
    ("role", "options", "typed", "words"),
    [
        ("drone", ("--pair", "drone"), "", "a drone does not pair with a drone"),
        ("rc", ("--pair", "cloud"), "", "a rc does not pair with a cloud"),
        ("cloud", ("--pair", "mobile"), "", "a cloud does not pair with a mobile"),
        ("mobile", ("--pair", "rc", "--pair", "drone"), "", "one code at a time"),
        ("rc", ("--enrol",), "", "`enabled = true` in"),
        ("drone", ("--enrol",), "", "only a mobile enrols"),
        ("cloud", ("--pair", "drone"), "", "--drone KEYID"),
        ("cloud", ("--pair", "drone", "--drone", "xyz"), "", "32 hexadecimal digits"),
        ("cloud", ("--pair", "drone", "--drone", KEY_ID[2:]), "", "32 hexadecimal digits"),
        ("mobile", ("--enrol",), "", "no token came"),
        ("mobile", ("--enrol",), CODE.text(), "token"),
        ("rc", ("--pair", "drone"), "", "no linking code came"),
        ("rc", ("--pair", "drone"), "3M4J", "code"),
        ("pilot", (), "", "pilot"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_what_makes_no_sense(
    tmp_path: Path,
    asked: list[Errands],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    role: str,
    options: tuple[str, ...],
    typed: str,
    words: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
    assert run(tmp_path, role, *options, of="drone" if role == "pilot" else None) == 2
    assert asked == []
    found = capsys.readouterr()
    assert words in found.err
    assert CODE.text() not in found.err


def test_the_configuration_of_another(tmp_path: Path, asked: list[Errands], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "rc", of="drone") == 2
    assert asked == []
    assert "is the configuration of a drone, not of a rc" in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "drone", "--pair", "rc") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Linking code for a rc: {CODE.text()}   (key id {KEY_ID})"
    assert all(line.isprintable() for line in lines)
    assert lines[2:6] == [f"mobile: log a uploaded to {percent} %" for percent in (25, 50, 75, 100)]
    assert lines[6:] == ["ALARM at the rc: text"]


@pytest.mark.usefixtures("asked")
def test_objects_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "drone", "--pair", "rc", "--json") == 0
    found: list[Any] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0] == {"event": "code", "for": "rc", "code": CODE.text(), "key_id": KEY_ID}
    assert [each["event"] for each in found[1:]] == ["Line", *["Progress"] * 21, "Live", "Alarmed"]
    assert found[-1] == {"event": "Alarmed", "node": "rc", "kind": "KIND", "text": "text"}


def test_the_level_of_the_log_comes_from_the_configuration_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "drone.toml"
    config.write_text('[node]\nrole = "drone"\nlog_level = "debug"\n')
    levels: list[int] = []

    async def work(*_: object) -> None:
        levels.append(logging.getLogger("nodes").level)

    monkeypatch.setattr(working, "work", work)
    try:
        assert main(["node", "drone", "--config", str(config)]) == 0
        assert main(["node", "drone", "--config", str(config), "--log-level", "error"]) == 0
    finally:
        take_down()
    assert levels == [logging.DEBUG, logging.ERROR]
